"""Elementary functions of vectors, built of additions, products and quotients alone.

Those of a processor's libraries differ in their last digits from machine to machine; these do not.
Errors are absolute unless it says otherwise, in units of the round-off of the dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gibbs.dynamics.fused.lanes import Lanes, is_single

__all__ = ["ERF", "SLOPES", "VALUES", "log", "sine_and_cosine"]

LIMIT = {True: 87.0, False: 708.0}
"""Beyond it e^z leaves the range of the dtype."""

MANTISSA = {True: 23, False: 52}
"""Bits of the mantissa."""


def _polynomial(x: Lanes, coefficients: Sequence[float]) -> Lanes:
    """Sum of coefficients[k] x^k, by Horner's rule."""
    total = x.like(coefficients[-1])
    for value in coefficients[-2::-1]:
        total = total.times_plus(x, value)
    return total


def _rounded(x: Lanes, factor: float) -> tuple[Lanes, Lanes]:
    """The nearest whole number to factor x: as a float, and in the low bits of the second.

    A float of size 1.5 2^m, m the bits of its mantissa, has no digits after the point.
    """
    large = 1.5 * 2.0 ** MANTISSA[is_single(x)]
    moved = x.times_plus(factor, large)
    return moved - large, moved.bits()


EXPONENTIAL = {
    True: (1.0, 0.5, 0.1666650519575811, 0.0416664649252859, 0.0083691556676974, 0.00139336499963),
    False: tuple(1 / math.factorial(j + 1) for j in range(13)),
}
"""(e^f - 1) / f for |f| <= ln(2)/2 as a polynomial in f. In float32 it interpolates at points of
Chebyshev (computed with 50 digits), with an error of 1.1e-8; in float64 it is Taylor's."""


def _exponential(z: Lanes, sign: int = 1) -> tuple[Lanes, Lanes]:
    """Two vectors with e^(sign z) = scale (1 + rest), scale a power of 2, rest from -0.3 to 0.42.

    With k the nearest whole number to sign z / ln 2, scale = 2^k and rest = e^f - 1 for
    f = sign z - k ln 2. z is cut to where e^z is in range. The rounding of ln 2 has a share of
    k / 8 units of round-off in the relative error, which is nothing where a function is flat.
    """
    single = is_single(z)
    z = z.at_least(-LIMIT[single]).at_most(LIMIT[single])
    k, bits = _rounded(z, sign / math.log(2))
    f = k.times_plus(-sign * math.log(2), z)  # times the sign
    series = [sign ** (j + 1) * value for j, value in enumerate(EXPONENTIAL[single])]
    scale = ((bits << MANTISSA[single]) + z.like(1.0).bits()).viewed(z.type)
    return scale, f * _polynomial(f, series)


def _exp(z: Lanes, sign: int = 1) -> Lanes:
    scale, rest = _exponential(z, sign)
    return scale.times_plus(rest, scale)


def _expm1(z: Lanes) -> Lanes:
    """e^z - 1, with a small relative error also for small z."""
    scale, rest = _exponential(z)
    return scale.times_plus(rest, scale - 1.0)


def _sigmoid(z: Lanes) -> Lanes:
    return 1.0 / (_exp(z, -1) + 1.0)


def _tanh(z: Lanes) -> Lanes:
    """(e^2z - 1) / (e^2z + 1), with a small relative error also for small z."""
    e = _expm1(2.0 * z.at_least(-20.0).at_most(20.0))
    return e / (e + 2.0)


def _relu(z: Lanes) -> Lanes:
    return z.at_least(0.0)


def _softplus(z: Lanes) -> Lanes:
    """max(z, 0) + log(1 + y), y = e^-|z|, with log(1 + y) = 2 artanh(y / (2 + y))."""
    y = _exp(-z.abs())
    s = y / (y + 2.0)
    terms = 9 if is_single(z) else 17
    series = _polynomial(s * s, [2 / (2 * k + 1) for k in range(terms)])
    return s.times_plus(series, z.at_least(0.0))


