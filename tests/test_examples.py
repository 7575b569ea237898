"""Every example runs as shipped, is short, and uses public names only."""

import ast
import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(name):
    return load(next(path for path in EXAMPLES if path.stem == name))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_short_and_from_public_names(path):
    source = path.read_text()
    assert len(source.splitlines()) < 60
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in {
            "gibbs",
            "stages",
            "eval",
        }:
            package = __import__(node.module)
            assert "." not in node.module
            assert {alias.name for alias in node.names} <= set(package.__all__)


def test_quickstart(capsys):
    assert example("quickstart").main() <= 0.001
    assert "NC1 of the features, test" in capsys.readouterr().out


def test_own_data(capsys):
    assert example("own_data").main() <= 0.02
    assert "twostageclassifier0" in capsys.readouterr().out


def test_pipeline(capsys):
    assert example("pipeline_grid_search").main() >= 0.9
    assert "chosen:" in capsys.readouterr().out


def test_error_against_n(capsys):
    errors = example("error_against_n").main()
    assert errors[-1] < errors[0] / 2
    assert capsys.readouterr().out.count("\n") == 5
