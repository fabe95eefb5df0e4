"""Traces: cumulative totals, row by row, against the oracle, over blocks that do not divide the vector."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl import traces
from optfl.rules import TotalsKind, parse_rule
from optfl.rules.gram import compute_totals, count_totals
from optfl.traces import (
    BLOCK_VALUES,
    Entry,
    block_bounds,
    compute_trace,
    count_rows,
    find_entry,
    find_first_difference,
    get_totals,
    trace_shape,
)
from support import oracle
from support.inputs import FILLS

SMALL_BLOCK = 4
RULES = ("norm_clipped_mean(norm=0)", "krum(f=0)")
KINDS = (TotalsKind.NORMS, TotalsKind.PRODUCTS)


@pytest.fixture
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that short vectors have many rows."""
    monkeypatch.setattr(traces, "BLOCK_VALUES", SMALL_BLOCK)


@pytest.mark.usefixtures("_small_blocks")
@pytest.mark.parametrize("fill", sorted(FILLS))
@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 17])
@pytest.mark.parametrize("updates", [1, 2, 5])
@pytest.mark.parametrize("name", RULES)
def test_row_i_has_the_totals_of_blocks_up_to_i(name: str, updates: int, length: int, fill: str) -> None:
    matrix, kind = FILLS[fill](np.random.default_rng(length), updates, length), parse_rule(name).totals
    trace = compute_trace(kind, list(matrix))
    assert trace.dtype == np.int64
    assert len(trace) == trace_shape(kind, length, updates).length == count_rows(length) * count_totals(kind, updates)
    for row, found in enumerate(trace.reshape(count_rows(length), -1).tolist()):
        assert found == oracle.compute_totals(name, matrix[:, : (row + 1) * SMALL_BLOCK].tolist())
    assert get_totals(kind, trace, updates).tolist() == compute_totals(kind, matrix).tolist()


@pytest.mark.parametrize(("length", "rows"), [(1, 1), (BLOCK_VALUES, 1), (BLOCK_VALUES + 1, 2), (1 << 27, 1 << 10)])
def test_blocks_cover_the_vector_once(length: int, rows: int) -> None:
    assert count_rows(length) == rows
    bounds = [block_bounds(row, length) for row in range(rows)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == length
    assert all(stop == start for (_, stop), (start, _) in pairwise(bounds))
    assert all(0 < stop - start <= BLOCK_VALUES for start, stop in bounds)


@pytest.mark.parametrize("value", [-(2**15), 2**15 - 1])
def test_a_block_of_extremes_is_exact(value: int) -> None:
    matrix = np.full((2, BLOCK_VALUES + 1), value, dtype=np.int16)
    matrix[1] = -(2**15)
    first, last = compute_trace(TotalsKind.PRODUCTS, list(matrix)).reshape(2, 3).tolist()
    assert first == [BLOCK_VALUES * value**2, BLOCK_VALUES * value * -(2**15), BLOCK_VALUES * 2**30]
    assert last == [(BLOCK_VALUES + 1) * value**2, (BLOCK_VALUES + 1) * value * -(2**15), (BLOCK_VALUES + 1) * 2**30]
    norms = compute_trace(TotalsKind.NORMS, list(matrix)).reshape(2, 2).tolist()
    assert norms == [[first[0], first[2]], [last[0], last[2]]]


def test_the_totals_of_the_longest_vector_fit() -> None:
    assert (1 << 27) * 2**30 < 2**63
    assert (1 << 17) * 2**30 <= 2**53  # a block, also in float64


@pytest.mark.usefixtures("_small_blocks")
@given(st.sampled_from(KINDS), st.integers(1, 5), st.integers(1, 17), st.integers(0, 2**32), st.data())
def test_the_first_difference_is_an_entry_whose_step_is_wrong(
    kind: TotalsKind, updates: int, length: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    matrix = FILLS["uniform"](random, updates, length)
    own = compute_trace(kind, list(matrix))
    assert find_first_difference(kind, own, own, updates) is None
    claimed = own.copy()
    for position in data.draw(st.sets(st.integers(0, len(own) - 1), min_size=1, max_size=4)):
        claimed[position] += random.integers(1, 1000)
    entry = find_first_difference(kind, own, claimed, updates)
    assert entry is not None
    position = find_entry(kind, entry, updates)
    assert own[position] != claimed[position]
    assert (own[:position] == claimed[:position]).all()
    start, stop = block_bounds(entry.row, length)
    step = int(matrix[entry.j, start:stop].astype(np.int64) @ matrix[entry.k, start:stop].astype(np.int64))
    before = 0 if entry.row == 0 else int(claimed[find_entry(kind, entry._replace(row=entry.row - 1), updates)])
    assert before + step == own[position] != claimed[position]


@pytest.mark.parametrize("updates", [1, 2, 7])
def test_entries_are_rows_of_upper_triangles_or_of_diagonals(updates: int) -> None:
    entries = [Entry(row, j, k) for row in range(3) for j in range(updates) for k in range(j, updates)]
    assert [find_entry(TotalsKind.PRODUCTS, entry, updates) for entry in entries] == list(range(len(entries)))
    norms = [entry for entry in entries if entry.j == entry.k]
    assert [find_entry(TotalsKind.NORMS, entry, updates) for entry in norms] == list(range(len(norms)))
