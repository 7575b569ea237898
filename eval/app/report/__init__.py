"""The report of a run: one self-contained page with its figures.

`command` is the command line and `report` writes the page; `parameters` are the values that were
used, and `findings` the sentences about a certificate. `figures` lists and draws the figures, each
of them a `figure_kind`; those of `collapse_figures` and `measure_figures` are modules of their own.
"""
