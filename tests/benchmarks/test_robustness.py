"""Cells are functions of what they say, a table goes on where it ended, and shows what was measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from rich.console import Console

from benchmarks import plots, robustness
from benchmarks.robustness import (
    ATTACKS,
    BYZANTINE,
    CLIENTS,
    NOBODY,
    RULES,
    Cell,
    Score,
    average,
    list_cells,
    measure,
    measure_missing,
    plot,
    read_scores,
    show,
)
from offchain.learning.attacks import parse_attack

QUIET = Console(quiet=True)
SMALL = {"rounds": 3, "clients": 5, "steps": 4}


def test_all_that_is_in_the_table_exists() -> None:
    cells = list_cells(RULES, ATTACKS, BYZANTINE, seeds=1, alpha=0.5)
    assert len(cells) == len(set(cells)) == len(RULES) * (1 + len(ATTACKS) * len(BYZANTINE)) - len(ATTACKS)
    assert {cell.rule for cell in cells if cell.byzantine == 6} == set(RULES) - {"bulyan(f={f})"}  # needs 4f + 3
    for attack in ATTACKS:
        parse_attack(attack)


@pytest.mark.parametrize("attack", ["sign_flip(factor=5)", "label_flip()", "alie_searched()"])
def test_a_cell_is_a_function_of_what_it_says(attack: str) -> None:
    cell = Cell("median()", attack, byzantine=2, seed=1, alpha=1.0, **SMALL)
    score = measure(cell)
    robustness.get_clients.cache_clear()
    assert measure(cell) == score
    assert 0 < score.accuracy < 1
    assert not score.diverged


def test_fedavg_falls_where_the_median_holds() -> None:
    fedavg, median = (
        measure(Cell(rule, "sign_flip(factor=5)", 4, seed=1, alpha=0.5, rounds=4)).accuracy
        for rule in ("fedavg()", "median()")
    )
    assert fedavg < 0.2
    assert median > 0.5


def test_training_that_diverges_ends_a_cell_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object) -> None:
        raise robustness.QuantisationError("a value is not finite")

    monkeypatch.setattr(robustness, "run_round", diverge)
    score = measure(Cell("fedavg()", NOBODY, 0, seed=1, alpha=1.0, **SMALL))
    assert score.diverged
    assert score.accuracy < 0.3


def make_scores(accuracies: dict[tuple[str, str, int], float]) -> list[Score]:
    return [Score(Cell(*key, seed=1, alpha=0.5), accuracy) for key, accuracy in accuracies.items()]


def test_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a line that was cut off, and beside cells of another setting."""
    path = tmp_path / "results" / "cells.jsonl"
    cells = [Cell("median()", NOBODY, 0, seed, 0.5) for seed in range(4)]
    other = dataclasses.replace(cells[0], alpha=9.0)
    measured: list[Cell] = []

    def note(cell: Cell) -> Score:
        measured.append(cell)
        return Score(cell, cell.seed / 10, cell.seed == 2)

    monkeypatch.setattr(robustness, "measure", note)
    measure_missing([other, *cells[:2]], path, 1, QUIET)
    with path.open("a") as file:
        file.write(note(cells[2]).to_json()[:-20])
    measured.clear()
    scores = measure_missing(cells, path, 1, QUIET)
    assert measured == cells[2:]
    assert scores == {cell: note(cell) for cell in cells}
    assert read_scores(path) == {cell: note(cell) for cell in [other, *cells]}
    measured.clear()
    assert measure_missing(cells, path, 1, QUIET) == scores
    assert measured == []


@pytest.mark.parametrize("text", ["not a cell\nnor this\n", "a line without an end"])
def test_a_file_of_something_else_is_not_written_to(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(robustness.click.UsageError, match="line 1: not a cell"):
        measure_missing([Cell("median()", NOBODY, 0, 1, 0.5)], path, 1, QUIET)
    assert path.read_text() == text


def test_processes_measure_the_same(tmp_path: Path) -> None:
    cells = [Cell("median()", NOBODY, 0, seed, 1.0, **SMALL) for seed in (1, 2)]
    scores = measure_missing(cells, tmp_path / "cells.jsonl", 2, QUIET)
    assert scores == {cell: measure(cell) for cell in cells} == read_scores(tmp_path / "cells.jsonl")


SCORES = make_scores(
    {
        ("fedavg()", NOBODY, 0): 0.93,
        ("fedavg()", "mimic()", 4): 0.87,
        ("fedavg()", "scaling()", 4): 0.1,
        ("bulyan(f={f})", NOBODY, 0): 0.9,
    }
)


def test_tables_name_the_worst_attack_and_have_gaps_for_what_is_not_defined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(average(SCORES), CLIENTS)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert ["fedavg()", "93", "10 scaling()"] in rows
    assert ["bulyan(f)", "90", "–"] in rows
    assert ["fedavg()", "87", "10"] in rows


def test_accuracies_of_seeds_are_averaged() -> None:
    again = [Score(dataclasses.replace(score.cell, seed=2), score.accuracy - 0.02) for score in SCORES]
    assert average([*SCORES, *again])["fedavg()", "mimic()", 4] == pytest.approx(0.86)


def test_the_heat_map_is_the_same_file_for_the_same_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(plots, "FIGURES", tmp_path)
    path = plot(average(SCORES), CLIENTS)
    text = path.read_text()
    assert path == tmp_path / "robustness.svg"
    assert all(word in text for word in ("20 % Byzantine", "scaling()", "fedavg()", ">93<"))
    plot(average(SCORES), CLIENTS)
    assert path.read_text() == text
