"""The passes of a step over the panels of a cloud.

The arrays, here as everywhere in this package with neurons as columns:

- x (n, d): the samples; force (n, r): the gradient of the loss in the features, (gamma/n) r W^T;
- theta (panels, r + d, 64): the rows of a panel are the a's and the u's of 64 neurons, the last
  panel is filled up with zeros;
- lead (panels, at least r, 64): the coordinates that the features are means of, tau_R(a); without a
  truncation that is theta itself. 4 rows are read at a time, so 3 more must lie behind each array;
- kept: the activations of all panels, or of length 0;
- work: an array of each thread, for two blocks (samples, 64) that fit the first-level cache, the
  gradient of a panel, and a row of noise.

Threads take panels from a counter, in `numbers` (see `meeting`); one of them `leads`. Sums over the
neurons are those of fixed groups of panels, and what a group adds up it adds in one order, so no
number depends on the number of threads.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from gibbs.dynamics.fused.blocks import (
    QUAD,
    activate,
    contract,
    move,
    product,
    times_slope,
)
from gibbs.dynamics.fused.functions import ERF
from gibbs.dynamics.fused.lanes import PANEL
from gibbs.dynamics.fused.meeting import begin, end, next_index
from gibbs.dynamics.fused.normals import normals

__all__ = [
    "BLOCK",
    "apply_layer",
    "descend",
    "forward",
    "keep",
    "layer_gradient",
    "n_groups",
    "pull_back",
    "quads",
    "respond",
    "shake",
    "squares",
    "tangent",
]

BLOCK = 2**14
"""Bytes of the activations of a block of samples: they and their gradients are in the cache."""

MAX_GROUPS = 64
"""Groups of panels, at most, whose sums are kept apart: as many threads can share a pass."""

SOURCE = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()
"""Compiled code is kept under it, so that it is compiled again after any change in this package."""


def _kept(function: Any) -> Any:
    """Compile a pass, and keep the code for the next process under a name that holds the source."""
    function.__qualname__ += f"-{SOURCE[:16]}"
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no folder that can be written
        return njit(nogil=True)(function)


def quads(length: int) -> int:
    """Blocks of 4 that hold this many."""
    return -(-length // QUAD)


def n_groups(n_panels: int) -> int:
    """Groups of panels whose sums are kept apart."""
    return -(-n_panels // -(-n_panels // MAX_GROUPS))


_quads = njit(nogil=True)(quads)


@njit(nogil=True)
def _pre_activations(values, v, x, i, m, theta, panel):
    """Write x . u of samples i to i + m and the neurons of a panel to values[v:]."""
    d = x.shape[1]
    rows = theta.shape[1]
    product(values, v, m, x, i * d, d, 1, theta, (panel * rows + rows - d) * PANEL, d, False)


@njit(nogil=True)
def _add_means(sums, group, i, m, n_columns, values, v, lead, a, add):
    """Add the sums over a panel of values[v:] times the lead at a, for samples i to i + m."""
    for k in range(_quads(m)):
        for c in range(n_columns):
            block = (group + i // QUAD + k) * n_columns + c
            row, column = v + k * QUAD * PANEL, a + c * QUAD * PANEL
            contract(sums, block * QUAD * QUAD, values, row, lead, column, add)


@_kept
def forward(numbers, work, leads, activation, x, theta, lead, width, kept, sums):
    """Sum sigma(x_i . u) times the first `width` rows of the lead over groups of panels.

    Those of a group are blocks of 4 samples by 4 coordinates, which :func:`respond` puts in order.
    """
    n, n_panels = len(x), len(theta)
    per_group = -(-n_panels // MAX_GROUPS)
    block = BLOCK // (PANEL * theta.itemsize)
    begin(numbers, leads)
    while True:
        group = next_index(numbers)
        first = group * per_group
        if first >= n_panels:
            break
        for panel in range(first, min(n_panels, first + per_group)):
            for i in range(0, n, block):
                m = min(block, n - i)
                values, v = work, 0
                if len(kept) > 0:
                    values, v = kept, (panel * _quads(n) * QUAD + i) * PANEL
                _pre_activations(values, v, x, i, m, theta, panel)
                activate(activation, values, v, values, v, m * PANEL)
                a = panel * lead.shape[1] * PANEL
                start = group * _quads(n)
                _add_means(sums, start, i, m, _quads(width), values, v, lead, a, panel > first)
    end(numbers, leads)


@_kept
def keep(numbers, work, leads, activation, x, theta, kept):
    """Write the activations of all panels to `kept`, where :func:`forward` writes them."""
    n, n_panels = len(x), len(theta)
    begin(numbers, leads)
    while True:
        panel = next_index(numbers)
        if panel >= n_panels:
            break
        v = panel * _quads(n) * QUAD * PANEL
        _pre_activations(kept, v, x, 0, n, theta, panel)
        activate(activation, kept, v, kept, v, n * PANEL)
    end(numbers, leads)


@njit(nogil=True)
def _recall(work, activation, x, i, m, theta, panel, kept):
    """Activations of samples i to i + m and the neurons of a panel: an array, and where in it.

    They are those kept, or computed again; of erf, whose slope is a function of the
    pre-activations, it is the pre-activations.
    """
    if len(kept) > 0:
        return kept, (panel * _quads(len(x)) * QUAD + i) * PANEL
    _pre_activations(work, 0, x, i, m, theta, panel)
    if activation != ERF:
        activate(activation, work, 0, work, 0, m * PANEL)
    return work, 0


@njit(nogil=True)
def _gradient(work, activation, x, theta, panel, lead, slopes, force, kept):
    r"""Write the data part of grad V of a panel to the work array; return where it begins.

    .. math:: \nabla_b V = \tau_R'(b) \odot \sum_i \sigma(u \cdot x_i) P_i, \qquad
        \nabla_u V = \sum_i (\tau_R(b) \cdot P_i)\, \sigma'(u \cdot x_i)\, x_i,

    with P the force. `slopes` (panels, r, 64) holds tau_R'(b), or is of length 0.
    """
    (n, d), r = x.shape, force.shape[1]
    block = BLOCK // (PANEL * theta.itemsize)
    delta, g = block * PANEL, 2 * block * PANEL
    a = panel * lead.shape[1] * PANEL
    for i in range(0, n, block):
        m = min(block, n - i)
        values, v = _recall(work, activation, x, i, m, theta, panel, kept)
        product(work, delta, m, force, i * r, r, 1, lead, a, r, False)
        times_slope(activation, work, delta, values, v, m * PANEL)
        if activation == ERF:
            activate(activation, values, v, values, v, m * PANEL)
        product(work, g, r, force, i * r, 1, r, values, v, m, i > 0)
        product(work, g + r * PANEL, d, x, i * d, 1, d, work, delta, m, i > 0)
    if len(slopes) > 0:
        _times_slopes(work, g, slopes, panel)
    return g


@njit(nogil=True)
def _times_slopes(work, g, slopes, panel):
    for k in range(slopes.shape[1]):
        for j in range(PANEL):
            work[g + k * PANEL + j] *= slopes[panel, k, j]


@_kept
def descend(
    numbers,
    work,
    leads,
    activation,
    x,
    theta,
    n_last,
    lead,
    slopes,
    force,
    kept,
    rate,
    eta,
    scale,
    seed,
    step,
):
    """Move every panel by theta <- rate theta - eta gradient + scale xi (Eq. 20).

    The last panel has `n_last` neurons; the columns after them stay 0.
    """
    n_panels, rows = theta.shape[:2]
    begin(numbers, leads)
    while True:
        panel = n_panels - 1 - next_index(numbers)  # the last ones are in the cache
        if panel < 0:
            break
        g = _gradient(work, activation, x, theta, panel, lead, slopes, force, kept)
        xi = g + rows * PANEL
        if scale == 0:
            work[xi : xi + PANEL] = 0
        for k in range(rows):
            if scale > 0:
                normals(work, xi, seed, step, panel, k)
            t = (panel * rows + k) * PANEL
            move(theta, t, work, g + k * PANEL, work, xi, rate, eta, scale)
            if panel == n_panels - 1:
                theta[panel, k, n_last:] = 0
    end(numbers, leads)


@_kept
def shake(numbers, work, leads, theta, n_last, scale, seed, step):
    """Move every panel by scale xi, with the xi that :func:`descend` has at this step."""
    n_panels, rows = theta.shape[:2]
    one, zero = work.dtype.type(1), work.dtype.type(0)
    begin(numbers, leads)
    while True:
        panel = next_index(numbers)
        if panel >= n_panels:
            break
        for k in range(rows):
            normals(work, 0, seed, step, panel, k)
            t = (panel * rows + k) * PANEL
            move(theta, t, work, 0, work, 0, one, zero, scale)
            if panel == n_panels - 1:
                theta[panel, k, n_last:] = 0
    end(numbers, leads)


@_kept
def squares(
    numbers, work, leads, activation, x, theta, n_last, lead, slopes, force, kept, decay, totals
):
    """Write the sum of |grad V|^2 over the neurons of each panel to `totals` (panels,)."""
    n_panels, rows = theta.shape[:2]
    begin(numbers, leads)
    while True:
        panel = next_index(numbers)
        if panel >= n_panels:
            break
        g = _gradient(work, activation, x, theta, panel, lead, slopes, force, kept)
        total = 0.0
        for k in range(rows):
            for j in range(n_last if panel == n_panels - 1 else PANEL):
                value = np.float64(decay * theta[panel, k, j] + work[g + k * PANEL + j])
                total += value * value
        totals[panel] = total
    end(numbers, leads)


@_kept
def tangent(numbers, work, leads, activation, x, theta, n_last, lead, slopes, force, kept, sums):
    r"""Sums over groups of panels of the change of the features along the descent of a force.

    That is, with (g_b, g_u) the gradient of :func:`_gradient`,

    .. math:: (\tau_R'(b) \odot g_b)\, \sigma(u \cdot x_i)
        + \tau_R(b)\, \sigma'(u \cdot x_i)\, (g_u \cdot x_i),

    in the blocks of :func:`forward`; see `gibbs.dynamics.curvature.apply_tangent_kernel`.
    """
    (n, d), r = x.shape, force.shape[1]
    n_panels = len(theta)
    per_group = -(-n_panels // MAX_GROUPS)
    block = BLOCK // (PANEL * theta.itemsize)
    delta = block * PANEL
    begin(numbers, leads)
    while True:
        group = next_index(numbers)
        first = group * per_group
        if first >= n_panels:
            break
        for panel in range(first, min(n_panels, first + per_group)):
            g = _gradient(work, activation, x, theta, panel, lead, slopes, force, kept)
            if len(slopes) > 0:
                _times_slopes(work, g, slopes, panel)
            if panel == n_panels - 1:
                for k in range(r):
                    work[g + k * PANEL + n_last : g + (k + 1) * PANEL] = 0
            for i in range(0, n, block):
                m = min(block, n - i)
                values, v = _recall(work, activation, x, i, m, theta, panel, kept)
                product(work, delta, m, x, i * d, d, 1, work, g + r * PANEL, d, False)
                times_slope(activation, work, delta, values, v, m * PANEL)
                if activation == ERF:
                    activate(activation, values, v, values, v, m * PANEL)
                start, a = group * _quads(n), panel * lead.shape[1] * PANEL
                _add_means(sums, start, i, m, _quads(r), values, v, work, g, panel > first)
                _add_means(sums, start, i, m, _quads(r), work, delta, lead, a, True)
    end(numbers, leads)


@njit(nogil=True)
def _collect(sums, count, means):
    """Add up the groups, in their order, and divide by the number of neurons: (n, width)."""
    n, width = means.shape
    n_columns = _quads(width)
    size = _quads(n) * n_columns * QUAD * QUAD
    total = sums[:size]
    for k in range(1, len(sums) // size):
        total += sums[k * size : (k + 1) * size]
    for i in range(n):
        for c in range(width):
            block = i // QUAD * n_columns + c // QUAD
            means[i, c] = total[(block * QUAD + i % QUAD) * QUAD + c % QUAD] / count


@njit(nogil=True)
def _apply_layer(features, w, gamma, outputs):
    """Outputs Z = gamma H W (Eq. 3), (n, q), of the first r columns of the features."""
    for i in range(len(features)):
        for k in range(w.shape[1]):
            total = features.dtype.type(0)
            for c in range(len(w)):
                total += features[i, c] * w[c, k]
            outputs[i, k] = gamma * total


@njit(nogil=True)
def _pull_back(residual, w, gamma, force):
    """Gradient in the features (gamma/n) r W^T, (n, r), the force of a residual (n, q)."""
    n = len(residual)
    scale = gamma / residual.dtype.type(n)
    for i in range(n):
        for c in range(len(w)):
            total = residual.dtype.type(0)
            for k in range(w.shape[1]):
                total += residual[i, k] * w[c, k]
            force[i, c] = scale * total


@_kept
def respond(sums, count, w, gamma, y, weight, means, outputs, residual, force):
    """From the sums of :func:`forward` to features, outputs, residual and force.

    The residual is s_i (Z_i - Y_i), with the weights s of the samples, 1 where there is none.
    """
    _collect(sums, count, means)
    _apply_layer(means, w, gamma, outputs)
    for i in range(len(y)):
        for k in range(y.shape[1]):
            residual[i, k] = outputs[i, k] - y[i, k]
            if len(weight) > 0:
                residual[i, k] *= weight[i]
    _pull_back(residual, w, gamma, force)


@_kept
def pull_back(residual, w, gamma, force):
    """The force of a residual, as in :func:`respond`."""
    _pull_back(residual, w, gamma, force)


@_kept
def apply_layer(sums, count, w, gamma, means, outputs):
    """From the sums of :func:`tangent` to the change of features and outputs."""
    _collect(sums, count, means)
    _apply_layer(means, w, gamma, outputs)


@_kept
def layer_gradient(features, residual, w, gamma, lambda_w, gradient):
    """Gradient of Eq. 4 in W, (gamma/n) H^T r + lambda_w W, (r, q), summed sample by sample."""
    n = len(features)
    gradient[:] = 0
    for i in range(n):
        for c in range(len(w)):
            for k in range(w.shape[1]):
                gradient[c, k] += features[i, c] * residual[i, k]
    scale = gamma / features.dtype.type(n)
    for c in range(len(w)):
        for k in range(w.shape[1]):
            gradient[c, k] = scale * gradient[c, k] + lambda_w * w[c, k]
