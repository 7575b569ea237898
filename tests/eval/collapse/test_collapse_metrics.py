import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.seeds import numpy_generator

from eval import COLLAPSE_DEFINITIONS, CollapseAccumulator, CollapseStatus, collapse_metrics, nc1
from eval.collapse.batch import Batch
from eval.collapse.moments import mean_moments

# n, p, K
SHAPES = [
    *((30, 2, 3), (40, 1, 2), (200, 16, 10), (60, 50, 2)),
    *((50, 60, 5), (500, 9, 10), (300, 3, 12), (400, 128, 4)),
]
NC2 = ["equinorm", "equiangular", "cosine_gap", "simplex", "orthogonal"]


def sample(n, p, k, dtype=float, seed=0):
    """Imbalanced classes, features off the origin, a linear layer near the class means."""
    rng = numpy_generator(seed)
    labels = rng.permutation(np.concatenate([np.repeat(np.arange(k), 2), rng.integers(k, size=n)]))
    labels = np.where(labels == 1, rng.choice([0, 1], len(labels), p=[0.7, 0.3]), labels)
    labels[:2] = 1
    means = 3 * rng.normal(size=(k, p))
    features = rng.normal(size=(len(labels), p)) + means[labels] + 2
    w = means.T + rng.normal(size=(p, k))
    return features.astype(dtype), labels, w


def transcription(features, labels, w):
    """Every definition, sample by sample and class by class, in float64."""
    h = np.asarray(features, float)
    n = len(h)
    classes = np.unique(labels)
    k = len(classes)
    means = np.array([h[labels == c].mean(0) for c in classes])
    weighted, unweighted = h.mean(0), means.mean(0)
    share = [(labels == c).mean() for c in classes]
    spread = [h[labels == c] - m for c, m in zip(classes, means, strict=True)]
    s_w = sum(x.T @ x for x in spread) / n
    s_b = sum(f * np.outer(m, m) for f, m in zip(share, means - weighted, strict=True))
    v = [(x**2).sum(1).mean() for x in spread]
    pairs = list(itertools.combinations(range(k), 2))
    gaps = [((means[a] - means[b]) ** 2).sum() for a, b in pairs]
    values = {
        "nc1": np.trace(s_w) / np.trace(s_w + s_b),
        "papyan": np.trace(s_w @ np.linalg.pinv(s_b, rcond=1e-13, hermitian=True)) / k,
        "trace_ratio": np.trace(s_w) / np.trace(s_b),
        "cdnv": np.mean([(v[a] + v[b]) / (2 * d) for (a, b), d in zip(pairs, gaps, strict=True)]),
    }
    centred = means - unweighted
    for ending, vectors, raw in (("", centred, means), ("_w", w.T, w.T)):
        norms = np.array([math.sqrt(v @ v) for v in vectors])
        cosines = np.array([vectors[a] @ vectors[b] / norms[a] / norms[b] for a, b in pairs])
        values["nc2_equinorm" + ending] = np.std(norms) / np.mean(norms)
        values["nc2_equiangular" + ending] = np.std(cosines)
        values["nc2_cosine_gap" + ending] = np.mean(np.abs(cosines + 1 / (k - 1)))
        gram, raw_gram = vectors @ vectors.T, raw @ raw.T
        simplex = (np.eye(k) - np.ones((k, k)) / k) / np.sqrt(k - 1)
        frame = np.eye(k) / np.sqrt(k)
        values["nc2_simplex" + ending] = np.linalg.norm(gram / np.linalg.norm(gram) - simplex)
        values["nc2_orthogonal" + ending] = np.linalg.norm(
            raw_gram / np.linalg.norm(raw_gram) - frame
        )
    values["nc3"] = np.linalg.norm(w / np.linalg.norm(w) - centred.T / np.linalg.norm(centred))
    nearest = ((h[:, None] - means[None]) ** 2).sum(2).argmin(1)
    values["nc4"] = np.mean((h @ w).argmax(1) == nearest)
    return values


def impossible(p, k):
    names = ["nc2_orthogonal", "nc2_orthogonal_w"] if k > p else []
    if k - 1 > p:
        names += [f"nc2_{name}{e}" for name in ("cosine_gap", "simplex") for e in ("", "_w")]
    return set(names)


