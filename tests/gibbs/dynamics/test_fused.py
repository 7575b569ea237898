"""The compiled passes: their functions, their noise, and what their numbers do not depend on."""

import dataclasses
import hashlib
import math
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from scipy import special, stats
from support.defects import Defect, statistical
from support.problems import small_problem
from support.seeds import seeded

from gibbs import ACTIVATIONS, run_langevin, sample_normal
from gibbs.dynamics.backends import make_backend
from gibbs.dynamics.fused import engine as engine_module
from gibbs.dynamics.fused import passes
from gibbs.dynamics.fused.blocks import activate, times_slope
from gibbs.dynamics.fused.functions import ERF, SLOPES, VALUES
from gibbs.dynamics.fused.lanes import I32, Lanes, pointer, spread, store
from gibbs.dynamics.fused.meeting import begin, end
from gibbs.dynamics.fused.normals import WORDS, normals, philox
from gibbs.dynamics.fused.team import Team
from gibbs.dynamics.noise import Kick

ROOT = Path(__file__).parents[3]
NAMES = ["sigmoid", "tanh", "erf", "softplus", "relu"]


@pytest.fixture(autouse=True)
def backend():
    """In place of that of the folder: these tests say what they are about."""


@njit
def activated(number, z):
    values = np.empty_like(z)
    activate(number, values, 0, z, 0, len(z))
    return values


@njit
def slopes_of(number, s):
    slopes = np.ones_like(s)
    times_slope(number, slopes, 0, s, 0, len(s))
    return slopes


