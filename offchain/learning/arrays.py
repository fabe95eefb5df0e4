"""Vectors as callers have them: numpy arrays or torch tensors of (n, …), or a list of n of them. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = Any
"""n vectors of one shape: an array or a tensor of (n, …), or a sequence of arrays or of tensors."""


def read_vectors(vectors: Vectors, error: type[ValueError]) -> npt.NDArray[np.float64]:
    """float64 of (n, …), on the host. Raises `error` unless there is a vector, and all are of one shape."""
    if hasattr(vectors, "detach"):
        reals = _detach(vectors)
    else:
        shapes = {np.shape(vector) for vector in vectors}
        if len(shapes) != 1:
            raise error(f"vectors of shapes {sorted(shapes)}; use at least one, and all of one shape")
        reals = np.stack([_detach(vector) for vector in vectors])
    if reals.ndim < 2 or reals.size == 0:
        raise error(f"vectors of shape {reals.shape}; use (n, values of each)")
    return reals


def write_vector(reals: npt.NDArray[np.float64], vectors: Vectors) -> Any:
    """As what the first of `vectors` is: its kind, dtype (float64 for integers) and device."""
    first = vectors[0]
    if hasattr(first, "detach"):
        return first.new_tensor(reals) if first.is_floating_point() else first.double().new_tensor(reals)
    dtype = np.asarray(first).dtype
    return reals.astype(dtype) if np.issubdtype(dtype, np.floating) else reals


def _detach(vector: Any) -> npt.NDArray[np.float64]:
    if hasattr(vector, "detach"):  # a tensor, of any device and of types that numpy lacks
        vector = vector.detach().cpu().double().numpy()
    return np.asarray(vector, dtype=np.float64)
