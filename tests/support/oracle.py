"""The protocol's hashing and arithmetic a second time: slow, from the definitions, in Python integers alone.

Shares no code with `optfl` or `offchain`, so that an agreement of the two says something.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import floor


def hash_leaf(data: bytes) -> bytes:
    return hashlib.sha256(bytes([0]) + data).digest()


def compute_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1: MTH, over the leaves' data."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hash_leaf(leaves[0])
    split = _split(len(leaves))
    return hashlib.sha256(bytes([1]) + compute_root(leaves[:split]) + compute_root(leaves[split:])).digest()


def compute_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """RFC 6962, 2.1.1: PATH, over the leaves' data."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*compute_path(leaves[:split], index), compute_root(leaves[split:])]
    return [*compute_path(leaves[split:], index - split), compute_root(leaves[:split])]


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def compute_simple_map_root(items: Mapping[bytes, bytes]) -> bytes:
    """Of maps whose keys have fewer than 128 bytes: a length is one byte then."""
    leaves = []
    for key, value in sorted(items.items()):
        leaves.append(bytes([len(key)]) + key + bytes([32]) + hashlib.sha256(value).digest())
    return compute_root(leaves)


def encode_values(dtype: str, values: Sequence[int]) -> bytes:
    size = {"int8": 1, "int16": 2, "int32": 4}[dtype]
    return b"".join(value.to_bytes(size, "little", signed=True) for value in values)


def cut(values: Sequence[int], chunk_values: int) -> list[Sequence[int]]:
    return [values[start : start + chunk_values] for start in range(0, len(values), chunk_values)]


def compute_vector_root(dtype: str, values: Sequence[int], chunk_values: int) -> bytes:
    return compute_root([encode_values(dtype, chunk) for chunk in cut(values, chunk_values)])


def compute_vector_id(dtype: str, values: Sequence[int], chunk_values: int) -> bytes:
    shape = {"int8": b"\x04", "int16": b"\x01", "int32": b"\x02"}[dtype]
    shape += len(values).to_bytes(8, "big") + chunk_values.to_bytes(4, "big")
    return hashlib.sha256(b"optfl/vector/v1" + shape + compute_vector_root(dtype, values, chunk_values)).digest()


def round_half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def fedavg(column: Sequence[int], weights: Sequence[int]) -> int:
    return round_half_up(Fraction(sum(w * q for w, q in zip(weights, column, strict=True)), sum(weights)))


