"""Everything that numba compiles. In one file, because numba's cache notices no change of another one.

A kernel works on values `start` to `stop` of all vectors, in blocks that stay in a core's cache, and releases the GIL:
callers run it on ranges in threads of their own, which needs no threading layer of numba (they are not safe to enter
from two threads at once, or after a fork). Vectors come by address, so that K is a number at run time: nothing is
compiled anew for another K, and nothing is copied into one array first.

All sums are of integers, exact whatever their order; floats appear where every intermediate value is below 2^53, and as
estimates that integers then put right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

BLOCK_VALUES = 1024
"""Coordinates worked on at a time: 50 updates of them are 100 KiB, which a level-2 cache holds."""
PRODUCT_VALUES = 2048
"""The same for inner products. At most 127 · 32, for sums in int32."""
MEAN_VALUES = 2048
"""The same for a mean: its sums, in up to 8 bytes each, stay in a level-1 cache while updates pass by."""

BOTH, LOW, HIGH = 0, 1, 2
"""What a step of a network keeps: minimum and maximum, the minimum alone, the maximum alone."""

MEAN_ROWS = 8
"""Updates that are added at a time: `add_weighted` wants weights in multiples of this."""
MIX_ROWS = 4
"""Combinations that are made at a time: `add_mixed_column_mean` wants their number in multiples of this."""
DOT_ROWS = 5
"""Inner products are made of so many updates with as many: `add_products` wants their number in multiples of this.

