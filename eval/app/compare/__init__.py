"""The command compare: cross-validation beside other classifiers, with defaults or tuned.

`command` is the command line and `config` its configuration; `tuned` makes the jobs of a tuned
comparison, `tables` writes the tables, and `drawing` draws the figure.
"""
