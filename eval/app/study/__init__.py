"""Studies of many small runs in parallel.

`config` is the configuration, `jobs` says what is run and keeps every result, `summary` takes means
and fits rates, `tables` writes them, `drawing` draws the figure, and `command` is the command line.
"""
