"""The rules in floating point, as `benchmarks.aggregation` compares with: NumPy, torch, and ByzFL's own code.

NumPy's and torch's are what one would write who knows them: inner products by BLAS where distances are wanted,
partitions where a sort is more than is needed, no copies that can be left out. ByzFL takes arrays of either kind.
All get the K updates as contiguous float32 [K, D], and give a vector [D]. What is called f, s, steps as in `RULES`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from byzfl import (
    ARC,
    MDA,
    NNM,
    Average,
    Bucketing,
    CenteredClipping,
    Clipping,
    GeometricMedian,
    Krum,
    Meamed,
    Median,
    MultiKrum,
    TrMean,
)

Vectors = Any
"""float32 [K, D] of NumPy or torch."""
Floats = npt.NDArray[Any]
Peer = Callable[[Vectors], Any]


class Case(NamedTuple):
    """One rule: its name for JSON, as `parse_rule` reads it, and who else computes it."""

    name: str
    rule: str
    numpy: Peer | None
    torch: Peer | None
    byzfl: Peer | None = None
    byzfl_part: int = 1
    """ByzFL gets every so many-th of the coordinates, and its time is multiplied: it would not fit into memory."""


def make_cases(updates: int, weights: Floats) -> list[Case]:
    """All rules for so many updates, of which a fifth may be Byzantine; less where a rule bears less."""
    f = updates // 5
    bulyan_f = min(f, (updates - 3) // 4)
    diameter_f = min(2, f)  # ByzFL and the peers try all subsets
    return [
        Case(
            "fedavg",
            "fedavg()",
            lambda x: np.average(x, axis=0, weights=weights),
            lambda x: (torch.from_numpy(weights) / float(weights.sum())) @ x,
            Average(),  # without weights
        ),
        Case("median", "median()", lambda x: np.median(x, axis=0), lambda x: x.median(dim=0).values, Median()),
        Case(
            "trimmed_mean",
            f"trimmed_mean(f={f})",
            lambda x: trim_numpy(x, f),
            lambda x: trim_torch(x, f),
            TrMean(f),
        ),
        Case("meamed", f"meamed(f={f})", lambda x: meamed_numpy(x, f), lambda x: meamed_torch(x, f), Meamed(f)),
        Case(
            "krum",
            f"krum(f={f})",
            lambda x: x[krum_order(square_distances(x), f)[0]].copy(),
            lambda x: x[int(krum_order(square_distances(x), f)[0])].clone(),
            Krum(f),
        ),
        Case(
            "multi_krum",
            f"multi_krum(f={f})",
            lambda x: select_mean(x, krum_order(square_distances(x), f)[: updates - f]),
            lambda x: select_mean(x, krum_order(square_distances(x), f)[: updates - f]),
            MultiKrum(f),
        ),
        Case(
            "bulyan",
            f"bulyan(f={bulyan_f})",
            lambda x: meamed_numpy(x[bulyan_selection(square_distances(x), bulyan_f)], 2 * bulyan_f),
            lambda x: meamed_torch(x[torch.from_numpy(bulyan_selection(square_distances(x), bulyan_f))], 2 * bulyan_f),
        ),
        Case(
            "geometric_median",
            "geometric_median(steps=3)",
            lambda x: geometric_median(x, 3),
            lambda x: geometric_median(x, 3),
            GeometricMedian(nu=1.0, T=3),
        ),
        Case(
            "centred_clipping",
            "centred_clipping(norm=1000000, steps=3)",
            lambda x: centred_clipping(x, 1e6, 3),
            lambda x: centred_clipping(x, 1e6, 3),
            lambda x: CenteredClipping(L=3, tau=1e6)(x),  # noqa: PLW0108  # it keeps its result for the next call
        ),
        Case(
            "norm_clipped_mean",
            "norm_clipped_mean(norm=1000000)",
            lambda x: weigh(x, weights / weights.sum() * clip_factors(x, 1e6)),
            lambda x: weigh(x, weights / weights.sum() * clip_factors(x, 1e6)),
            lambda x: Average()(Clipping(1e6)(copy(x))),  # without weights; it clips in place
        ),
        Case(
            "minimum_diameter",
            f"minimum_diameter(f={diameter_f})",
            lambda x: select_mean(x, smallest_subset(square_distances(x), diameter_f)),
            lambda x: select_mean(x, smallest_subset(square_distances(x), diameter_f)),
            MDA(diameter_f),
        ),
        Case(
            "nnm | trimmed_mean",
            f"nnm(f={f}) | trimmed_mean(f={f})",
            lambda x: trim_numpy(nearest_rows(square_distances(x), f) @ x, f),
            lambda x: trim_torch(torch.from_numpy(nearest_rows(square_distances(x), f)) @ x, f),
            lambda x: TrMean(f)(NNM(f)(x)),
            16,
        ),
        Case(
            "nnm | median",
            f"nnm(f={f}) | median()",
            lambda x: np.median(nearest_rows(square_distances(x), f) @ x, axis=0),
            lambda x: (torch.from_numpy(nearest_rows(square_distances(x), f)) @ x).median(dim=0).values,
            lambda x: Median()(NNM(f)(x)),
            16,
        ),
        Case(
            "bucketing | median",
            "bucketing(s=2) | median()",
            lambda x: np.median(bucket(x), axis=0),
            lambda x: bucket(x).median(dim=0).values,
            lambda x: Median()(Bucketing(2)(x)),
        ),
        Case(
            "clipping | median",
            "clipping(norm=1000000) | median()",
            lambda x: np.median(x * clip_factors(x, 1e6)[:, None], axis=0),
            lambda x: (x * torch.from_numpy(clip_factors(x, 1e6)[:, None])).median(dim=0).values,
            lambda x: Median()(Clipping(1e6)(copy(x))),
        ),
        Case(
            "arc | trimmed_mean",
            f"arc(f={f}) | trimmed_mean(f={f})",
            lambda x: trim_numpy(x * arc_factors(x, f)[:, None], f),
            lambda x: trim_torch(x * torch.from_numpy(arc_factors(x, f)[:, None]), f),
            lambda x: TrMean(f)(ARC(f)(copy(x))),  # it clips in place
        ),
    ]


def copy(x: Vectors) -> Vectors:
    return x.clone() if isinstance(x, torch.Tensor) else x.copy()


def to_numpy(x: Any) -> Floats:
    made: Floats = x.numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return made


def trim_numpy(x: Floats, f: int) -> Floats:
    kept = np.partition(x, (f, len(x) - f - 1), axis=0)[f : len(x) - f] if f else x
    return np.asarray(kept.mean(axis=0))


def trim_torch(x: torch.Tensor, f: int) -> torch.Tensor:
    return x.sort(dim=0).values[f : len(x) - f].mean(dim=0)


def meamed_numpy(x: Floats, f: int) -> Floats:
    kept = len(x) - f
    away = np.abs(x - np.median(x, axis=0))
    nearest = np.argpartition(away, kept - 1, axis=0)[:kept]
    return np.asarray(np.take_along_axis(x, nearest, axis=0).mean(axis=0))


def meamed_torch(x: torch.Tensor, f: int) -> torch.Tensor:
    ordered = x.sort(dim=0).values  # torch's median of an even number is not the mean of the middle two
    middle = (ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) / 2
    nearest = (ordered - middle).abs_().topk(len(x) - f, dim=0, largest=False, sorted=False).indices
    return ordered.gather(0, nearest).mean(dim=0)


def square_distances(x: Vectors) -> Floats:
    """[K, K], from one product of matrices."""
    products = to_numpy(x @ x.T).astype(np.float64)
    squares = np.diagonal(products)
    return np.maximum(squares[:, None] + squares[None, :] - 2 * products, 0)


def krum_order(distances: Floats, f: int) -> Floats:
    """Updates from the lowest score to the highest; the nearest of all is the update itself."""
    scores = np.sort(distances, axis=1)[:, 1 : len(distances) - f].sum(axis=1)
    return np.argsort(scores, kind="stable")


def bulyan_selection(distances: Floats, f: int) -> Floats:
    left, chosen = np.arange(len(distances)), []
    for _ in range(len(distances) - 2 * f):
        best = left[krum_order(distances[np.ix_(left, left)], f)[0]]
        chosen.append(best)
        left = left[left != best]
    return np.array(chosen)


def select_mean(x: Vectors, chosen: Floats) -> Any:
    """As a product with a row of weights, which copies no updates."""
    row = np.zeros(len(x))
    row[chosen] = 1 / len(chosen)
    return weigh(x, row)


def weigh(x: Vectors, row: Floats) -> Any:
    row = row.astype(np.float32)
    return torch.from_numpy(row) @ x if isinstance(x, torch.Tensor) else row @ x


def square_norms(x: Vectors) -> Floats:
    if isinstance(x, torch.Tensor):
        return to_numpy(torch.linalg.vector_norm(x, dim=1)).astype(np.float64) ** 2
    return np.array([row @ row for row in x], dtype=np.float64)


def clip_factors(x: Vectors, norm: float) -> Floats:
    return np.asarray(np.minimum(1, norm / np.sqrt(np.maximum(square_norms(x), 1e-9))), dtype=np.float32)


def arc_factors(x: Vectors, f: int) -> Floats:
    norms = np.sqrt(square_norms(x))
    whole = len(x) - int(2 * f / len(x) * (len(x) - f))
    return np.asarray(np.minimum(1, np.sort(norms)[whole - 1] / norms), dtype=np.float32)


def measure_from(x: Vectors, squares: Floats, z: Any) -> Floats:
    """‖x_i − z‖, without making the differences."""
    square = squares - 2 * to_numpy(x @ z).astype(np.float64) + float(z @ z)
    return np.sqrt(np.maximum(square, 1e-9))


def geometric_median(x: Vectors, steps: int) -> Any:
    squares = square_norms(x)
    distances = np.sqrt(squares)
    for step in range(steps):
        row = 1 / np.maximum(distances, 1)
        z = weigh(x, row / row.sum())
        if step < steps - 1:
            distances = measure_from(x, squares, z)
    return z


def centred_clipping(x: Vectors, norm: float, steps: int) -> Any:
    squares = square_norms(x)
    distances, z = np.sqrt(squares), 0
    for step in range(steps):
        factors = np.minimum(1, norm / np.maximum(distances, 1e-9))
        z = (1 - factors.mean()) * z + weigh(x, factors / len(x))
        if step < steps - 1:
            distances = measure_from(x, squares, z)
    return z


def smallest_subset(distances: Floats, f: int) -> Floats:
    subsets = map(np.array, itertools.combinations(range(len(distances)), len(distances) - f))
    return min(subsets, key=lambda kept: float(distances[np.ix_(kept, kept)].max()))


def nearest_rows(distances: Floats, f: int) -> Floats:
    kept = len(distances) - f
    rows = np.zeros(distances.shape, dtype=np.float32)
    np.put_along_axis(rows, np.argpartition(distances, kept - 1, axis=1)[:, :kept], 1 / kept, axis=1)
    return rows


def bucket(x: Vectors) -> Any:
    """Means of two each, in any order: what is drawn costs the same."""
    even = x[: len(x) // 2 * 2]
    means = (even[0::2] + even[1::2]) / 2
    if len(x) % 2:
        last = x[-1:]
        return torch.cat([means, last]) if isinstance(x, torch.Tensor) else np.concatenate([means, last])
    return means
