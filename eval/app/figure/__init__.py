"""The gallery: figures of the paper and of its theorems, each from runs that are made here.

`command` is the command line. A `recipe` describes a figure, and `recipes` lists all of them by
name. `descent` (figures 1 and 2, on `images` or a file), `collapse`, `temperature`,
`generalization`, `two_stage` and `balance` hold the runs and the picture of one kind each, on
a problem of `problems`; `production` takes a recipe from its runs to its files.
"""
