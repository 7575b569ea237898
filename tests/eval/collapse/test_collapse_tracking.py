import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from support.seeds import numpy_generator, seeded, shifted
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from eval import COLLAPSE_DEFINITIONS, collapse_metrics, track_collapse
from eval.app.report.collapse_figures import draw_collapse
from eval.collapse.torchmetrics_ import CollapseMetric

EPOCHS = 4


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)


def named(**modules):
    model = nn.Sequential()
    for name, module in modules.items():
        model.add_module(name, module)
    return model


def mlp():
    return named(
        first=nn.Linear(64, 48),
        relu=nn.ReLU(),
        dropout=nn.Dropout(0.1),
        head=nn.Linear(48, 10),
    )


def conv_net():
    return named(
        shape=nn.Unflatten(1, (1, 8, 8)),
        conv=nn.Conv2d(1, 8, 3, padding=1),
        norm=nn.BatchNorm2d(8),
        relu=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        flat=nn.Flatten(),
        hidden=nn.Linear(128, 32),
        active=nn.ReLU(),
        head=nn.Linear(32, 10),
    )


def build(network):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(shifted())
        return network()


def trainer(model, x, y):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    generator = seeded()

    def train_epoch():
        for rows in torch.randperm(len(y), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()

    return train_epoch


@pytest.mark.parametrize(("network", "layer"), [(mlp, "relu"), (conv_net, "active")])
def test_digits_collapse_with_training(network, layer, digits, tmp_path):
    x, y = digits
    model = build(network)
    loader = DataLoader(TensorDataset(x, y), batch_size=200)
    frame = track_collapse(
        model, loader, layer, head="head", train_epoch=trainer(model, x, y), n_epochs=EPOCHS
    )
    assert list(frame.columns) == ["epoch", "layer", "metric", "value", "status", "reason"]
    assert len(frame) == (EPOCHS + 1) * len(COLLAPSE_DEFINITIONS)
    assert (frame["layer"] == layer).all()
    table = frame.pivot_table(index="epoch", columns="metric", values="value")
    # The last row is that of the trained model's features, taken out by hand.
    with torch.no_grad():
        model.eval()
        features = model[: list(dict(model.named_children())).index(layer) + 1](x).flatten(1)
        agreement = model(x).argmax(1).numpy()
    last = collapse_metrics(features, y, model.head.weight.T, bias=model.head.bias)
    for name, value in last.as_dict().items():
        assert table.loc[EPOCHS, name] == pytest.approx(value.value, rel=1e-5), name
    means = np.stack([features[y == k].double().mean(0) for k in range(10)])
    nearest = ((features.double().numpy()[:, None] - means) ** 2).sum(2).argmin(1)
    assert table.loc[EPOCHS, "nc4"] == pytest.approx((agreement == nearest).mean(), abs=1e-3)
    assert table.loc[EPOCHS, "nc1"] < 0.6 * table.loc[0, "nc1"]
    assert table.loc[EPOCHS, "nc4"] > 0.9 > table.loc[0, "nc4"]
    draw_collapse(frame, tmp_path / "collapse.png")
    assert (tmp_path / "collapse.png").stat().st_size > 10_000
    assert "epoch" in (tmp_path / "collapse.svg").read_text()


def test_tracking_leaves_the_training_alone(digits):
    x, y = digits[0][:300], digits[1][:300]
    plain = build(mlp)
    tracked = copy.deepcopy(plain)
    tracked.first.eval()
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    for model, epochs in ((plain, None), (tracked, 2)):
        train = trainer(model, x, y)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(shifted(1))
            if epochs is None:
                train()
                train()
            else:
                track_collapse(model, loader, "relu", train_epoch=train, n_epochs=epochs)
    assert torch.equal(plain.head.weight, tracked.head.weight)
    assert [m.training for m in tracked] == [False, True, True, True]
    assert not tracked.relu._forward_hooks


def test_maps_are_flattened(digits):
    x, y = digits
    model = build(conv_net)
    frame = track_collapse(model, [(x[:900], y[:900]), (x[900:], y[900:])], "pool")
    with torch.no_grad():
        features = model.eval()[:5](x).flatten(1)
    values = frame.set_index("metric")["value"]
    for name, value in collapse_metrics(features, y).as_dict().items():
        assert values[name] == pytest.approx(value.value, rel=1e-5, nan_ok=True), name


def test_a_loop_of_ones_own(digits):
    x, y = digits[0][:200], digits[1][:200]
    model = build(mlp)
    frames = [track_collapse(model, [(x, y)], "relu", epoch=e) for e in (3, 4)]
    frame = pd.concat(frames)
    assert sorted(frame["epoch"].unique()) == [3, 4]
    assert set(frame.loc[frame["metric"] == "nc3", "status"]) == {"no_layer"}
    absent = track_collapse(model, [(x, y)], "relu", classes=11)
    assert set(absent.loc[absent["metric"] == "cdnv", "status"]) == {"absent_class"}


def test_misuse_is_named(digits):
    x, y = digits[0][:200], digits[1][:200]
    model = build(mlp)
    with pytest.raises(ValueError, match="layer must be one of first, relu, dropout, head, got"):
        track_collapse(model, [(x, y)], "fc")
    with pytest.raises(ValueError, match=r"head must name a torch.nn.Linear, got 'relu'"):
        track_collapse(model, [(x, y)], "first", head="relu")
    with pytest.raises(ValueError, match="train_epoch must be given"):
        track_collapse(model, [(x, y)], "relu", n_epochs=1)
    with pytest.raises(ValueError, match="the samples of the first one"):
        track_collapse(model, iter([(x, y)]), "relu")
    draws = seeded()
    noisy = ((x + 0.1 * torch.randn(x.shape, generator=draws), y) for _ in range(2))

    class Augmented:
        def __iter__(self):
            yield next(noisy)

    with pytest.raises(ValueError, match="the features of the first one"):
        track_collapse(model, Augmented(), "relu")
    twice = named(a=nn.Identity(), relu=nn.ReLU())
    twice.add_module("again", twice.relu)
    with pytest.raises(ValueError, match="layer must be used once in a forward pass, got 2"):
        track_collapse(twice, [(x, y)], "relu")
    recurrent = nn.GRU(64, 4)
    with pytest.raises(ValueError, match=r"layer must give a tensor with a row for each of 200"):
        track_collapse(recurrent, [(x, y)], "")
    assert not model.relu._forward_hooks


def metric_inputs():
    rng = numpy_generator()
    y = torch.tensor(rng.integers(4, size=150))
    w = torch.tensor(rng.normal(size=(6, 4)))
    return torch.tensor(rng.normal(size=(150, 6))) + w.T[y], y, w


@pytest.mark.parametrize("scatter", [True, False])
def test_torchmetrics_gives_the_value_of_all_samples(scatter):
    x, y, w = metric_inputs()
    metric = CollapseMetric(6, 4, w=lambda: w, scatter=scatter)
    expected = {k: v.value for k, v in collapse_metrics(x, y, w).as_dict().items()}
    missing = {"nc4"} if scatter else {"nc4", "papyan"}
    batch = metric(x[:60], y[:60])
    assert batch["nc1"].item() == pytest.approx(collapse_metrics(x[:60], y[:60]).nc1.value)
    metric(x[60:61], y[60:61])
    metric.update(x[61:], y[61:])
    for name, value in metric.compute().items():
        if name in missing:
            assert torch.isnan(value)
        else:
            assert value.item() == pytest.approx(expected[name], rel=1e-6), name
    assert metric.metrics().nc4.status == "second_pass"


def test_torchmetrics_reduces_over_processes_and_resets():
    x, y, _ = metric_inputs()
    parts = [CollapseMetric(6, 4) for _ in range(3)]
    parts[0].update(x[:10], y[:10])
    parts[1].update(x[10:], y[10:])
    reduced = parts[0]._reductions["state"](torch.stack([part.state for part in parts]))
    parts[2].state = reduced
    expected = collapse_metrics(x, y)
    assert parts[2].metrics().papyan.value == pytest.approx(expected.papyan.value, rel=1e-12)
    again = pickle.loads(pickle.dumps(parts[2]))
    assert again.metrics() == parts[2].metrics()
    parts[2].reset()
    assert not parts[2].state.any()
    assert not parts[2]._reductions["state"](torch.stack([parts[2].state] * 2)).any()
    with pytest.raises(ValueError, match=r"features must have shape \(n, 6\), got \(150, 5\)"):
        parts[0].update(x[:, :5], y)


@pytest.mark.parametrize(
    ("module", "code", "extra"),
    [
        ("torchmetrics", "import eval.collapse.torchmetrics_", "torchmetrics"),
        ("pandas", "from eval import track_collapse; track_collapse(None, [], '')", "app"),
    ],
)
def test_a_missing_extra_is_named(module, code, extra):
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules[{module!r}] = None; {code}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONSAFEPATH": "1"},
        check=False,
    )
    assert f"needs {module}: pip install 'gibbsnet[{extra}]'" in result.stderr
