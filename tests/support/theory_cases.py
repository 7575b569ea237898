"""Problems on which the statements of the theory are tested."""

from support.gibbs_forms import line_problem
from support.seeds import seeded

from gibbs import solve_gibbs

EIGHT = [-1, -0.9, -0.8, -0.7, 0.65, 0.75, 0.85, 0.95]
FOUR = [-1, -0.6, 0.5, 0.9]
START = line_problem(EIGHT, beta=1e3, gamma=3.0)
LEMMA_4_7 = "Lemma 4.7: 0 < lambda_min(K)"
S_Q = "Lemma 4.3: beta^-1/2 <= s_q"


def solved(problem):
    return solve_gibbs(problem, generator=seeded()).measure
