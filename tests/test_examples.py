"""Every example runs as shipped, ends in a picture, is short, and uses public names only."""

import ast
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = {"gibbs", "stages", "eval"}
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@pytest.fixture
def pictures(monkeypatch, tmp_path):
    """A folder to run in, no window, and no figure left of earlier tests."""
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.close("all")
    yield
    plt.close("all")


def test_there_are_at_least_ten():
    assert len(EXAMPLES) >= 10


@each
def test_it_ends_in_a_picture(path, pictures, capsys):
    runpy.run_path(str(path))
    (figure,) = map(plt.figure, plt.get_fignums())
    assert all(ax.has_data() for ax in figure.axes)
    figure.canvas.draw()
    assert len(set(figure.canvas.buffer_rgba().tobytes())) > 2
    assert capsys.readouterr().out


@each
def test_it_is_short_from_public_names_and_explained(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    lines = [line for line in source.splitlines() if line and not line.startswith("#")]
    assert len(lines) - len(ast.get_docstring(tree).splitlines()) < 60
    paragraphs = ast.get_docstring(tree).split("\n\n")[1:] + source.split("# %%\n")[1:]
    assert len(paragraphs) >= 2
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            assert {alias.name for alias in node.names} <= set(__import__(node.module).__all__)


def test_quickstart_has_no_error_on_fresh_samples(pictures, capsys):
    run = runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
    assert run["error"].estimate <= 0.001


def test_two_rings_are_told_apart(pictures, capsys):
    run = runpy.run_path(str(ROOT / "examples" / "own_distribution.py"))
    assert run["error"].estimate <= 0.02


def test_a_stopped_run_ends_as_if_it_had_not_been(pictures, capsys):
    runpy.run_path(str(ROOT / "examples" / "observers_and_resume.py"))
    assert "bitwise equal: True" in capsys.readouterr().out


def test_the_error_falls_with_n(pictures, capsys):
    errors = runpy.run_path(str(ROOT / "examples" / "error_against_n.py"))["errors"]
    assert errors[-1].estimate < errors[0].estimate / 2