def check(metrics, expected, rel, undefined=(), absolute=4e-15):
    for name, value in metrics.as_dict().items():
        if name in undefined:
            assert value.status is not CollapseStatus.OK, name
            assert math.isnan(value.value), name
            assert value.reason, name
        else:
            assert (value.status, value.reason) == (CollapseStatus.OK, ""), name
            # What is 0 by cancellation is exact to round-off of 1.
            assert value.value == pytest.approx(expected[name], rel=rel, abs=absolute), name


def batches(features, labels, size):
    for start in range(0, len(labels), size):
        yield features[start : start + size], labels[start : start + size]


def two_passes(features, labels, w, size):
    first = CollapseAccumulator(scatter=False)
    for batch in batches(features, labels, size):
        first.update(*batch)
    second = first.second_pass(w)
    for batch in batches(features, labels, size):
        second.update(*batch)
    return second.compute()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_metric_is_its_formula_in_memory_and_streamed(shape, dtype):
    features, labels, w = sample(*shape, dtype)
    rel = 1e-12 if dtype == np.float64 else 1e-6
    expected, undefined = transcription(features, labels, w), impossible(*shape[1:])
    check(collapse_metrics(features, labels, w), expected, rel, undefined)
    check(
        collapse_metrics(torch.tensor(features), torch.tensor(labels), torch.tensor(w)),
        expected,
        rel,
        undefined,
    )
    for size in (1, 7, 1000):
        accumulator = CollapseAccumulator()
        for batch in batches(features, labels, size):
            accumulator.update(*batch)
        check(accumulator.compute(w), expected, rel, {*undefined, "nc4"})
        assert accumulator.compute(w).nc4.status is CollapseStatus.SECOND_PASS
        check(two_passes(features, labels, w, size), expected, rel, undefined)


