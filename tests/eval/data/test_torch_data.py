import numpy as np
import pytest
import torch
from support.seeds import shifted
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from eval.data.loading import load_dataset
from eval.data.registry import register_dataset
from eval.data.torch_data import from_torch
from stages import TwoStageClassifier

IMAGES = torch.arange(48.0).reshape(6, 2, 2, 2)
LABELS = torch.tensor([0, 1, 2, 2, 1, 0])


class Named(Dataset):
    """Arrays with labels as text."""

    def __len__(self):
        return 6

    def __getitem__(self, k):
        return IMAGES[k].numpy(), "abc"[LABELS[k]]


class Stream(IterableDataset):
    """No length."""

    def __iter__(self):
        return zip(IMAGES, LABELS.tolist(), strict=True)


@pytest.mark.parametrize(
    "source",
    [
        TensorDataset(IMAGES, LABELS),
        Stream(),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=None),
        DataLoader(Stream(), batch_size=5),
        TensorDataset(IMAGES, LABELS[:, None]),
        TensorDataset(IMAGES.bfloat16(), LABELS.to(torch.uint8)),
    ],
    ids=["map", "stream", "batches", "no batches", "stream in batches", "columns", "narrow"],
)
def test_rows_and_labels(source):
    data = from_torch(source, "mine")
    np.testing.assert_array_equal(data.x, IMAGES.reshape(6, 8).double().numpy())
    assert data.y.tolist() == LABELS.tolist()
    assert (data.name, data.standardize, len(data.feature_names)) == ("mine", False, 8)


def test_labels_as_text_with_and_without_batches():
    for source in (Named(), DataLoader(Named(), batch_size=4)):
        data = from_torch(source)
        assert data.y.tolist() == list("abccba")
        assert data.x.shape == (6, 8)


def test_a_loader_decides_about_order_and_choice():
    order = [5, 3, 2, 0]
    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=3, sampler=order)
    data = from_torch(loader)
    assert data.y.tolist() == LABELS[order].tolist()
    np.testing.assert_array_equal(data.x, IMAGES[order].reshape(4, 8))
    part = from_torch(Subset(TensorDataset(IMAGES, LABELS), order))
    np.testing.assert_array_equal(part.x, data.x)


def test_the_classifier_trains_on_it():
    data = from_torch(TensorDataset(IMAGES, LABELS))
    model = TwoStageClassifier(n_neurons=20, max_iter=5, random_state=shifted()).fit(data.x, data.y)
    again = TwoStageClassifier(n_neurons=20, max_iter=5, random_state=shifted())
    again.fit(IMAGES.reshape(6, 8).double().numpy(), LABELS.numpy())
    assert np.array_equal(model.coef_, again.coef_)


def test_loaders_and_code_may_return_it(tmp_path):
    register_dataset("mine", lambda: TensorDataset(IMAGES, LABELS))
    assert load_dataset("mine").x.shape == (6, 8)
    assert load_dataset("mine").standardize
    path = tmp_path / "code.py"
    path.write_text(
        "import torch\nfrom torch.utils.data import TensorDataset\n"
        "data = TensorDataset(torch.arange(8.0).reshape(4, 2), torch.tensor([0, 1, 0, 1]))\n"
    )
    assert load_dataset(f"{path}:data").x.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


class Items(Dataset):
    """Whatever it is given."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, k):
        return self.items[k]


PAIR = (torch.zeros(2), 0)
BAD = [
    ([1, 2], TypeError, "source must be a torch.utils.data.Dataset or DataLoader, got list"),
    (Items(), ValueError, "mine: there are no items"),
    (
        Items(PAIR, torch.zeros(2)),
        TypeError,
        r"mine: item 1: must be a pair \(inputs, label\), got",
    ),
    (Items((*PAIR, 1)), TypeError, "mine: item 0: must be a pair .*, got 3 values"),
    (Items(PAIR, (torch.zeros(3), 0)), ValueError, "mine: item 1: .* as those before, 2, got 3"),
    (Items(PAIR, ("text", 0)), ValueError, "mine: item 1: inputs must be numbers, got dtype <U4"),
    (Items(PAIR, (None, 0)), ValueError, "mine: item 1: inputs must be numbers, got NoneType"),
    (Items(PAIR, ([[1], [1, 2]], 0)), ValueError, "mine: item 1: inputs must be an array"),
    (Items(PAIR, (torch.zeros(2), 0.5)), ValueError, "item 1: labels must be integers or text"),
    (Items(PAIR, (torch.zeros(2), torch.zeros(2).int())), ValueError, "one label, got shape"),
    (Items(PAIR, (torch.zeros(2), None)), ValueError, "integers or text, got NoneType"),
    (
        DataLoader(Items(*[(torch.zeros(2), torch.eye(2)[0])] * 3), batch_size=3),
        ValueError,
        "mine: batch 0: labels must be integers or text, got dtype float32",
    ),
    (
        DataLoader(Items(*[(torch.zeros(2), torch.eye(2).int()[0])] * 3), batch_size=3),
        ValueError,
        r"mine: batch 0: there must be one label a sample, got shape \(3, 2\)",
    ),
    (
        TensorDataset(torch.tensor([[1.0], [torch.nan]]), torch.tensor([0, 1])),
        ValueError,
        "mine: row 2, column 'x0': features must be finite numbers, got nan",
    ),
    (
        TensorDataset(torch.zeros(3, 1), torch.tensor([1, 1, 1])),
        ValueError,
        "mine: column 'y' holds one class only, 1",
    ),
]


@pytest.mark.parametrize(("source", "error", "message"), BAD)
def test_bad_items_are_named(source, error, message):
    with pytest.raises(error, match=message):
        from_torch(source, "mine")


def test_a_data_set_without_a_length():
    class Endless(Dataset):
        def __getitem__(self, k):
            return PAIR

    with pytest.raises(TypeError, match="must have a length, or be an IterableDataset"):
        from_torch(Endless(), "mine")
