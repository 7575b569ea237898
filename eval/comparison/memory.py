"""Memory of this process, as Linux counts it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["peak_memory", "reset_peak"]

_PROCESS = Path("/proc/self")


def reset_peak() -> None:
    """Restart the count of :func:`peak_memory`."""
    try:
        (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_memory() -> float | None:
    """Largest resident memory since :func:`reset_peak`, MiB; None where it is not known.

    Where the system does not allow the reset, it counts from the start of the process.

    Examples
    --------
    >>> peak = peak_memory()
    >>> peak is None or peak > 1
    True
    """
    try:
        lines = (_PROCESS / "status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return kib[0] / 1024 if kib else None
