"""The command check: whether samples are linearly separable."""
