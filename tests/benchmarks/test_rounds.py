"""That the counters count what happened: tiny runs, with no word about times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.rounds import command
from benchmarks.setting import REPLICAS
from benchmarks.trace import PHASES

K, D = 3, 20_000
ROUNDS = 2


def measure(mode: str, home: Path) -> dict[str, Any]:
    arguments = ["--json", "--modes", mode, "--k", K, "--d", D, "--rounds", ROUNDS, "--processes", 1, "--home", home]
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (line["mode"], line["k"], line["d"]) == (mode, K, D)
    assert line["seconds_per_round"] > 0
    assert line["phase_seconds"].keys() == line["phase_cpu_seconds"].keys() == set(PHASES)
    return dict(line)


def test_a_plain_server_aggregates_once_and_has_no_ledger(tmp_path: Path) -> None:
    line = measure("plain", tmp_path)
    assert line["aggregations_per_round"] == 1
    assert line["ledger_txs_per_round"] == 0
    payload = K * (4 * D + 2 * D)
    assert payload < line["bytes_per_round"] < 1.01 * payload


@pytest.mark.localnet
@pytest.mark.parametrize(("mode", "aggregations"), [("optimistic", (2, 2)), ("quorum", (2, 3)), ("pbft", (3, 4))])
def test_what_the_modes_cost(mode: str, aggregations: tuple[int, int], tmp_path: Path) -> None:
    """One aggregator and one watcher; or all members, of whom the last may come too late to compute."""
    line = measure(mode, tmp_path)
    least, most = aggregations
    assert least <= line["aggregations_per_round"] <= most
    assert line["ledger_txs"]["commit_update"] == K
    assert line["ledger_txs"]["submit_aggregate" if mode == "optimistic" else "submit_certified_aggregate"] >= 1
    put, fetched = REPLICAS * (K * 2 * D + 4 * D), K * 4 * D + least * (K * 2 * D + 4 * D)
    assert line["bytes_per_round"] > put + fetched
