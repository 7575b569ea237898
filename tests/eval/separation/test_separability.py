"""Tolerances: margins to 1e-8 relative against another solver (2e-12 seen); statuses exactly."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize
from support.seeds import numpy_generator, shifted

from eval import (
    SeparabilityStatus,
    SeparableDistribution,
    exact_certificate,
    largest_margin,
    separability,
    verify_farkas,
)
from eval.separation.farkas import solve_exactly

SEPARABLE, NOT_SEPARABLE, UNDECIDED = SeparabilityStatus


def random_problem(seed):
    """Small samples of any scale: random labels, linear ones of q classes, or half-spaces."""
    rng = numpy_generator(seed)
    n, d, q = rng.integers(4, 40), rng.integers(1, 7), rng.integers(2, 4)
    x = rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-3, 3)
    w = rng.normal(size=(q, d))
    kinds = [rng.integers(0, q, size=n), (x @ w.T).argmax(axis=1), (x @ w[0] > 0).astype(int)]
    y = kinds[seed % 3]
    y[:2] = [0, 1] if len(set(y.tolist())) < 2 else y[:2]
    return x, y


def reference_margin(x, signs, intercept):
    """A linear program says whether, SLSQP on min |u|^2/2, s_i (u.x_i + b) >= 1 how far."""
    radius = np.linalg.norm(x, axis=1).max()
    rows = np.column_stack([x / radius, np.ones(len(x))][: 1 + intercept]) * signs[:, None]
    n, d = rows.shape
    program = linprog(
        -np.eye(d + 1)[-1],
        np.column_stack([-rows, np.ones(n)]),
        np.zeros(n),
        bounds=[(-1, 1)] * d + [(None, 1)],
    )
    if -program.fun < 1e-9:
        return 0.0
    kept = np.ones(d)
    kept[x.shape[1] :] = 0
    found = minimize(
        lambda u: 0.5 * u @ (kept * u),
        program.x[:-1] / -program.fun,
        jac=lambda u: kept * u,
        constraints={"type": "ineq", "fun": lambda u: rows @ u - 1, "jac": lambda u: rows},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    return radius / np.linalg.norm(kept * found.x)


@pytest.mark.parametrize("intercept", [False, True])
def test_margins_and_statuses_against_other_solvers(intercept):
    statuses = []
    for seed in range(200):
        x, y = random_problem(seed)
        found = separability(x, y, intercept=intercept)
        for each in found.by_class:
            signs = np.where(y == each.label, 1.0, -1.0)
            expected = reference_margin(x, signs, intercept)
            assert each.status is (SEPARABLE if expected > 0 else NOT_SEPARABLE), seed
            assert each.margin == pytest.approx(expected, rel=1e-8), seed
            check_optimality(x, signs, each, intercept)
            statuses.append(each.status)
        assert found.separable == all(each.status is SEPARABLE for each in found.by_class)
    assert min(statuses.count(SEPARABLE), statuses.count(NOT_SEPARABLE)) > 100


def check_optimality(x, signs, each, intercept):
    """The conditions of Karush, Kuhn and Tucker, and the bracket."""
    size = np.linalg.norm(x, axis=1).max()
    alpha = np.zeros(len(x))
    alpha[each.support] = each.multipliers
    assert each.multipliers.min() > 0
    assert alpha.sum() == pytest.approx(1)
    if intercept:
        assert abs(alpha @ signs) < 1e-12
    assert 0 <= each.margin <= each.upper <= each.margin * (1 + 1e-7)
    np.testing.assert_allclose((alpha * signs) @ x, each.margin * each.direction, atol=1e-12 * size)
    if each.status is SEPARABLE:
        assert np.linalg.norm(each.direction) == pytest.approx(1, abs=1e-12)
        scores = signs * (x @ each.direction + each.offset)
        assert scores.min() == pytest.approx(each.margin, abs=1e-12 * size)
        np.testing.assert_allclose(scores[each.support], each.margin, atol=1e-10 * size)
    else:
        assert not each.direction.any()
        assert each.certificate.residual < 1e-14


@pytest.mark.parametrize("intercept", [False, True])
def test_certificates_hold_in_exact_arithmetic(intercept):
    found = 0
    for seed in range(0, 90, 3):
        x, y = random_problem(seed)
        for each in separability(x, y, intercept=intercept).by_class:
            if each.status is not NOT_SEPARABLE:
                continue
            found += 1
            alpha = dict(zip(each.support.tolist(), each.multipliers, strict=True))
            exact = exact_certificate(x, y, each.label, alpha, intercept=intercept)
            assert verify_farkas(x, y, each.label, exact, intercept=intercept)
            assert verify_farkas(x, y, each.label, alpha, intercept=intercept, tol=1e-14)
            assert sum(exact.values()) == 1
            for row, weight in exact.items():
                assert float(weight) == pytest.approx(alpha[row], rel=1e-6)
            row = next(iter(exact))
            exact[row] += Fraction(1, 10**30)
            assert not verify_farkas(x, y, each.label, exact, intercept=intercept)
    assert found >= 20


@pytest.mark.parametrize("seed", range(3))
def test_fractions_solve_a_system_to_the_last_digit(seed):
    matrix = numpy_generator(seed).integers(-9, 9, size=(6, 6)).astype(float)
    solution = solve_exactly(matrix)
    for row, target in zip(matrix.tolist(), [0, 0, 0, 0, 0, 1], strict=True):
        assert sum(Fraction(a) * w for a, w in zip(row, solution, strict=True)) == target
    assert solve_exactly(np.array([[1.0, 1.0], [1.0, 1.0]])) is None
    assert solve_exactly(np.array([[1.0, 1.0, -1.0], [1.0, 1.0, 0.0]])) == [1, 0, 1]


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("q", [2, 3, 4, 5, 9])
def test_largest_margin_is_attained_and_not_exceeded(q, intercept):
    limit = largest_margin(q, intercept=intercept)
    y = np.arange(q)
    if intercept:
        x = np.eye(q) - 1 / q
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x, y = SeparableDistribution(q, q, margin=limit).sample(q, shifted())
    found = separability(x, y, intercept=intercept)
    assert found.radius == pytest.approx(1)
    assert found.margin == pytest.approx(limit, rel=1e-9)
    rng = numpy_generator(q)
    for _ in range(20):
        moved = x + 0.3 * rng.normal(size=x.shape)
        other = separability(moved, y, intercept=intercept)
        assert other.margin / other.radius <= limit * (1 + 1e-12)


@pytest.mark.parametrize(
    ("x", "y", "without", "with_intercept"),
    [
        ([[1.0], [2.0], [3.0]], [0, 0, 1], 0.0, 0.5),
        ([[3.0, 4.0], [3.0, -4.0], [-3.0, 0.0]], [0, 0, 1], 3.0, 3.0),
        ([[0.0, 0.0], [1.0, 1.0]], [0, 1], 0.0, 0.5**0.5),
        ([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [0, 0, 1, 1], 0.0, 0.0),
        ([[1e8, 0.0], [1e8, 1.0], [1e8 + 1, 0.0], [1e8 + 1, 1.0]], [0, 0, 1, 1], 0.0, 0.5),
        ([[1e300, 0.0], [-1e300, 1e290]], [0, 1], 1e300, 1e300),
        ([[1e-300, 0.0], [-1e-300, 0.0]], [0, 1], 1e-300, 1e-300),
    ],
)
def test_margins_known_by_hand(x, y, without, with_intercept):
    for intercept, expected in ((False, without), (True, with_intercept)):
        found = separability(x, y, intercept=intercept)
        assert found.status is (SEPARABLE if expected else NOT_SEPARABLE)
        np.testing.assert_allclose(found.margins, expected, rtol=1e-9)


def test_close_cases_are_decided_where_float64_or_fractions_can():
    for small in (1e-15, 1e-150):
        x = [[1.0, 0.0], [1.0, small]]
        for intercept in (False, True):
            # Without one, u = (small/2, -1) up to its length; with one, half the distance.
            found = separability(x, [0, 1], intercept=intercept)
            assert found.separable
            np.testing.assert_allclose(found.margins, small / 2, rtol=1e-6)
    # A sample with both labels, among columns of scales 16 orders apart.
    rng = numpy_generator()
    x = rng.normal(size=(60, 2)) * [1e-14, 1e2]
    y = (x[:, 0] > 0).astype(int)
    for intercept in (False, True):
        assert separability(x, y, intercept=intercept).separable
        twice = np.vstack([x, x[0]]), np.append(y, 1 - y[0])
        assert separability(*twice, intercept=intercept).status is NOT_SEPARABLE


def test_undecided_where_round_off_of_the_inputs_decides():
    # On a line but for the last bits: 0.3 is not 3 times 0.1, nor 0.9 3 times 0.3.
    x = [[0.1, 0.3], [0.2, 0.6], [0.3, 0.9]]
    found = separability(x, [0, 1, 0], intercept=True)
    assert found.status is UNDECIDED
    assert not found.separable
    assert found.margin == 0
    assert 0 <= found.upper < 1e-15
    assert found.by_class[0].certificate is None
    # 0.1 x 2 = 0.2 in floats: without intercept there is a proof.
    assert separability(x[:2], [0, 1]).status is NOT_SEPARABLE


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_a_search_that_stops_early_brackets_the_margin(rounds):
    x, y = SeparableDistribution(20, 3, margin=0.1).sample(500, shifted())
    truth = separability(x, y)
    early = separability(x, y, max_rounds=rounds)
    for got, exact in zip(early.by_class, truth.by_class, strict=True):
        assert got.status is not NOT_SEPARABLE
        assert got.margin <= exact.margin * (1 + 1e-12)
        assert got.upper >= exact.upper * (1 - 1e-12)
    assert early.upper - early.margin > 1e-3


def test_scaling_rotation_and_order_of_the_samples():
    x, y = SeparableDistribution(6, 3, margin=0.2).sample(90, shifted())
    found = separability(x, y)
    order = numpy_generator().permutation(90)
    turn = np.linalg.qr(numpy_generator(1).normal(size=(6, 6)))[0]
    moved = separability(1000 * x[order] @ turn, y[order])
    np.testing.assert_allclose(moved.margins, 1000 * found.margins, rtol=1e-9)
    np.testing.assert_allclose(moved.directions, found.directions @ turn, atol=1e-8)
    assert moved.radius == pytest.approx(1000 * found.radius)
    for mine, other in zip(found.support, moved.support, strict=True):
        assert set(order[other]) == set(mine)
    # With an intercept the origin does not matter.
    translated, plain = (separability(z, y, intercept=True) for z in (x + 5, x))
    np.testing.assert_allclose(translated.margins, plain.margins, rtol=1e-9)
    np.testing.assert_allclose(
        translated.offsets, plain.offsets - 5 * plain.directions.sum(axis=1), atol=1e-7
    )


def test_two_classes_mirror_each_other():
    x, y = SeparableDistribution(5, 2, margin=0.1).sample(60, shifted())
    found = separability(x, y)
    np.testing.assert_allclose(found.directions[0], -found.directions[1], atol=1e-10)


def test_a_law_known_to_scikit_learn():
    from sklearn.datasets import load_breast_cancer, load_digits, load_iris

    iris = separability(*load_iris(return_X_y=True), intercept=True)
    assert [each.status for each in iris.by_class] == [SEPARABLE, NOT_SEPARABLE, NOT_SEPARABLE]
    assert separability(*load_breast_cancer(return_X_y=True), intercept=True).separable
    x, y = load_digits(return_X_y=True)
    digits = separability(x, y)
    # Columns that depend on others exactly: these certificates may need fractions.
    proofs = {each.label: each.certificate.proof for each in digits.by_class if each.certificate}
    assert set(proofs) == {1, 8, 9}
    assert "exact" in proofs.values()
    assert [each.n_samples for each in digits.by_class] == np.bincount(y).tolist()


def test_features_that_are_not_negative_and_mostly_zero():
    # A feature that only one class uses forbids its samples any weight: proofs are on the others.
    rng = numpy_generator()
    x = rng.integers(0, 9, size=(600, 130)) * (rng.uniform(size=(600, 130)) < 0.3)
    y = rng.integers(0, 2, size=600)
    x[:, :20] *= (rng.uniform(size=(600, 20)) < 0.02) & (y == 1)[:, None]
    for each in separability(x[:, :90], y).by_class:
        assert each.status is NOT_SEPARABLE
        assert not x[each.support, :20].any()
        assert len(each.support) > 60


def test_labels_of_any_type_and_tensors():
    x = [[1.0, 0.0], [-1.0, 0.5], [-1.0, -0.5]]
    for y in (
        ["b", "a", "a"],
        [True, False, False],
        [7, -1, -1],
        np.array(["b", "a", "a"], object),
    ):
        found = separability(x, y)
        assert found.separable
        assert found.classes.tolist() == sorted(set(y))
    tensors = separability(torch.tensor(x, dtype=torch.float32), torch.tensor([1, 0, 0]))
    assert tensors.margin == found.margin


def test_weights_that_prove_nothing():
    x, y = [[1.0], [2.0], [-1.0]], ["a", "b", "b"]
    assert verify_farkas(x, y, "a", [2, 1, 0])
    assert verify_farkas(x, y, "a", {0: Fraction(2, 3), 1: Fraction(1, 3)})
    assert not verify_farkas(x, y, "a", [2, 1, 0], intercept=True)
    assert verify_farkas(x, y, "a", [Fraction(3, 2), Fraction(1), Fraction(1, 2)], intercept=True)
    assert not verify_farkas(x, y, "a", [0, 0, 0])
    assert not verify_farkas(x, y, "a", [-2, -1, 0])
    assert not verify_farkas(x, y, "a", {0: 2, 1: 1 + 1e-9})
    assert verify_farkas(x, y, "a", {0: 2, 1: 1 + 1e-9}, tol=1e-8)
    with pytest.raises(ValueError, match="k must be one of the labels"):
        verify_farkas(x, y, "c", [2, 1, 0])
    with pytest.raises(ValueError, match=r"alpha must have shape \(3,\), got \(2,\)"):
        verify_farkas(x, y, "a", [2, 1])
    with pytest.raises(ValueError, match="alpha must hold finite numbers"):
        verify_farkas(x, y, "a", [2, 1, np.nan])
    with pytest.raises(ValueError, match="alpha names sample 5, and there are 3"):
        verify_farkas(x, y, "a", {5: 1})
    with pytest.raises(ValueError, match="alpha: no exact weights"):
        exact_certificate(x, y, "a", {0: 1})
    with pytest.raises(ValueError, match="not all >= 0"):
        exact_certificate([[1.0], [-3.0]], [0, 1], 0, {0: 1, 1: 1})


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([[1.0], [2.0]], [0, 0], {}, r"y must hold at least 2 classes, got \[0\]"),
        ([[1.0], [np.nan]], [0, 1], {}, "X must be finite, got NaN or inf"),
        ([1.0, 2.0], [0, 1], {}, r"X must be a matrix that is not empty, got shape \(2,\)"),
        (np.zeros((0, 2)), [], {}, "X must be a matrix that is not empty"),
        ([[1.0], [2.0]], [0, 1, 1], {}, r"y must have one entry per row of X, \(2,\), got shape"),
        ([[1.0], [2.0]], [0, np.nan], {}, "y contains NaN in row 1"),
        ([[1.0], [2.0]], np.array([0, "a"], object), {}, "y must hold labels of one type"),
        ([[1.0], [2.0]], [0, 1], {"tol": 0}, "tol must be > 0 and < 1, got 0"),
        ([[1.0], [2.0]], [0, 1], {"max_rounds": 0}, "max_rounds must be an integer >= 1, got 0"),
        ([[1e200], [1e-200]], [0, 1], {}, "X must have entries within 280 orders"),
    ],
)
def test_bad_arguments_are_named(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        separability(x, y, **options)
