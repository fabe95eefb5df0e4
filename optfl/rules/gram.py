"""Inner products of a round's updates, and what rules read off them, in integers of any size.

The totals of every rule that needs some are sums over coordinates: either all inner products of the K updates, the
upper triangle of their Gram matrix row by row, int64[K(K+1)/2], or its diagonal alone, their squared norms, int64[K].
With 2^27 values at most an entry is 2^57 at most. What somebody *claims* to be totals may be any 64-bit numbers, so
nothing here overflows, divides by zero, or expects a distance to be positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

Totals = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]
"""Python integers, in an array of objects."""

_WORD_BITS = 64


class TotalsKind(IntEnum):
    """Which inner products of the updates a rule decides by. Each kind has all of those before it."""

    NONE = 0
    NORMS = 1
    """Of each update with itself."""
    PRODUCTS = 2
    """Of every two updates j <= k."""


@dataclass(frozen=True, eq=False)
class Norms:
    """Squared norms of K vectors: `squares`[k] / `denominator`², of Python integers, [K]."""

    squares: Integers
    denominator: int = 1

    @property
    def norms(self) -> Norms:
        return self

    def mix(self, rows: npt.NDArray[np.int64], denominator: int) -> Norms:
        """Of multiples `rows` int64[K] / `denominator` of these vectors: other combinations' do not follow."""
        return Norms(self.squares * rows.astype(object) ** 2, self.denominator * denominator)


@dataclass(frozen=True, eq=False)
class Gram:
    """Inner products of K vectors: `products`[j, k] / `denominator`², symmetric, of Python integers."""

    products: Integers
    denominator: int = 1

    @property
    def norms(self) -> Norms:
        return Norms(np.diagonal(self.products), self.denominator)

    @property
    def squared_distances(self) -> Integers:
        """‖x_j − x_k‖² · denominator², [K, K]."""
        squares = self.norms.squares
        distances: Integers = squares[:, None] + squares[None, :] - 2 * self.products
        return distances

    def measure_from(self, numerators: Sequence[int], denominator: int) -> list[int]:
        """‖x_i − v‖² · (`denominator` · the matrix's own)² of each, v = Σ numerators_k · x_k / `denominator`."""
        weights = np.array(numerators, dtype=object)
        mixed = self.products @ weights
        constant = int(weights @ mixed)
        squares = zip(self.norms.squares.tolist(), mixed.tolist(), strict=True)
        return [denominator * (denominator * square - 2 * product) + constant for square, product in squares]

    def mix(self, rows: npt.NDArray[np.int64], denominator: int) -> Gram:
        """The Gram matrix of combinations `rows` int64[M, K] / `denominator` of these vectors, or of multiples [K]."""
        return Gram(compose(rows, compose(rows, self.products).T), self.denominator * denominator)


Measures = Norms | Gram
"""What totals say of the updates."""


def count_totals(kind: TotalsKind, updates: int) -> int:
    match kind:
        case TotalsKind.NONE:
            return 0
        case TotalsKind.NORMS:
            return updates
        case TotalsKind.PRODUCTS:
            return updates * (updates + 1) // 2


def is_total(kind: TotalsKind, j: int, k: int, updates: int) -> bool:
    """Whether the inner product of updates j and k is one of the totals, in this order."""
    return 0 <= j <= k < updates and (kind == TotalsKind.PRODUCTS or (kind == TotalsKind.NORMS and j == k))


def find_total(kind: TotalsKind, j: int, k: int, updates: int) -> int:
    """Where the inner product of updates j <= k stands in the totals, see `is_total`."""
    return j * updates - j * (j - 1) // 2 + (k - j) if kind == TotalsKind.PRODUCTS else j


def list_pairs(kind: TotalsKind, updates: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """j and k of each of the totals, in their order."""
    if kind == TotalsKind.PRODUCTS:
        return np.triu_indices(updates)
    diagonal = np.arange(count_totals(kind, updates))
    return diagonal, diagonal


def compute_totals(kind: TotalsKind, chunk: npt.NDArray[np.int16]) -> Totals:
    """What a chunk int16[K, c] of all updates adds to totals of this kind. In integers, whatever c."""
    values = chunk.astype(np.int64)
    if kind == TotalsKind.PRODUCTS:
        products: npt.NDArray[np.int64] = values @ values.T
        return products[list_pairs(kind, len(chunk))]
    squares: Totals = np.einsum("kc,kc->k", values, values)
    return squares


def unpack_totals(kind: TotalsKind, totals: Totals, updates: int) -> Measures:
    """What `totals` of this kind say of so many updates."""
    if kind != TotalsKind.PRODUCTS:
        return Norms(totals.astype(object))
    products = np.zeros((updates, updates), dtype=object)
    upper = np.triu_indices(updates)
    products[upper] = totals.tolist()
    products.T[upper] = products[upper]
    return Gram(products)


def compose(outer: npt.NDArray[np.int64], inner: Integers) -> Integers:
    """Rows that do `inner` and then `outer`; either may be the diagonal [K] that stands for multiples of each."""
    product: Integers
    if outer.ndim == 1:
        factors = outer.astype(object)
        product = factors * inner if inner.ndim == 1 else factors[:, None] * inner
    elif inner.ndim == 1:
        product = outer * inner
    else:
        product = multiply(outer, inner)
    return product


def multiply(left: npt.NDArray[np.int64], right: Integers) -> Integers:
    """left @ right, exact for any integers: `right` is cut into limbs, so small that no int64 sum overflows."""
    largest = int(np.abs(left).max(initial=1))
    limb_bits = 62 - largest.bit_length() - left.shape[1].bit_length()
    product = np.zeros((left.shape[0], right.shape[1]), dtype=object)
    shift = 0
    while (right != 0).any():
        low = right & ((1 << limb_bits) - 1)
        is_last = not ((right < -(1 << limb_bits - 1)) | (right >= 1 << limb_bits - 1)).any()
        limb = right if is_last else low
        product = product + (np.einsum("mk,kn->mn", left, limb.astype(np.int64)).astype(object) << shift)
        if is_last:
            break
        right, shift = right >> limb_bits, shift + limb_bits
    return product


def pack_selection(chosen: Sequence[int], updates: int) -> tuple[int, ...]:
    """Indices below `updates` as a bit set in 64-bit words, update 0 the lowest bit of the first."""
    words = [0] * count_words(updates)
    for index in chosen:
        words[index // _WORD_BITS] |= 1 << index % _WORD_BITS
    return tuple(words)


def unpack_selection(words: Sequence[int], updates: int) -> list[int] | None:
    """Indices of a bit set, ascending; None if it has a bit beyond them, or a word is none of 64 bits."""
    if any(word >> _WORD_BITS for word in words):
        return None
    bits = sum(word << _WORD_BITS * i for i, word in enumerate(words))
    if bits >> updates:
        return None
    return [index for index in range(updates) if bits >> index & 1]


def count_words(updates: int) -> int:
    """Words of a bit set over so many updates."""
    return -(-updates // _WORD_BITS)
