"""The two-stage network as a scikit-learn estimator.

`classifier` is the estimator; `parameters` checks what it was built with and makes the settings of
both stages of it, `reading` checks what it is given, `samples` maps inputs and weights, `trained`
is what predictions depend on, `summary` is what it shows of itself, and `storage` saves and loads
it, with values as `packing` stores them.
"""
