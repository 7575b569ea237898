"""Small data and files of them, which the tests of reading data share."""

import io
import zipfile

import numpy as np

HEADER = "a,b,label\n"
ROWS = "1,2,x\n2,3,x\n3,5,y\n4,1,y\n"
X = np.arange(8.0).reshape(4, 2)
Y = np.array([0, 0, 1, 1])


def saved(folder, content, name="data.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def truncated(content):
    return content[: len(content) // 2]


def zipped(content, *names):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def check_same(data, frame):
    np.testing.assert_array_equal(data.x, frame[["a", "b", "c"]].to_numpy())
    np.testing.assert_array_equal(data.y, frame["label"].to_numpy())
    assert data.x.dtype == np.float64
    assert data.feature_names == ("a", "b", "c")
    assert data.standardize
