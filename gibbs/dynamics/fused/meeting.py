"""Where the threads of a pass meet: a few whole numbers in memory, changed by one instruction each.

A thread that waits looks at them again and again for about a millisecond, as waking one that sleeps
takes longer than a small pass; after that it sleeps, and leaves its core to others.
"""

from __future__ import annotations

import platform

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from gibbs.dynamics.fused.lanes import pointer

__all__ = ["DONE", "PASS", "begin", "end", "next_index"]

NEXT, PASS, DONE, OTHERS = range(4)
"""The next index to be taken, the number of the pass, the other threads that have ended it, and how
many there are."""

PATIENCE = 40_000
"""Looks before a thread goes to sleep; between two of them it rests for some 40 cycles."""

_IS_X86 = platform.machine() in ("x86_64", "AMD64")


@intrinsic
def _add(_typing, numbers, place, value):
    """Add to one of the numbers, and return what it was."""

    def write(context, b, signature, arguments):
        numbers, place, value = arguments
        address = pointer(context, b, signature.args[0], numbers, place)
        return b.atomic_rmw("add", address, value, "seq_cst")

    return types.int64(numbers, types.intp, types.int64), write


@intrinsic
def _rest(_typing):
    """Tell a processor of x86 that this thread waits."""

    def write(context, b, _signature, _arguments):
        if _IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            b.call(cgutils.get_or_insert_function(b.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_constant(types.int64, 0)

    return types.int64(), write


@njit(nogil=True)
def next_index(numbers):
    """The next index: every thread gets another one."""
    return _add(numbers, NEXT, 1)


@njit(nogil=True)
def begin(numbers, leads):
    """Begin a pass: the thread that `leads` lets the others in."""
    if leads:
        _add(numbers, PASS, 1)


@njit(nogil=True)
def end(numbers, leads):
    """End a pass: wait a little, for the others if this one `leads`, else for the next pass."""
    if leads:
        for _ in range(PATIENCE):
            if _add(numbers, DONE, 0) == _add(numbers, OTHERS, 0):
                return
            _rest()
        return
    this = _add(numbers, PASS, 0)
    _add(numbers, DONE, 1)
    for _ in range(PATIENCE):
        if _add(numbers, PASS, 0) != this:
            return
        _rest()
