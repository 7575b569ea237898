import pandas as pd
import pytest
from support.seeds import numpy_generator

from eval.data import registry
from eval.data.registry import BUILTIN


@pytest.fixture
def frame():
    rng = numpy_generator()
    values = rng.normal(size=(12, 3)) * [1e-7, 1.0, 1e9]
    return pd.DataFrame(values, columns=["a", "b", "c"]).assign(label=["x", "y", "é"] * 4)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    loaders = {name: registry._LOADERS[name] for name in BUILTIN}
    monkeypatch.setattr(registry, "_LOADERS", loaders)
