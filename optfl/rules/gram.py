"""Inner products of a round's updates, and what rules read off them, in integers of any size.

The totals of every rule that needs some: the Gram matrix of the K updates, a sum over coordinates, as the upper
triangle row by row, int64[K(K+1)/2]. With 2^27 values at most an entry is 2^57 at most. What somebody *claims* to be
totals may be any 64-bit numbers, so nothing here overflows, divides by zero, or expects a distance to be positive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Totals = npt.NDArray[np.int64]
Integers = npt.NDArray[Any]
"""Python integers, in an array of objects."""

_WORD_BITS = 64


@dataclass(frozen=True, eq=False)
class Gram:
    """Inner products of K vectors: `products`[j, k] / `denominator`², symmetric, of Python integers."""

    products: Integers
    denominator: int = 1

    @property
    def squared_norms(self) -> Integers:
        """‖x_j‖² · denominator², [K]."""
        return np.diagonal(self.products)

    @property
    def squared_distances(self) -> Integers:
        """‖x_j − x_k‖² · denominator², [K, K]."""
        squares = self.squared_norms
        distances: Integers = squares[:, None] + squares[None, :] - 2 * self.products
        return distances

    def measure_from(self, numerators: Sequence[int], denominator: int) -> list[int]:
        """‖x_i − v‖² · (`denominator` · the matrix's own)² of each, v = Σ numerators_k · x_k / `denominator`."""
        weights = np.array(numerators, dtype=object)
        mixed = self.products @ weights
        constant = int(weights @ mixed)
        squares = zip(self.squared_norms.tolist(), mixed.tolist(), strict=True)
        return [denominator * (denominator * square - 2 * product) + constant for square, product in squares]

    def mix(self, rows: npt.NDArray[np.int64], denominator: int) -> Gram:
        """The Gram matrix of combinations `rows` int64[M, K] / `denominator` of these vectors."""
        mixed = multiply(rows, multiply(rows, self.products).T)
        return Gram(mixed, self.denominator * denominator)


def count_totals(updates: int) -> int:
    return updates * (updates + 1) // 2


def find_total(j: int, k: int, updates: int) -> int:
    """Where the inner product of updates j <= k stands in the totals."""
    return j * updates - j * (j - 1) // 2 + (k - j)


def compute_totals(chunk: npt.NDArray[np.int16]) -> Totals:
    """What a chunk int16[K, c] of all updates adds to the totals. In integers, whatever c."""
    values = chunk.astype(np.int64)
    products: npt.NDArray[np.int64] = values @ values.T
    return products[np.triu_indices(len(chunk))]


def unpack_totals(totals: Totals, updates: int) -> Gram:
    """The Gram matrix whose upper triangle `totals` is."""
    products = np.zeros((updates, updates), dtype=object)
    upper = np.triu_indices(updates)
    products[upper] = totals.tolist()
    products.T[upper] = products[upper]
    return Gram(products)


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
