"""The command predict: classes of the rows of a file by the network of a run."""
