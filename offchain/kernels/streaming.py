"""The aggregate of vectors that stay on disk, bit-identical to `optfl.aggregation.aggregate`.

Two passes over the files, one where the rule needs no totals: first the trace, then the model, which is written as it
is made. Each thread reads a piece and computes with it; the operating system reads ahead meanwhile. Each has buffers of
its own, and nothing else grows with the number of values but the trace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from offchain.kernels import compiled
from offchain.kernels.files import Dtype, VectorFile, VectorFileError, VectorFiles, create_vector_file
from offchain.kernels.plans import Mean, Plan, plan_recipe
from offchain.kernels.threads import count_threads, run_in_ranges
from offchain.kernels.traces import TraceBuilder
from optfl.aggregation import derive_weights
from optfl.rules import RoundFacts, Rule, RuleError, Totals, TotalsKind
from optfl.rules.base import Int32Array, check_sample_weights, check_updates
from optfl.traces import BLOCK_VALUES, get_totals

BUFFER_BYTES = 4 << 20
"""Of updates that a thread reads at a time; with more than 500 of them, 4096 values of each, but for a mean.

So little that a last-level cache still holds it when it is computed with, so much that the calls that read it do not
count. Mapping the files instead costs twice as much as copying them: page by page, they appear and go again.
"""
MIN_PIECE_VALUES, MAX_PIECE_VALUES = 1 << 12, BLOCK_VALUES

Fill = Callable[[Int32Array, Int32Array, int], None]
"""Makes a part of the model, from the base's same part and where it starts."""


class StreamedAggregation(NamedTuple):
    """What `optfl.aggregation.Aggregation` has beside the model."""

    weights: tuple[int, ...]
    trace: Totals | None


def aggregate_files(
    rule: Rule,
    base: Path,
    updates: Sequence[Path],
    facts: RoundFacts,
    model: Path,
    *,
    update_shift: int | None = None,
    threads: int | None = None,
) -> StreamedAggregation:
    """Write to `model` the new model int32[D] of the base int32[D] and K updates int16[D], each in a file.

    `update_shift`: of a task with updates of 8 bits; the files then hold int8, each value for its 2^update_shift-fold.
    `threads`: cores to use, by default all that this process may. RuleError when the inputs do not fit each other or
    the rule, VectorFileError when a file is none of theirs or cannot be read or written.
    """
    check_updates(rule, len(updates))
    if facts.updates != len(updates):
        raise RuleError(f"{facts.updates} weights for {len(updates)} updates; give each update one")
    check_sample_weights(facts.sample_weights)
    dtype: Dtype = "int16" if update_shift is None else "int8"
    with ExitStack() as stack:
        base_file = stack.enter_context(VectorFile(base, "int32"))
        files = [stack.enter_context(VectorFile(path, dtype)) for path in updates]
        if wrong := next((file for file in files if file.length != base_file.length), None):
            raise VectorFileError(f"{wrong.path}: {wrong.length} values where the base has {base_file.length}")
        streams = _Streams(base_file, files, update_shift, count_threads(threads))
        trace = streams.compute_trace(rule.totals) if rule.totals else None
        weights = derive_weights(rule, None if trace is None else get_totals(rule.totals, trace, len(files)), facts)
        streams.write_model(plan_recipe(rule.recipe(weights, facts), len(files)), model)
    return StreamedAggregation(weights, trace)


