"""How long a lie lives: by proof within its window, by vote up to the votes' deadlines, and training goes on."""

from __future__ import annotations

import pytest

from benchmarks.federations import Case, measure
from benchmarks.latency import LIAR, build_situations, group, show

SITUATIONS = {case.name: case for case in build_situations(4)}


def test_a_proof_is_challenge_and_verdict_in_one() -> None:
    run = measure(SITUATIONS["proof, 1 watcher"])
    (dispute,) = run.disputes
    assert dispute.kind == "proof"
    assert dispute.submitted < dispute.opened == dispute.decided < dispute.window_closes
    assert run.settled == run.case.rounds


def test_a_vote_takes_longer_and_training_does_not_wait() -> None:
    (dispute,) = measure(SITUATIONS["vote, 1 watcher, f validators silent"]).disputes
    assert dispute.kind == "vote"
    assert dispute.submitted < dispute.opened < dispute.decided
    assert 0 < dispute.began_while_open <= dispute.began


def test_the_liar_itself_is_as_late_as_the_window_allows() -> None:
    (dispute,) = measure(SITUATIONS["proof by the liar itself, at the end"]).disputes
    assert dispute.window_closes - 2 <= dispute.decided <= dispute.window_closes


def test_one_watcher_of_many_validators_is_in_time() -> None:
    """It leaves others a few blocks, and may be the only one: its patience must not outlast the window."""
    for seed in range(3):
        case = Case("test", "many", 4, 3, 24, adversaries={"aggregator1": "poison@2"}, seed=seed)
        run = measure(case)
        assert (run.settled_lies, run.convicted) == (0, ["aggregator1"])


def test_the_table_has_every_situation(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [measure(SITUATIONS[name]) for name in ("vote, 1 watcher", "proof, 1 watcher")]
    assert list(group(runs)) == [("vote, 1 watcher", 4), ("proof, 1 watcher", 4)]
    show(runs)
    assert capsys.readouterr().out.count("1 of 1") == 2
    assert all(LIAR in case.adversaries for case in SITUATIONS.values())
