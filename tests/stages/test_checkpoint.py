import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from support.problems import small_problem
from support.seeds import seeded, shifted
from support.waiting import last_step, wait_for, wait_for_step

from gibbs import Annealed, Snapshot, sample_normal
from gibbs.dynamics.run_state import Dynamics
from stages import Checkpoint, Flow, Langevin, Ridge, train_mean_field, train_two_stage
from stages.checkpoint import fingerprint

RUN = {"data": "abc", "beta": "10.0"}


def snapshot(step, value=1.0):
    return Snapshot(step, {"theta": torch.full((3, 2), value), "order": torch.arange(4)})


def test_what_is_read_is_what_was_written(tmp_path):
    folder = Checkpoint(tmp_path / "new" / "folder")
    assert folder.read(RUN) is None
    folder.write(snapshot(7), RUN)
    found = folder.read(RUN)
    assert found.step == 7
    assert found.tensors.keys() == {"theta", "order"}
    assert torch.equal(found.tensors["theta"], torch.ones(3, 2))
    assert found.tensors["order"].dtype == torch.int64


def test_the_last_two_stay_and_nothing_else(tmp_path):
    folder = Checkpoint(tmp_path)
    (tmp_path / ".99-step-0000000001.npz").write_bytes(b"left by a kill")
    (tmp_path / "step-0000000001.npz").write_bytes(b"without its manifest")
    (tmp_path / "notes.txt").write_text("the user's")
    for step in (3, 12, 100):
        folder.write(snapshot(step), RUN)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt",
        "step-0000000012.json",
        "step-0000000012.npz",
        "step-0000000100.json",
        "step-0000000100.npz",
    ]


def cut_short(path):
    arrays = path.with_suffix(".npz")
    arrays.write_bytes(arrays.read_bytes()[:-100])


def alter(path):
    arrays = path.with_suffix(".npz")
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(bytes(content))


def of_another_version(path):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": 99}))


def spoil_manifest(path):
    path.write_text(path.read_text()[:20])


def lose(path):
    path.with_suffix(".npz").unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (cut_short, "was cut short or altered"),
        (alter, "was cut short or altered"),
        (lose, "was cut short or altered"),
        (of_another_version, "has format 99, this version reads 2"),
        (spoil_manifest, "has no sound manifest"),
    ],
)
def test_a_bad_checkpoint_gives_way_to_the_one_before(tmp_path, harm, words):
    folder = Checkpoint(tmp_path)
    folder.write(snapshot(5, 5.0), RUN)
    folder.write(snapshot(9, 9.0), RUN)
    harm(tmp_path / "step-0000000009.json")
    with pytest.warns(RuntimeWarning, match=f"step-0000000009 {words}.*continuing from step 5"):
        found = folder.read(RUN)
    assert float(found.tensors["theta"][0, 0]) == 5.0
    harm(tmp_path / "step-0000000005.json")
    with pytest.raises(ValueError, match=f"no usable checkpoint: .*{words}"):
        folder.read(RUN)