@pytest.mark.parametrize("shape", SHAPES)
def test_merged_from_three_parts_in_any_order(shape):
    features, labels, w = sample(*shape)
    expected, undefined = transcription(features, labels, w), impossible(*shape[1:])
    n = len(labels)
    cuts = [slice(0, n // 5), slice(n // 5, n // 5 + 1), slice(n // 5 + 1, n)]
    for order in itertools.permutations(cuts):
        whole, seconds = CollapseAccumulator(), []
        for part in order:
            accumulator = CollapseAccumulator()
            accumulator.update(features[part], labels[part])
            whole.merge(accumulator)
        check(whole.compute(w), expected, 1e-12, {*undefined, "nc4"})
        for part in order:
            seconds.append(whole.second_pass(w))
            seconds[-1].update(features[part], labels[part])
        seconds[0].merge(seconds[1])
        seconds[0].merge(seconds[2])
        check(seconds[0].compute(), expected, 1e-12, undefined)


def test_exact_relation_and_range():
    for seed, shape in enumerate(SHAPES):
        metrics = collapse_metrics(*sample(*shape, seed=seed)[:2])
        r = metrics.trace_ratio.value
        assert metrics.nc1.value == pytest.approx(r / (1 + r), rel=1e-14)
        assert 0 <= metrics.nc1.value <= 1


def test_nearly_equal_means_in_float32_give_the_float64_value():
    rng = numpy_generator()
    labels = np.repeat([0, 1], [700, 300])
    direction = rng.normal(size=512)
    means = np.outer([0, 1e-4], direction / np.linalg.norm(direction))
    features = (1 + means[labels] + 1e-3 * rng.normal(size=(1000, 512))).astype(np.float32)
    w = rng.normal(size=(512, 2))
    expected = transcription(features, labels, w)
    assert expected["papyan"] > 0.1
    check(collapse_metrics(features, labels, w), expected, 1e-9, absolute=1e-12)
    check(two_passes(features, labels, w, 7), expected, 1e-9, absolute=1e-12)


def test_two_nearly_merged_classes_among_others():
    """A relative cut of the spectrum of S_B at 1e-6 or so loses their direction."""
    rng = numpy_generator()
    labels = np.arange(3000) % 3
    means = np.zeros((3, 64))
    means[0, 0], means[2, 1] = 1, 1e-5
    features = (means[labels] + 1e-5 * rng.normal(size=(3000, 64))).astype(np.float32)
    metrics = collapse_metrics(features, labels)
    assert metrics.papyan.value == pytest.approx(
        transcription(features, labels, np.ones((64, 3)))["papyan"], rel=1e-6
    )
    assert 0.1 < metrics.papyan.value < 10


def simplex(k, p, n_k, rng):
    rotation = np.linalg.qr(rng.normal(size=(p, p)))[0]
    corners = np.pad(np.eye(k) - 1 / k, ((0, 0), (0, p - k))) @ rotation
    return corners, np.repeat(np.arange(k), n_k)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 8), extra=st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_a_collapsed_simplex_is_ideal(seed, k, extra):
    rng = numpy_generator(seed)
    corners, labels = simplex(k, k + extra, rng.integers(2, 9, size=k), rng)
    features = 10 ** rng.uniform(-3, 3) * corners[labels]
    metrics = collapse_metrics(features, labels, rng.uniform(0.1, 9) * corners.T)
    for name, value in metrics.as_dict().items():
        if not name.startswith("nc2_orthogonal"):
            assert value.value == pytest.approx(COLLAPSE_DEFINITIONS[name].ideal, abs=1e-12), name


def test_an_orthogonal_frame_is_ideal():
    labels = np.repeat(np.arange(4), 3)
    metrics = collapse_metrics(5 * np.eye(6)[labels], labels, np.eye(6)[:, :4])
    assert metrics.nc2_orthogonal.value == pytest.approx(0, abs=1e-15)
    assert metrics.nc2_orthogonal_w.value == pytest.approx(0, abs=1e-15)
    assert metrics.nc2_simplex.value == pytest.approx(0, abs=1e-15)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(2, 8), extra=st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_collapse_onto_an_orthonormal_layer_has_its_own_ideal(seed, k, extra):
    rng = numpy_generator(seed)
    w = np.linalg.qr(rng.normal(size=(k + extra, k)))[0]
    labels = np.repeat(np.arange(k), 3)
    metrics = collapse_metrics(2.5 * w.T[labels], labels, 0.7 * w).as_dict()
    for name, definition in COLLAPSE_DEFINITIONS.items():
        of_k = definition.orthonormal_ideal
        ideal = definition.ideal if of_k is None else of_k(k)
        assert metrics[name].value == pytest.approx(ideal, abs=1e-7), name


@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from(SHAPES))
@settings(max_examples=40, deadline=None)
def test_rotation_scale_relabelling_and_order_change_nothing(seed, shape):
    rng = numpy_generator(seed)
    features, labels, w = sample(*shape, seed=seed)
    plain = collapse_metrics(features, labels, w)
    expected = {name: value.value for name, value in plain.as_dict().items()}
    p, k = w.shape
    undefined = impossible(p, k)
    rotation = np.linalg.qr(rng.normal(size=(p, p)))[0]
    rows, names = rng.permutation(len(labels)), rng.permutation(k)
    for changed in (
        (features @ rotation, labels, rotation.T @ w),
        (2.0 ** rng.integers(-40, 40) * features, labels, 3 * w),
        (features, names[labels], w[:, np.argsort(names)]),
        (features[rows], labels[rows], w),
    ):
        check(collapse_metrics(*changed), expected, 1e-9, undefined)


def statuses(metrics):
    return {name: value.status.value for name, value in metrics.as_dict().items()}


MEANS = ["papyan", "cdnv", *(f"nc2_{name}" for name in NC2), "nc3", "nc4"]


def test_constant_features_and_one_class():
    w = np.eye(4)[:, :2]
    metrics = collapse_metrics(np.full((1000, 4), 0.1), np.arange(1000) % 2, w)
    found = statuses(metrics)
    assert {found[name] for name in [*MEANS, "nc1", "trace_ratio"]} == {"constant_features"}
    assert found["nc2_simplex_w"] == "ok"
    found = statuses(collapse_metrics(numpy_generator().normal(size=(9, 4)), np.ones(9)))
    assert found["nc1"] == "ok"
    assert {found[name] for name in [*MEANS[:-2], "trace_ratio"]} == {"one_class"}
    assert {v for name, v in found.items() if name.endswith("_w")} == {"no_layer"}
    assert found["nc3"] == found["nc4"] == "no_layer"


