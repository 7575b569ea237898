"""Data sets and distributions: by name, from files, from Python code.

- `loading`: :func:`load_dataset` and its like, which decide between name, file, number and code.
- `dataset`: what a data set and a distribution are. `synthetic`: the separable distribution.

Where the data come from:

- `file_formats`: files, by the ending of their names; `csv_files`, `parquet_files` and
  `npz_files` read one kind each.
- `registry`: names; `plugins`: a user's own code; `loader_results`: what either returned.
- `openml`: data sets of OpenML by number. `torch_data`: data sets and loaders of torch.

How they become arrays:

- `frames`: tables; finds the column of the labels and one-hot encodes text.
- `arrays`: checks shapes, types and every value, and says where in the file a bad one is.
- `laws`: draws samples of a distribution, and checks them.
"""