Their sums fill 25 of a core's registers.
"""
_MIX_VECTORS = 4  # of 16 coordinates: with MIX_ROWS they fill 16 of a core's registers with sums
_MIX_VALUES = 16 * _MIX_VECTORS
_LINE_BYTES = 64  # of a cache
_ROW_VALUES = PRODUCT_VALUES + 32  # a line apart from a power of two, or all rows would want the same places in a cache
_ROW_LINES = 2 * PRODUCT_VALUES // _LINE_BYTES
_CACHED_ROWS = 12 * DOT_ROWS  # of PRODUCT_VALUES, and their halves: 720 KiB

_Function = TypeVar("_Function", bound=Callable[..., object])


def _compile(function: _Function) -> _Function:
    # error_model: numpy's leaves out checks for division by zero, which keep loops from being vectorised.
    return cast("_Function", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def _type_pointer_to(_typing_context: Any, address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


_pointer_to = cast("Callable[[int], Any]", intrinsic(_type_pointer_to))

# Loops over pairs of int16 products, the one thing that LLVM does not find in Python loops: processors multiply 32 of
# them and add neighbours in one instruction (x86's vpmaddwd, vpdpwssd). No processor's own instructions are named here:
# LLVM picks them from what this means, and makes the same sums where there are none.
_LANES = 16
_INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (16, 32, 64))
_VALUES = ir.VectorType(_INT16, 2 * _LANES)
_SUMS = ir.VectorType(_INT32, _LANES)
_VALUES_BYTES = 4 * _LANES


def _number(value: int) -> Any:
    return ir.Constant(_INT64, value)


def _shuffle(builder: Any, vector: Any, lanes: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _multiply_pairs(builder: Any, left: Any, right: Any) -> Any:
    """left[2i]·right[2i] + left[2i+1]·right[2i+1] in int32."""
    wide = ir.VectorType(_INT32, 2 * _LANES)
    products = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    even, odd = range(0, 2 * _LANES, 2), range(1, 2 * _LANES, 2)
    return builder.add(_shuffle(builder, products, even), _shuffle(builder, products, odd))


def _move(builder: Any, address: Any, *steps: tuple[Any, Any]) -> Any:
    for stride, count in steps:
        address = builder.add(address, builder.mul(stride, count))
    return address


def _load(builder: Any, kind: Any, address: Any) -> Any:
    loaded = builder.load(builder.inttoptr(address, kind.as_pointer()))
    loaded.align = 2
    return loaded


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = 4


def _sum_steps(
    builder: Any, count: int, steps: Any, make_terms: Callable[[Any], list[Any]], kind: Any = _SUMS
) -> list[Any]:
    """`count` vectors of sums, of type `kind`, over `steps` >= 1 of the terms that `make_terms(step)` gives."""
    before = builder.block
    loop, after = builder.append_basic_block("loop"), builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_INT64)
    sums = [builder.phi(kind) for _ in range(count)]
    results = [builder.add(total, term) for total, term in zip(sums, make_terms(step), strict=True)]
    following = builder.add(step, _number(1))
    for phi, first, later in zip((step, *sums), (0, *[[0] * _LANES] * count), (following, *results), strict=True):
        phi.add_incoming(ir.Constant(phi.type, first), before)
        phi.add_incoming(later, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)
    return results


def _sum_lanes(builder: Any, vector: Any) -> Any:
    while (width := vector.type.count // 2) > 0:
        low, high = (_shuffle(builder, vector, range(start, start + width)) for start in (0, width))
        vector = builder.add(low, high)
    return builder.extract_element(vector, ir.Constant(_INT32, 0))


def _load_rows(builder: Any, first: Any, stride: Any, count: int) -> list[Any]:
    return [_load(builder, _VALUES, _move(builder, first, (stride, _number(row)))) for row in range(count)]


def _add_products(builder: Any, sums: Sequence[Any], products: Any, stride: Any, first_column: int) -> None:
    """Add each of `sums`, column by column of DOT_ROWS, to its place in int64 products[r, first_column + c]."""
    for index, lanes in enumerate(sums):
        column, row = divmod(index, DOT_ROWS)
        at = _move(builder, products, (stride, _number(row)), (_number(8), _number(first_column + column)))
        before = builder.load(builder.inttoptr(at, _INT64.as_pointer()))
        _store(builder, builder.add(before, _sum_lanes(builder, lanes)), at)


def _type_dot_tile(
    _typing_context: Any, _left: Any, _right: Any, _stride: Any, _steps: Any, _products: Any, _products_stride: Any
) -> Any:
    """Add to int64 products[r, c] the inner product of row r at `left` with row c at `right`, DOT_ROWS × DOT_ROWS.

    Rows are int16[32 · `steps`], `stride` bytes apart. Sums are int32: right where no lane's leaves that, which
    `_type_copy_measured` tells.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        left, right, stride, steps, products, products_stride = arguments

        def make_terms(step: Any) -> list[Any]:
            at = builder.mul(step, _number(_VALUES_BYTES))
            rows = _load_rows(builder, builder.add(left, at), stride, DOT_ROWS)
            columns = _load_rows(builder, builder.add(right, at), stride, DOT_ROWS)
            return [_multiply_pairs(builder, row, column) for column in columns for row in rows]

        sums = _sum_steps(builder, DOT_ROWS * DOT_ROWS, steps, make_terms)
        wide = [builder.sext(lanes, ir.VectorType(_INT64, _LANES)) for lanes in sums]
        _add_products(builder, wide, products, products_stride, 0)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 6), generate


