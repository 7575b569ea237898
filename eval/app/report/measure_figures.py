"""Figures of the Gibbs minimizer: its bounds by Newton step, and its law beside the neurons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from eval.app.report.figure_kind import FigureKind
from eval.app.shared.certificates import describe_certificate, stored_certificate
from eval.app.shared.plots import COLOURS
from eval.app.shared.run_folder import StoredRun
from gibbs import Certificate, describe_bounds

__all__ = ["MEASURE_FIGURES"]

Array = NDArray[np.float64]

VIEWS = {
    "u1": "u, widest direction",
    "u2": "u, second direction",
    "a1": r"$W^T a$, widest direction",
}
N_BINS = 36

MARK: dict[str, Any] = {"fmt": "D", "ms": 5, "capsize": 3, "color": "black"}
"""The style of the numbers of a certificate in figures."""


class _Ascent(NamedTuple):
    """A solver's dual and gap by Newton step, and the certificate that it ended with.

    Steps whose dual is -inf hold NaN.
    """

    dual: Array
    gap: Array
    certificate: Certificate
    tol: float

    def within(self, values: Array) -> Array:
        """The values cut off at 0 and at the energy of the prior, which bound it in any case."""
        return values.clip(0.0, self.certificate.prior_energy)


def _ascent(run: StoredRun) -> _Ascent | None:
    """The steps of the run itself, else of `certify --solve`; None where nothing was solved."""
    fields = run.metrics.get("certificate")
    if fields is not None:
        one = run.history[run.history["stage"] == "one"]
        return _Ascent(
            _known(one["dual"]),
            _known(one["gap"]),
            stored_certificate(fields),
            run.metrics["parameters"]["tol"],
        )
    if run.certification is None or run.certification["solved"] is None:
        return None
    solved, tol = run.certification["solved"], run.certification["options"]["tol"]
    dual, gap = (_known(solved["history"][name]) for name in ("dual", "gap"))
    return _Ascent(dual, gap, stored_certificate(solved["certificate"]), tol)


def _known(values: Any) -> Array:
    numbers = np.array(values, float)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _known_ascent(run: StoredRun) -> _Ascent:
    ascent = _ascent(run)
    assert ascent is not None
    return ascent


def _has_ascent(run: StoredRun) -> bool:
    ascent = _ascent(run)
    return ascent is not None and bool(np.isfinite(ascent.dual + ascent.gap).any())


def _closing(run: StoredRun) -> Figure:
    ascent = _known_ascent(run)
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_bounds(left, ascent)
    _draw_gap(right, ascent)
    for axes in (left, right):
        axes.set_xlabel("Newton step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    return figure


def _draw_bounds(axes: Axes, ascent: _Ascent) -> None:
    judged, steps = ascent.certificate, np.arange(1, len(ascent.dual) + 1)
    dual, primal = ascent.within(ascent.dual), ascent.within(ascent.dual + ascent.gap)
    known = any(judged.informative)
    ends = (judged.lower, judged.upper) if known else (np.nanmax(dual), np.nanmin(primal))
    lower, upper = min(ends), max(ends)
    # The first steps can be far off: what matters is where the two meet.
    span = max(lower, upper - lower, 1e-9)
    close = max(np.nanmax(primal), upper) - min(np.nanmin(dual), lower) < 1e-3 * span
    zero, words = (lower, f" - {lower:.6g}") if close else (0.0, "")
    axes.fill_between(steps, dual - zero, primal - zero, color=COLOURS[4], alpha=0.25, lw=0)
    axes.plot(steps, primal - zero, "v-", ms=4, color=COLOURS[5], label="primal = dual + gap")
    axes.plot(steps, dual - zero, "^-", ms=4, color=COLOURS[0], label="dual")
    if known:
        low, high = judged.dual_interval
        error = [[max(0.0, lower - low)], [high - lower]]
        axes.errorbar(steps[-1] + 1, lower - zero, yerr=error, label="dual, certificate", **MARK)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, lower - 1.05 * span - zero), min(top, upper + 1.05 * span - zero))
    axes.set(title="bounds on the least free energy", ylabel=f"free energy{words}")


def _draw_gap(axes: Axes, ascent: _Ascent) -> None:
    steps = np.arange(1, len(ascent.gap) + 1)
    judged = ascent.certificate
    positive = np.where(ascent.gap > 0, ascent.gap, np.nan)
    axes.semilogy(steps, positive, "o-", ms=4, color=COLOURS[2], label="gap, on its own sample")
    if judged.gap > 0:
        error = [[min(judged.gap_stderr, 0.9 * judged.gap)], [judged.gap_stderr]]
        axes.errorbar(steps[-1] + 1, judged.gap, yerr=error, label="gap, certificate", **MARK)
    if judged.dual > 0:
        wanted = ascent.tol * judged.dual
        axes.axhline(wanted, color=COLOURS[8], ls="--", lw=1, label=f"tol {ascent.tol:g} of dual")
    axes.set(title="gap", ylabel="primal less dual")


def _closing_alt(run: StoredRun) -> str:
    ascent = _known_ascent(run)
    judged, known = ascent.certificate, ascent.gap[np.isfinite(ascent.gap)]
    text = (
        f"Dual and primal over {len(ascent.dual)} Newton steps, and their difference on a "
        f"logarithmic scale: the gap goes from {known[0]:.2g} to {known[-1]:.2g}"
    )
    return f"{text}; {describe_bounds(judged)}; {describe_certificate(judged)}."


def _has_marginals(run: StoredRun) -> bool:
    return "cloud_u1" in run.certification_arrays


def _marginals(run: StoredRun) -> Figure:
    names = [name for name in VIEWS if f"cloud_{name}" in run.certification_arrays]
    figure = Figure(figsize=(3.6 * len(names), 3.4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        cloud, exact = (run.certification_arrays[f"{kind}_{name}"] for kind in ("cloud", "exact"))
        edges = _shared_edges(cloud, exact)
        axes.hist(
            cloud,
            edges,
            density=True,
            color=COLOURS[4],
            alpha=0.6,
            label=f"{len(cloud)} neurons",
        )
        look: dict[str, Any] = {"histtype": "step", "color": "black", "lw": 1.2}
        axes.hist(exact, edges, density=True, label=f"{len(exact)} exact draws", **look)
        axes.set(xlabel=VIEWS[name], ylabel="density" if name == names[0] else "")
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize="small"
    )
    return figure


def _shared_edges(first: Array, second: Array) -> Array:
    both = np.concatenate([first, second]).astype(np.float64)
    low, high = np.quantile(both, [0.001, 0.999])
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, N_BINS + 1)


def _marginals_alt(run: StoredRun) -> str:
    parts = []
    for name, words in VIEWS.items():
        if f"cloud_{name}" in run.certification_arrays:
            cloud, exact = (
                run.certification_arrays[f"{kind}_{name}"] for kind in ("cloud", "exact")
            )
            parts.append(
                f"{words.replace('$W^T a$', 'W^T a')}: standard deviation {cloud.std():.3g} "
                f"and {exact.std():.3g}"
            )
    return (
        "Histograms of the neurons and of exact draws of the minimizer: " + "; ".join(parts) + "."
    )


def _has_log_tilts(run: StoredRun) -> bool:
    return "tilts" in run.certification_arrays


def _log_tilts(run: StoredRun) -> Figure:
    arrays = run.certification_arrays
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    edges = arrays.get("edges", np.histogram_bin_edges(arrays["tilts"], 40))
    shares = np.histogram(arrays["tilts"], edges)[0] / len(arrays["tilts"])
    axes.stairs(shares, edges, fill=True, color=COLOURS[4], alpha=0.6, label="neurons")
    if "masses" in arrays:
        axes.stairs(arrays["masses"], edges, color="black", lw=1.2, label="minimizer")
    phases = run.certification["phases"] if run.certification else None
    if phases is not None:
        axes.axvline(phases["split"], color=COLOURS[5], ls="--", lw=1)
        axes.plot([], [], "--", color=COLOURS[5], label=f"split, {phases['share']:.0%} above")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5 / len(arrays["tilts"]))
    axes.set(xlabel="e(u), nats", ylabel="mass of a bin", title="log tilt of the prior")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _log_tilts_alt(run: StoredRun) -> str:
    log_tilts = run.certification_arrays["tilts"]
    low, middle, high = np.quantile(log_tilts, [0.05, 0.5, 0.95])
    text = (
        f"Histogram of e(u) over {len(log_tilts)} neurons, by how much the data favour a neuron: "
        f"median {middle:.3g} nats, nine tenths between {low:.3g} and {high:.3g}"
    )
    phases = run.certification["phases"] if run.certification else None
    if phases is None:
        return text + "."
    return (
        f"{text}. Two humps, split at {phases['split']:.3g} nats: {100 * phases['share']:.1f} % of "
        f"the minimizer lies above, {100 * phases['share_of_cloud']:.1f} % of the neurons."
    )


MEASURE_FIGURES = (
    FigureKind("closing", "Dual and primal", _closing, _closing_alt, _has_ascent),
    FigureKind(
        "marginals", "Neurons beside the minimizer", _marginals, _marginals_alt, _has_marginals
    ),
    FigureKind("tilts", "Log tilt of the neurons", _log_tilts, _log_tilts_alt, _has_log_tilts),
)
