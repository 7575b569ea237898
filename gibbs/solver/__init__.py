"""The Gibbs minimizer (Eq. 27), solved: a concave dual problem, its solution, its certificate.

`minimizer` is the driver, in the `row_space` of the inputs. `dual` holds the dual function and its
derivatives, `conditional` the law of a given u, `domain` where the dual is finite. `quadrature`
integrates over u in rank 1 and 2; in higher rank `ascent` maximises the dual on points sampled by
`mixture`, `bridge` and `mala`, or starts from `marginal_descent` where that fails. `phases` chooses
the masses of separate parts of the law, `replays` computes the certificate from independent
samples, and `measure` and `certificate` are the results. `progress` reports how far the solver is.
"""