def median(column: Sequence[int], weights: Sequence[int]) -> int:
    ordered = sorted(column)
    if len(ordered) % 2:
        return ordered[len(ordered) // 2]
    return round_half_up(Fraction(ordered[len(ordered) // 2 - 1] + ordered[len(ordered) // 2], 2))


def trimmed_mean(column: Sequence[int], f: int) -> int:
    """One lowest and one highest value taken away at a time."""
    left = list(column)
    for _ in range(f):
        left.remove(min(left))
        left.remove(max(left))
    return round_half_up(Fraction(sum(left), len(left)))


Products = list[list[Fraction]]
Column = Sequence[Fraction] | Sequence[int]


@dataclass
class Decided:
    """`numbers` go on the record. Then rows over one denominator (None: the updates), and what is done there."""

    numbers: list[int]
    rows: list[list[int]] | None
    denominator: int
    compute: Callable[[Column], Fraction]


@dataclass
class Mixed:
    """The same of a pre-aggregator."""

    numbers: list[int]
    rows: list[list[int]]
    denominator: int
    sample_weights: list[int]


def mean(column: Column) -> Fraction:
    return Fraction(sum(column)) / len(column)


def middle(column: Column) -> Fraction:
    ordered = sorted(column)
    return Fraction(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def trim(column: Column, f: int) -> Fraction:
    return mean(sorted(column)[f : len(column) - f])


def mean_around_median(column: Column, count: int) -> Fraction:
    """The nearest first, the lower one of equally near ones."""
    median_value = middle(column)
    return mean(sorted(column, key=lambda value: (abs(value - median_value), value))[:count])


def inner_products(updates: Sequence[Sequence[int]]) -> Products:
    return [[Fraction(sum(a * b for a, b in zip(one, other, strict=True))) for other in updates] for one in updates]


def distance(products: Products, j: int, k: int) -> Fraction:
    """Squared."""
    return products[j][j] + products[k][k] - 2 * products[j][k]


def distance_from(products: Products, point: Sequence[Fraction], j: int) -> Fraction:
    """Squared, of vector j to a combination of all of them."""
    everyone = range(len(products))
    own = products[j][j] - 2 * sum(point[k] * products[j][k] for k in everyone)
    return own + sum(point[k] * point[m] * products[k][m] for k in everyone for m in everyone)


def floor_root(value: Fraction) -> int:
    """The largest integer whose square is at most the value."""
    low, high = 0, 1
    while high * high <= value:
        high *= 2
    while high - low > 1:
        between = (low + high) // 2
        low, high = (between, high) if between * between <= value else (low, between)
    return low


def clip_factor(square: Fraction, limit: Fraction, bits: int) -> int:
    """min(1, sqrt(limit / square)) in 2^-bits, rounded down."""
    if square <= 0 or square <= limit:
        return 2**bits
    return floor_root(max(limit, Fraction(0)) / square * 4**bits)


def lower_median(values: Sequence[Fraction]) -> Fraction:
    return sorted(values)[(len(values) - 1) // 2]


def encode_choice(chosen: Sequence[int], n: int) -> list[int]:
    """A bit for each update, in words of 64."""
    return [sum(1 << (i - start) for i in chosen if start <= i < start + 64) for start in range(0, n, 64)]


def choose(chosen: Sequence[int], n: int) -> Decided:
    row = [int(i in chosen) for i in range(n)]
    return Decided(encode_choice(chosen, n), [row], len(chosen), mean)


def score(products: Products, j: int, left: Sequence[int], f: int) -> Fraction:
    """Krum's, among those that are left."""
    others = sorted(distance(products, j, k) for k in left if k != j)
    return sum(others[: len(left) - f - 1], start=Fraction(0))


def krum_order(products: Products, f: int) -> list[int]:
    everyone = list(range(len(products)))
    return sorted(everyone, key=lambda j: (score(products, j, everyone, f), j))


def bulyan(products: Products, f: int) -> Decided:
    left, chosen, n = list(range(len(products))), list[int](), len(products)
    while len(chosen) < n - 2 * f:
        chosen.append(min(left, key=lambda j: (score(products, j, left, f), j)))
        left.remove(chosen[-1])
    rows = [[int(i == j) for i in range(n)] for j in chosen]
    return Decided(encode_choice(chosen, n), rows, 1, lambda column: mean_around_median(column, n - 4 * f))


def geometric_median(products: Products, steps: int) -> Decided:
    point, numerators = [Fraction(0)] * len(products), list[int]()
    for _ in range(steps):
        squares = [max(distance_from(products, point, j), Fraction(1)) for j in range(len(products))]
        numerators = [floor_root(min(squares) / square * 4**30) for square in squares]
        point = [Fraction(numerator, sum(numerators)) for numerator in numerators]
    return Decided(numerators, [numerators], sum(numerators), mean)


def centred_clipping(products: Products, norm: int, steps: int) -> Decided:
    n, numerators = len(products), [0] * len(products)
    for _ in range(steps):
        point = [Fraction(numerator, 2**40) for numerator in numerators]
        squares = [distance_from(products, point, j) for j in range(n)]
        limit = Fraction(norm * norm) if norm else lower_median(squares)
        factors = [Fraction(clip_factor(square, limit, 30), 2**30) for square in squares]
        moved = [v * (1 - mean(factors)) + factor / n for v, factor in zip(point, factors, strict=True)]
        numerators = [floor(v * 2**40) for v in moved]
    return Decided(numerators, [numerators], 2**40, mean)


def clip_all(products: Products, norm: int) -> list[int]:
    squares = [products[j][j] for j in range(len(products))]
    limit = Fraction(norm * norm) if norm else lower_median(squares)
    return [clip_factor(square, limit, 20) for square in squares]


def norm_clipped_mean(products: Products, sample_weights: Sequence[int], norm: int) -> Decided:
    factors = clip_all(products, norm)
    row = [weight * factor for weight, factor in zip(sample_weights, factors, strict=True)]
    rows, denominator = fit([row], sum(sample_weights) * 2**20, 2**44)
    return Decided(factors, rows, denominator, mean)


def minimum_diameter(products: Products, f: int) -> Decided:
    n = len(products)

    def diameter(chosen: Sequence[int]) -> Fraction:
        return max((distance(products, j, k) for j, k in combinations(chosen, 2)), default=Fraction(0))

    return choose(min(combinations(range(n), n - f), key=lambda chosen: (diameter(chosen), chosen)), n)


def fit(rows: list[list[int]], denominator: int, most: int) -> tuple[list[list[int]], int]:
    """Rows over the denominator, or rounded down to the largest that is allowed."""
    if denominator <= most:
        return rows, denominator
    return [[floor(Fraction(entry, denominator) * most) for entry in row] for row in rows], most


def nearest_neighbour_mixing(products: Products, sample_weights: Sequence[int], f: int) -> Mixed:
    n, numbers, rows = len(products), list[int](), []
    for j in range(n):
        others = sorted((k for k in range(n) if k != j), key=lambda k: (distance(products, j, k), k))
        nearest = [j, *others][: n - f]
        numbers += encode_choice(nearest, n)
        rows.append([int(k in nearest) for k in range(n)])
    return Mixed(numbers, rows, n - f, list(sample_weights))


def bucketing(sample_weights: Sequence[int], beacon: bytes, s: int) -> Mixed:
    n = len(sample_weights)
    order = list(range(n))
    for i in reversed(range(1, n)):
        drawn = hashlib.sha256(b"optfl/bucketing/v1" + beacon + bytes([0, 0, i // 256, i % 256])).hexdigest()
        j = int(drawn, 16) % (i + 1)
        order[i], order[j] = order[j], order[i]
    buckets = [order[start : start + s] for start in range(0, n, s)]
    denominator = 1
    while any(denominator % len(bucket) for bucket in buckets):
        denominator += 1
    rows = [[denominator // len(bucket) if k in bucket else 0 for k in range(n)] for bucket in buckets]
    return Mixed([], rows, denominator, [sum(sample_weights[k] for k in bucket) for bucket in buckets])


def scale(factors: list[int], sample_weights: Sequence[int]) -> Mixed:
    rows = [[factor if j == k else 0 for k in range(len(factors))] for j, factor in enumerate(factors)]
    return Mixed(factors, rows, 2**20, list(sample_weights))


def adaptive_clipping(products: Products, sample_weights: Sequence[int], f: int) -> Mixed:
    n = len(products)
    squares = [products[j][j] for j in range(n)]
    clipped = floor(Fraction(2 * f, n) * (n - f))
    limit = sorted(squares, reverse=True)[clipped]
    return scale([clip_factor(square, limit, 20) for square in squares], sample_weights)


def read_name(text: str) -> tuple[str, list[int]]:
    """ "a(x=1, y=2)" as "a" and [1, 2]."""
    name, _, rest = text.partition("(")
    return name, [int(part.partition("=")[2]) for part in rest.removesuffix(")").split(", ") if part]


def decide_rule(text: str, products: Products, weights: Sequence[int]) -> Decided:
    name, parameters = read_name(text)
    n = len(weights)
    match name, parameters:
        case "fedavg", []:
            return Decided([], [list(weights)], sum(weights), mean)
        case "median", []:
            return Decided([], None, 1, middle)
        case "trimmed_mean", [f]:
            return Decided([], None, 1, lambda column: trim(column, f))
        case "meamed", [f]:
            return Decided([], None, 1, lambda column: mean_around_median(column, n - f))
        case "krum", [f]:
            return choose(krum_order(products, f)[:1], n)
        case "multi_krum", [f]:
            return choose(krum_order(products, f)[: n - f], n)
        case "bulyan", [f]:
            return bulyan(products, f)
        case "geometric_median", [steps]:
            return geometric_median(products, steps)
        case "centred_clipping", [norm, steps]:
            return centred_clipping(products, norm, steps)
        case "norm_clipped_mean", [norm]:
            return norm_clipped_mean(products, weights, norm)
        case "minimum_diameter", [f]:
            return minimum_diameter(products, f)
    raise ValueError(text)


def mix(text: str, products: Products, weights: Sequence[int], beacon: bytes) -> Mixed:
    name, parameters = read_name(text)
    match name, parameters:
        case "nnm", [f]:
            return nearest_neighbour_mixing(products, weights, f)
        case "bucketing", [s]:
            return bucketing(weights, beacon, s)
        case "clipping", [norm]:
            return scale(clip_all(products, norm), weights)
        case "arc", [f]:
            return adaptive_clipping(products, weights, f)
    raise ValueError(text)


def multiply(left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


def mix_products(products: Products, mixed: Mixed) -> Products:
    """Inner products of the combinations."""
    rows = [[Fraction(entry, mixed.denominator) for entry in row] for row in mixed.rows]
    half = [[sum(r * p for r, p in zip(row, column, strict=True)) for column in products] for row in rows]
    return [[sum(h * r for h, r in zip(one, row, strict=True)) for row in rows] for one in half]


def decide(rule: str, products: Products, weights: Sequence[int], beacon: bytes = b"") -> Decided:
    """What the rule makes of the updates' inner products."""
    *stages, last = rule.split(" | ")
    numbers, rows, denominator = list[int](), None, 1
    for stage in stages:
        mixed = mix(stage, products, weights, beacon)
        numbers += mixed.numbers
        products, weights = mix_products(products, mixed) if products else [], mixed.sample_weights
        rows = mixed.rows if rows is None else multiply(mixed.rows, rows)
        rows, denominator = fit(rows, mixed.denominator * denominator, 2**30)
    decided = decide_rule(last, products, weights)
    numbers += decided.numbers
    if rows is None:
        return Decided(numbers, decided.rows, decided.denominator, decided.compute)
    if decided.rows is None:
        return Decided(numbers, rows, denominator, decided.compute)
    most = 2**44 if len(decided.rows) == 1 else 2**30
    rows, denominator = fit(multiply(decided.rows, rows), decided.denominator * denominator, most)
    return Decided(numbers, rows, denominator, decided.compute)


def list_pairs(rule: str, n: int) -> list[tuple[int, int]]:
    """Which inner products of n updates are the rule's totals, in their order.

    Norms follow from the updates' norms alone while there are only multiples of these.
    """
    pairs, are_multiples = list[tuple[int, int]](), True
    for part in rule.split(" | "):
        name, _ = read_name(part)
        if name in ("clipping", "arc", "norm_clipped_mean") and are_multiples:
            pairs = [(j, j) for j in range(n)]
        elif name not in ("fedavg", "median", "trimmed_mean", "meamed", "bucketing"):
            return [(j, k) for j in range(n) for k in range(j, n)]
        are_multiples = are_multiples and name != "bucketing"
    return pairs


def needs_totals(rule: str) -> bool:
    return bool(list_pairs(rule, 1))


def compute_totals(rule: str, updates: Sequence[Sequence[int]]) -> list[int]:
    """Those of the inner products that the rule needs."""
    products = inner_products(updates)
    return [int(products[j][k]) for j, k in list_pairs(rule, len(updates))]


def decide_from_totals(rule: str, totals: Sequence[int], weights: Sequence[int], beacon: bytes = b"") -> list[int]:
    """What goes on the record, if somebody claims these totals."""
    products = [[Fraction(0)] * len(weights) for _ in weights]
    for (j, k), total in zip(list_pairs(rule, len(weights)), totals, strict=True):
        products[j][k] = products[k][j] = Fraction(total)
    return decide(rule, products, weights, beacon).numbers


def apply_rule(rule: str, updates: Sequence[Sequence[int]], weights: Sequence[int], beacon: bytes = b"") -> list[int]:
    """The aggregate of K updates under the rule with this canonical name."""
    products = inner_products(updates) if needs_totals(rule) else []
    decided = decide(rule, products, weights, beacon)
    output = []
    for column in zip(*updates, strict=True):
        values: Column = column
        if decided.rows is not None:
            values = [
                Fraction(sum(a * b for a, b in zip(row, column, strict=True)), decided.denominator)
                for row in decided.rows
            ]
        output.append(round_half_up(decided.compute(values)))
    return output


def aggregate(
    rule: str,
    base: Sequence[int],
    updates: Sequence[Sequence[int]],
    weights: Sequence[int],
    beacon: bytes = b"",
) -> list[int]:
    """saturate32(base + rule)."""
    sums = [b + r for b, r in zip(base, apply_rule(rule, updates, weights, beacon), strict=True)]
    return [max(-(2**31), min(2**31 - 1, value)) for value in sums]