def _type_half_dot_tile(
    _typing_context: Any,
    _left: Any,
    _high: Any,
    _low: Any,
    _stride: Any,
    _steps: Any,
    _products: Any,
    _products_stride: Any,
) -> Any:
    """The same for any values: those at the right come as their high and their low halves, x = 256·h + l.

    A step adds two products |l·y| < 2^23 to an int32, so that 127 steps fit.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        left, high, low, stride, steps, products, products_stride = arguments
        for first in range(0, DOT_ROWS, 2):  # two columns at a time: more sums than registers would be slow
            count = min(2, DOT_ROWS - first)

            def make_terms(step: Any, first: int = first, count: int = count) -> list[Any]:
                at = builder.mul(step, _number(_VALUES_BYTES))
                rows = _load_rows(builder, builder.add(left, at), stride, DOT_ROWS)
                columns = []
                for halves in (high, low):
                    start = _move(builder, builder.add(halves, at), (stride, _number(first)))
                    columns += _load_rows(builder, start, stride, count)
                return [_multiply_pairs(builder, row, column) for column in columns for row in rows]

            sums = _sum_steps(builder, 2 * count * DOT_ROWS, steps, make_terms)
            wide = [builder.sext(lanes, ir.VectorType(_INT64, _LANES)) for lanes in sums]
            eight = ir.Constant(wide[0].type, [8] * _LANES)
            highs, lows = wide[: count * DOT_ROWS], wide[count * DOT_ROWS :]
            totals = [builder.add(builder.shl(h, eight), lower) for h, lower in zip(highs, lows, strict=True)]
            _add_products(builder, totals, products, products_stride, first)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 7), generate


def _type_copy_measured(_typing_context: Any, _source: Any, _row: Any, _steps: Any) -> Any:
    """Copy int16[32 · `steps`] from `source` to `row`, and tell how large sums of its products can get.

    Returned is at least a 128th of the sum of squares that any lane of `_dot_tile` sees of this row. By Cauchy and
    Schwarz its sum of products of two rows is below 2^31 in size if their measures' product is below 2^48. A step adds
    (x² + y²) / 128 + 1 <= 2^24 + 1 to an int32, so that 127 steps fit.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        source, row, steps = arguments

        def make_terms(step: Any) -> list[Any]:
            at = builder.mul(step, _number(_VALUES_BYTES))
            values = _load(builder, _VALUES, builder.add(source, at))
            _store(builder, values, builder.add(row, at))
            squares = _multiply_pairs(builder, values, values)  # up to 2^31, which is no negative number here
            seven, one = (ir.Constant(_SUMS, [value] * _LANES) for value in (7, 1))
            return [builder.add(builder.lshr(squares, seven), one)]

        (lanes,) = _sum_steps(builder, 1, steps, make_terms)
        while (width := lanes.type.count // 2) > 0:
            low, high = (_shuffle(builder, lanes, range(start, start + width)) for start in (0, width))
            lanes = builder.select(builder.icmp_signed("<", low, high), high, low)
        return builder.sext(builder.extract_element(lanes, ir.Constant(_INT32, 0)), _INT64)

    return types.int64(*[types.int64] * 3), generate


def _type_prefetch(_typing_context: Any, _address: Any) -> Any:
    """Have the cache line at `address` brought nearer meanwhile. Any address will do."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [cgutils.voidptr_t],
            ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, _INT32, _INT32, _INT32]),
        )
        read, level_2, data = (ir.Constant(_INT32, value) for value in (0, 2, 1))
        builder.call(function, [builder.inttoptr(arguments[0], cgutils.voidptr_t), read, level_2, data])
        return context.get_dummy_value()

    return types.none(types.int64), generate


def _type_sum_squares(_typing_context: Any, _row: Any, _steps: Any) -> Any:
    """The sum of squares, in int64, of the int16[32 · `steps`] at `row`, `steps` >= 1."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        row, steps = arguments
        kind = ir.VectorType(_INT64, _LANES)

        def make_terms(step: Any) -> list[Any]:
            values = _load(builder, _VALUES, _move(builder, row, (_number(_VALUES_BYTES), step)))
            # Two squares are up to 2^31, which is no negative number here.
            return [builder.zext(_multiply_pairs(builder, values, values), kind)]

        return _sum_lanes(builder, *_sum_steps(builder, 1, steps, make_terms, kind))

    return types.int64(types.int64, types.int64), generate


def _type_mix_tile(
    _typing_context: Any,
    _pairs: Any,
    _pairs_stride: Any,
    _weights: Any,
    _weights_stride: Any,
    _count: Any,
    _wire: Any,
    _wire_stride: Any,
) -> Any:
    """MIX_ROWS combinations at _MIX_VALUES coordinates: wire[m, i] = Σ_p w[m, 2p]·x[2p, i] + w[m, 2p+1]·x[2p+1, i].

    In int32. At `pairs` are `count` rows of two updates int16 each, interleaved; at `weights` MIX_ROWS rows of int16.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pairs, pairs_stride, weights, weights_stride, count, wire, wire_stride = arguments

        def make_terms(pair: Any) -> list[Any]:
            at = _move(builder, pairs, (pairs_stride, pair))
            updates = [
                _load(builder, _VALUES, builder.add(at, _number(_VALUES_BYTES * v))) for v in range(_MIX_VECTORS)
            ]
            terms = []
            for m in range(MIX_ROWS):
                weight_at = _move(builder, weights, (weights_stride, _number(m)), (_number(4), pair))
                one = builder.insert_element(
                    ir.Constant(_SUMS, ir.Undefined), _load(builder, _INT32, weight_at), ir.Constant(_INT32, 0)
                )
                weight = builder.bitcast(_shuffle(builder, one, [0] * _LANES), _VALUES)
                terms += [_multiply_pairs(builder, update, weight) for update in updates]
            return terms

        sums = _sum_steps(builder, MIX_ROWS * _MIX_VECTORS, count, make_terms)
        for m in range(MIX_ROWS):
            at = _move(builder, wire, (wire_stride, _number(m)))
            for v in range(_MIX_VECTORS):
                _store(builder, sums[m * _MIX_VECTORS + v], builder.add(at, _number(4 * _LANES * v)))
        return context.get_dummy_value()

    return types.none(*[types.int64] * 7), generate


_dot_tile = cast("Callable[..., None]", intrinsic(_type_dot_tile))
_half_dot_tile = cast("Callable[..., None]", intrinsic(_type_half_dot_tile))
_copy_measured = cast("Callable[[int, int, int], int]", intrinsic(_type_copy_measured))
_prefetch = cast("Callable[[int], None]", intrinsic(_type_prefetch))
_sum_squares = cast("Callable[[int, int], int]", intrinsic(_type_sum_squares))
_mix_tile = cast("Callable[..., None]", intrinsic(_type_mix_tile))


_pread: Any = types.ExternalFunction(
    "pread", types.intp(types.intc, types.voidptr, types.uintp, types.int64)
)  # POSIX's


@_compile
def read_rows(
    files: npt.NDArray[np.int64], positions: npt.NDArray[np.int64], offset: int, address: int, stride: int, size: int
) -> int:
    """`size` bytes from `positions[k] + offset` of each file descriptor to `address + k·stride`; how many came whole.

    In one call that needs no GIL: thousands of small reads in Python's threads wait for each other more than for data.
    Stops before the first file that fails or ends, for the caller to find out why.
    """
    for k in range(len(files)):
        done = 0
        while done < size:
            target = _pointer_to(address + k * stride + done)
            count = _pread(np.int32(files[k]), target, np.uint64(size - done), np.int64(positions[k] + offset + done))
            if count <= 0:
                return k
            done += count
    return len(files)


def _type_hash_prefixed(
    _typing_context: Any,
    _init: Any,
    _update: Any,
    _final: Any,
    _context: Any,
    _prefix: Any,
    _data: Any,
    _size: Any,
    _digest: Any,
) -> Any:
    """SHA-256 of the byte at `prefix` and the `size` bytes at `data`, to `digest`: by libcrypto's functions."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        init, update, final, state, prefix, data, size, digest = arguments

        def call(function: Any, *values: Any) -> None:
            kind = ir.FunctionType(_INT32, [_INT64] * len(values))
            builder.call(builder.inttoptr(function, kind.as_pointer()), values)

        call(init, state)
        call(update, state, prefix, _number(1))
        call(update, state, data, size)
        call(final, digest, state)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 8), generate