class _Streams:
    def __init__(self, base: VectorFile, updates: Sequence[VectorFile], shift: int | None, threads: int) -> None:
        self._base, self._updates, self._shift, self._threads = base, updates, shift, threads
        self._local = threading.local()

    def compute_trace(self, kind: TotalsKind) -> Totals:
        builder = TraceBuilder(kind, self._base.length, len(self._updates))
        files, piece = VectorFiles(self._updates), _choose_piece(len(self._updates))

        def add(start: int, stop: int) -> None:
            sums = builder.make_sums()
            for piece_start in range(start, stop, piece):
                width = min(piece, stop - piece_start)
                buffer = self._read(files, piece_start, width, piece)
                builder.add_values(_list_addresses(buffer), sums, 0, width)
            builder.add(sums, start // BLOCK_VALUES)

        run_in_ranges(add, self._base.length, max(piece, builder.part_values), self._threads)
        return builder.build()

    def write_model(self, plan: Plan, path: Path) -> None:
        piece = _choose_piece(len(plan.inputs) if plan.mean is None else compiled.MEAN_ROWS)
        fill = self._fill_all_at_once(plan, piece) if plan.mean is None else self._fill_in_turn(plan, plan.mean, piece)
        with create_vector_file(path, "int32", self._base.length) as writer:

            def carry_out(start: int, stop: int) -> None:
                base, model = (self._keep(name, (piece,), np.int32)[: stop - start] for name in ("base", "model"))
                self._base.read_into(base, start)
                fill(base, model, start)
                writer.write(model, start)

            run_in_ranges(carry_out, self._base.length, piece, self._threads)

    def _fill_all_at_once(self, plan: Plan, piece: int) -> Fill:
        files = VectorFiles([self._updates[index] for index in plan.inputs])

        def fill(base: Int32Array, model: Int32Array, start: int) -> None:
            buffer = self._read(files, start, len(model), piece)
            plan.kernel(base.ctypes.data, _list_addresses(buffer), model, 0, len(model))

        return fill

    def _fill_in_turn(self, plan: Plan, mean: Mean, piece: int) -> Fill:
        """A few updates at a time, and longer pieces of them: fewer calls, and buffers that stay nearer to the core."""
        files = [self._updates[index] for index in plan.inputs]
        groups = [VectorFiles(files[k : k + compiled.MEAN_ROWS]) for k in range(0, len(files), compiled.MEAN_ROWS)]
        weights = np.split(mean.weights, len(groups))

        def fill(base: Int32Array, model: Int32Array, start: int) -> None:
            total = self._keep("total", (piece,), mean.weights.dtype)[: len(model)]
            total[:] = 0
            for group, theirs in zip(groups, weights, strict=True):
                addresses = _list_addresses(self._read(group, start, len(model), piece))
                compiled.add_weighted(addresses, theirs, 0, total)
            compiled.add_mean(base, total, mean.divisor, model)

        return fill

    def _read(self, files: VectorFiles, start: int, width: int, piece: int) -> npt.NDArray[np.int16]:
        """Values from `start` on of all files, [K, piece] of which `width` count, in this thread's buffer."""
        buffer: npt.NDArray[np.int16] = self._keep("updates", (len(files), piece), np.int16)
        if self._shift is None:
            files.read_into(buffer, start, width)
            return buffer
        stored = self._keep("stored", (len(files), piece), np.int8)
        files.read_into(stored, start, width)
        np.multiply(stored[:, :width], np.int16(1 << self._shift), out=buffer[:, :width])
        return buffer

    def _keep(self, name: str, shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
        """This thread's buffer of that name. Kept: memory that is given back is cleared when it is had again."""
        kept: npt.NDArray[Any] | None = getattr(self._local, name, None)
        if kept is None or kept.dtype != dtype or len(kept) < shape[0] or kept.shape[1:] != shape[1:]:
            kept = np.empty(shape, dtype=dtype)
            setattr(self._local, name, kept)
        return kept[: shape[0]]


def _choose_piece(updates: int) -> int:
    """Coordinates to read at a time: a power of two, so that rows of a trace are whole pieces."""
    largest = BUFFER_BYTES // (2 * updates)
    return min(max(1 << largest.bit_length() - 1, MIN_PIECE_VALUES), MAX_PIECE_VALUES)


def _list_addresses(buffer: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    return buffer.ctypes.data + buffer.strides[0] * np.arange(len(buffer), dtype=np.int64)