def test_equal_means():
    features, labels = np.array([[1.0], [-1.0]] * 6), np.repeat([0, 1, 2], 4)
    metrics = collapse_metrics(features, labels, [[1.0, 2.0, 3.0]])
    found = statuses(metrics)
    assert {found[name] for name in [*MEANS, "trace_ratio"]} == {"equal_means"}
    assert metrics.nc1.value == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("step", [0, 1])
def test_merged_classes_never_report_collapse(dtype, step):
    """Two classes at one point, or at neighbouring floats, no variation: all "ratios" are 0."""
    rng = numpy_generator()
    means = (3 + rng.normal(size=(4, 64))).astype(dtype)
    means[1] = np.nextafter(means[0], dtype(9)) if step else means[0]
    labels = rng.permutation(np.repeat(np.arange(4), [500, 700, 900, 1100]))
    features = means[labels]
    metrics = collapse_metrics(features, labels, rng.normal(size=(64, 4)))
    found = statuses(metrics)
    assert {found[name] for name in MEANS} == {"merged_classes"}
    assert found["nc1"] == found["trace_ratio"] == "merged_and_collapsed"
    assert "classes 0 and 1" in metrics.cdnv.reason
    with pytest.raises(ValueError, match="means of classes 0 and 1 are equal"):
        nc1(features, labels)
    streamed = two_passes(features, labels, rng.normal(size=(64, 4)), 7)
    assert statuses(streamed) == found
    pair = labels < 2
    assert collapse_metrics(features[pair], labels[pair]).nc1.status == "constant_features"


def test_merged_classes_that_vary_have_an_nc1():
    labels = np.repeat([0, 1, 2], 4)
    features = np.array([0.0, 0, 5])[labels][:, None] + np.tile([[1.0], [-1.0]], (6, 1))
    metrics = collapse_metrics(features, labels)
    assert metrics.nc1.value == pytest.approx(1 / (1 + 50 / 9))
    assert metrics.papyan.status == "merged_classes"


def test_absent_class():
    features, labels, w = sample(50, 8, 3)
    for declared in (4, [0, 1, 2, 3]):
        metrics = collapse_metrics(features, labels, classes=declared)
        found = statuses(metrics)
        assert {found[name] for name in MEANS[:-2]} == {"absent_class"}
        assert found["nc1"] == found["trace_ratio"] == "ok"
        assert "got none of 3" in metrics.papyan.reason
    layer = numpy_generator().normal(size=(8, 4))
    found = statuses(collapse_metrics(features, labels, layer))
    assert found["nc4"] == found["nc3"] == "absent_class"
    assert found["nc2_simplex_w"] == "ok"
    accumulator = CollapseAccumulator(4)
    accumulator.update(features, labels)
    assert statuses(accumulator.compute())["cdnv"] == "absent_class"
    for call in (
        lambda: collapse_metrics(features, labels, classes=2),
        lambda: CollapseAccumulator(2).update(features, labels),
    ):
        with pytest.raises(ValueError, match="labels must be among the declared classes, got 2"):
            call()
    names = np.array(["a", "b", "c"], object)[labels]
    with pytest.raises(ValueError, match="one column per class, 3, got 4"):
        collapse_metrics(features, names, layer)
    assert collapse_metrics(features, names, w) == collapse_metrics(features, labels, w)


def test_single_samples():
    features, labels, w = sample(50, 8, 3)
    labels[labels == 2] = 1
    labels[7] = 2
    metrics = collapse_metrics(features, labels, w)
    assert metrics.cdnv.status == "single_sample"
    assert "got 1 of 2" in metrics.cdnv.reason
    assert metrics.nc1.status == metrics.papyan.status == "ok"
    found = statuses(collapse_metrics(features[:3], [0, 1, 2], w))
    assert {found[n] for n in ("nc1", "papyan", "trace_ratio")} == {"single_samples_only"}
    with pytest.raises(ValueError, match="no class has 2 samples"):
        nc1(features[:3], [0, 1, 2])


