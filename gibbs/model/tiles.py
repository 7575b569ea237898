"""A long axis in tiles, so that what is computed of one stays in the cache."""

from __future__ import annotations

__all__ = ["tiles"]


def tiles(length: int, size: int) -> list[slice]:
    """Cut 0..length-1 into consecutive slices of `size` (the last one may be shorter)."""
    return [slice(k, min(k + size, length)) for k in range(0, length, size)]
