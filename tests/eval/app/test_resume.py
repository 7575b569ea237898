"""`gibbsnet run --resume` after a kill."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.seeds import shifted
from support.waiting import last_step, wait_for_step

from eval.app.cli import main
from eval.app.run.model_store import read_model
from gibbs.dynamics import backends
from gibbs.dynamics.run_state import Dynamics
from stages import save_model

LONG = (
    "--data",
    "iris",
    "--neurons",
    "100",
    "--steps",
    "3000",
    "--batch-size",
    "20",
    "--seed",
    "4",
)


def start(*options):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "eval.app", "run", "--quiet", *map(str, options)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill_on_the_way(process, partial, beyond):
    """Kill a run after a checkpoint of a later step."""
    wait_for_step(partial, beyond)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "ended before it was killed"


def contents(folder):
    """What a run has computed, less its clock."""
    history = pd.read_csv(folder / "history.csv").drop(columns="seconds")
    model = read_model(folder).classifier
    for each in (model.history_, model.stage_two_history_):
        each.pop("seconds")
    stored = folder.parent / f"{folder.name}.gibbsnet"
    save_model(model, stored)
    with np.load(folder / "features.npz") as frames:
        return history, stored.read_bytes(), dict(frames)


def assert_equal(one, other):
    pd.testing.assert_frame_equal(one[0], other[0], check_exact=True)
    assert one[1] == other[1]
    assert one[2].keys() == other[2].keys()
    assert all(np.array_equal(values, other[2][name]) for name, values in one[2].items())


@pytest.fixture
def steps_taken(monkeypatch):
    """One entry a step of the dynamics in this process."""
    taken, step = [], Dynamics.step

    def count(dynamics):
        taken.append(1)
        step(dynamics)

    monkeypatch.setattr(Dynamics, "step", count)
    return taken


@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(backend, tmp_path, steps_taken):
    settings = (*LONG, "--backend", backend)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    partial = tmp_path / "killed.partial"
    process = start(*settings, "--checkpoint", 0, "--out", killed)
    kill_on_the_way(process, partial, beyond=0)
    assert not killed.exists()

    again = CliRunner().invoke(main, ["run", *settings, "--out", str(killed)])
    assert again.exit_code == 2
    assert f"continue with --resume {killed}" in " ".join(again.stderr.split())
    other = CliRunner().invoke(main, ["run", "--resume", str(killed), "--beta", "10"])
    assert other.exit_code == 2
    assert "--resume continues with the run's own settings: no --beta" in other.stderr

    reached = last_step(partial)
    process = start("--resume", killed, "--checkpoint", 0)
    kill_on_the_way(process, partial, beyond=reached)
    result = CliRunner().invoke(main, ["run", "--resume", str(killed), "--quiet"])
    assert result.exit_code == 0, result.output
    assert len(steps_taken) < 3000
    assert {path.name for path in tmp_path.iterdir()} == {"killed"}

    result = CliRunner().invoke(main, ["run", *settings, "--quiet", "--out", str(whole)])
    assert result.exit_code == 0, result.output
    assert_equal(contents(killed), contents(whole))
    done = CliRunner().invoke(main, ["run", "--resume", str(killed)])
    assert done.exit_code == 2
    assert "is complete" in done.stderr


@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_ctrl_c_can_be_taken_back(backend, tmp_path, steps_taken):
    settings = (*LONG, "--backend", backend)
    out, whole = tmp_path / "run", tmp_path / "whole"
    process = start(*settings, "--checkpoint", 0, "--out", out)
    partial = tmp_path / "run.partial"
    wait_for_step(partial, beyond=0)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.is_dir()
    assert partial.is_dir()
    result = CliRunner().invoke(main, ["run", "--resume", str(out), "--quiet"])
    assert result.exit_code == 0, result.output
    assert not partial.exists()
    assert 0 < len(steps_taken) < 3000
    result = CliRunner().invoke(main, ["run", *settings, "--quiet", "--out", str(whole)])
    assert result.exit_code == 0, result.output
    assert_equal(contents(out), contents(whole))


def test_a_run_does_not_go_on_with_another_backend(tmp_path, monkeypatch):
    partial = tmp_path / "run.partial"
    process = start(*LONG, "--backend", "auto", "--checkpoint", 0, "--out", tmp_path / "run")
    kill_on_the_way(process, partial, beyond=0)
    kept = sorted(path.name for path in partial.iterdir())
    monkeypatch.setattr(backends, "_why_not_fused", lambda problem: "numba is not there")
    result = CliRunner().invoke(main, ["run", "--resume", str(tmp_path / "run"), "--quiet"])
    assert result.exit_code == 2
    assert "--backend must be 'fused' to continue this run, got 'torch'" in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 4
    assert sorted(path.name for path in partial.iterdir()) == kept
    monkeypatch.undo()
    result = CliRunner().invoke(main, ["run", "--resume", str(tmp_path / "run"), "--quiet"])
    assert result.exit_code == 0, result.output


def test_a_backend_that_is_not_there_is_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(backends, "_why_not_fused", lambda problem: "it needs numba")
    command = ["run", *LONG, "--backend", "fused", "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "--backend must be 'torch' or 'auto' here, got 'fused': it needs numba" in result.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_to_resume(tmp_path):
    result = CliRunner().invoke(main, ["run", "--resume", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "is no run, and there is no" in " ".join(result.stderr.split())
    partial = tmp_path / "some.partial"
    partial.mkdir()
    (partial / "config.json").write_text("{}")
    result = CliRunner().invoke(main, ["run", "--resume", str(tmp_path / "some")])
    assert result.exit_code == 2
    assert "holds no run to continue" in " ".join(result.stderr.split())
    assert partial.is_dir()


def test_a_run_that_fails_leaves_nothing(tmp_path):
    result = CliRunner().invoke(
        main, ["run", "--data", "iris", "--step-size", "1e9", "--out", str(tmp_path / "run")]
    )
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_run_killed_before_it_had_its_configuration_can_begin_again(tmp_path):
    (tmp_path / "run.partial").mkdir()
    options = ["run", "--data", "iris", "--neurons", "20", "--steps", "20", "--quiet"]
    out = tmp_path / "run"
    assert CliRunner().invoke(main, [*options, "--out", str(out)]).exit_code == 2
    result = CliRunner().invoke(main, [*options, "--out", str(out), "--force"])
    assert result.exit_code == 0, result.output


def test_resuming_spares_folders_of_the_user(tmp_path):
    out = tmp_path / "e"
    mine = tmp_path / ".e-settings"
    mine.mkdir()
    (mine / "file").write_text("dear")
    process = start(*LONG, "--checkpoint", 0, "--out", out)
    kill_on_the_way(process, tmp_path / "e.partial", 0)
    result = CliRunner().invoke(main, ["run", "--resume", str(out), "--quiet"])
    assert result.exit_code == 0, result.output
    assert (mine / "file").read_text() == "dear"
    assert {path.name for path in tmp_path.iterdir()} == {"e", ".e-settings"}


def test_no_steps_at_all(tmp_path):
    options = ["--data", "iris", "--neurons", "20", "--steps", "0", "--quiet"]
    result = CliRunner().invoke(main, ["run", *options, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output


def test_two_processes_do_not_go_on_with_the_same_run(tmp_path):
    out, partial = tmp_path / "run", tmp_path / "run.partial"
    process = start(*LONG, "--checkpoint", 0, "--out", out)
    wait_for_step(partial, beyond=0)
    message = f"{partial} is in use by another process: wait for its end, or stop it"
    for options in (["--resume", str(out)], [*LONG, "--out", str(out), "--force"]):
        result = CliRunner().invoke(main, ["run", *options, "--quiet"])
        assert result.exit_code == 2, result.output
        assert message in " ".join(result.stderr.split())
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert CliRunner().invoke(main, ["run", "--resume", str(out), "--quiet"]).exit_code == 0


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    partial, chance = tmp_path / "killed.partial", random.Random(shifted(1))
    options = [*LONG, "--checkpoint", 0, "--out", killed]
    progressed = 0
    for kill in range(20):
        reached = last_step(partial)
        process = start(*options)
        # Half of the kills come at any moment, the others after some progress.
        if kill % 2:
            time.sleep(chance.uniform(0, 3))
        else:
            wait_for_step(partial, reached)
            time.sleep(chance.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if killed.exists():  # it had ended before
            killed.rename(tmp_path / "early")
            break
        progressed += last_step(partial) > reached
        options = ["--resume", killed, "--checkpoint", 0]
    else:
        assert progressed >= 10
        result = CliRunner().invoke(main, ["run", "--resume", str(killed), "--quiet"])
        assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["run", *LONG, "--quiet", "--out", str(whole)])
    assert result.exit_code == 0, result.output
    assert_equal(contents(killed if killed.exists() else tmp_path / "early"), contents(whole))
