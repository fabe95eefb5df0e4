"""`optfl aggregate`: files in, the model and its root out, and one line for whatever is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from optfl import aggregation, traces
from optfl.rules import RoundFacts, parse_rule
from optfl.vectors import ChunkedVector, Shape
from optfl_cli.main import main

LENGTH = 3000


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """Base and five updates, and the options that name them."""
    random = np.random.default_rng(3)
    np.save(tmp_path / "base.npy", random.integers(-9, 9, LENGTH, dtype=np.int32))
    updates = []
    for index in range(5):
        np.save(tmp_path / f"{index}.npy", random.integers(-99, 99, LENGTH, dtype=np.int16))
        updates.append(str(tmp_path / f"{index}.npy"))
    return ["aggregate", "--base", str(tmp_path / "base.npy"), "--output", str(tmp_path / "model.npy"), *updates]


def compute_expected(folder: Path, rule: str, facts: RoundFacts) -> aggregation.Aggregation:
    updates = [np.load(folder / f"{index}.npy") for index in range(5)]
    return aggregation.aggregate(parse_rule(rule), np.load(folder / "base.npy"), updates, facts, 2048)


@pytest.mark.parametrize("rule", ["fedavg()", "krum(f=1)", "norm_clipped_mean(norm=0)", "bucketing(s=2) | median()"])
def test_the_model_and_the_roots_that_a_ledger_would_know(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    options = ["--weights", "1,2,3,4,5", "--beacon", "ab" * 32, "--threads", "2", "--json"]
    assert main([*arguments, "--rule", rule, *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = compute_expected(tmp_path, rule, RoundFacts((1, 2, 3, 4, 5), b"\xab" * 32))
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), expected.model)
    assert printed["model_root"] == ChunkedVector(Shape("int32", LENGTH), expected.model).root.hex()
    assert tuple(printed["weights"]) == expected.weights
    assert ("trace_root" in printed) == (expected.trace is not None)
    if expected.trace is not None:
        shape = traces.trace_shape(parse_rule(rule).totals, LENGTH, 5)
        assert printed["trace_root"] == ChunkedVector(shape, expected.trace).root.hex()


def test_the_trace_in_a_file_and_fields_for_people(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--rule", "multi_krum(f=1)", "--trace", str(tmp_path / "trace.npy")]) == 0
    expected = compute_expected(tmp_path, "multi_krum(f=1)", RoundFacts((1,) * 5))
    np.testing.assert_array_equal(np.load(tmp_path / "trace.npy"), expected.trace)
    out = capsys.readouterr().out
    assert "multi_krum(f=1)" in out
    assert str(expected.weights[0]) in out


def test_updates_of_8_bits(arguments: list[str], tmp_path: Path) -> None:
    updates = [np.load(tmp_path / f"{index}.npy") for index in range(5)]
    for index, update in enumerate(updates):
        np.save(tmp_path / f"{index}.npy", update.astype(np.int8))
    assert main([*arguments, "--rule", "median()", "--update-bits", "8", "--update-shift", "2"]) == 0
    base, facts = np.load(tmp_path / "base.npy"), RoundFacts((1,) * 5)
    expected = aggregation.aggregate(
        parse_rule("median()"), base, [update * np.int16(4) for update in updates], facts, 9
    )
    np.testing.assert_array_equal(np.load(tmp_path / "model.npy"), expected.model)


def test_other_chunks_have_another_root(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--rule", "median()", "--chunk-values", "64", "--json"]) == 0
    expected = compute_expected(tmp_path, "median()", RoundFacts((1,) * 5)).model
    root = ChunkedVector(Shape("int32", LENGTH, 64), expected).root
    assert json.loads(capsys.readouterr().out)["model_root"] == root.hex()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--rule", "mean()"], "no rule 'mean()'; use "),
        (["--rule", "krum(f=3)"], "krum(f=3) of 5 updates; use 7 to "),
        (["--rule", "median()", "--weights", "1,2"], "2 weights for 5 updates"),
        (["--rule", "median()", "--weights", "1,2,x,4,5"], "use whole numbers with commas between them"),
        (["--rule", "median()", "--weights", "1,2,0,4,5"], "weight 0; use 1 to "),
        (["--rule", "median()", "--trace", "t.npy"], "median() has no trace"),
        (["--rule", "median()", "--chunk-values", "3"], "chunk_values 3; use a power of two"),
        (["--rule", "median()", "--beacon", "xy"], "xy"),
        (["--rule", "median()", "--update-shift", "2"], "only updates of 8 bits are shifted"),
        (["--rule", "median()", "--update-bits", "8"], "int16 of shape (3000,); use a vector of little-endian int8"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert main([*arguments, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model.npy").exists()


def test_a_wrong_file_is_named(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "float.npy", np.zeros(LENGTH, dtype=np.float32))
    assert main([*arguments, str(tmp_path / "float.npy"), "--rule", "median()"]) == 1
    assert "float.npy: float32 of shape (3000,); use a vector of little-endian int16" in capsys.readouterr().err
    assert main([*arguments, str(tmp_path / "nothing.npy"), "--rule", "median()"]) == 1
    assert "nothing.npy: No such file or directory" in capsys.readouterr().err
