"""The command check: whether samples are linearly separable.

`command` is the command line and `config` its configuration; `checking` measures and writes, and
`separability_figure` draws each class on its direction.
"""
