"""Every example runs as shipped, ends in a picture, is short, and uses public names only."""

import ast
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PACKAGES = {"gibbs", "stages", "eval"}
KNOWN = {
    "quickstart": lambda names: names["error"].estimate <= 0.001,
    "own_distribution": lambda names: names["error"].estimate <= 0.02,
    "pipeline_grid_search": lambda names: (
        names["search"].score(names["X_test"], names["y_test"]) >= 0.9
    ),
    "observers_and_resume": lambda names: (
        names["resumed"].history["nc1"].equal(names["whole"].history["nc1"])
    ),
    "error_against_n": lambda names: names["errors"][-1].estimate < names["errors"][0].estimate / 2,
}
"""What is known of the names that an example leaves."""
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
    names = runpy.run_path(str(path))
    assert KNOWN.get(path.stem, bool)(names)
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
