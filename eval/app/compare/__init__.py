"""The command compare: cross-validation beside other classifiers, with defaults or tuned.

`command` is the command line and `config` its configuration; `fixed` compares with fixed
settings, `tuned` makes the jobs of a tuned comparison, `tables` writes the tables, and `drawing`
draws the figure.
"""