def test_too_many_classes_for_the_features():
    """K - 1 = p: a simplex fits, an orthogonal frame does not; K - 1 > p: neither does."""
    corners = np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    labels = np.repeat([0, 1, 2], 3)
    metrics = collapse_metrics(corners[labels], labels, corners.T)
    assert metrics.nc2_simplex.value == pytest.approx(0, abs=1e-15)
    assert metrics.nc2_orthogonal.status == "no_orthogonal_frame"
    features, labels, w = sample(100, 2, 4)
    metrics = collapse_metrics(features, labels, w)
    for name in ("nc2_simplex", "nc2_cosine_gap", "nc2_simplex_w", "nc2_cosine_gap_w"):
        assert getattr(metrics, name).status == "no_simplex"
    assert metrics.nc2_simplex.reason == "no simplex of 4 classes fits into 2 features: K - 1 > p"


def test_layers_and_means_without_a_direction():
    labels = np.repeat([0, 1, 2], 4)
    features = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]])[labels] + [0, 1, 0]
    features = features + 0.1 * np.tile([[0.0, 0, 1], [0, 0, -1]], (6, 1))
    w = np.zeros((3, 3))
    assert collapse_metrics(features, labels, w).nc3.status == "zero_layer"
    w[0, 0] = 1
    metrics = collapse_metrics(features, labels, w)
    assert metrics.nc2_equiangular.status == "mean_at_centre"
    assert "class 1" in metrics.nc2_equiangular.reason
    assert metrics.nc2_equiangular_w.status == "zero_column"
    assert metrics.nc2_simplex.status == metrics.nc2_equinorm_w.status == "ok"
    # Collinear class means: one direction, the variability across it does not count.
    assert metrics.papyan.value == pytest.approx(0, abs=1e-15)


def test_bias_decides_nc4():
    features = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    labels, w = [0, 0, 1, 1], [[-1.0, 1.0]]
    assert collapse_metrics(features, labels, w).nc4.value == 1
    assert collapse_metrics(features, labels, w, bias=[0, 3]).nc4.value == 0.75
    with pytest.raises(ValueError, match=r"bias must have one entry per column of w, \(2,\)"):
        collapse_metrics(features, labels, w, bias=[0.0])


@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e160])
def test_no_scale_and_mixed_scales(scale):
    features, labels, w = sample(100, 5, 3)
    expected = transcription(features, labels, w)
    check(collapse_metrics(scale * features, labels, w), expected, 1e-11)
    accumulator = CollapseAccumulator()
    accumulator.update(scale * features, labels)
    check(accumulator.compute(w), expected, 1e-11, {"nc4"})
    mixed = np.concatenate([1e-200 * features, scale * features])
    both = np.concatenate([labels, labels])
    parts = [CollapseAccumulator(), CollapseAccumulator()]
    parts[0].update(1e-200 * features, labels)
    parts[1].update(scale * features, labels)
    for first, second in ((0, 1), (1, 0)):
        whole = CollapseAccumulator()
        whole.merge(parts[first])
        whole.merge(parts[second])
        assert whole.compute().nc1.value == pytest.approx(nc1(mixed, both), rel=1e-11)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "int", "list", "strided"])
