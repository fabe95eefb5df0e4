"""Inputs for rules: random ones, and those at the edges of what int16 and int32 hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from optfl.rules import TotalsKind
from optfl.rules.gram import count_totals

INT16_MIN, INT16_MAX = -32768, 32767
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

Int16Matrix = npt.NDArray[np.int16]
Fill = Callable[[np.random.Generator, int, int], Int16Matrix]


def _constant(value: int) -> Fill:
    return lambda _random, updates, length: np.full((updates, length), value, dtype=np.int16)


def _uniform(low: int, high: int) -> Fill:
    return lambda random, updates, length: random.integers(low, high + 1, (updates, length), dtype=np.int16)


def _extremes(random: np.random.Generator, updates: int, length: int) -> Int16Matrix:
    return random.choice(np.array([INT16_MIN, INT16_MAX], dtype=np.int16), (updates, length))


FILLS: dict[str, Fill] = {
    "uniform": _uniform(INT16_MIN, INT16_MAX),
    "ties": _uniform(-2, 1),
    "lowest": _constant(INT16_MIN),
    "highest": _constant(INT16_MAX),
    "zeros": _constant(0),
    "extremes": _extremes,
}
"""Ways to make K updates of D values, int16[K, D]."""


def make_base(random: np.random.Generator, length: int) -> npt.NDArray[np.int32]:
    """A model int32[D], of which every other value is within reach of saturation."""
    base = random.integers(INT32_MIN, INT32_MAX + 1, length, dtype=np.int32)
    base[::4] = INT32_MAX - random.integers(0, 3, len(base[::4]), dtype=np.int32)
    base[2::4] = INT32_MIN + random.integers(0, 3, len(base[2::4]), dtype=np.int32)
    return base


def local_rule_names(updates: int) -> Sequence[str]:
    """Rules without totals that K updates suffice for: both ends of f, and some in between."""
    fs = _spread((updates - 1) // 2)
    return ["fedavg()", "median()", *(f"{name}(f={f})" for name in ("trimmed_mean", "meamed") for f in fs)]


def rule_names(updates: int) -> Sequence[str]:
    """All rules that K updates suffice for, and pipelines of every part."""
    most = (updates - 1) // 2
    names = [*local_rule_names(updates), "norm_clipped_mean(norm=0)", "norm_clipped_mean(norm=3)"]
    names += [f"geometric_median(steps={steps})" for steps in (1, 3)]
    names += [f"centred_clipping(norm={norm}, steps={steps})" for norm, steps in ((0, 2), (1, 3), (40_000, 1))]
    names += [f"{name}(f={f})" for name in ("krum", "multi_krum") for f in _spread(most)]
    names += [f"bulyan(f={f})" for f in sorted({0, 1, (updates - 3) // 4}) if f >= 0 and 4 * f + 3 <= updates]
    names += [f"minimum_diameter(f={f})" for f in (0, 1, 2) if f <= most and updates <= 60]
    names += [f"nnm(f={most}) | {rule}" for rule in ("median()", "krum(f=0)", "meamed(f=0)", "fedavg()")]
    names += ["bucketing(s=2) | median()", "bucketing(s=3) | fedavg()", "bucketing(s=1) | geometric_median(steps=2)"]
    names += ["clipping(norm=0) | median()", "clipping(norm=5) | norm_clipped_mean(norm=0)"]
    names += [
        f"arc(f={most}) | clipping(norm=7) | trimmed_mean(f={most})",
        "clipping(norm=0) | bucketing(s=2) | fedavg()",
    ]
    names += ["bucketing(s=2) | clipping(norm=9) | median()"]
    names += [f"arc(f={most}) | nnm(f={most}) | bucketing(s=2) | geometric_median(steps=1)"]
    few = min(1, most)
    names += [f"arc(f={few}) | clipping(norm=9) | nnm(f={few}) | trimmed_mean(f={most})"]
    return names


def _spread(most: int) -> list[int]:
    return sorted({0, min(1, most), most // 2, most})


def make_wild_totals(
    random: np.random.Generator, updates: int, kind: TotalsKind = TotalsKind.PRODUCTS
) -> npt.NDArray[np.int64]:
    """Totals that somebody might claim, and that no updates have."""
    wildness = random.choice([1, 3, 1 << 20, 1 << 62])
    totals = random.integers(-wildness, wildness, count_totals(kind, updates), endpoint=True, dtype=np.int64)
    totals[random.random(len(totals)) < 0.1] = random.choice([-(2**63), 2**63 - 1, 0])
    return totals
