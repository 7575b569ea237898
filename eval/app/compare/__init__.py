"""The command compare: cross-validation beside other classifiers, with defaults or tuned."""
