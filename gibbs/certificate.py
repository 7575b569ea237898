"""What is known of the distance to the minimizer, and whether it is certified."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Certificate", "refusal", "student_quantile"]


@dataclass(frozen=True)
class Certificate:
    """Bounds on the least free energy, counted relative to the prior.

    Attributes
    ----------
    dual, primal : float
        Lower bound D(G), and the free energy of the certified measure; primal = dual + gap.
    gap, gap_stderr : float
        1/2 <R, A^-1 R> of :func:`gibbs.dual.tight_gap`, and its standard error over the
        replays (0 for quadrature). It bounds E(rho) - min E and KL(rho | rho*)/beta.
    dual_stderr : float
        Standard error of `dual`: over the replays, or within them where that is larger.
    method : {"quadrature", "monte_carlo"}
    effective_size : float
        Smallest effective sample size on the way; number of points for quadrature.
    n_replays : int
        Independent replays behind the numbers; 0 for quadrature.
    certified : bool
    reason : str
        Why not, "" where certified.
    phase_masses : tuple of (float, float)
        Mass of each phase under mu_G, and in the certified measure; empty for quadrature.
    bounded : bool
        Whether `dual` and `primal` can be taken for bounds: not where mass was missed, or the edge
        of the domain is not known.
    """

    dual: float
    primal: float
    gap: float
    gap_stderr: float
    dual_stderr: float
    method: str
    effective_size: float
    n_replays: int
    certified: bool
    reason: str
    phase_masses: tuple[tuple[float, float], ...] = ()
    bounded: bool = True

    @property
    def relative_gap(self) -> float:
        """Gap / dual; inf where dual <= 0."""
        return self.gap / self.dual if self.dual > 0 else math.inf

    @property
    def dual_interval(self) -> tuple[float, float]:
        """95 % interval of the largest dual value, which is the least free energy.

        It lies between `dual` and `primal`; Student's quantiles over the replays on either side.
        The whole line where they are not bounds.
        """
        if not self.bounded:
            return -math.inf, math.inf
        if not self.n_replays:
            return self.dual, self.primal
        t = student_quantile(self.n_replays - 1)
        above = self.dual_stderr + self.gap_stderr  # of the same replays: not independent
        return self.dual - t * self.dual_stderr, self.dual + max(0.0, self.gap) + t * above


def refusal(reason: str) -> Certificate:
    """A certificate that certifies nothing: no bound is known on either side."""
    return Certificate(
        dual=-math.inf,
        primal=math.inf,
        gap=math.inf,
        gap_stderr=math.nan,
        dual_stderr=math.nan,
        method="monte_carlo",
        effective_size=0.0,
        n_replays=0,
        certified=False,
        reason=reason,
        bounded=False,
    )


def student_quantile(dof: int) -> float:
    """97.5 % quantile of Student's t, by Cornish and Fisher's expansion (1e-3 from dof = 4).

    Examples
    --------
    >>> round(student_quantile(5), 2), round(student_quantile(100), 3)
    (2.57, 1.984)
    """
    z = 1.959963984540054
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / dof + second / dof**2 + third / dof**3 + fourth / dof**4
