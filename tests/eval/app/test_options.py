"""Options that do nothing are refused by name, and config.json holds those that did something."""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.seeds import numpy_generator

import eval.app.check.config
import eval.app.compare.config
import eval.app.figure.command
import eval.app.predict.command
from eval.app.cli import main
from eval.app.report.report import command_line
from eval.app.run.config import USES, RunConfig
from eval.app.shared.uses import recorded

RINGS = """
import numpy as np

class TwoRings:
    def sample(self, n, random_state):
        rng = np.random.default_rng(random_state)
        y = rng.integers(0, 2, n)
        angle = rng.uniform(0, 2 * np.pi, n)
        return (1 + y)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), y

def load():
    return TwoRings().sample(40, 0)
"""


class ReachedError(Exception):
    """The work would begin here."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a law, a table and arrays, in which no work begins."""
    rng = numpy_generator()
    (tmp_path / "rings.py").write_text(RINGS)
    frame = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"]).assign(kind=["x", "y"] * 10)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    frame.to_parquet(tmp_path / "mine.parquet")
    np.savez(tmp_path / "mine.npz", X=frame[["a", "b"]].to_numpy(), y=frame["kind"].astype(str))
    monkeypatch.chdir(tmp_path)

    def reached(*_, **__):
        raise ReachedError

    for work in (
        *("run.runs.execute", "check.checking.execute", "compare.fixed.execute"),
        *("compare.tuned.execute_tuned", "figure.production.produce"),
    ):
        monkeypatch.setattr(f"eval.app.{work}", reached)
    return tmp_path


def invoke(words):
    return CliRunner().invoke(main, shlex.split(words))


LAW = "run --data rings.py:TwoRings"
SOLVED = "run --solver gibbs"
REFUSED = [
    (f"{LAW} --n-classes 7", "--n-classes"),
    (f"{LAW} --n-features 7", "--n-features"),
    (f"{LAW} --margin .3", "--margin"),
    (f"{LAW} --test-size .1", "--test-size"),
    ("run --test-size .1", "--test-size"),
    ("run --data digits --margin .3", "--margin"),
    ("run --data digits --n-samples 50", "--n-samples"),
    ("run --data rings.py:load --n-test 50", "--n-test"),
    ("run --data mine.csv --n-classes 2", "--n-classes"),
    ("run --target kind", "--target"),
    ("run --data digits --index id", "--index"),
    (f"{LAW} --target kind", "--target"),
    ("run --data mine.npz --target y", "--target"),
    ("run --data mine.parquet --separator ,", "--separator"),
    ("run --tol .1", "--tol"),
    ("run --n-particles 500", "--n-particles"),
    ("run --flow-steps 5", "--flow-steps"),
    (f"{SOLVED} --steps 5", "--steps"),
    (f"{SOLVED} --stage-two flow --flow-steps 3 --steps 5", "--steps"),
    (f"{SOLVED} --step-size .1", "--step-size"),
    (f"{SOLVED} --batch-size 5", "--batch-size"),
    (f"{SOLVED} --scheme euler", "--scheme"),
    (f"{SOLVED} --checkpoint 5", "--checkpoint"),
    ("run --steps 0 --step-size .1", "--step-size"),
    ("run --beta inf --lambda-rho .1 --scheme euler", "--scheme"),
    ("run --force", "--force"),
    ("check --data digits --n-samples 50", "--n-samples"),
    ("check mine.csv --seed 1", "--seed"),
    ("check --data separable --target kind", "--target"),
    ("check --data rings.py:TwoRings --index id", "--index"),
    ("check mine.csv --force", "--force"),
    ("compare --data wine --target kind", "--target"),
    ("compare --data rings.py:TwoRings --target kind", "--target"),
    ("compare --data wine --n-samples 50", "--n-samples"),
    ("compare --data wine --folds 3 --test-size .2", "--folds"),
    ("compare --data wine --force", "--force"),
    *(
        (f"compare --data wine {option}", option.partition(" ")[0])
        for option in (
            "--repeats 2",
            "--methods ridge",
            "--neurons 5",
            "--steps 5",
            "--workers 1",
            "--resume",
        )
    ),
    ("compare --tuned --data wine --controls", "--controls"),
    ("compare --tuned --data wine --test-size .2", "--test-size"),
    ("compare --tuned --data wine --n-samples 50", "--n-samples"),
    ("compare --tuned --data wine --force", "--force"),
    ("study generalization --force", "--force"),
    ("study generalization --resume", "--resume"),
    ("figure beta --full", "--full"),
    ("figure beta --features mine.csv", "--features"),
    ("figure beta --target kind", "--target"),
    ("figure beta --force", "--force"),
    ("figure fig1b --features mine.npz --target y", "--target"),
    ("figure fig1b --features mine.csv --set source=other.csv", "--features"),
    ("figure fig1b --features mine.csv --target kind --set target=a", "--target"),
    ("figure beta --set seeds=1 --set seeds=2", "--set"),
    ("figure fig1a --set setting=b", "--set"),
    ("figure collapse --set seeds=2", "--set"),
    ("predict run mine.npz --separator ,", "--separator"),
    ("predict run mine.csv --force", "--force"),
]


@pytest.mark.parametrize(("words", "option"), REFUSED)
def test_an_option_that_does_nothing_is_refused_by_its_name(words, option, folder):
    before = sorted(folder.iterdir())
    result = invoke(words)
    assert result.exit_code == 2, result.output
    said = " ".join(result.stderr.split())
    assert re.search(rf"{option}\b", said), said
    assert sorted(folder.iterdir()) == before