EXACT = {
    "sigmoid": special.expit,
    "tanh": np.tanh,
    "erf": special.erf,
    "softplus": lambda z: np.logaddexp(0, z),
    "relu": lambda z: np.maximum(z, 0),
}
SLOPE = {
    "sigmoid": lambda z: special.expit(z) * special.expit(-z),
    "tanh": lambda z: np.cosh(np.clip(z, -300, 300)) ** -2.0,
    "erf": lambda z: 2 / math.sqrt(math.pi) * np.exp(-np.square(np.clip(z, -25, 25))),
    "softplus": special.expit,
    "relu": lambda z: (z > 0) * 1.0,
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_activations_and_slopes_are_those_of_scipy(name, dtype):
    number = list(VALUES).index(name)
    sizes = np.concatenate([np.linspace(0, 12, 30_001), np.logspace(-30, 30, 400)])
    z = np.concatenate([sizes, -sizes, np.zeros(64)]).astype(dtype)
    z = z[: len(z) // 16 * 16]
    error = 3 * np.finfo(dtype).eps
    found, expected = activated(number, z), EXACT[name](z.astype(np.float64))
    scale = np.maximum(1, np.abs(expected))
    assert np.abs((found - expected) / scale).max() <= error
    if name in ("tanh", "erf"):  # odd near 0: the relative error stays small
        small = (np.abs(z) < 0.4) & (z != 0)
        assert np.abs(found[small] / expected[small] - 1).max() <= 2 * error
    given = z if number == ERF else found
    assert np.abs(slopes_of(number, given) - SLOPE[name](z.astype(np.float64))).max() <= 2 * error


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_number_stays_so(name, dtype):
    z = np.full(16, np.nan, dtype)
    assert np.isnan(activated(list(VALUES).index(name), z)).all()


def test_every_activation_has_its_passes():
    assert list(VALUES) == list(SLOPES) == list(ACTIVATIONS)


@intrinsic
def _words(_typing, out, c0, c1, c2, c3, k0, k1):
    def write(context, b, signature, arguments):
        out, *numbers = arguments
        words = [spread(b, b.trunc(number, I32), WORDS) for number in numbers]
        outs = pointer(context, b, signature.args[0], out, ir.IntType(64)(0))
        for k, word in enumerate(philox(words[:4], words[4:])):
            store(Lanes(b, word.value), b.gep(outs, [ir.IntType(64)(16 * k)]))
        return context.get_dummy_value()

    return types.void(out, *[types.uint64] * 6), write


@njit
def words_of(c0, c1, c2, c3, k0, k1):
    out = np.empty(64, np.uint32)
    _words(out, c0, c1, c2, c3, k0, k1)
    return out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("00000000 00000000 00000000 00000000 00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_words_are_the_published_answers_of_philox(given, words):
    # kat_vectors of the library Random123, by the authors of the generator.
    found = words_of(*(int(word, 16) for word in given.split())).reshape(4, 16)
    expected = np.array([int(word, 16) for word in words.split()], np.uint32)
    assert (found == expected[:, None]).all()


@njit
def many(dtype, seed, steps, panels, rows):
    out = np.empty(steps * panels * rows * 64, dtype)
    for s in range(steps):
        for p in range(panels):
            for r in range(rows):
                normals(out, ((s * panels + p) * rows + r) * 64, seed, s, p, r)
    return out.reshape(steps, panels, rows, 64)


NARROW = Defect(
    "normals are wider by 0.5 %",
    lambda monkeypatch: monkeypatch.setitem(
        globals(), "many", lambda *args, sound=many: 1.005 * sound(*args)
    ),
)
ERRORS = 5.0  # standard errors: 6e-7 each


@statistical(alarm=1e-4, defect=NARROW)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_normal_and_independent_in_every_direction(dtype):
    seed = int(torch.randint(2**62, (), generator=seeded()))
    x = many(dtype, seed, 40, 40, 10).astype(np.float64)
    n = x.size
    # Variances of the means of x, x^2 - 1, x^3 and x^4 - 3: 1, 2, 15 and 96, each over n.
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - mean) < ERRORS * math.sqrt(variance / n)
    # P(sqrt(n) D > 2.7) = 9e-7.
    assert stats.kstest(x.ravel(), "norm").statistic * math.sqrt(n) < 2.7
    for axis in range(4):
        for lag in (1, 2, 4, 8, 16, 32):
            if lag < x.shape[axis]:
                one, other = (
                    np.take(x, range(start, x.shape[axis] - lag + start), axis)
                    for start in (0, lag)
                )
                limit = ERRORS / math.sqrt(one.size)
                assert abs((one * other).mean()) < limit, (axis, lag)
                # The radius is what two normals of a pair share in Box and Muller's formula.
                assert abs(((one**2 - 1) * (other**2 - 1)).mean()) < 2 * limit, (axis, lag)
    assert len(np.unique(x)) > 0.99 * n


@statistical(alarm=1e-4, defect=NARROW)
def test_tails_are_those_of_normals():
    seed = int(torch.randint(2**62, (), generator=seeded()))
    x = np.abs(many(np.float32, seed, 100, 200, 10).astype(np.float64)).ravel()
    for bound in (3.0, 3.5, 4.0):
        expected = 2 * stats.norm.sf(bound) * len(x)
        assert abs((x > bound).sum() - expected) < ERRORS * math.sqrt(expected)
    # More than 4.9 standard errors away for the defect at 3.0: the tail grows by 4.7 %.
    assert x.max() < 6.7


def test_normals_differ_by_seed_step_panel_and_row():
    @njit
    def one(seed, step, panel, row):
        out = np.empty(64, np.float32)
        normals(out, 0, seed, step, panel, row)
        return out

    drawn = [one(*key) for key in [(1, 2, 3, 4), (2, 2, 3, 4), (1 + 2**40, 2, 3, 4),
                                   (1, 3, 3, 4), (1, 2, 4, 4), (1, 2, 3, 5)]]  # fmt: skip
    assert len(np.unique(np.concatenate(drawn))) == 6 * 64
    assert np.array_equal(drawn[0], one(1, 2, 3, 4))


CASES = {
    "full panels": {"n": 40, "d": 3, "p": 5, "q": 2, "neurons": 128},
    "one neuron too many": {"n": 7, "d": 6, "p": 6, "q": 3, "neurons": 65},
    "one of each": {"n": 1, "d": 1, "p": 1, "q": 1, "neurons": 1},
    "several blocks of samples": {"n": 131, "d": 9, "p": 12, "q": 5, "neurons": 200},
    "more panels than groups": {"n": 5, "d": 2, "p": 3, "q": 2, "neurons": 64 * 66 + 3},
    "truncated": {"n": 70, "d": 5, "p": 5, "q": 3, "neurons": 100, "truncation": 0.8},
}


def both(case, name="tanh", dtype=torch.float64, weighted=False):
    """The torch engine in float64 and the fused one in `dtype`, with the same numbers."""
    sizes = {key: value for key, value in case.items() if key != "neurons"}
    rough = small_problem(activation=name, dtype=dtype, **sizes)
    start = sample_normal(rough, case["neurons"], generator=seeded(5))
    weight = torch.rand(rough.n_samples, generator=seeded(6)).to(dtype) if weighted else None
    others = torch.randn(len(start), 3, generator=seeded(7)).to(dtype)
    engines = []
    for backend, kind in (("torch", torch.float64), ("fused", dtype)):
        arrays = {key: getattr(rough, key).to(kind) for key in ("x", "y", "w")}
        problem = dataclasses.replace(rough, **arrays)
        made = make_backend(backend, problem, start.to(kind), seeded(1))
        engine = made.engine(problem, problem.n_samples)
        engine.begin(Kick(0.0, 0.0))
        weights = None if weight is None else weight.to(kind)
        engine.forward(problem.x, problem.y, weight=weights, uncoupled=others.to(kind))
        engines.append(engine)
    return engines


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_step_is_that_of_torch(case, name, dtype, weighted):
    plain, fused = both(case, name, dtype, weighted)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12

    def same(found, expected):
        assert (found.double() - expected).norm() <= tolerance * expected.norm()

    for what in ("features", "uncoupled_features", "outputs"):
        same(getattr(fused, what), getattr(plain, what))
    assert fused.squared_gradient() == pytest.approx(plain.squared_gradient(), rel=2 * tolerance)
    direction = torch.randn(plain.problem.y.shape, generator=seeded(8)).to(dtype)
    x = plain.problem.x
    same(fused.tangent(x.to(dtype))(direction), plain.tangent(x)(direction.double()))
    same(fused.layer_gradient(0.1), plain.layer_gradient(0.1))
    # With eta lambda = 1 a step leaves nothing of the start, and shows the data part of grad V.
    assert 1 - 20 * plain.problem.decay == 0
    for engine in (plain, fused):
        engine.descend(20.0)
    moved, expected = fused.cloud.particles(), plain.cloud.particles()
    for part in ("a", "u"):
        same(getattr(moved, part), getattr(expected, part))
    assert not fused.cloud.panels[-1][:, fused.cloud.n_last :].any()


def bits(**settings):
    """The neurons after a few steps with everything that the passes do."""
    problem = small_problem(n=70, d=5, p=6, q=3, dtype=settings.pop("dtype", torch.float32))
    start = sample_normal(problem, 1000, generator=seeded(2))
    result = run_langevin(
        problem, start, n_steps=12, every=4, backend="fused", generator=seeded(3), **settings
    )
    return [result.particles.a, result.particles.u, result.w, *result.history.values()]


def same_bits(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


SETTINGS = [
    {},
    {"dtype": torch.float64},
    {"batch_size": 16, "scheme": "leimkuhler_matthews"},
    {"train_w": True},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_bits_do_not_depend_on_the_number_of_threads(settings):
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 2, 4):
            torch.set_num_threads(n_threads)
            found.append(bits(**dict(settings)))
    finally:
        torch.set_num_threads(before)
    assert same_bits(found[0], found[1])
    assert same_bits(found[0], found[2])


@pytest.mark.parametrize("settings", SETTINGS)
def test_bits_do_not_depend_on_what_is_kept(settings, monkeypatch):
    kept = bits(**dict(settings))
    monkeypatch.setattr(engine_module, "BUDGET", 0)
    assert same_bits(kept, bits(**dict(settings)))


PROGRAM = """
import sys

import torch
from support.problems import small_problem
from support.seeds import seeded

from gibbs import run_langevin, sample_normal

torch.set_num_threads(1)
problem = small_problem(n=70, d=5, p=6, q=3, dtype=torch.float32)
start = sample_normal(problem, 1000, generator=seeded(2))
settings = {"n_steps": 12, "every": 4, "backend": "fused", "generator": seeded(3)}
result = run_langevin(problem, start, **settings)
torch.save([result.particles.a, result.particles.u], sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="names a processor of x86"
)
def test_bits_do_not_depend_on_the_instruction_set(tmp_path):
    found = []
    for name in ("host", "haswell"):
        path = tmp_path / f"{name}.pt"
        changes = {"PYTHONPATH": "tests", "NUMBA_CPU_NAME": name, "NUMBA_CACHE_DIR": str(tmp_path)}
        environment = {**os.environ, **changes, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-P", "-c", PROGRAM, str(path)]
        subprocess.run(command, env=environment, check=True, cwd=ROOT)
        found.append(torch.load(path))
    assert same_bits(*found)


def test_compiled_code_is_kept_under_its_sources():
    sources = sorted((ROOT / "gibbs/dynamics/fused").glob("*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    kept = [getattr(passes, name) for name in passes.__all__]
    kept = [function for function in kept if hasattr(function, "py_func")]
    assert len(kept) == 10
    bits()  # compiled, or read
    for function in kept:
        assert digest[:16] in function.py_func.__qualname__
    folder = Path(passes.forward.stats.cache_path)
    assert any(digest[:16] in path.name for path in folder.glob("passes.forward*.nbi"))


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch):
    def nowhere(*, nogil, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(nogil=nogil)

    monkeypatch.setattr(passes, "njit", nowhere)
    assert passes._kept(lambda x: x + 1)(2) == 3


def test_threads_of_a_team_share_the_work_and_end_with_it():
    seen, before = set(), threading.active_count()

    def body(numbers, work, leads, total):
        begin(numbers, leads)
        seen.add(threading.get_ident())
        time.sleep(0.05)
        total.append(len(work))
        end(numbers, leads)

    team, total = Team(3, lambda: np.empty(7)), []
    for k in (1, 2, 3):
        team.run(body, total)
        assert (len(seen), total) == (3, 3 * k * [7])
        time.sleep(0.05 * k)  # long enough for them to fall asleep
    del team
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.02)
    assert threading.active_count() == before


def test_an_error_in_a_thread_is_raised():
    def body(numbers, work, leads):
        begin(numbers, leads)
        if not leads:
            raise MemoryError("of a thread")
        end(numbers, leads)

    with pytest.raises(MemoryError, match="of a thread"):
        Team(2, lambda: np.empty(7)).run(body)


def test_overlapping_runs_leave_torch_its_threads():
    before = torch.get_num_threads()
    problem = small_problem(n=50)
    start = sample_normal(problem, 200, generator=seeded())

    def run(n_steps):
        run_langevin(
            problem, start, n_steps=n_steps, backend="fused", every=1000, generator=seeded(1)
        )

    try:
        torch.set_num_threads(2)
        for long, short in ((300, 3), (3, 3)):
            thread = threading.Thread(target=run, args=(long,))
            thread.start()
            for _ in range(30):
                run(short)
            thread.join()
            run(3)
            assert torch.get_num_threads() == 2
            with ThreadPoolExecutor(1) as pool:  # a new thread has what was set last
                assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)