_hash_prefixed = cast("Callable[..., None]", intrinsic(_type_hash_prefixed))
_HASH_BYTES = 32
HASH_STATE_BYTES = 1024  # libcrypto's SHA256_CTX has 112 everywhere; those of its forks are no larger


@_compile
def hash_tree(
    functions: npt.NDArray[np.int64],
    address: int,
    size: int,
    leaf_bytes: int,
    state: npt.NDArray[np.uint8],
    prefixes: npt.NDArray[np.uint8],
    nodes: npt.NDArray[np.uint8],
) -> None:
    """All nodes of the tree `optfl.merkle.build_tree` of the `size` bytes at `address`, level by level from the leaves.

    `functions`: addresses of SHA256_Init, SHA256_Update and SHA256_Final. `state` uint8[HASH_STATE_BYTES], to work in.
    `prefixes` of a leaf and of a node, uint8[2]. `nodes` uint8[nodes, 32]. All of them are the caller's: numba frees an
    array of its own once nothing but its address is used.
    """
    init, update, final = functions[0], functions[1], functions[2]
    context, leaf, node = state.ctypes.data, prefixes.ctypes.data, prefixes.ctypes.data + 1
    level, count = nodes.ctypes.data, (size + leaf_bytes - 1) // leaf_bytes
    for i in range(count):
        start = i * leaf_bytes
        width = min(leaf_bytes, size - start)
        _hash_prefixed(init, update, final, context, leaf, address + start, width, level + _HASH_BYTES * i)
    done = 0
    while count > 1:
        above, pairs = level + _HASH_BYTES * count, count // 2
        for i in range(pairs):
            children, parent = level + 2 * _HASH_BYTES * i, above + _HASH_BYTES * i
            _hash_prefixed(init, update, final, context, node, children, 2 * _HASH_BYTES, parent)
        done += count
        if count % 2:
            nodes[done + pairs] = nodes[done - 1]
        level, count = above, pairs + count % 2


