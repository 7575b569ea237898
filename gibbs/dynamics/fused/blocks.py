"""Products of a panel of 64 neurons, written in vector instructions.

All arrays are flat; an argument after an array is the element that a block of it begins at. A block
of the cloud has one row a coordinate and one column a neuron, 64 in all.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from gibbs.dynamics.fused.functions import SLOPES, VALUES
from gibbs.dynamics.fused.lanes import (
    I32,
    PANEL,
    Lanes,
    filled,
    load,
    pointer,
    registers,
    shuffle,
    spread,
    store,
    vector_type,
)

__all__ = ["QUAD", "activate", "contract", "move", "product", "times_slope"]

QUAD = 4
"""Rows, and columns, that one block of a product handles at a time."""


def _product_of(n_rows: int) -> Any:
    """`product` for this number of rows, all sums in registers."""

    @intrinsic
    def block(_typing, out, o, left, at, row, step, right, r, depth, add):
        places = (out, types.intp, left, *[types.intp] * 3, right, types.intp, types.intp)

        def write(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            out, o, left, at, row, step, right, r, depth, add = arguments
            kind = vector_type(signature.args[0].dtype)
            n_side = min(registers(), PANEL // kind.count)
            whole = depth.type
            outs = pointer(context, b, signature.args[0], out, o)
            lefts = pointer(context, b, signature.args[2], left, at)
            rights = pointer(context, b, signature.args[6], right, r)
            cells = [(m, c) for m in range(n_rows) for c in range(n_side)]
            sums = {cell: cgutils.alloca_once(b, kind) for cell in cells}
            heads = [b.gep(lefts, [b.mul(whole(m), row)]) for m in range(n_rows)]
            n_groups = PANEL // kind.count // n_side
            with cgutils.for_range(b, whole(n_groups)) as group:
                first = b.mul(group.index, whole(n_side * kind.count))
                spots = {
                    (m, c): b.gep(outs, [b.add(first, whole(m * PANEL + c * kind.count))])
                    for m, c in cells
                }
                with b.if_else(add) as (goes_on, begins):
                    with goes_on:
                        for cell in cells:
                            b.store(load(b, spots[cell], kind).value, sums[cell])
                    with begins:
                        for cell in cells:
                            b.store(filled(kind, 0.0), sums[cell])
                with cgutils.for_range(b, depth) as loop:
                    start = b.add(first, b.mul(loop.index, whole(PANEL)))
                    side = [
                        load(b, b.gep(rights, [b.add(start, whole(c * kind.count))]), kind)
                        for c in range(n_side)
                    ]
                    ahead = b.mul(loop.index, step)
                    for m in range(n_rows):
                        factor = spread(b, b.load(b.gep(heads[m], [ahead])), kind)
                        for c in range(n_side):
                            total = Lanes(b, b.load(sums[m, c]))
                            b.store(factor.times_plus(side[c], total).value, sums[m, c])
                for cell in cells:
                    store(Lanes(b, b.load(sums[cell])), spots[cell])
            return context.get_dummy_value()

        return types.void(*places, types.boolean), write

    return block


_product_of_4, _product_of_2, _product_of_1 = (_product_of(m) for m in (4, 2, 1))


@njit(nogil=True)
def product(out, o, n_rows, left, at, row, step, right, r, depth, add):
    """Product of a small matrix, with any strides, and a block of a panel, added with `add`.

    out[o + 64 m + j] = sum over k < depth of left[at + m row + k step] right[r + 64 k + j],
    for m < n_rows and all j < 64, summed in the order of k.
    """
    m = 0
    while m + 4 <= n_rows:
        _product_of_4(out, o + m * PANEL, left, at + m * row, row, step, right, r, depth, add)
        m += 4
    if m + 2 <= n_rows:
        _product_of_2(out, o + m * PANEL, left, at + m * row, row, step, right, r, depth, add)
        m += 2
    if m < n_rows:
        _product_of_1(out, o + m * PANEL, left, at + m * row, row, step, right, r, depth, add)


def _fold(vectors: list[Lanes]) -> tuple[Lanes, list[int]]:
    """Sum each of as many vectors as they have lanes; also, which lane has the sum of which.

    Two vectors are folded into one: it holds, of each, the sums of two halves. So every sum is
    taken along the same tree.
    """
    count = half = vectors[0].type.count
    owners = [[k] * count for k in range(count)]
    while len(vectors) > 1:
        half //= 2
        low = [i for i in range(2 * count) if i % count // half % 2 == 0]
        high = [i + half for i in low]
        pairs = range(len(vectors) // 2)
        other = len(pairs)
        owners = [[(owners[k] + owners[k + other])[i] for i in low] for k in pairs]
        vectors = [
            shuffle(vectors[k], vectors[k + other], low)
            + shuffle(vectors[k], vectors[k + other], high)
            for k in pairs
        ]
    return vectors[0], owners[0]


@intrinsic
def contract(_typing, out, o, values, v, lead, a, add):
    """Sums over the neurons of a panel, for 4 samples and 4 coordinates, added with `add`.

    out[o + 4 m + c] = sum over j < 64 of values[v + 64 m + j] lead[a + 64 c + j].
    """

    def write(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        out, o, values, v, lead, a, add = arguments
        kind = vector_type(signature.args[0].dtype)
        outs = pointer(context, b, signature.args[0], out, o)
        rows = pointer(context, b, signature.args[2], values, v)
        columns = pointer(context, b, signature.args[4], lead, a)
        totals: list[Lanes | None] = [None] * (QUAD * QUAD)
        for j in range(0, PANEL, kind.count):
            leads = [load(b, b.gep(columns, [o.type(c * PANEL + j)]), kind) for c in range(QUAD)]
            for m in range(QUAD):
                value = load(b, b.gep(rows, [o.type(m * PANEL + j)]), kind)
                for c in range(QUAD):
                    before = totals[QUAD * m + c]
                    totals[QUAD * m + c] = (
                        value * leads[c] if before is None else value.times_plus(leads[c], before)
                    )
        for k in range(0, QUAD * QUAD, kind.count):
            vectors = [total for total in totals[k : k + kind.count] if total is not None]
            total, owners = _fold(vectors)
            total = shuffle(total, total, [owners.index(i) for i in range(kind.count)])
            place = b.gep(outs, [o.type(k)])
            kept = load(b, place, kind)
            zero = kept.like(0.0)
            wanted = b.insert_element(
                ir.Constant(ir.VectorType(ir.IntType(1), kind.count), ir.Undefined), add, I32(0)
            )
            everywhere = b.shuffle_vector(wanted, wanted, filled(ir.VectorType(I32, kind.count), 0))
            store(total + kept.where(everywhere, zero), place)
        return context.get_dummy_value()

    places = (out, types.intp, values, types.intp, lead, types.intp, types.boolean)
    return types.void(*places), write


def _for_each(functions: Any, multiplies: bool) -> Any:
    """A function of numbered functions, applied to elements of a flat array."""

    @intrinsic
    def apply(_typing, number, out, o, values, v, count):
        def write(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
            number, out, o, values, v, count = arguments
            kind = vector_type(signature.args[1].dtype)
            outs = pointer(context, b, signature.args[1], out, o)
            sources = pointer(context, b, signature.args[3], values, v)
            for k, function in enumerate(functions):
                asked = b.icmp_signed("==", number, number.type(k))
                width = count.type(kind.count)
                with (
                    b.if_then(asked),
                    cgutils.for_range_slice(b, count.type(0), count, width) as (j, _),
                ):
                    place = b.gep(outs, [j])
                    result = function(load(b, b.gep(sources, [j]), kind))
                    if multiplies:
                        result = load(b, place, kind) * result
                    store(result, place)
            return context.get_dummy_value()

        places = (types.intp, out, types.intp, values, types.intp, types.intp)
        return types.void(*places), write

    return apply


activate = _for_each(VALUES.values(), multiplies=False)
"""activate(number, out, o, z, v, count): out = sigma(z), sigma the activation of this number."""

times_slope = _for_each(SLOPES.values(), multiplies=True)
"""times_slope(number, out, o, s, v, count): out *= sigma', from the values s = sigma(z)."""


@intrinsic
def move(_typing, theta, t, gradient, g, noise, z, rate, eta, scale):
    """Move a row of a panel: theta <- rate theta + (scale noise - eta gradient) (Eq. 20)."""

    def write(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        theta, t, gradient, g, noise, z, *factors = arguments
        kind = vector_type(signature.args[0].dtype)
        rate, eta, scale = (spread(b, factor, kind) for factor in factors)
        thetas = pointer(context, b, signature.args[0], theta, t)
        gradients = pointer(context, b, signature.args[2], gradient, g)
        noises = pointer(context, b, signature.args[4], noise, z)
        for j in range(0, PANEL, kind.count):
            place = b.gep(thetas, [t.type(j)])
            kick = scale * load(b, b.gep(noises, [t.type(j)]), kind)
            change = (-eta).times_plus(load(b, b.gep(gradients, [t.type(j)]), kind), kick)
            store(rate.times_plus(load(b, place, kind), change), place)
        return context.get_dummy_value()

    dtype = theta.dtype
    places = (theta, types.intp, gradient, types.intp, noise, types.intp, dtype, dtype, dtype)
    return types.void(*places), write
