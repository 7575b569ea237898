"""The report of a run: one self-contained page with its figures."""