@_compile
def add_mean(base: npt.NDArray[np.int32], total: npt.NDArray[Any], divisor: int, model: npt.NDArray[np.int32]) -> None:
    """model = saturate32(base + floor((2·total + n) / (2n))), for n = `divisor` < 2^45 and |total| <= n·2^15.

    `total` may be longer than `base`.
    """
    dividend_bias = np.int64(65537) * divisor
    doubled = np.int64(2) * divisor
    reciprocal = 1.0 / np.float64(doubled)
    for i in range(len(base)):
        # Shifted by 2^15 whole quotients, the dividend is positive and its quotient below 2^17. A float's estimate of
        # that is off by one at most, which integers then put right, exactly; a division would not be vectorised.
        dividend = np.int64(2) * np.int64(total[i]) + dividend_bias
        quotient = np.int64(np.float64(dividend) * reciprocal)
        remainder = dividend - quotient * doubled
        if remainder < 0:
            quotient -= 1
        if remainder >= doubled:
            quotient += 1
        value = np.int64(base[i]) + quotient - 32768
        model[i] = min(max(value, np.int64(-2147483648)), np.int64(2147483647))


@_compile
def _get_row(update_addresses: npt.NDArray[np.int64], k: int, start: int, width: int) -> npt.NDArray[np.int16]:
    """Values of update `k` from `start` on; beyond the last update, of that."""
    address = update_addresses[min(k, len(update_addresses) - 1)] + 2 * start
    return carray(_pointer_to(address), (width,), np.int16)


@_compile
def add_weighted(
    update_addresses: npt.NDArray[np.int64], weights: npt.NDArray[Any], start: int, total: npt.NDArray[Any]
) -> None:
    """total += Σw·q of the values from `start` on. `weights`: a multiple of MEAN_ROWS, filled up with zeros."""
    for block in range(0, len(total), MEAN_VALUES):
        sums = total[block : block + MEAN_VALUES]
        place, width = start + block, len(sums)
        # Eight at a time: the sums are read and written less often than the updates.
        for k in range(0, len(weights), MEAN_ROWS):
            a = _get_row(update_addresses, k, place, width)
            b = _get_row(update_addresses, k + 1, place, width)
            c = _get_row(update_addresses, k + 2, place, width)
            d = _get_row(update_addresses, k + 3, place, width)
            e = _get_row(update_addresses, k + 4, place, width)
            f = _get_row(update_addresses, k + 5, place, width)
            g = _get_row(update_addresses, k + 6, place, width)
            h = _get_row(update_addresses, k + 7, place, width)
            s, t, u, v = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            w, x, y, z = weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]
            for i in range(width):
                first = (s * a[i] + t * b[i]) + (u * c[i] + v * d[i])
                second = (w * e[i] + x * f[i]) + (y * g[i] + z * h[i])
                sums[i] += first + second


