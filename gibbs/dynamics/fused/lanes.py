"""Vectors of 64 bytes, as they are handled while the code of a kernel is being written.

numba has no vectors. Here Python writes the vector code: a :class:`Lanes` stands for the lanes that
an instruction works on, and an operator between two of them adds that instruction to the kernel.
Every instruction is an addition, product, quotient, root or fused multiply-add as IEEE 754 defines
it, lane by lane. So the numbers that come out do not depend on how many lanes the processor takes
at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, config, types

__all__ = [
    "BYTES",
    "I32",
    "I64",
    "PANEL",
    "Lanes",
    "filled",
    "is_single",
    "load",
    "pointer",
    "registers",
    "shuffle",
    "spread",
    "store",
    "vector_type",
]

PANEL = 64
"""Neurons of a panel: one row of it is a few vectors."""

BYTES = 64
"""Bytes of a vector: one register with AVX-512, two with AVX2, four on ARM."""

I32, I64 = ir.IntType(32), ir.IntType(64)


def registers() -> int:
    """Vectors side by side in a product: 4 where the processor has 32 registers of 64 bytes.

    It decides the speed, not the numbers.
    """
    asked = config.CPU_FEATURES
    if asked is not None:
        return 4 if "+avx512f" in asked else 1
    if config.CPU_NAME not in (None, "host"):
        return 1
    return 4 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 1


class Lanes:
    """One vector value of a kernel, with the operators of floating-point or whole numbers."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder = builder
        self.value = value

    @property
    def type(self) -> ir.VectorType:
        """Element type and number of lanes."""
        return self.value.type

    def like(self, number: Lanes | float) -> Lanes:
        """The number in every lane; a vector passes through."""
        if isinstance(number, Lanes):
            return number
        return Lanes(self.builder, filled(self.type, number))

    def _with(self, names: tuple[str, str], left: Lanes | float, right: Lanes | float) -> Lanes:
        name = names[0 if isinstance(self.type.element, ir.IntType) else 1]
        make = getattr(self.builder, name)
        return Lanes(self.builder, make(self.like(left).value, self.like(right).value))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._with(("add", "fadd"), self, other)

    def __radd__(self, other: float) -> Lanes:
        return self + other

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._with(("sub", "fsub"), self, other)

    def __rsub__(self, other: float) -> Lanes:
        return self._with(("sub", "fsub"), other, self)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._with(("mul", "fmul"), self, other)

    def __rmul__(self, other: float) -> Lanes:
        return self * other

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return Lanes(self.builder, self.builder.fdiv(self.value, self.like(other).value))

    def __rtruediv__(self, other: float) -> Lanes:
        return self.like(other) / self

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __xor__(self, other: Lanes) -> Lanes:
        return Lanes(self.builder, self.builder.xor(self.value, other.value))

    def __or__(self, other: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.or_(self.value, self.like(other).value))

    def __and__(self, other: Lanes | int) -> Lanes:
        return Lanes(self.builder, self.builder.and_(self.value, self.like(other).value))

    def __lshift__(self, bits: int) -> Lanes:
        return Lanes(self.builder, self.builder.shl(self.value, self.like(bits).value))

    def __rshift__(self, bits: int) -> Lanes:
        """Bits from the left are 0."""
        return Lanes(self.builder, self.builder.lshr(self.value, self.like(bits).value))

    def signed_rshift(self, bits: int) -> Lanes:
        """Bits from the left are those of the sign."""
        return Lanes(self.builder, self.builder.ashr(self.value, self.like(bits).value))

    def times_plus(self, factor: Lanes | float, summand: Lanes | float) -> Lanes:
        """Product and sum with one rounding."""
        return self._call("fma", self, self.like(factor), self.like(summand))

    def sqrt(self) -> Lanes:
        """Square root."""
        return self._call("sqrt", self)

    def abs(self) -> Lanes:
        """Absolute value."""
        return self._call("fabs", self)

    def copysign(self, sign: Lanes) -> Lanes:
        """Its size with the sign of another."""
        return self._call("copysign", self, sign)

    def _call(self, name: str, *arguments: Lanes) -> Lanes:
        suffix = f"v{self.type.count}f{32 if is_single(self) else 64}"
        signature = ir.FunctionType(self.type, [self.type] * len(arguments))
        function = cgutils.get_or_insert_function(
            self.builder.module, signature, f"llvm.{name}.{suffix}"
        )
        return Lanes(self.builder, self.builder.call(function, [a.value for a in arguments]))

    def at_least(self, low: float) -> Lanes:
        """The larger one; NaN stays NaN."""
        other = self.like(low)
        return other.where(self.builder.fcmp_ordered(">", other.value, self.value), self)

    def at_most(self, high: float) -> Lanes:
        """The smaller one; NaN stays NaN."""
        other = self.like(high)
        return other.where(self.builder.fcmp_ordered("<", other.value, self.value), self)

    def where(self, condition: ir.Value, other: Lanes | float) -> Lanes:
        """These lanes where the condition holds, those of the other elsewhere."""
        chosen = self.builder.select(condition, self.value, self.like(other).value)
        return Lanes(self.builder, chosen)

    def bits(self) -> Lanes:
        """The bits of floating-point numbers, as whole numbers of that size."""
        kind = ir.VectorType(I32 if is_single(self) else I64, self.type.count)
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))

    def viewed(self, kind: ir.VectorType) -> Lanes:
        """The same bits as lanes of another type."""
        return Lanes(self.builder, self.builder.bitcast(self.value, kind))

    def converted(self, kind: ir.VectorType) -> Lanes:
        """Whole numbers with a sign as floating-point numbers."""
        return Lanes(self.builder, self.builder.sitofp(self.value, kind))


