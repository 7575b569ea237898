from dataclasses import replace

import numpy as np

from eval.data.dataset import Dataset, describe


def test_description_tells_size_classes_scale_and_notes():
    x = np.array([[0.0, 3.0], [0.0, -3.0], [8.0, 6.0], [8.0, -6.0]])
    data = Dataset("own", x, np.array(["u", "u", "v", "v"]), True, (), ("one", "two"))
    assert describe(data).splitlines() == [
        "own: n = 4 samples, d = 2 features, q = 2 classes",
        "classes: u 2, v 2",
        "scale: column standard deviations 4 to 4.74, largest norm 10; to be standardized",
        "note: one",
        "note: two",
    ]
    assert "10; used as it is" in describe(replace(data, standardize=False))


def test_description_shows_twelve_classes_at_most():
    y = np.repeat(np.arange(15), 2)
    told = describe(Dataset("many", np.ones((30, 1)), y, False))
    assert "q = 15 classes" in told
    assert "11 2, and 3 more\n" in told
