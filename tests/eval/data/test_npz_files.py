import pickle
import sys

import numpy as np
import pytest
from support.datafiles import X, Y, saved

from eval.data.loading import load_dataset


@pytest.mark.parametrize("key", ["X", "x"])
def test_npz_gives_back_the_same_bits(key, frame, tmp_path):
    x, y = frame[["a", "b", "c"]].to_numpy(), frame["label"].to_numpy(str)
    np.savez(tmp_path / "data.npz", **{key: x, "y": y, "X_test": x})
    data = load_dataset(tmp_path / "data.npz")
    np.testing.assert_array_equal(data.x, x)
    np.testing.assert_array_equal(data.y, y)
    assert data.feature_names == ("x0", "x1", "x2")
    assert data.notes == ("arrays not used: X_test",)
    np.savez_compressed(tmp_path / "ints.npz", X=np.array([[0], [255]] * 2, np.uint8), y=[0, 1] * 2)
    data = load_dataset(tmp_path / "ints.npz")
    np.testing.assert_array_equal(data.x, [[0.0], [255.0]] * 2)


REFUSED_ARRAYS = {
    "no X": ({"data": X, "y": Y}, r"no array 'X'; there are data, y"),
    "no y": ({"X": X}, r"no array 'y'; there are X"),
    "images": (
        {"X": np.ones((4, 2, 2)), "y": Y},
        r"X must be a matrix that is not empty, got shape \(4, 2, 2\)",
    ),
    "no samples": (
        {"X": np.ones((0, 2)), "y": Y},
        r"X must be a matrix that is not empty, got shape \(0, 2\)",
    ),
    "column of labels": (
        {"X": X, "y": Y[:, None]},
        r"y must have one entry per row of X, \(4,\), got shape \(4, 1\)",
    ),
    "fewer labels": (
        {"X": X, "y": Y[1:]},
        r"y must have one entry per row of X, \(4,\), got shape \(3,\)",
    ),
    "text": ({"X": X.astype(str), "y": Y}, r"X must be numeric, got dtype <U32"),
    "complex": ({"X": X + 1j, "y": Y}, r"X must be numeric, got dtype complex128"),
    "nan": ({"X": X * [1, np.nan], "y": Y}, r"row 1, column 'x1': features.*finite.*got nan"),
    "inf": (
        {"X": np.where(X == 1, np.inf, X), "y": Y},
        r"row 1, column 'x1': features.*finite.*got inf",
    ),
    "nan label": ({"X": X, "y": Y * np.nan}, r"row 1, column 'y': labels must be finite, got nan"),
    "continuous": ({"X": X, "y": Y + 0.5}, r"column 'y' looks continuous"),
    "one class": ({"X": X, "y": Y * 0}, r"column 'y' holds one class only, 0"),
    "lonely class": ({"X": X, "y": [0, 0, 0, 1]}, r"class 1 in column 'y' has one sample"),
    "bytes": ({"X": X, "y": np.array([b"a", b"b"] * 2)}, r"row 1, column 'y': class labels must"),
}


@pytest.mark.parametrize("case", REFUSED_ARRAYS)
def test_bad_arrays_are_refused_with_file_row_and_column(case, tmp_path):
    arrays, message = REFUSED_ARRAYS[case]
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(ValueError, match=r"data\.npz: " + message):
        load_dataset(tmp_path / "data.npz")


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_nothing_pickled_is_executed(tmp_path):
    trace = tmp_path / "trace"
    objects = np.array([[Bomb(trace)], [1]] * 2, dtype=object)
    np.savez(tmp_path / "x.npz", X=objects, y=Y)
    np.savez(tmp_path / "y.npz", X=X, y=objects[:, 0])
    np.savez(tmp_path / "other.npz", X=X, y=Y, model=objects)
    saved(tmp_path, pickle.dumps(Bomb(trace)), "raw.npz")
    for name in "xy":
        with pytest.raises(ValueError, match=rf"{name}.npz: array '\w' must hold.*not pickled"):
            load_dataset(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"raw.npz: cannot be read as NPZ"):
        load_dataset(tmp_path / "raw.npz")
    assert load_dataset(tmp_path / "other.npz").notes == ("arrays not used: model",)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Bomb(trace))).close()
    assert trace.exists()


def test_damaged_bytes_of_an_array_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", X=np.ones((100, 2)), y=np.arange(100) % 2)
    content = bytearray((tmp_path / "data.npz").read_bytes())
    content[500] ^= 255
    with pytest.raises(ValueError, match=r"data.npz: cannot be read as NPZ: Bad CRC"):
        load_dataset(saved(tmp_path, bytes(content), "data.npz"))


def test_archives_with_a_wrong_beginning_are_refused(tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    np.save(tmp_path / "one.npy", X)
    archive = (tmp_path / "data.npz").read_bytes()
    for start, message in ((b"MZ", "pickled"), ((tmp_path / "one.npy").read_bytes(), "one array")):
        path = saved(tmp_path, start + archive, "data.npz")
        with pytest.raises(ValueError, match=rf"data\.npz: cannot be read as NPZ: .*{message}"):
            load_dataset(path)


def test_npz_needs_no_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    np.testing.assert_array_equal(load_dataset(tmp_path / "data.npz").x, X)