def filled(kind: ir.VectorType, number: float) -> ir.Constant:
    """The number in every lane."""
    return ir.Constant(kind, [number] * kind.count)


def is_single(lanes: Lanes) -> bool:
    """Whether the lanes are float32."""
    return bool(lanes.type.element == ir.FloatType())


def vector_type(dtype: types.Type) -> ir.VectorType:
    """Vectors of 64 bytes of float32 or float64."""
    if dtype == types.float32:
        return ir.VectorType(ir.FloatType(), BYTES // 4)
    return ir.VectorType(ir.DoubleType(), BYTES // 8)


def pointer(
    context: Any, builder: ir.IRBuilder, kind: types.Array, array: ir.Value, index: ir.Value
) -> ir.Value:
    """Address of an element of a flat array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def load(builder: ir.IRBuilder, address: ir.Value, kind: ir.VectorType) -> Lanes:
    """The vector that starts at this element."""
    value = builder.load(builder.bitcast(address, kind.as_pointer()))
    value.align = BYTES // kind.count
    return Lanes(builder, value)


def store(lanes: Lanes, address: ir.Value) -> None:
    """Write a vector from this element on."""
    builder, kind = lanes.builder, lanes.type
    done = builder.store(lanes.value, builder.bitcast(address, kind.as_pointer()))
    done.align = 4 if is_single(lanes) else 8


def spread(builder: ir.IRBuilder, number: ir.Value, kind: ir.VectorType) -> Lanes:
    """One number of the kernel in every lane."""
    empty = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(empty, number, I32(0))
    return Lanes(builder, builder.shuffle_vector(one, empty, filled(_mask(kind.count), 0)))


def shuffle(one: Lanes, other: Lanes, order: Sequence[int]) -> Lanes:
    """The lanes of both, counted through, in this order."""
    mask = ir.Constant(_mask(len(order)), list(order))
    return Lanes(one.builder, one.builder.shuffle_vector(one.value, other.value, mask))


def _mask(count: int) -> ir.VectorType:
    return ir.VectorType(I32, count)