ERFCX = (
    0.20531371419116928,
    0.15529869480353645,
    0.05076019140462129,
    0.013207468697946756,
    0.0026255421566027943,
    0.00035921672352782233,
    2.2018096704580905e-05,
    -2.649670084617933e-06,
    -6.366940843350312e-07,
    2.9889648131359787e-09,
    1.337002642063764e-08,
    3.8353833991009146e-10,
    -2.872644922735084e-10,
    -9.399015907305637e-12,
)
"""e^(z^2) erfc(z) for 1 <= z <= 6.2 as a polynomial in t, which runs over -1..1 while 3 / (3 + z)
runs over 15/46..3/4: interpolation at the Chebyshev points, computed with 50 digits. Its error in
erfc is 4e-16."""


def _erf(z: Lanes) -> Lanes:
    """Taylor's series for |z| <= 1, 1 - erfc beyond."""
    size = z.abs().at_most(6.2)
    square = size * size
    terms = 10 if is_single(z) else 19
    taylor = [
        2 / math.sqrt(math.pi) * (-1) ** k / (math.factorial(k) * (2 * k + 1)) for k in range(terms)
    ]
    inner = z * _polynomial(square, taylor)
    low, high = 15 / 46, 3 / 4
    t = (3.0 / (size + 3.0)).times_plus(2 / (high - low), -(high + low) / (high - low))
    outer = 1.0 - _exp(-square) * _polynomial(t, ERFCX)
    small = z.builder.fcmp_unordered("<", size.value, size.like(1.0).value)
    return inner.where(small, outer.copysign(z))


def _erf_slope(z: Lanes) -> Lanes:
    return _exp(-(z * z)) * (2 / math.sqrt(math.pi))


def _relu_slope(s: Lanes) -> Lanes:
    positive = s.builder.fcmp_unordered(">", s.value, s.like(0.0).value)
    return s.like(1.0).where(positive, 0.0)


VALUES: dict[str, Callable[[Lanes], Lanes]] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "erf": _erf,
    "softplus": _softplus,
    "relu": _relu,
}
"""sigma(z) of the activations."""

SLOPES: dict[str, Callable[[Lanes], Lanes]] = {
    "sigmoid": lambda s: s - s * s,
    "tanh": lambda s: 1.0 - s * s,
    "erf": _erf_slope,
    "softplus": lambda s: -_expm1(-s),
    "relu": _relu_slope,
}
"""sigma'(z), given the values s = sigma(z); that of erf is given z."""

ERF = list(VALUES).index("erf")


def log(u: Lanes) -> Lanes:
    """Logarithm of normal numbers > 0.

    u = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 artanh s for s = (m - 1)/(m + 1).
    """
    single = is_single(u)
    bits, shift = u.bits(), MANTISSA[single]
    k = (bits - (0x3F3504F3 if single else 0x3FE6A09E667F3BCD)).signed_rshift(shift)
    m = (bits - (k << shift)).viewed(u.type)
    large = 1.5 * 2.0**shift
    exponent = (k + u.like(large).bits()).viewed(u.type) - large
    s = (m - 1.0) / (m + 1.0)
    terms = 5 if single else 11
    series = _polynomial(s * s, [2 / (2 * j + 1) for j in range(terms)])
    return exponent.times_plus(math.log(2), s * series)


def sine_and_cosine(t: Lanes) -> tuple[Lanes, Lanes]:
    """Sine and cosine of 2 pi t for |t| <= 1/2, by Taylor's series within an eighth of a turn."""
    single = is_single(t)
    quarters, bits = _rounded(t, 4.0)
    f = quarters.times_plus(-0.25, t)
    turn, terms = 2 * math.pi, 5 if single else 10
    sines = [(-1) ** j * turn ** (2 * j + 1) / math.factorial(2 * j + 1) for j in range(terms)]
    cosines = [(-1) ** j * turn ** (2 * j) / math.factorial(2 * j) for j in range(terms + 1)]
    sine, cosine = f * _polynomial(f * f, sines), _polynomial(f * f, cosines)
    builder = t.builder
    odd = builder.icmp_signed("!=", (bits & 1).value, bits.like(0).value)
    top = 30 if single else 62
    flips = ((bits & 2) << top), (((bits + 1) & 2) << top)
    turned = cosine.where(odd, sine), sine.where(odd, cosine)
    sine, cosine = ((v.bits() ^ flip).viewed(t.type) for v, flip in zip(turned, flips, strict=True))
    return sine, cosine
