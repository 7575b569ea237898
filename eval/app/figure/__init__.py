"""The gallery: figures of the paper and of its theorems, each from runs that are made here.

`recipe` describes a figure. `descent` (figures 1 and 2, on `images` or a file),
`collapse`, `temperature`, `generalization`, `two_stage` and `balance` hold the runs of one kind
each, `production` makes a figure of them, `drawing` draws it, and `command` is the command line.
"""

from eval.app.figure.command import figure
from eval.app.figure.recipes import RECIPES

__all__ = ["RECIPES", "figure"]