def test_whatever_comes_in_is_cast_up(kind):
    features, labels, w = sample(80, 6, 4)
    given = {
        "bfloat16": torch.tensor(features).bfloat16(),
        "float16": features.astype(np.float16),
        "int": np.round(9 * features).astype(np.int16),
        "list": features.tolist(),
        "strided": np.asfortranarray(np.repeat(features, 2, axis=1))[:, ::2],
    }[kind]
    cast = given.double().numpy() if kind == "bfloat16" else np.asarray(given, float)
    check(collapse_metrics(given, labels, w), transcription(cast, labels, w), 1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_that_are_not_finite(value, dtype):
    features, labels, _ = sample(80, 6, 4, dtype)
    accumulator = CollapseAccumulator()
    accumulator.update(features, labels)
    before = accumulator.compute()
    second = accumulator.second_pass()
    for row in (0, 50):
        bad = features.copy()
        bad[row, 3] = value
        for call in (nc1, collapse_metrics, accumulator.update, second.update):
            with pytest.raises(ValueError, match="features must be finite"):
                call(bad, labels)
    assert accumulator.compute() == before


def test_state_is_saved_and_restored(tmp_path):
    features, labels, w = sample(90, 6, 4)
    names = np.array(["ant", "bee", "cat", "dog"], object)[labels]
    straight, resumed = CollapseAccumulator(), CollapseAccumulator(7, scatter=False)
    straight.update(features[:40], names[:40])
    np.savez(tmp_path / "state.npz", **straight.state_dict())
    with np.load(tmp_path / "state.npz") as state:
        resumed.load_state_dict(state)
    straight.update(features[40:], names[40:])
    resumed.update(features[40:], names[40:])
    assert straight.compute(w).papyan == resumed.compute(w).papyan
    assert straight.compute(w).nc3 == resumed.compute(w).nc3
    empty = CollapseAccumulator()
    empty.load_state_dict(CollapseAccumulator(3).state_dict())
    empty.merge(CollapseAccumulator())
    with pytest.raises(ValueError, match="at least one batch must be added first"):
        empty.compute()


def test_a_reused_buffer_and_a_merge_with_itself():
    features, labels, w = sample(90, 6, 4)
    accumulator, buffer = CollapseAccumulator(), np.empty((1, 6))
    for row, label in zip(features, labels, strict=True):
        buffer[:] = row
        accumulator.update(buffer, [label])
    expected = transcription(features, labels, w)
    check(accumulator.compute(w), expected, 1e-12, {"nc4"})
    accumulator.merge(accumulator)
    check(accumulator.compute(w), expected, 1e-12, {"nc4"})


def test_misuse_is_named():
    features, labels, w = sample(40, 6, 3)
    accumulator = CollapseAccumulator()
    accumulator.update(features, labels)
    with pytest.raises(ValueError, match="6 columns like those before, got 5"):
        accumulator.update(features[:, :5], labels)
    with pytest.raises(ValueError, match="labels must be of one type"):
        accumulator.update(features, labels.astype(str))
    with pytest.raises(ValueError, match=r"one row per column of features, \(6, q\), got"):
        accumulator.compute(w[:5])
    light = CollapseAccumulator(scatter=False)
    light.update(features, labels)
    with pytest.raises(ValueError, match="must keep its scatter"):
        accumulator.merge(light)
    second = light.second_pass(w)
    second.update(features[:30], labels[:30])
    with pytest.raises(ValueError, match="the samples of the first one"):
        second.compute()
    second.update(features[30:] + 1, labels[30:])
    with pytest.raises(ValueError, match="the features of the first one"):
        second.compute()
    with pytest.raises(ValueError, match="among those of the first pass, got 3"):
        second.update(features, labels + 1)
    with pytest.raises(ValueError, match="labels contains NaN in row"):
        nc1(features, np.full(len(labels), np.nan))
    with pytest.raises(ValueError, match="classes must name at least 1 class"):
        CollapseAccumulator(0)


def test_without_scatter_one_pass_says_what_is_missing():
    features, labels, w = sample(40, 6, 3)
    accumulator = CollapseAccumulator(scatter=False)
    accumulator.update(features, labels)
    metrics = accumulator.compute(w)
    assert metrics.papyan.status is CollapseStatus.SECOND_PASS
    assert "second_pass" in metrics.papyan.reason
    check(metrics, transcription(features, labels, w), 1e-12, {"papyan", "nc4"})


def test_class_means_to_the_bit_where_features_are_constant_in_a_class():
    """The means that round-off is judged by: 60,000 equal rows have that row as mean."""
    features = np.full((60_000, 3), 1 / 3)
    features[::2] += 0.1
    labels = np.arange(60_000) % 4
    moments = mean_moments(Batch.of(features, labels))
    assert np.abs(moments.means[0] - moments.means[2]).max() < 1e-13
    assert collapse_metrics(features, labels).cdnv.status == "merged_classes"
