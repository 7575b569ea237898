"""Which backend computes a step, and what is refused."""

import dataclasses
import sys

import numba
import pytest
import torch
from support.problems import small_problem
from support.seeds import seeded

from gibbs import ACTIVATIONS, Activation, Particles, run_langevin, sample_normal
from gibbs.dynamics import backends
from gibbs.dynamics.backends import make_backend
from gibbs.dynamics.fused.engine import FusedEngine
from gibbs.dynamics.noise import TiledNoise


@pytest.fixture(autouse=True)
def backend():
    """In place of that of the folder: these tests say what they are about."""


def test_auto_is_fused_where_it_can_be(monkeypatch):
    problem = small_problem()
    start = sample_normal(problem, 10, generator=seeded())

    def used(problem=problem, start=start, **settings):
        return run_langevin(problem, start, n_steps=1, generator=seeded(), **settings).backend

    assert used() == used(backend="fused") == "fused"
    assert used(backend="torch") == "torch"
    plain = ACTIVATIONS["tanh"]
    own = dataclasses.replace(plain, name="mine")
    assert isinstance(own, Activation)
    assert used(dataclasses.replace(problem, activation=own)) == "torch"
    message = "got 'fused': it has no activation 'mine' of one's own"
    with pytest.raises(ValueError, match=message):
        used(dataclasses.replace(problem, activation=own), backend="fused")
    monkeypatch.setitem(sys.modules, "gibbs.dynamics.fused.engine", None)
    assert used() == "torch"
    with pytest.raises(ValueError, match=r'it needs numba, pip install "gibbsnet\[fast\]"'):
        used(backend="fused")
    with pytest.raises(ValueError, match="backend must be one of auto, torch, fused, got 'jax'"):
        used(backend="jax")


def test_a_snapshot_of_another_backend_is_refused(monkeypatch):
    problem = small_problem()
    start = sample_normal(problem, 10, generator=seeded())
    kept = []
    run_langevin(
        problem, start, n_steps=4, every=2, generator=seeded(), backend="torch",
        on_record=lambda _, take: kept.append(take()),
    )  # fmt: skip
    with pytest.raises(ValueError, match="backend must be 'torch' to continue this run, got 'fus"):
        run_langevin(problem, start, n_steps=4, every=2, generator=seeded(), resume=kept[0])


def test_engines_have_one_interface():
    problem = small_problem()
    start = sample_normal(problem, 10, generator=seeded())
    for name in ("torch", "fused"):
        made = make_backend(name, problem, start, seeded())
        names = [k for k in vars(backends.Engine) if not k.startswith("_")]
        assert all(hasattr(made.engine(problem, 3), k) for k in names)
    assert isinstance(make_backend("torch", problem, start, seeded()).noise, TiledNoise)
    assert isinstance(made.engine(problem, 3), FusedEngine)
    assert isinstance(start, Particles)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda p, patch: patch.setattr(numba.config, "DISABLE_JIT", 1), "NUMBA_DISABLE_JIT"),
        (lambda p, patch: p.x.mul_(1e30 / p.x.abs().max()), "beyond the root of the largest"),
    ],
)
def test_where_it_cannot_be_used_auto_takes_torch(change, why, monkeypatch):
    problem = small_problem(dtype=torch.float32)
    change(problem, monkeypatch)
    start = sample_normal(problem, 5, generator=seeded())
    result = run_langevin(problem, start, n_steps=1, step_size=0.1, generator=seeded())
    assert result.backend == "torch"
    with pytest.raises(ValueError, match=f"backend must be 'torch' or 'auto' here.*{why}"):
        run_langevin(problem, start, n_steps=1, backend="fused", generator=seeded())


@pytest.mark.parametrize("name", ["particles", "problem"])
def test_tensors_with_a_gradient_are_refused(name):
    problem = small_problem()
    start = sample_normal(problem, 5, generator=seeded())
    (start.a if name == "particles" else problem.w).requires_grad_(True)
    with pytest.raises(ValueError, match=f"{name} must hold tensors without a gradient"):
        run_langevin(problem, start, n_steps=1, generator=seeded())