@_compile
def add_weighted_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    weights: npt.NDArray[Any],
    divisor: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """model = saturate32(base + Σw·q / `divisor`, halves up). Sums have the dtype of `weights`.

    For weights >= 0 that add up to `divisor` at most: int32 does for divisors < 2^16, float64 up to 2^38, where every
    sum is an integer of at most 2^53, int64 for all.
    """
    total = np.empty(MEAN_VALUES, dtype=weights.dtype)
    for block_start in range(start, stop, MEAN_VALUES):
        width = min(MEAN_VALUES, stop - block_start)
        total[:] = 0
        add_weighted(update_addresses, weights, block_start, total[:width])
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        add_mean(base, total, divisor, model[block_start : block_start + width])


@_compile
def _sum_column(
    wire: npt.NDArray[Any], network: npt.NDArray[np.int32], column: npt.NDArray[np.int64], total: npt.NDArray[Any]
) -> None:
    """Total of what a rule keeps of each column of `wire` [M.., BLOCK_VALUES], which `network` first sorts as far as
    needed.

    `column`: first and last wire (exclusive) that are summed; then how many wires there are below and above a window
    that moves up from wire 0 to as near to the median as it gets (`optfl.rules.base.compute_output`); then the wires
    whose sum is twice the median.
    """
    for s in range(len(network)):
        low, high, kept = wire[network[s, 0]], wire[network[s, 1]], network[s, 2]
        if kept == BOTH:
            for i in range(BLOCK_VALUES):
                x, y = low[i], high[i]
                low[i], high[i] = min(x, y), max(x, y)
        elif kept == LOW:
            for i in range(BLOCK_VALUES):
                low[i] = min(low[i], high[i])
        else:
            for i in range(BLOCK_VALUES):
                high[i] = max(low[i], high[i])
    first, last, moves, below_median, above_median = column[0], column[1], column[2], column[3], column[4]
    total[:] = 0
    for k in range(first, last):
        row = wire[k]
        for i in range(BLOCK_VALUES):
            total[i] += row[i]
    below, above = wire[below_median], wire[above_median]
    for k in range(moves):
        low, high = wire[k], wire[k + last]
        for i in range(BLOCK_VALUES):
            # In the totals' type: it holds what no wire does.
            x = total.dtype.type(low[i])
            y = total.dtype.type(high[i])
            if x + y < total.dtype.type(below[i]) + total.dtype.type(above[i]):
                total[i] += y - x


@_compile
def add_column_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    network: npt.NDArray[np.int32],
    column: npt.NDArray[np.int64],
    divisor: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Of the updates themselves: see `_sum_column`. Wires are int16, sums of up to 2^12 of them int32."""
    wires = len(update_addresses)
    # Zeros: the last block may be narrower than its wires, and the steps run over whole wires.
    wire = np.zeros((wires, BLOCK_VALUES), dtype=np.int16)
    total = np.empty(BLOCK_VALUES, dtype=np.int32)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        for k in range(wires):
            update = _get_row(update_addresses, k, block_start, width)
            row = wire[k]
            for i in range(width):
                row[i] = update[i]
        _sum_column(wire, network, column, total)
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        add_mean(base, total, divisor, model[block_start : block_start + width])


@_compile
def add_mixed_column_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int16],
    network: npt.NDArray[np.int32],
    column: npt.NDArray[np.int64],
    divisor: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Of combinations of the updates: `rows` >= 0, each of a sum < 2^16, so that wires fit into int32.

    `rows` int16[M, K], M a multiple of MIX_ROWS and K one of 2, filled up with zeros.
    """
    combinations, pairs = rows.shape[0], rows.shape[1] // 2
    pair = np.zeros((pairs, 2 * BLOCK_VALUES), dtype=np.int16)
    wire = np.empty((combinations, BLOCK_VALUES), dtype=np.int32)
    total = np.empty(BLOCK_VALUES, dtype=np.int64)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        for p in range(pairs):
            first, second = update_addresses[2 * p], update_addresses[min(2 * p + 1, len(update_addresses) - 1)]
            even = carray(_pointer_to(first + 2 * block_start), (width,), np.int16)
            odd = carray(_pointer_to(second + 2 * block_start), (width,), np.int16)
            row = pair[p]
            for i in range(width):
                row[2 * i] = even[i]
                row[2 * i + 1] = odd[i]
        for m in range(0, combinations, MIX_ROWS):
            for i in range(0, BLOCK_VALUES, _MIX_VALUES):
                _mix_tile(
                    pair.ctypes.data + 4 * i,
                    4 * BLOCK_VALUES,
                    rows.ctypes.data + 4 * pairs * m,
                    4 * pairs,
                    pairs,
                    wire.ctypes.data + 4 * (BLOCK_VALUES * m + i),
                    4 * BLOCK_VALUES,
                )
        _sum_column(wire, network, column, total)
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        add_mean(base, total, divisor, model[block_start : block_start + width])


