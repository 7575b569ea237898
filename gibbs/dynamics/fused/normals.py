"""Standard normals that are a function of seed, step, panel, row and neuron.

Which thread asks for them, when, and in which order has no influence: no state is carried from one
number to the next. The words are Philox 4x32 with ten rounds (J. Salmon, M. Moraes, R. Dror,
D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the normals Box and Muller's.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gibbs.dynamics.fused.functions import log, sine_and_cosine
from gibbs.dynamics.fused.lanes import I32, I64, Lanes, pointer, spread, store

__all__ = ["normals", "philox"]

N_ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
STRIDES = (0x9E3779B9, 0xBB67AE85)

WORDS = ir.VectorType(I32, 16)
PAIRS = ir.VectorType(I64, 8)


def _full_product(word: Lanes, factor: int) -> tuple[Lanes, Lanes]:
    """High and low words of a product of 32-bit words: that of even and of odd lanes apart."""
    low, high = 0xFFFFFFFF, 0xFFFFFFFF00000000
    pairs = word.viewed(PAIRS)
    even, odd = (pairs & low) * factor, (pairs >> 32) * factor
    upper = (even >> 32) | (odd & high)
    lower = (even & low) | (odd << 32)
    return upper.viewed(WORDS), lower.viewed(WORDS)


def philox(counter: list[Lanes], key: list[Lanes]) -> list[Lanes]:
    """Four words a lane, from four of a counter and two of a key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(N_ROUNDS):
        (high0, low0), (high1, low1) = (
            _full_product(word, factor) for word, factor in zip((c0, c2), MULTIPLIERS, strict=True)
        )
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + STRIDES[0], k1 + STRIDES[1]
    return [c0, c1, c2, c3]


def _uniforms(words: list[Lanes], element: ir.Type) -> list[tuple[Lanes, Lanes]]:
    """Pairs of u in (0, 1] and t in [-1/2, 1/2], independent and uniform.

    In float32 one word each: u = (k + 1/2) 2^-31. In float64 two: 52 bits.
    """
    kind = ir.VectorType(element, 16)
    if element == ir.FloatType():
        return [
            (
                (one >> 1).converted(kind).times_plus(2.0**-31, 2.0**-32),
                other.converted(kind) * 2.0**-32,
            )
            for one, other in (words[:2], words[2:])
        ]
    one, other = (_joined(pair, kind) for pair in (words[:2], words[2:]))
    return [(2.0 - one, other - 1.5)]


def _joined(words: list[Lanes], kind: ir.VectorType) -> Lanes:
    """Two words a lane as a number in [1, 2), of which they are the mantissa."""
    builder, wide = words[0].builder, ir.VectorType(I64, 16)
    high, low = (Lanes(builder, builder.zext(word.value, wide)) for word in words)
    return ((((high << 32) | low) >> 12) | 0x3FF0000000000000).viewed(kind)


@intrinsic
def normals(_typing, out, o, seed, step, panel, row):
    """Write the 64 standard normals of this row of a panel at this step to out[o:].

    Two normals are (-2 log u)^(1/2) times cosine and sine of 2 pi t. Their size is at most 6.7 in
    float32 and 8.5 in float64, which 2e-11 and 2e-17 of all normals exceed.
    """

    def write(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        out, o, *numbers = arguments
        element = context.get_value_type(signature.args[0].dtype)
        outs = pointer(context, b, signature.args[0], out, o)

        def word(number: ir.Value, shift: int = 0) -> Lanes:
            return spread(b, b.trunc(b.lshr(number, I64(shift)), I32), WORDS)

        seed, step, panel, row = numbers
        key = [word(seed), word(seed, 32)]
        place = 0
        for call in range(1 if element == ir.FloatType() else 2):
            lane = Lanes(b, ir.Constant(WORDS, [16 * call + k for k in range(16)]))
            words = philox([lane, word(row), word(panel), word(step)], key)
            for u, t in _uniforms(words, element):
                radius = (log(u) * -2.0).sqrt()
                for turn in sine_and_cosine(t):
                    store(radius * turn, b.gep(outs, [o.type(place)]))
                    place += 16
        return context.get_dummy_value()

    return types.void(out, types.intp, *[types.uint64] * 4), write
