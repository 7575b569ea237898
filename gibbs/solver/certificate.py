"""What is known of the distance to the minimizer, and whether it is certified."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Certificate", "describe_bounds", "refusal", "student_quantile"]


@dataclass(frozen=True)
class Certificate:
    """Bounds on the least free energy, counted relative to the prior.

    `dual`, `primal`, `gap` and their errors are as they were computed. `lower`, `upper` and
    `dual_interval` are never worse than what is known without any computation,
    0 <= min E <= `prior_energy`: a free energy is a loss >= 0 and a divergence >= 0, and the least
    one is at most the prior's.

    Attributes
    ----------
    dual, primal : float
        Lower bound D(G), and the free energy of the certified measure; primal = dual + gap.
    gap, gap_stderr : float
        1/2 <R, A^-1 R> of :func:`gibbs.solver.dual.tight_gap`, and its standard error over the
        replays (0 for quadrature). It bounds E(rho) - min E and KL(rho | rho*)/beta.
    dual_stderr : float
        Standard error of `dual`: over the replays, or within them where that is larger.
    method : {"quadrature", "monte_carlo"}
    effective_size : float
        Smallest effective sample size of the replays; for quadrature that of its points.
    n_replays : int
        Independent replays behind the numbers; 0 for quadrature.
    certified : bool
    reason : str
        Why not, "" where certified.
    phase_masses : tuple of (float, float)
        Mass of each phase under mu_G, and in the certified measure; empty for quadrature.
    bounded : bool
        Whether `dual` and `primal` are bounds: not where mass was missed, or the edge of the domain
        is not known.
    prior_energy : float
        E(rho_0), :func:`gibbs.model.energy.prior_energy`: 1/2 for one-hot targets.
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
    prior_energy: float = math.inf

    @property
    def relative_gap(self) -> float:
        """Gap / dual; inf where dual <= 0."""
        return self.gap / self.dual if self.dual > 0 else math.inf

    @property
    def dual_interval(self) -> tuple[float, float]:
        """95 % interval of the largest dual value, which is the least free energy.

        From `dual` to `primal`, and Student's quantiles over the replays on either side. An end
        that is no better than 0 or `prior_energy`, or no bound at all, is replaced by those.
        """
        low, high = self.dual, self.primal
        if self.n_replays:
            t = student_quantile(self.n_replays - 1)
            low -= t * self.dual_stderr
            # dual and gap come from the same replays: their errors are not independent.
            high = self.dual + max(0.0, self.gap) + t * (self.dual_stderr + self.gap_stderr)
        return self._or_trivial(low, 0.0), self._or_trivial(high, self.prior_energy)

    @property
    def lower(self) -> float:
        """The lower bound: `dual`, or 0 where that is better or `dual` is no bound."""
        return self._or_trivial(self.dual, 0.0)

    @property
    def upper(self) -> float:
        """The upper bound: `primal`, or `prior_energy` where that is better or the only bound."""
        return self._or_trivial(self.primal, self.prior_energy)

    @property
    def informative(self) -> tuple[bool, bool]:
        """Whether each end of `dual_interval` is better than the trivial one."""
        low, high = self.dual_interval
        return low > 0, high < self.prior_energy

    def _or_trivial(self, bound: float, trivial: float) -> float:
        """The bound if it lies strictly between 0 and the energy of the prior, as NaN does not."""
        return bound if self.bounded and 0 < bound < self.prior_energy else trivial


def describe_bounds(certificate: Certificate) -> str:
    """Say between which bounds the least free energy lies, and which of them are the trivial ones.

    Examples
    --------
    >>> describe_bounds(refusal("no bridge", 0.5))
    'least free energy between 0 and 0.5: nothing better is known than the trivial bounds, 0 and \
the free energy of the prior'
    """
    low, high = certificate.dual_interval
    between = f"least free energy between {low:.6g} and {high:.6g}"
    better = certificate.informative
    if not any(better):
        return (
            f"{between}: nothing better is known than the trivial bounds, 0 and the free energy "
            "of the prior"
        )
    n = certificate.n_replays
    how = f"95 % interval over {n} replays" if n else "quadrature"
    if all(better):
        return f"{between} ({how})"
    trivial = "upper bound is the free energy of the prior" if better[0] else "lower bound is 0"
    return f"{between} ({how}; the {trivial}: no better one is known)"


def refusal(reason: str, prior_energy: float, method: str = "monte_carlo") -> Certificate:
    """A certificate that certifies nothing: no bound is known but the trivial ones."""
    return Certificate(
        dual=-math.inf,
        primal=math.inf,
        gap=math.inf,
        gap_stderr=math.nan,
        dual_stderr=math.nan,
        method=method,
        effective_size=0.0,
        n_replays=0,
        certified=False,
        reason=reason,
        bounded=False,
        prior_energy=prior_energy,
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