@_compile
def add_widely_mixed_column_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    rows: npt.NDArray[np.float64],
    network: npt.NDArray[np.int32],
    column: npt.NDArray[np.int64],
    divisor: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Of combinations with larger weights: `rows` float64[M, K] of integers >= 0, each of a sum <= 2^30.

    K is a multiple of 4, filled up with zeros. Every sum is an integer of at most 2^45, and so exact in float64, which
    multiplies faster than int64 does.
    """
    updates = len(update_addresses)
    value = np.zeros((rows.shape[1], BLOCK_VALUES), dtype=np.float64)
    mixed = np.empty(BLOCK_VALUES, dtype=np.float64)
    wire = np.empty((len(rows), BLOCK_VALUES), dtype=np.int64)
    total = np.empty(BLOCK_VALUES, dtype=np.int64)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        for k in range(updates):
            update = _get_row(update_addresses, k, block_start, width)
            row = value[k]
            for i in range(width):
                row[i] = update[i]
        for m in range(len(rows)):
            mixed[:] = 0
            for k in range(0, len(value), 4):
                u, v, w, x = rows[m, k], rows[m, k + 1], rows[m, k + 2], rows[m, k + 3]
                if u != 0 or v != 0 or w != 0 or x != 0:
                    a, b, c, d = value[k], value[k + 1], value[k + 2], value[k + 3]
                    for i in range(BLOCK_VALUES):
                        mixed[i] += (u * a[i] + v * b[i]) + (w * c[i] + x * d[i])
            row_of_integers = wire[m]
            for i in range(BLOCK_VALUES):
                row_of_integers[i] = np.int64(mixed[i])
        _sum_column(wire, network, column, total)
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        add_mean(base, total, divisor, model[block_start : block_start + width])


@_compile
def add_scaled_column_mean(
    base_address: int,
    update_addresses: npt.NDArray[np.int64],
    factors: npt.NDArray[np.int64],
    network: npt.NDArray[np.int32],
    column: npt.NDArray[np.int64],
    divisor: int,
    model: npt.NDArray[np.int32],
    start: int,
    stop: int,
) -> None:
    """Of a multiple `factors`[k] of each update, 0 <= factors <= 2^30: wires and their sum are below 2^57."""
    wires = len(update_addresses)
    wire = np.zeros((wires, BLOCK_VALUES), dtype=np.int64)
    total = np.empty(BLOCK_VALUES, dtype=np.int64)
    for block_start in range(start, stop, BLOCK_VALUES):
        width = min(BLOCK_VALUES, stop - block_start)
        for k in range(wires):
            update = _get_row(update_addresses, k, block_start, width)
            row, factor = wire[k], factors[k]
            for i in range(width):
                row[i] = factor * update[i]
        _sum_column(wire, network, column, total)
        base = carray(_pointer_to(base_address + 4 * block_start), (width,), np.int32)
        add_mean(base, total, divisor, model[block_start : block_start + width])


@_compile
def add_squares(update_addresses: npt.NDArray[np.int64], squares: npt.NDArray[np.int64], start: int, stop: int) -> None:
    """Add the sum of squares of each update to `squares` int64[K]. Exact for up to 2^32 values: below 2^62."""
    steps = (stop - start) // 32
    for k in range(len(update_addresses)):
        update = carray(_pointer_to(update_addresses[k] + 2 * start), (stop - start,), np.int16)
        if steps > 0:
            squares[k] += _sum_squares(update.ctypes.data, steps)
        for i in range(32 * steps, stop - start):
            squares[k] += np.int64(update[i]) ** 2


@_compile
def _fetch_lines(update_addresses: npt.NDArray[np.int64], offset: int, first: int, count: int) -> None:
    """Prefetch so many of the cache lines of a block of all updates, `offset` bytes after their addresses."""
    for line in range(first, min(first + count, len(update_addresses) * _ROW_LINES)):
        _prefetch(update_addresses[line // _ROW_LINES] + offset + _LINE_BYTES * (line % _ROW_LINES))


@_compile
def add_products(
    update_addresses: npt.NDArray[np.int64], products: npt.NDArray[np.int64], start: int, stop: int
) -> None:
    """Add the inner products of all updates j <= k to `products`[j, k]; below the diagonal, anything.

    `products` int64[K', K'], K' the next multiple of DOT_ROWS. Exact for up to 2^32 values: below 2^62.
    """
    padded = len(products)
    # The updates, their high and their low halves; aligned to whole vectors.
    buffer = np.empty(3 * padded * _ROW_VALUES + 32, dtype=np.int16)
    shift = (-buffer.ctypes.data % 64) // 2
    value = buffer[shift : shift + 3 * padded * _ROW_VALUES].reshape((3, padded, _ROW_VALUES))
    value[0, len(update_addresses) :] = 0
    stride = 2 * _ROW_VALUES
    whole, high, low = value[0].ctypes.data, value[1].ctypes.data, value[2].ctypes.data
    measures = np.zeros(padded, dtype=np.int64)
    is_halved = np.empty(padded // DOT_ROWS, dtype=np.bool_)
    # While a block is multiplied, memory brings the next one: so many lines of it with each tile.
    tiles = padded // DOT_ROWS * (padded // DOT_ROWS + 1) // 2
    lines = (len(update_addresses) * _ROW_LINES + tiles - 1) // tiles
    for block_start in range(start, stop, PRODUCT_VALUES):
        width = min(PRODUCT_VALUES, stop - block_start)
        for k in range(len(update_addresses)):
            source, row = update_addresses[k] + 2 * block_start, whole + stride * k
            if width < PRODUCT_VALUES:
                update = carray(_pointer_to(source), (width,), np.int16)
                for i in range(width):
                    value[0, k, i] = update[i]
                value[0, k, width:] = 0
                source = row
            measures[k] = _copy_measured(source, row, PRODUCT_VALUES // 32)
        is_halved[:] = False
        ahead = 0
        # Columns in groups that stay in a level-2 cache while all rows go by.
        for group in range(0, padded, _CACHED_ROWS):
            group_end = min(group + _CACHED_ROWS, padded)
            for j in range(0, group_end, DOT_ROWS):
                longest = measures[j : j + DOT_ROWS].max()
                for k in range(max(j, group), group_end, DOT_ROWS):
                    _fetch_lines(update_addresses, 2 * (block_start + PRODUCT_VALUES), ahead, lines)
                    ahead += lines
                    entry = products.ctypes.data + 8 * (padded * j + k)
                    steps = (width + 31) // 32
                    if longest * measures[k : k + DOT_ROWS].max() < 1 << 48:
                        _dot_tile(whole + stride * j, whole + stride * k, stride, steps, entry, 8 * padded)
                        continue
                    if not is_halved[k // DOT_ROWS]:
                        for c in range(k, k + DOT_ROWS):
                            for i in range(PRODUCT_VALUES):
                                value[1, c, i] = value[0, c, i] >> 8
                                value[2, c, i] = value[0, c, i] & 255
                        is_halved[k // DOT_ROWS] = True
                    _half_dot_tile(
                        whole + stride * j, high + stride * k, low + stride * k, stride, steps, entry, 8 * padded
                    )
