"""The Gibbs minimizer (Eq. 27), solved: a concave dual problem, its solution, its certificate.

`minimizer` is the driver. `dual` holds the dual function and its derivatives, `conditional` the
law of a given u, `domain` where the dual is finite. `quadrature` (with `rules`) integrates over u
in rank 1 and 2; in higher rank `ascent` climbs, on points drawn by `mixture` and `bridge`, or by
`mean_field_flow` where that fails. `phases` chooses the masses of separate parts of the law,
`replays` judges with fresh draws, and `measure` and `certificate` are the answer. `progress` says
how far the solver is.
"""
