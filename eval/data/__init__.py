"""Data sets and distributions: by name, from files, from Python code.

`dataset` says what they are; `checks` turns arrays and frames into data sets, encoded, and
`laws` draws samples of a distribution. `registry` holds the names, `plugins` imports code.
`files` goes by the ending of a file: `text`, `parquet` and `npz` read one kind each, and
`tables` makes a data set of what the first two read. `openml` fetches by number, `torch_` reads
what torch iterates over. `loading` decides between name, file, number and code.
"""

from eval.data.dataset import Dataset, Distribution, describe
from eval.data.files import read_table
from eval.data.laws import draw_dataset, draw_samples
from eval.data.loading import load_dataset, load_distribution, load_source, options_of
from eval.data.plugins import load_plugin
from eval.data.registry import BUILTIN, register_dataset, registered_datasets
from eval.data.torch_ import from_torch

__all__ = [
    "BUILTIN",
    "Dataset",
    "Distribution",
    "describe",
    "draw_dataset",
    "draw_samples",
    "from_torch",
    "load_dataset",
    "load_distribution",
    "load_plugin",
    "load_source",
    "options_of",
    "read_table",
    "register_dataset",
    "registered_datasets",
]
