"""Laws of a user's own: what their `sample` gives is checked in one place, for every door."""

import dataclasses
import shlex

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from support.datafiles import saved
from support.seeds import numpy_generator, shifted

from eval import SeparableDistribution, draw_samples, load_distribution, register_dataset
from eval.app.cli import main
from eval.app.run.config import RunConfig
from eval.app.run.splits import draw_split
from eval.data.laws import FEW, try_law


@dataclasses.dataclass
class Law:
    """Two bumps on a line, and how its samples are spoiled."""

    spoil: object = None

    def generator(self, random_state):
        return numpy_generator(random_state)

    def sample(self, n, random_state):
        rng = self.generator(random_state)
        y = rng.integers(2, size=n)
        x = np.column_stack([y + rng.normal(size=n), rng.normal(size=n)])
        return (x, y) if self.spoil is None else self.spoil(x, y)


def fails(x, y):
    raise KeyError("no file")


def fails_twice(*_):
    raise OSError("no file:\n  neither here")


def leaves(x, y):
    raise SystemExit(3)


def changed(value):
    def spoil(x, y):
        x[4, 1] = value
        return x, y

    return spoil


SPOILED = {
    "one dimension": (
        lambda x, y: (x[:, 0], y),
        r"X must be a matrix of {n} rows that is not empty, got shape \({n},\)",
    ),
    "a row less": (
        lambda x, y: (x[1:], y[1:]),
        r"X must be a matrix of {n} rows that is not empty, got shape \({m}, 2\)",
    ),
    "no columns": (
        lambda x, y: (x[:, :0], y),
        r"X must be a matrix of {n} rows that is not empty, got shape \({n}, 0\)",
    ),
    "a label less": (
        lambda x, y: (x, y[1:]),
        r"y must have one entry per row of X, \({n},\), got shape \({m},\)",
    ),
    "labels one-hot": (
        lambda x, y: (x, np.eye(2)[y]),
        r"y must have one entry per row of X, \({n},\), got shape \({n}, 2\)",
    ),
    "NaN": (changed(np.nan), r"row 5, column 'x1': features must be finite numbers, got nan"),
    "infinity": (changed(-np.inf), r"row 5, column 'x1': .* finite numbers, got -inf"),
    "text": (lambda x, y: (x.astype(str), y), r"X must be numeric, got dtype <U32"),
    "objects": (lambda x, y: (x.astype(object), y), r"X must be numeric, got dtype object"),
    "complex": (lambda x, y: (x + 1j, y), r"X must be numeric, got dtype complex128"),
    "labels between": (lambda x, y: (x, y + 0.5), r"column 'y' looks continuous"),
    "NaN labels": (lambda x, y: (x, np.where(y, np.nan, 0)), r"labels must be finite, got nan"),
    "X alone": (lambda x, y: x, r"must return a pair X, y, got ndarray"),
    "three values": (lambda x, y: (x, y, 1), r"must return a pair X, y, got 3 values"),
    "nothing": (lambda x, y: None, r"must return a pair X, y, got NoneType"),
    "an error": (fails, r"raised KeyError: 'no file'"),
    "an error of two lines": (fails_twice, r"raised OSError: no file: neither here$"),
    "an exit": (leaves, r"raised SystemExit: 3"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_samples_that_cannot_be_used_are_refused(name):
    spoil, message = SPOILED[name]
    for n, call in (
        (30, lambda law: draw_samples(law, 30, shifted(2), name="mine")),
        (FEW, lambda law: try_law(law, "mine")),
    ):
        seed = shifted(2) if n == 30 else 0
        wanted = message.format(n=n, m=n - 1)
        with pytest.raises(ValueError, match=rf"^mine: sample\({n}, {seed}\):? .*{wanted}"):
            call(Law(spoil))


def test_one_class_is_refused_where_samples_are_wanted():
    law = Law(lambda x, y: (x, np.zeros(len(x), int)))
    with pytest.raises(
        ValueError, match=r"^Law: sample\(30, .*: column 'y' holds one class only, 0"
    ):
        draw_samples(law, 30, shifted())
    try_law(law, "rare")  # a few samples may miss a class


def test_samples_of_any_array_come_as_numbers():
    x, y = Law().sample(20, shifted(3))
    for spoil in (
        lambda x, y: (pd.DataFrame(x), pd.Series(y)),
        lambda x, y: (torch.tensor(x), torch.tensor(y)),
        lambda x, y: [x.tolist(), y.tolist()],
    ):
        found = draw_samples(Law(spoil), 20, 3)
        np.testing.assert_array_equal(found[0], x)
        np.testing.assert_array_equal(found[1], y)
    assert draw_samples(Law(lambda x, y: (x.astype("f4"), y)), 20, 3)[0].dtype == np.float64


class Deaf(Law):
    def generator(self, random_state):
        return numpy_generator(5)


@dataclasses.dataclass
class Fresh(Law):
    """Draws go on where the last ones ended."""

    stream: np.random.Generator = dataclasses.field(default_factory=numpy_generator)

    def generator(self, random_state):
        return self.stream


def test_a_law_that_does_not_go_by_its_seed_is_refused():
    message = r"sample\(200, 1\) gave the same samples as sample\(200, 0\) before: .*random_state"
    with pytest.raises(ValueError, match=message):
        try_law(Deaf(), "mine")
    message = r"sample\(200, 0\) gave other samples than sample\(200, 0\) before: .*random_state"
    with pytest.raises(ValueError, match=message):
        try_law(Fresh(), "mine")
    for law in (Law(), SeparableDistribution(4, 3, margin=0.1)):
        try_law(law, "mine")


def test_laws_are_tried_where_they_are_loaded():
    register_dataset("deaf", Deaf, replace=True)
    register_dataset("sound", Law, replace=True)
    with pytest.raises(ValueError, match="deaf: sample"):
        load_distribution("deaf")
    assert load_distribution("sound").sample(3, shifted())[0].shape == (3, 2)


def test_draws_of_unlike_width_are_refused():
    class Encoded(Law):
        """As many columns as there are levels among the samples."""

        def sample(self, n, random_state):
            x, y = super().sample(n, random_state)
            return (x if n > FEW else x[:, :1]), y

    config = RunConfig(data="mine", n_samples=50, n_test=FEW + 1, seed=shifted())
    message = "mine: every draw must have the same number of columns, got 1 in 50 samples and 2 in"
    with pytest.raises(ValueError, match=message):
        draw_split(config, 0, Encoded())


CODE = """
import numpy as np

class Sound:
    def sample(self, n, random_state):
        rng = np.random.default_rng(random_state)
        y = rng.integers(2, size=n)
        return y[:, None] + 0.01 * rng.normal(size=(n, 2)), y

class Flat(Sound):
    def sample(self, n, random_state):
        x, y = super().sample(n, random_state)
        return x[:, 0], y

class Deaf(Sound):
    def sample(self, n, random_state):
        return super().sample(n, 5)

class Late(Sound):
    def sample(self, n, random_state):
        x, y = super().sample(n, random_state)
        return (x, y) if n == 200 else (x[1:], y[1:])
"""

COMMANDS = ("run", "check", "compare", "compare --tuned")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("law", "message"),
    [
        (
            "Flat",
            "sample(200, 0): X must be a matrix of 200 rows that is not empty, got shape",
        ),
        ("Deaf", "sample(200, 1) gave the same samples as sample(200, 0)"),
        ("Late", "X must be a matrix of 40 rows that is not empty, got shape (39, 2)"),
    ],
)
def test_every_command_refuses_them(law, message, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, CODE, "laws.py")
    words = shlex.split(f"{command} --data laws.py:{law} --n-samples 40 --out made")
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} <= {"laws.py", "__pycache__"}


def test_compare_draws_samples_of_a_law(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, CODE, "laws.py")
    seed = shifted(1)
    words = (
        f"compare --tuned --data laws.py:Sound --n-samples 30 --folds 2 --repeats 1 --seed {seed}"
    )
    options = "--methods ridge --neurons 5 --steps 2 --workers 1 --quiet --out made"
    result = CliRunner().invoke(main, shlex.split(f"{words} {options}"))
    assert result.exit_code == 0, result.output
    assert "laws.py:Sound, n=30, d=2, q=2" in result.stdout
    predicted = pd.read_csv(tmp_path / "made/predictions.csv").sort_values("sample")
    drawn = load_distribution("laws.py:Sound").sample(30, seed)[1]
    assert predicted["label"].tolist() == drawn.tolist()
