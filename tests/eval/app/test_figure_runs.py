"""What the runs behind the figures compute, against known answers."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from support.seeds import seeded, shifted, unmoved
from support.theory_cases import START

from eval import SeparableDistribution, joint_stationary_point, nc1
from eval.app.figure import balance, descent, temperature, two_stage
from eval.app.figure.balance import BalanceSettings, imbalance
from eval.app.figure.descent import DescentSettings, descend, measure_curves, problem_of
from eval.app.figure.images import Samples
from eval.app.figure.recipe import changed
from eval.app.figure.recipes import RECIPES
from eval.app.figure.temperature import TemperatureSettings, power_laws
from eval.app.figure.two_stage import TwoStageSettings
from eval.app.study.jobs import Job, run_job
from gibbs import features, run_langevin, sample_normal, solve_gibbs


def quick(name, **changes):
    return dataclasses.replace(RECIPES[name].sized(RECIPES[name].quick), **changes)


def measured(name, settings, frame):
    return {m.quantity: m for m in RECIPES[name].measure(settings, frame)}


def samples():
    x, y = SeparableDistribution(5, 3, margin=0.2).sample(24, shifted())
    return Samples(x, y.astype(np.int64))


TINY = DescentSettings(
    neurons=30,
    hidden_features=4,
    layer="orthonormal",
    epochs=8,
    batch_size=24,
    step_sizes=(0.5, 2.0),
    decay=0.01,
)


def test_the_descent_is_plain_gradient_descent_in_two_step_sizes():
    """Autograd on the N-neuron loss, in batches of all samples: the rate is the step times N."""
    data = samples()
    result = descend(TINY, data, 3, {})
    generator = unmoved(3)
    problem = problem_of(TINY, data, generator)
    torch.testing.assert_close(problem.w.T @ problem.w, torch.eye(3))
    cloud = sample_normal(problem, 30, generator=generator)
    a, u = (t.double().requires_grad_() for t in (cloud.a, cloud.u))
    x, y, w = (t.double() for t in (problem.x, problem.y, problem.w))
    losses = []
    for step in range(9):
        z = (torch.tanh(x @ u.T) @ a / 30) @ w
        loss = (z - y).square().sum() / (2 * 24)
        losses.append(loss.item())
        ridge = 0.01 / 2 * (a.square().sum() + u.square().sum()) / 30
        pulled = torch.autograd.grad(loss + ridge, (a, u))
        rate = 30 * (0.5 if step < 4 else 2.0)
        a, u = (
            (t - rate * g).detach().requires_grad_() for t, g in zip((a, u), pulled, strict=True)
        )
    np.testing.assert_allclose(result.history["loss"], losses, rtol=1e-4)
    assert result.history["step"].tolist() == list(range(9))
    assert losses[-1] < losses[0] / 2


def test_setting_b_has_noise_and_setting_a_none():
    problem = problem_of(descent.SETTING_B, samples(), seeded())
    assert (problem.beta, problem.decay) == (1e4, 1e-4)
    assert math.isinf(problem_of(TINY, samples(), seeded()).beta)
    noisy = dataclasses.replace(TINY, temperature=1e-2)
    still = dataclasses.replace(TINY, temperature=0.0)
    ends = [descend(each, samples(), 0, {}).particles.a for each in (noisy, still, still)]
    assert not torch.equal(ends[0], ends[1])
    assert torch.equal(ends[1], ends[2])


def test_nb_nc1_and_error_of_a_record_are_those_of_its_cloud(tmp_path):
    data = samples()
    np.savez(tmp_path / "file.npz", X=data.x, y=data.y)
    settings = dataclasses.replace(TINY, source=str(tmp_path / "file.npz"), per_class=8)
    rows = RECIPES["fig1b"].jobs(dataclasses.replace(settings, seeds=1))["run-0"]()
    drawn = descent.draw_samples(settings, 0)
    result = descend(settings, drawn, 0, {})
    problem = problem_of(settings, drawn, unmoved())
    h = features(problem.x, result.particles, problem.sigma)
    a, w = result.particles.a.double().numpy(), problem.w.double().numpy()
    moment, target = a.T @ a / 30, w @ w.T
    c = (moment * target).sum() / (target**2).sum()
    last = rows[-1]
    assert last["nb"] == pytest.approx(
        np.linalg.norm(moment - c * target, 2) / np.linalg.norm(moment, 2)
    )
    assert last["nc1"] == pytest.approx(nc1(h, drawn.y), rel=1e-4)
    wrong = (h @ problem.w).argmax(1).numpy() != drawn.y
    assert last["train_error"] == pytest.approx(wrong.mean())
    assert [row["epoch"] for row in rows] == list(range(9))


def test_falls_are_taken_run_by_run():
    frame = pd.DataFrame(
        {
            "run": [0, 0, 1, 1],
            "loss": [1.0, 0.1, 2.0, 0.1],
            "nc1": [0.9, 0.3, 0.9, 0.1],
            "gradient_norm": [1.0, 1.0, 1.0, 1.0],
            "train_error": [0.5, 0.0, 0.5, 0.1],
            "nb": [0.9, 0.6, 0.9, 0.4],
        }
    )
    found = {m.quantity: m.value for m in measure_curves(TINY, frame)}
    assert found["loss falls by a factor; least and largest of the runs"] == pytest.approx(
        (15.0, 10.0, 20.0)
    )
    assert found["NC1 falls by a factor; least and largest of the runs"] == pytest.approx(
        (6.0, 3.0, 9.0)
    )
    assert found["training error at the end"].estimate == pytest.approx(0.05)
    ends = measured("fig2a", TINY, frame)
    assert ends["NB at the end, run 1"].value.estimate == 0.4
    assert ends["NB at the end, mean"].paper == "0.81, 0.71, 0.59, 0.85"
    assert measured("fig2b", descent.SETTING_B, frame)["NB at the end, mean"].paper == (
        "0.54, 0.28, 0.41, 0.53"
    )


def test_points_of_the_beta_figure_are_those_of_the_quadrature():
    settings = TemperatureSettings(
        seeds=1, n_samples=12, n_features=2, n_classes=2, hidden_features=3, betas=(50.0,)
    )
    (row,) = RECIPES["beta"].jobs(settings)["beta-50-run-0"]()
    problem, labels = temperature._problem(settings, 50.0, 0)
    result = solve_gibbs(problem, generator=seeded(), method="quadrature")
    h = result.measure.features(problem.x)
    assert row["certified"]
    residual = h @ problem.w - problem.y
    assert row["loss"] == pytest.approx(float(residual.square().sum()) / 24)
    assert row["nc1"] == pytest.approx(nc1(h, labels))
    assert row["regularized_loss"] > row["loss"]
    assert row["relative_gap"] < 1e-6


def test_a_power_law_is_fitted_to_certified_points_alone():
    betas = [10.0, 100.0, 1000.0, 2000.0, 5000.0, 10_000.0]
    frame = pd.DataFrame(
        [
            {
                "beta": beta,
                "run": run,
                "loss": 3 / beta if beta < 1e4 else 7.0,
                "regularized_loss": 40 / beta,
                "nc1": beta**-0.5,
                "certified": beta < 1e4 or run == 0,
            }
            for beta in betas
            for run in range(2)
        ]
    )
    settings = TemperatureSettings(fit_from=100.0)
    fits = power_laws(settings, frame)
    assert fits["loss"].rate == pytest.approx((1.0, 1.0, 1.0))
    assert fits["loss"].constant == pytest.approx(3.0)
    assert fits["loss"].sizes == (100, 1000, 2000, 5000)
    assert fits["nc1"].rate.estimate == pytest.approx(0.5)
    found = measured("beta", settings, frame)
    assert found["decades that NC1 falls"].value.estimate == pytest.approx(1.5)
    assert found["share certified at beta = 10000"].value.estimate == 0.5


def test_generalization_draws_the_runs_of_the_study_and_knows_their_rate():
    settings = quick("generalization")
    job = Job(0.3, 16, 1)
    (row,) = RECIPES["generalization"].jobs(settings)[job.file.removesuffix(".json")]()
    direct = run_job(job, settings)
    assert {**row, "seconds": 0} == {**direct, "seconds": 0}
    sizes = np.array([16, 64, 256, 1024])
    frame = pd.DataFrame(
        [
            {
                "margin": 0.1,
                "n": n,
                "seed": seed,
                "test_error": math.sqrt(math.log(n) / n),
                "nc1_test": n**-0.75,
            }
            for n in sizes
            for seed in range(2)
        ]
    )
    found = measured("generalization", settings, frame)
    slope = found["s of test error ~ (log n/n)^s, tau/M = 0.1"].value
    assert slope == pytest.approx((0.5, 0.5, 0.5))
    rate = found["r of NC1 of fresh samples ~ n^-r, tau/M = 0.1"].value
    assert rate.estimate == pytest.approx(0.75)


def test_stage_two_goes_on_from_the_end_of_stage_one():
    settings = quick("two-stage", seeds=1)
    frame = pd.DataFrame(RECIPES["two-stage"].jobs(settings)["run-0"]())
    stage = {name: rows.drop(columns="stage") for name, rows in frame.groupby("stage")}
    end = stage["one"].iloc[-1]
    pd.testing.assert_series_equal(stage["flow"].iloc[0], end, check_names=False)
    pd.testing.assert_series_equal(stage["fixed"].iloc[0], end, check_names=False)
    assert end["step"] == 60
    assert stage["flow"]["step"].iloc[-1] == 120
    # W moves in the flow alone.
    assert stage["flow"]["loss"].iloc[-1] != stage["fixed"]["loss"].iloc[-1]


def test_the_ridge_solution_is_that_of_scikit_learn():
    settings = quick("two-stage", seeds=1)
    frame = pd.DataFrame(RECIPES["two-stage"].jobs(settings)["run-0"]())
    row = frame[frame["stage"] == "ridge"].iloc[0]
    bench = two_stage._Bench(settings, 0)
    problem = bench.problem
    start = sample_normal(problem, settings.neurons, generator=bench.generator)
    cloud = run_langevin(problem, start, n_steps=60, generator=bench.generator).particles
    h = features(problem.x, cloud, problem.sigma).double().numpy()
    y = problem.y.double().numpy()
    ridge = Ridge(alpha=len(h) / settings.beta, fit_intercept=False).fit(h, y)
    loss = ((ridge.predict(h) - y) ** 2).sum() / (2 * len(h))
    assert row["loss"] == pytest.approx(loss, rel=1e-3)
    assert row["nc1"] == pytest.approx(nc1(h, bench.y), rel=1e-4)


def test_the_distance_from_lemma_4_5_is_zero_where_it_holds():
    joint = joint_stationary_point(START)
    problem, moment, w = joint.problem, joint.law.moment, joint.w
    left = problem.decay * moment - joint.lambda_w * w @ w.T
    assert torch.linalg.matrix_norm(w, 2) > 0.5
    assert imbalance(left, moment, problem.beta) < 1e-5
    half = left + torch.eye(len(w)) * torch.linalg.matrix_norm(moment, 2) / problem.beta / 2
    assert imbalance(half, moment, problem.beta) == pytest.approx(0.5, abs=1e-5)


def test_the_late_average_is_the_mean_over_the_late_records():
    settings = quick("balance", seeds=1, late=0.5)
    rows = RECIPES["balance"].jobs(settings)["run-0"]()
    generator = unmoved()
    problem = balance._problem(settings, 0, generator)
    seen = []

    def keep(state):
        a = state.particles.a.double()
        seen.append((a.T @ a / len(a), state.problem.w.double()))
        return 0.0

    run_langevin(
        problem,
        sample_normal(problem, settings.neurons, generator=generator),
        n_steps=200,
        step_size=0.2,
        train_w=True,
        generator=generator,
        observers={"keep": keep},
        every=20,
    )
    lefts = torch.stack([(moment - w @ w.T) / settings.beta for moment, w in seen])
    moments = torch.stack([moment for moment, _ in seen])
    assert [row["step"] for row in rows if not math.isnan(row["averaged_distance"])] == [
        100,
        120,
        140,
        160,
        180,
        200,
    ]
    expected = imbalance(lefts[5:].mean(0), moments[5:].mean(0), settings.beta)
    assert rows[-1]["averaged_distance"] == pytest.approx(expected, rel=1e-6)
    assert rows[0]["distance"] == pytest.approx(imbalance(lefts[0], moments[0], settings.beta))
    values = np.linalg.eigvalsh(settings.beta * lefts[3].numpy())
    assert rows[3]["largest_eigenvalue"] == pytest.approx(values[-1])
    assert rows[3]["smallest_eigenvalue"] == pytest.approx(values[0])
    assert (seen[-1][1] - seen[0][1]).norm() > 0.1


def test_settings_are_read_from_texts_of_their_types():
    found = changed(TwoStageSettings(), {"beta": "100", "seeds": "2", "activation": "tanh"})
    assert (found.beta, found.seeds, found.activation) == (100.0, 2, "tanh")
    assert changed(DescentSettings(), {"step_sizes": "1,10"}).step_sizes == (1.0, 10.0)
    assert changed(BalanceSettings(), {}) == BalanceSettings()


def test_w_zero_is_drawn_anew_for_every_seed():
    layers = [problem_of(TINY, samples(), seeded(seed)).w for seed in (0, 0, 1)]
    assert torch.equal(layers[0], layers[1])
    assert not torch.equal(layers[0], layers[2])
    torch.testing.assert_close(layers[2].T @ layers[2], torch.eye(3))


def test_the_uniform_layer_has_a_third_of_the_identity_as_mean_square():
    """400,000 entries within 1/20: their mean square is 1/1200 +- 0.14 %, alarm < 1e-6 at 1 %."""
    w = descent.uniform_layer(400, 1000, generator=seeded())
    assert w.abs().max() <= 1 / 20
    assert float(w.square().mean()) == pytest.approx(1 / 1200, rel=0.01)
    assert float(w.mean()) == pytest.approx(0, abs=1e-3)
    settings = dataclasses.replace(TINY, layer="uniform", hidden_features=9)
    drawn = problem_of(settings, samples(), seeded(4)).w
    expected = descent.uniform_layer(9, 3, generator=seeded(4))
    assert torch.equal(drawn, expected)
