"""The pages say what runs: blocks of Python, calls of the command, names, and widths."""

import inspect
import pkgutil
import re
import runpy
from importlib import import_module
from pathlib import Path

import click
import pytest
from support.pages import PAGES, ROOT, blocks, commands, prose

from eval.app.cli import main

PACKAGES = {name: import_module(name) for name in ("gibbs", "stages", "eval")}
NUMBER = re.compile(r"[-+]?\d[\d.]*(e[-+]?\d+)?|nan|inf\b")
SLOW = {"docs/howto/scikit-learn.md", "docs/mathematics/distances.md"}


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def pages_with(found):
    return [
        pytest.param(
            page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in SLOW else []
        )
        for page in PAGES
        if found(page)
    ]


def has_python(page):
    return any(language == "python" for language, _ in blocks(page))


def shape(text):
    """Words and signs of a print-out; its numbers may differ from machine to machine."""
    return NUMBER.sub("#", text).split()


@pytest.mark.parametrize("page", pages_with(has_python))
def test_every_block_of_a_page_runs_and_prints_what_it_shows(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    names, printed = {}, ""
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, name_of(page), "exec"), names)
            printed = capsys.readouterr().out
        elif language == "text" and printed:
            assert shape(printed) == shape(text)
            printed = ""


def parse(words):
    """Parse a call of the command without running it; an unknown option is an error."""
    command, path = main, "gibbsnet"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{path} has no command {words[0]}"
        command, path, words = command.commands[words[0]], f"{path} {words[0]}", words[1:]
    command.make_parser(click.Context(command, info_name=path)).parse_args(list(words))


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=name_of)
def test_every_call_of_the_command_is_one(page):
    for words in commands(page):
        parse([word.strip(",;") for word in words])


def test_a_call_with_an_option_that_is_not_there_is_found():
    with pytest.raises(click.NoSuchOption):
        parse(["run", "--temperature", "3"])


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_lists_every_public_name(package):
    page = ROOT / "docs" / "reference" / f"{package}.rst"
    listed = re.findall(r"^   (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(PACKAGES[package].__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_first_line_of_a_docstring_has_no_abbreviation_that_ends_a_summary(package):
    for name in PACKAGES[package].__all__:
        first = (getattr(PACKAGES[package], name).__doc__ or "").partition("\n")[0]
        assert not re.search(r"\bEqs?\.", first), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_and_local_links_exist(page):
    text = prose(page)
    for package, name in re.findall(r"\{py:\w+\}`(\w+)\.(\w+)`", text):
        assert name in PACKAGES[package].__all__
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        if "gallery/" in target:  # Made from the examples.
            assert (ROOT / "examples" / target.split("/")[-1]).with_suffix(".py").exists()
        else:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_code_are_where_a_page_says(page):
    for path in re.findall(r"`((?:gibbs|stages|eval|tests|benchmarks)/[\w/]+\.py)`", prose(page)):
        assert (ROOT / path).exists(), path


def rows_of_the_code_table():
    """File and full names of the functions of each row."""
    for line in prose(ROOT / "docs" / "reference" / "code.md").splitlines():
        if "{py:" in line:
            path = re.search(r"`([\w/]+\.py)`", line)[1]
            yield path, re.findall(r"\{py:\w+\}`~?(?:[\w.]+ <)?([\w.]+)>?`", line)


@pytest.mark.parametrize(("path", "names"), list(rows_of_the_code_table()))
def test_functions_are_where_the_page_of_the_code_says(path, names):
    assert names
    for name in names:
        found = pkgutil.resolve_name(name)
        assert Path(inspect.getsourcefile(found)) == ROOT / path, name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_lines_of_prose_have_at_most_120_characters(page):
    written = re.sub(
        r"^```text.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for line in written.splitlines():
        assert len(line) <= 120 or line.startswith(("|", "!["))


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    assert len(text.split()) <= 900


def test_the_table_of_machines_holds_every_figure_and_says_what_is_old(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = runpy.run_path(str(ROOT / "benchmarks/results/table.py"))
    (result, *_) = table["results"]()
    for row in result["rows"]:
        assert row["case"] in "\n".join(table["by_machine"]([result], table["ratios"]))
        assert f"{row['over']['fused'][1]:.3g}" in table["ratios"](row)
    assert "older than the code" in table["described"](result | {"code": "another"})
    present = result | {"code": table["code_digest"]()}
    assert "with the present code" in table["described"](present)
