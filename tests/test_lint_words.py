"""The list of retired words finds what is planted, and nothing in the sources."""

import pytest
from support.lint_words import complaints, files, main

PLANTED = [
    ("tilts = tilt(problem, dual, values)", "tilts"),
    ("P is the pull of the loss", "pull"),
    ("def run_kept(problem):", "run_kept"),
    ("from gibbs.solver.ascent import Scouts", "Scouts"),
    ("`say` is told what is done", "is told"),
    ("The run goes on from there.", "goes on"),
    ("Where it goes on does not show in the result.", "does not show in"),
    ("plain importance sampling is let off", "let off"),
    ("the neurons are held against the minimizer", "held against"),
]


@pytest.mark.parametrize(("line", "word"), PLANTED)
def test_a_planted_word_is_found_with_its_line_and_the_word_to_use(line, word):
    found = list(complaints(f"a first line\n{line}\n"))
    assert word in [each for _, each, _ in found]
    assert {number for number, _, _ in found} == {2}
    assert all(instead for _, _, instead in found)


@pytest.mark.parametrize(
    "line",
    [
        'found = {"tilts": log_tilts}',
        "Log tilt of the neurons; the log tilt e(u)",
        "which differences the folds can tell apart, and cannot be told apart",
        "the clouds reach far out, and no draw stands for it",
        'rows = {"verdict": describe_ranking(rankings)}',
    ],
)
def test_words_on_disk_and_plain_english_pass(line):
    assert list(complaints(line)) == []


@pytest.mark.parametrize("place", ["gibbs/solver/planted.py", "docs/planted.md", "README.md"])
def test_a_planted_file_fails_with_its_place(place, tmp_path, capsys):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("one\ntwo\nthe scouts go along\n")
    assert files(tmp_path) == [path]
    assert main(tmp_path) == 1
    assert f"{place}:3: 'scouts' is retired: overdispersed chains" in capsys.readouterr().out


def test_no_source_or_page_has_a_retired_word():
    assert main() == 0