def test_a_checkpoint_runs_no_code(tmp_path):
    folder = Checkpoint(tmp_path)
    folder.write(snapshot(5), RUN)
    arrays = tmp_path / "step-0000000005.npz"
    with arrays.open("wb") as file:
        np.savez(file, theta=np.array([Path("x")], dtype=object))
    manifest = json.loads(arrays.with_suffix(".json").read_text())
    manifest["sha256"] = hashlib.sha256(arrays.read_bytes()).hexdigest()
    arrays.with_suffix(".json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        folder.read(RUN)


def test_another_run_is_refused(tmp_path):
    folder = Checkpoint(tmp_path)
    folder.write(snapshot(5), RUN)
    with pytest.raises(ValueError, match=r"another run, of beta = 10\.0, not 20\.0"):
        folder.read(RUN | {"beta": "20.0"})
    with pytest.raises(ValueError, match="another run, of other data"):
        folder.read(RUN | {"data": "abd"})


def test_a_fingerprint_knows_data_start_generator_and_settings():
    problem = small_problem()
    start = sample_normal(problem, 5, generator=seeded())
    base = fingerprint(problem, start, seeded(), step_size=0.1, batch_size=None)
    assert base == fingerprint(problem, start, seeded(), step_size=0.1, batch_size=None)
    assert json.loads(json.dumps(base)) == base
    other = [
        fingerprint(small_problem(seed=1), start, seeded(), step_size=0.1, batch_size=None),
        fingerprint(problem, start, seeded(1), step_size=0.1, batch_size=None),
        fingerprint(problem, start, seeded(), step_size=Annealed(0.1, 5), batch_size=None),
        fingerprint(problem, start, seeded(), step_size=0.1, batch_size=3),
        fingerprint(
            problem,
            sample_normal(problem, 5, generator=seeded(1)),
            seeded(),
            step_size=0.1,
            batch_size=None,
        ),
    ]
    assert all(one != base for one in other)


def test_checkpoints_are_taken_by_steps_by_time_and_at_the_end(tmp_path):
    def written(**settings):
        folder = Checkpoint(tmp_path, **settings)
        steps = []
        on_record = folder.on_record(RUN, n_steps=50)
        for step in range(0, 51, 5):
            before = set(tmp_path.iterdir())
            on_record(step, lambda step=step: snapshot(step))
            if set(tmp_path.iterdir()) != before:
                steps.append(step)
        for path in tmp_path.iterdir():
            path.unlink()
        return steps

    assert written(steps=12, seconds=1e9) == [15, 30, 45, 50]
    assert written(seconds=1e9) == [50]
    assert written(seconds=0) == list(range(0, 51, 5))


@pytest.mark.parametrize(
    ("settings", "message"), [({"steps": 0}, "steps must be >= 1"), ({"seconds": -1}, "seconds")]
)
def test_bad_intervals_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        Checkpoint(tmp_path, **settings)


@pytest.mark.parametrize("stage_two", [Ridge(), Flow(n_steps=20)])
def test_both_stages_go_on_where_they_were(tmp_path, stage_two):
    problem = small_problem()
    stage_one = Langevin(n_neurons=40, n_steps=30)
    looks = 0

    def train(stop_at=None, **more):
        class Killed(Exception):
            pass

        nonlocal looks
        looks = 0

        def look(_state):
            nonlocal looks
            looks += 1
            if looks == stop_at:
                raise Killed
            return 0.0

        try:
            return train_two_stage(
                problem,
                stage_one,
                stage_two,
                generator=seeded(3),
                observers={"look": look},
                every=5,
                **more,
            )
        except Killed:
            return None

    whole = train()
    looks_of_the_whole = looks
    folder = Checkpoint(tmp_path, seconds=0)
    for stop_at in (3, 4, 2, 4):
        train(stop_at, checkpoint=folder)
    resumed = train(checkpoint=folder)
    assert looks < looks_of_the_whole - 4
    for name in ("a", "u"):
        assert torch.equal(getattr(resumed.particles, name), getattr(whole.particles, name))
    assert torch.equal(resumed.w, whole.w)
    for name, values in whole.stage_two_history.items():
        assert torch.equal(resumed.stage_two_history[name], values), name
    for name, values in whole.stage_one.history.items():
        assert torch.equal(resumed.stage_one.history[name], values), name


def test_no_steps_with_a_checkpoint(tmp_path):
    problem = small_problem(p=5, q=2)
    stages = Langevin(n_neurons=40, n_steps=0), Flow(n_steps=10)
    one, other = (
        train_two_stage(
            problem, *stages, generator=seeded(3), checkpoint=Checkpoint(tmp_path, seconds=0)
        )
        for _ in range(2)
    )
    assert torch.equal(one.particles.a, other.particles.a)
    assert torch.equal(one.w, other.w)


STEPS_OF_A_LIFE = 300


def train_until_killed(folder, result, started=None):
    """In a process of its own: a run with batches and a schedule.

    With `started`, a file it makes, it takes `STEPS_OF_A_LIFE` steps and then waits to be killed.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("error", RuntimeWarning)  # a checkpoint that is not whole
    problem = small_problem(n=60, d=10, p=4, q=2, dtype=torch.float32)
    if started is not None:
        step, left = Dynamics.step, iter(range(STEPS_OF_A_LIFE))

        def step_or_wait(dynamics):
            if next(left, None) is None:
                time.sleep(600)
            step(dynamics)

        Dynamics.step = step_or_wait
        started.touch()
    trained = train_mean_field(
        problem,
        n_neurons=300,
        n_steps=21 * STEPS_OF_A_LIFE,
        step_size=Annealed(0.3, 100),
        batch_size=20,
        generator=seeded(5),
        checkpoint=Checkpoint(folder, steps=7) if folder else None,
        every=7,
    )
    torch.save((trained.particles.a, trained.particles.u, trained.history), result)


@pytest.mark.slow
def test_a_run_that_is_killed_twenty_times_ends_bitwise_as_if_it_had_not_been(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "stages", "problems"])

    def start(*arguments):
        process = context.Process(target=train_until_killed, args=arguments)
        process.start()
        return process

    whole = start(None, tmp_path / "whole")
    whole.join()
    folder, chance = tmp_path / "checkpoints", random.Random(shifted())
    last, progressed = -1, 0

    for kill in range(20):
        started = tmp_path / f"started{kill}"
        process = start(folder, tmp_path / "killed", started)
        # Half of the kills come at any moment of a life, the others after some progress.
        if kill % 2:
            wait_for(started.exists)
        else:
            wait_for_step(folder, last)
        time.sleep(chance.uniform(0.0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "ended before it was killed"
        progressed += last_step(folder) > last
        last = last_step(folder)
    assert progressed >= 10
    end = start(folder, tmp_path / "resumed", None)
    end.join()
    assert end.exitcode == 0
    a, u, history = torch.load(tmp_path / "whole")
    again_a, again_u, again = torch.load(tmp_path / "resumed")
    assert torch.equal(a, again_a)
    assert torch.equal(u, again_u)
    assert all(torch.equal(values, again[name]) for name, values in history.items())
