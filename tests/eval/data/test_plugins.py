import sys

import numpy as np
import pytest
from support.datafiles import X, saved
from support.seeds import shifted

from eval.data.loading import load_dataset, load_distribution, load_source
from eval.data.plugins import load_plugin

PLUGIN = """
from dataclasses import dataclass
import neighbour
from eval import Dataset
import numpy as np

X, y = np.arange(8.0).reshape(4, 2), np.array([0, 0, 1, 1])
pair = (X, y)
ready = Dataset("ready", X, y, False)
number = 3

@dataclass
class Law:
    shift: float = neighbour.SHIFT

    def sample(self, n, random_state):
        rng = np.random.default_rng(random_state)
        y = rng.integers(2, size=n)
        return y[:, None] + self.shift, y

def load():
    import neighbour
    return X + neighbour.SHIFT, y

def fails():
    raise KeyError("no data")

def leaves():
    raise SystemExit(1)

def wants(path):
    return X, y
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    saved(tmp_path, "SHIFT = 10.0\n", "neighbour.py")
    yield saved(tmp_path, PLUGIN, "mine.py")
    sys.modules.pop("neighbour", None)
    sys.modules.pop("mine", None)


def test_code_in_a_file_gives_sets_and_distributions(plugin):
    before = list(sys.path)
    np.testing.assert_array_equal(load_dataset(f"{plugin}:load").x, X + 10)
    np.testing.assert_array_equal(load_dataset(f"{plugin}:pair").x, X)
    assert load_dataset(f"{plugin}:ready").name == "ready"
    law = load_distribution(f"{plugin}:Law")
    assert law.shift == 10
    assert law.sample(7, shifted())[0].shape == (7, 1)
    assert load_distribution(f"{plugin}:load") is None
    assert load_source(f"{plugin}:Law").shift == 10
    with pytest.raises(ValueError, match=r"Law is a distribution, not a data set"):
        load_dataset(f"{plugin}:Law")
    assert sys.path == before


def test_code_in_a_module_gives_sets(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    np.testing.assert_array_equal(load_dataset("mine:load").x, X + 10)
    np.testing.assert_array_equal(load_plugin("mine:pair").x, X)


@pytest.mark.parametrize(
    ("attribute", "error", "message"),
    [
        ("absent", ValueError, r"mine.py has no attribute 'absent'"),
        ("number", TypeError, r"mine.py:number: a loader must return.*got int"),
        ("fails", ValueError, r"mine.py:fails: raised KeyError: 'no data'"),
        ("leaves", ValueError, r"mine.py:leaves: raised SystemExit: 1"),
        ("wants", ValueError, r"mine.py:wants: raised TypeError.*missing 1 required"),
        ("", ValueError, r"mine.py:: must be module:attribute or path/to/file.py:attribute"),
    ],
)
def test_code_that_gives_no_data_is_explained(attribute, error, message, plugin):
    for load in (load_plugin, load_dataset):
        with pytest.raises(error, match=message):
            load(f"{plugin}:{attribute}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1/0", r"bad.py: raised ZeroDivisionError: division by zero"),
        ("def f(:", r"bad.py: raised SyntaxError"),
        ("import sys; sys.exit('usage')", r"bad.py: raised SystemExit: usage"),
        ("import no_such_package", r"bad.py: raised ModuleNotFoundError: No module named 'no_su"),
    ],
)
def test_code_that_cannot_be_imported_is_explained(content, message, tmp_path):
    path = saved(tmp_path, content, "bad.py")
    with pytest.raises(ValueError, match=message):
        load_dataset(f"{path}:load")


def test_broken_packages_are_explained(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, content in {"dividing": "1/0", "needing": "import no_such_package"}.items():
        (tmp_path / name).mkdir()
        saved(tmp_path / name, content, "__init__.py")
        with pytest.raises(ValueError, match=rf"{name}.data: raised \w+Error"):
            load_dataset(f"{name}.data:load")


def test_missing_code_is_told():
    with pytest.raises(FileNotFoundError, match=r"nowhere.py: no such file"):
        load_dataset("nowhere.py:load")
    for name in ("no_such_package", "no_such_package.part", "json.no_such_part"):
        with pytest.raises(ModuleNotFoundError, match=rf"{name}: no such module; code in a file"):
            load_plugin(f"{name}:load")
        with pytest.raises(FileNotFoundError, match=rf"{name}:load: no such file"):
            load_dataset(f"{name}:load")
    for spec in ("mine", ":load", "mine.py", "mine.py:not an attribute"):
        with pytest.raises(ValueError, match=r"must be module:attribute or path"):
            load_plugin(spec)
