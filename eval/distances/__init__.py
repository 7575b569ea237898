"""How far apart two laws of neurons are.

`transport` holds Wasserstein distances, `stein` the kernelised Stein discrepancy and
`function_space` the error of the features; `clouds` reads weighted points and makes pairs of
clouds of one law to compare with.
"""
