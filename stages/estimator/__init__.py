"""The two-stage network as a scikit-learn estimator.

`classifier` is the estimator; `parameters` checks what it was built with, `reading` what it is
given, `samples` maps inputs and weights, and `summary` is what it shows of itself.
"""
