"""Aggregates of files: the bytes that memory gives, and refusals that name the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offchain.kernels import streaming
from offchain.kernels.aggregate import aggregate
from offchain.kernels.compiled import MEAN_ROWS
from offchain.kernels.files import VectorFileError
from offchain.kernels.streaming import aggregate_files
from optfl.rules import MAX_WEIGHT, RoundFacts, RuleError, parse_rule
from optfl.rules.base import Int16Array, Int32Array
from optfl.traces import BLOCK_VALUES
from support.inputs import FILLS, make_base

RULES = [
    "fedavg()",
    "median()",
    "meamed(f=2)",
    "krum(f=1)",
    "bulyan(f=1)",
    "geometric_median(steps=2)",
    "nnm(f=1) | trimmed_mean(f=1)",
    "norm_clipped_mean(norm=0)",
    "arc(f=2) | median()",
    "clipping(norm=0) | bucketing(s=2) | median()",
]
FACTS = RoundFacts((5, 3, 1, 4, 1, 5, 9), b"beacon")


def write_round(folder: Path, length: int) -> tuple[Int32Array, list[Int16Array], Path, list[Path]]:
    """Base and seven updates, also in files; the second without a header."""
    random = np.random.default_rng(length)
    base, updates = make_base(random, length), list(FILLS["uniform"](random, 7, length))
    paths = [folder / f"{index}.npy" for index in range(7)]
    for path, update in zip(paths, updates, strict=True):
        np.save(path, update)
    paths[1] = folder / "plain"
    paths[1].write_bytes(updates[1].astype("<i2").tobytes())
    np.save(folder / "base.npy", base)
    return base, updates, folder / "base.npy", paths


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("length", [1, 700, 5 * streaming.MIN_PIECE_VALUES + 3])
@pytest.mark.parametrize("threads", [1, 3])
def test_files_give_the_bytes_that_memory_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, length: int, threads: int
) -> None:
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 64)  # pieces as small as they get
    base, updates, base_path, paths = write_round(tmp_path, length)
    rule = parse_rule(name)
    expected = aggregate(rule, base, updates, FACTS)
    done = aggregate_files(rule, base_path, paths, FACTS, tmp_path / "model.npy", threads=threads)
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), expected.model)
    assert done.weights == expected.weights
    assert (done.trace is None) == (expected.trace is None)
    if done.trace is not None and expected.trace is not None:
        np.testing.assert_array_equal(done.trace, expected.trace)


@pytest.mark.parametrize("length", [BLOCK_VALUES - 1, BLOCK_VALUES, 2 * BLOCK_VALUES + 1])
@pytest.mark.parametrize("name", ["multi_krum(f=1)", "norm_clipped_mean(norm=0)"])
def test_rows_of_a_trace_end_where_memory_s_do(tmp_path: Path, name: str, length: int) -> None:
    base, updates, base_path, paths = write_round(tmp_path, length)
    rule = parse_rule(name)
    expected = aggregate(rule, base, updates, FACTS)
    done = aggregate_files(rule, base_path, paths, FACTS, tmp_path / "model", threads=2)
    assert (tmp_path / "model").read_bytes() == expected.model.astype("<i4").tobytes()
    assert done.trace is not None
    np.testing.assert_array_equal(done.trace, expected.trace)


@pytest.mark.parametrize("updates", [MEAN_ROWS - 1, MEAN_ROWS, 2 * MEAN_ROWS, 2 * MEAN_ROWS + 1])
@pytest.mark.parametrize("weight", [1, 1 << 13, MAX_WEIGHT])
def test_a_mean_reads_its_updates_in_turn(tmp_path: Path, updates: int, weight: int) -> None:
    random = np.random.default_rng(updates)
    base, values = make_base(random, 3000), list(FILLS["extremes"](random, updates, 3000))
    paths = [tmp_path / f"{index}.npy" for index in range(updates)]
    for path, update in zip(paths, values, strict=True):
        np.save(path, update)
    np.save(tmp_path / "base.npy", base)
    facts = RoundFacts((1, *[weight] * (updates - 1)))
    aggregate_files(parse_rule("fedavg()"), tmp_path / "base.npy", paths, facts, tmp_path / "model.npy")
    expected = aggregate(parse_rule("fedavg()"), base, values, facts)
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), expected.model)


@pytest.mark.parametrize("shift", [0, 3, 8])
def test_updates_of_8_bits_count_for_what_they_stand_for(tmp_path: Path, shift: int) -> None:
    base, updates, base_path, paths = write_round(tmp_path, 3000)
    small = [(update >> 8).astype(np.int8) for update in updates]
    for path, values in zip(paths, small, strict=True):
        np.save(path, values) if path.suffix else path.write_bytes(values.tobytes())
    rule = parse_rule("nnm(f=1) | median()")
    expected = aggregate(rule, base, [values.astype(np.int16) * np.int16(1 << shift) for values in small], FACTS)
    done = aggregate_files(rule, base_path, paths, FACTS, tmp_path / "model.npy", update_shift=shift)
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), expected.model)
    assert done.weights == expected.weights


@pytest.mark.parametrize("updates", [1, 2, 100, 1000, 4096])
def test_buffers_are_bounded_and_rows_of_a_trace_whole_pieces(updates: int) -> None:
    piece = streaming._choose_piece(updates)
    assert BLOCK_VALUES % piece == 0
    assert 2 * updates * piece <= max(streaming.BUFFER_BYTES, 2 * updates * streaming.MIN_PIECE_VALUES)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    _, _, base, paths = write_round(tmp_path, 9)
    np.save(tmp_path / "short.npy", np.zeros(8, dtype=np.int16))
    median, model = parse_rule("median()"), tmp_path / "model.npy"
    with pytest.raises(VectorFileError, match=r"short.npy: 8 values where the base has 9"):
        aggregate_files(median, base, [*paths[:6], tmp_path / "short.npy"], FACTS, model)
    with pytest.raises(RuleError, match="7 weights for 6 updates"):
        aggregate_files(median, base, paths[:6], FACTS, model)
    with pytest.raises(RuleError, match="of 2 updates"):
        aggregate_files(parse_rule("krum(f=1)"), base, paths[:2], RoundFacts((1, 1)), model)
    with pytest.raises(RuleError, match="weight 0"):
        aggregate_files(median, base, paths[:1], RoundFacts((0,)), model)
    with pytest.raises(VectorFileError, match=r"0\.npy: int16"):
        aggregate_files(median, paths[0], paths[:1], RoundFacts((1,)), model)
    assert not model.exists()