USED = [
    f"{LAW} --n-samples 50 --n-test 60",
    "run --n-samples 50 --n-test 60 --n-features 5 --n-classes 3 --margin .1",
    "run --data digits --test-size .1",
    "run --data rings.py:load --test-size .3",
    "run --data mine.csv --target kind --index a --separator ,",
    "run --data mine.parquet --target kind --index a",
    f"{SOLVED} --tol .1 --n-particles 500 --neurons 50 --controls",
    f"{SOLVED} --stage-two flow --steps 5 --step-size .1 --batch-size 5 --checkpoint 5",
    f"{SOLVED} --stage-two flow --flow-steps 5 --scheme euler",
    "run --stage-two flow --steps 5 --flow-steps 5 --scheme euler --step-size .1 --batch-size 5",
    "run --steps 0 --stage-two flow --flow-steps 5 --step-size .1",
    "run --steps 5 --beta inf --lambda-rho .1 --batch-size 5",
    "run --out new --force",
    "check --data separable --n-samples 50 --seed 1 --standardize",
    "check --data rings.py:TwoRings --n-samples 50 --seed 1",
    "check mine.csv --target kind --index a --separator , --out new --force",
    "compare --data mine.csv,iris --target kind --test-size .2 --controls",
    "compare --data rings.py:TwoRings,separable-noisy,iris --n-samples 50 --folds 3",
    "compare --tuned --data rings.py:TwoRings --n-samples 50 --folds 3 --repeats 2 --steps 5",
    "compare --tuned --data wine --methods ridge --neurons 5 --workers 1 --out new --force",
    "figure fig1a --quick --set seeds=3 --workers 1 --out new --force",
    "figure fig1b --features mine.csv --target kind --set epochs=3",
    "figure fig1b --set source=mine.csv --set target=kind",
    "figure fig1a --full",
]


@pytest.mark.parametrize("words", USED)
def test_an_option_is_taken_where_it_does_something(words, folder):
    if words.startswith("figure fig1a"):
        pytest.importorskip("mlxtend")
    result = invoke(words)
    assert isinstance(result.exception, ReachedError), result.output


@pytest.mark.parametrize(
    ("command", "uses"),
    [
        ("run", USES),
        ("check", eval.app.check.config.USES),
        ("compare", eval.app.compare.config.USES),
        ("figure", eval.app.figure.command.USES),
        ("predict", eval.app.predict.command.USES),
    ],
)
def test_help_says_of_an_option_where_it_is_used(command, uses):
    parameters = {parameter.name: parameter for parameter in main.commands[command].params}
    for name, use in uses.items():
        assert use.words.removeprefix("is ") in parameters[name].help


COMMON = {"data", "seed", "repeats", "controls", "model", "versions"}
DRAWN = {"n_samples", "n_test"}
QUICK = "--neurons 10 --steps 2 --quiet"


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (f"{LAW} --n-samples 50 --n-test 60 {QUICK}", COMMON | DRAWN),
        (
            f"run --n-samples 50 --n-test 60 --n-features 5 {QUICK}",
            COMMON | DRAWN | {"n_features", "n_classes", "margin"},
        ),
        (f"run --data mine.csv --target kind {QUICK}", COMMON | {"test_size", "target"}),
    ],
)
def test_config_of_a_run_holds_what_was_used_and_repeats_it(words, keys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rings.py").write_text(RINGS)
    x = 0.1 * numpy_generator().normal(size=(20, 2))
    x[::2] += 1
    frame = pd.DataFrame(x, columns=["a", "b"]).assign(kind=["x", "y"] * 10)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    result = invoke(f"{words} --out run")
    assert result.exit_code == 0, result.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert set(config) == keys
    repeated = command_line(config)
    assert repeated.startswith("gibbsnet run ")
    result = invoke(f"{repeated.removeprefix('gibbsnet ')} --quiet --out again")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == config
    histories = [
        pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds")
        for name in ("run", "again")
    ]
    pd.testing.assert_frame_equal(*histories)


def test_configs_of_a_check_and_a_comparison_hold_what_was_used(folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert invoke("check mine.csv --out table").exit_code == 0
    assert set(json.loads((folder / "table/config.json").read_text())) == {"data", "versions"}
    assert invoke("check --data rings.py:TwoRings --n-samples 30 --out law").exit_code == 0
    config = json.loads((folder / "law/config.json").read_text())
    assert {**config, "versions": 0} == {
        "data": "rings.py:TwoRings",
        "n_samples": 30,
        "seed": 0,
        "versions": 0,
    }
    config = eval.app.compare.config.CompareConfig(("iris",), test_size=0.2)
    facts = {"tuned": False, "test_size": 0.2, "drawn": False, "tables": (), "out": None}
    used = recorded(config, eval.app.compare.config.USES, facts)
    assert used == {"data": ("iris",), "test_size": 0.2, "seed": 0, "controls": False}


def test_the_checkpoint_of_a_resumed_run_without_dynamics_is_refused(folder):
    partial = folder / "run.partial"
    partial.mkdir()
    config = RunConfig(model={"solver": "gibbs"}).recorded("separable")
    (partial / "config.json").write_text(json.dumps({**config, "versions": {}}))
    result = invoke("run --resume run --checkpoint 5")
    assert result.exit_code == 2
    assert "--checkpoint is for steps of the dynamics" in " ".join(result.stderr.split())
    assert isinstance(invoke("run --resume run").exception, ReachedError)
