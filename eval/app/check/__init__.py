"""The command check: whether samples are linearly separable.

`command` is the command line, and `separability_figure` draws each class on its direction.
"""
