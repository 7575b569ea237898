"""Data sets and distributions: by name, from files, from Python code.

`dataset` says what they are; `checks` turns arrays and frames into data sets, encoded, and
`laws` draws samples of a distribution. `registry` holds the names, `plugins` imports code.
`files` goes by the ending of a file: `text`, `parquet` and `npz` read one kind each, and
`tables` makes a data set of what the first two read. `openml` fetches by number, `torch_` reads
what torch iterates over. `loading` decides between name, file, number and code.
"""
