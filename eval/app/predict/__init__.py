"""The command predict: classes of the rows of a file by the network of a run.

`command` is the command line, and `predictions` reads the rows and predicts their classes.
"""
