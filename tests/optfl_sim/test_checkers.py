"""The checkers find what they are for: with a guard of the ledger taken out, the same attack is seen to succeed."""

from __future__ import annotations

import pytest

from abci_app.block_end import deadlines, new_rounds, settlement
from abci_app.state import State
from abci_app.state.keyspace import round_key
from abci_app.state.tokens import InvariantViolation
from abci_app.transitions import submit_fraud_proof
from optfl_sim.checkers import Checkers, CheckFailed
from optfl_sim.drawing import FLOAT_RULE, TOLERANCES, compute_float_mean
from optfl_sim.federation import Result, Scenario, run_and_report, run_federation

SCENARIO = Scenario(
    seed=3,
    clients=8,
    aggregators=4,
    rounds=4,
    clients_per_round=6,
    rule="trimmed_mean(f=1)",
    mean_seconds_between_crashes=0.0,
    loss_rate=0.0,
)


def play(**adversaries: str) -> Result:
    return run_and_report(Scenario(**{**vars(SCENARIO), "adversaries": adversaries}))


def find(result: Result, text: str) -> list[str]:
    return [violation for violation in result.report.violations if text in violation]


def test_without_fraud_proofs_a_wrong_model_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(aggregator1="coordinate").report.violations == ()
    monkeypatch.setattr(submit_fraud_proof, "is_fraud", lambda *_: False)
    result = play(aggregator1="coordinate")
    assert find(result, "round 2 settled with a wrong model (aggregator1)")
    assert find(result, "is honest and lost 100000 on a fraud proof")  # whoever told the truth


def test_if_every_proof_is_believed_the_honest_are_convicted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert play(challenger1="spam-proofs@2").report.violations == ()
    monkeypatch.setattr(submit_fraud_proof, "is_fraud", lambda *_: True)
    result = play(challenger1="spam-proofs@2")
    assert find(result, "of aggregator1 is right, and convicted")
    assert find(result, "aggregator1 is honest and lost 20000000 of its stake")
    assert find(result, "aggregator1 is honest and was excluded for good")
    assert result.report.honest_loss > 0


def test_what_settles_at_once_was_never_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "is_window_over", lambda *_: True)
    assert find(play(aggregator1="coordinate"), "round 2 settled with an attempt that was never open")


def test_if_training_waits_for_the_window_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_rounds, "_is_ready", lambda *_: False)  # only once the head has settled
    assert find(play(), "round 1 has its model and the next one did not start")


def test_if_turns_end_at_once_the_honest_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "is_window_over", lambda *_: True)
    assert find(play(), "is honest and was excluded for a time")


def test_what_makes_the_ledger_halt_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that settles over a vote takes the challenger's bond with it: the ledger's own invariant."""
    scenario = Scenario(
        **{
            **vars(SCENARIO),
            "rule": FLOAT_RULE,
            "floats": {"mean": compute_float_mean},
            "parameters": {**TOLERANCES, "vote_commit_blocks": 40},
            "adversaries": {"aggregator1": "poison", "validator1": "silent-validator"},
        }
    )
    assert run_and_report(scenario).report.violations == ()
    monkeypatch.setattr(settlement, "is_disputed", lambda *_: False)
    with pytest.raises(ExceptionGroup) as raised:
        run_and_report(scenario)
    assert raised.group_contains(InvariantViolation, match="would create -100000 tokens")


def test_a_violation_within_the_assumptions_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit_fraud_proof, "is_fraud", lambda *_: False)
    with pytest.raises(CheckFailed, match="settled with a wrong model"):
        run_federation(Scenario(**{**vars(SCENARIO), "adversaries": {"aggregator1": "coordinate"}}))


@pytest.fixture
def finished() -> tuple[Checkers, State]:
    """Checkers that have seen the end of an honest run."""
    result = play()
    checkers = Checkers(result.names, frozenset(), lambda _: None, lambda *_: None)  # type: ignore[arg-type, return-value]
    state = State(result.chain.state)
    checkers.check_block(1, state, [])
    checkers.violations.clear()  # it knows no vectors
    return checkers, state


def test_a_settled_round_that_changes_is_seen(finished: tuple[Checkers, State]) -> None:
    checkers, state = finished
    digest = state.digests[round_key(1, 2)]
    digest.model_root = bytes(32)
    state.digests.put(round_key(1, 2), digest)
    checkers.check_block(2, state, [])
    assert checkers.violations == ["block 2: round 2 was settled, and is another one now"]


def test_a_settled_round_that_is_taken_back_is_seen(finished: tuple[Checkers, State]) -> None:
    checkers, state = finished
    task = state.tasks[(1).to_bytes(8, "big")]
    task.settled_round -= 1
    state.tasks.put((1).to_bytes(8, "big"), task)
    checkers.check_block(2, state, [])
    assert checkers.violations == ["block 2: 4 rounds were settled, now 3 are"]
