"""The same numbers in arrays of every layout, and in frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars
import torch
from numpy.typing import NDArray
from scipy import sparse


def array_layouts(x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Arrays that equal x (n, d), none of them C-contiguous, native and writable at once."""
    frozen = x.copy()
    frozen.setflags(write=False)
    big = x.dtype.newbyteorder(">")
    return {
        "fortran": np.asfortranarray(x),
        "every other row": np.repeat(x, 2, axis=0)[::2],
        "every other column": np.repeat(x, 2, axis=1)[:, ::2],
        "backwards": x[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": frozen,
        "big-endian": x.astype(big),
        "big-endian fortran": np.asfortranarray(x.astype(big)),
        "from csr": sparse.csr_matrix(x).toarray(),
        "from csc": sparse.csc_matrix(x).toarray(),
    }


def tensor_layouts(x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Tensors that equal x (n, d), none of them contiguous."""
    return {
        "column-major": x.T.contiguous().T,
        "every other row": x.repeat_interleave(2, 0)[::2],
        "every other column": x.repeat_interleave(2, 1)[:, ::2],
    }


def all_layouts(x: NDArray[Any]) -> dict[str, Any]:
    """Whatever holds the numbers of x (n, d): arrays, tensors, frames, lists."""
    names = [f"x{j}" for j in range(x.shape[1])]
    return {
        **array_layouts(x),
        **tensor_layouts(torch.tensor(x)),
        "list": x.tolist(),
        "pandas": pd.DataFrame(x, columns=names),
        "pandas by columns": pd.DataFrame({name: x[:, j] for j, name in enumerate(names)}),
        "polars": polars.DataFrame({name: x[:, j] for j, name in enumerate(names)}),
    }
