"""Red team: blobs that are certified and cannot be had (I1, I2), and evidence that is forgotten too early (I5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app.block_end import deadlines, demands
from abci_app.state import rounds
from abci_app.transitions import answer_demand
from optfl import errors, tasks
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Readmit, Vote
from support.demands import answer, answer_all, demand
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    STRANGER,
    VALIDATORS,
    TaskHarness,
)
from support.votes import commit_vote, open_challenge
from support.watches import attest


def index_of(task: TaskHarness, number: int, client: Any) -> int:
    return list(task.round(number).selected).index(client.address)


def test_I1_an_update_is_withheld_in_every_round(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's update is certified, and neither it nor its replicas hand it out. Honest aggregators demand it."""
    if not guarded:  # a demand excuses nobody
        monkeypatch.setattr(deadlines, "has_open_demands", lambda state, current: False)
    task = TaskHarness.start(demand_blocks=8, training_blocks=100)
    attacker = CLIENTS[2]
    for number in range(1, 5):
        task.commit_all(number)
        due = task.due_aggregator(number)
        task.ledger.accept(due, demand(task, number, index_of(task, number, attacker)))
        task.ledger.blocks(8)
        if not guarded:
            stake = task.ledger.must_stake(AGGREGATOR, due)
            assert stake.amount < AGGREGATOR_STAKE, "slashed for what another withheld"
            assert stake.excluded_until_height > 0
            return
        assert (task.round(number).turn, task.due_aggregator(number)) == (0, due)
        attempt = task.ledger.attempt(task.aggregate(number))
        assert attempt is not None
        assert attacker.address not in [given_.client for given_ in attempt.inputs]
    task.ledger.blocks(15)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    for aggregator in AGGREGATORS:
        stake = task.ledger.must_stake(AGGREGATOR, aggregator)
        assert (stake.amount, stake.faults, stake.excluded_until_height) == (AGGREGATOR_STAKE, 0, 0)


def test_I1_colluding_validators_up_to_a_third_change_nothing(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They say that they hold what nobody can have; more than a third of power would be needed."""
    if not guarded:  # one holder is enough
        monkeypatch.setattr(demands, "_decide", decide_by_anyone)
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    due = task.due_aggregator(1)
    task.ledger.accept(due, demand(task, 1, 0))
    answer_all(task, 1, answer(task, 1, 0))  # 1 of 4
    task.ledger.blocks(3)
    assert (task.round(1).committed, task.round(1).restarts) == ((4, 1) if guarded else (5, 1))


def decide_by_anyone(state: Any, found: state_pb2.Demand, *_: Any, **__: Any) -> bool:
    if found.holders:
        found.status = state_pb2.DEMAND_STATUS_HELD
        demands.return_bond(state, found)
    return bool(found.holders)


def test_I1_an_honest_update_is_demanded_away(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator wants a client's update out of the round. All who are honest, 3 of 4, have it, and say so."""
    if not guarded:  # what more than 2/3 hold counts as missing, as if demanding were enough
        monkeypatch.setattr(demands, "_decide", decide_without_holders)
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    due = task.due_aggregator(1)
    before = task.ledger.balance(due)
    task.ledger.accept(due, demand(task, 1, 0), fee=1000)
    answer_all(task, 3, answer(task, 1, 0))
    assert task.round(1).committed == (5 if guarded else 4)
    assert task.ledger.balance(due) == before - 1000 - (500 if guarded else 0), "and it costs the bond"


def decide_without_holders(state: Any, found: state_pb2.Demand, *_: Any, **__: Any) -> bool:
    if found.holders:
        found.status = state_pb2.DEMAND_STATUS_MISSING
        demands.return_bond(state, found)
    return bool(found.holders)


def test_I2_a_lie_that_nobody_can_open(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An aggregator and a quorum of replicas certify a model and serve it to nobody: no chunk, no proof."""
    if not guarded:  # nothing follows from what is missing
        monkeypatch.setattr(demands, "_conclude_attempt", lambda *arguments: None)
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    culprit = task.due_aggregator(1)
    lie = task.poisoned_model(1)
    bad = task.aggregate(1, lie)
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=bad, model=True))
    before = task.ledger.balance(culprit)
    task.ledger.blocks(8)
    if not guarded:
        digest = next(d for _, d in task.ledger.state.digests.items())
        assert (task.task.settled_round, digest.model_root) == (1, lie.root), "settled, and paid for"
        assert task.ledger.balance(culprit) == before + 1000
        return
    stake = task.ledger.must_stake(AGGREGATOR, culprit)
    assert task.ledger.attempt(bad).status == state_pb2.ATTEMPT_STATUS_VOID  # type: ignore[union-attr]
    assert (stake.amount, stake.faults) == (AGGREGATOR_STAKE * 99 // 100, 1)
    assert task.due_aggregator(1) is not culprit


def test_I2_an_update_that_only_its_client_and_the_aggregator_know(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they say it was, nobody can recompute the model that they made of it."""
    if not guarded:
        monkeypatch.setattr(demands, "_conclude_attempt", lambda *arguments: None)
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    colluder = CLIENTS[4]
    bad = task.aggregate(1)
    task.ledger.accept(STRANGER, demand(task, 1, index_of(task, 1, colluder), attempt_id=bad))
    task.ledger.blocks(8)
    if not guarded:
        assert task.task.settled_round == 1, "with a model that nobody could check"
        return
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert colluder.address not in [given_.client for given_ in attempt.inputs]


def test_I2_hiding_again_and_again_costs_more_each_time() -> None:
    """A slash and an exclusion at every turn; the exclusion doubles."""
    task = TaskHarness.start(training_blocks=100, max_attempts=20, rounds=1)
    task.commit_all(1)
    exclusions = []
    for _ in range(3):
        culprit = task.due_aggregator(1)
        bad = task.aggregate(1, task.poisoned_model(1))
        task.ledger.accept(STRANGER, demand(task, 1, attempt_id=bad, model=True))
        task.ledger.blocks(4)
        stake = task.ledger.must_stake(AGGREGATOR, culprit)
        exclusions.append((stake.faults, stake.excluded_until_height - task.ledger.height))
    assert exclusions == [(1, 10), (1, 10), (1, 10)]  # three aggregators, once each
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    again = AGGREGATORS[0]
    task.ledger.blocks(5)
    while task.ledger.height + 1 < task.ledger.must_stake(AGGREGATOR, again).excluded_until_height:
        task.ledger.block()
    task.ledger.accept(again, Readmit(role=AGGREGATOR))
    assert task.due_aggregator(1) is again
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=bad, model=True))
    task.ledger.blocks(4)
    stake = task.ledger.must_stake(AGGREGATOR, again)
    assert (stake.faults, stake.excluded_until_height - task.ledger.height) == (2, 20)


def test_I2_two_of_four_validators_say_that_they_have_what_nobody_has(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a third of the power, and not one chunk of a model that was stored nowhere: it is not held."""
    if not guarded:  # a word is enough
        monkeypatch.setattr(answer_demand, "_check_opening", lambda *arguments: None)
    task = TaskHarness.start(training_blocks=100)
    task.commit_all(1)
    lie = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=lie, model=True))
    nothing = answer(task, 1, attempt_id=lie, model=True)
    nothing.openings[0].Clear()
    codes = [task.ledger.send(validator, nothing).code for validator in VALIDATORS[:2]]
    assert codes == [errors.BadAudit.code if guarded else 0] * 2
    task.ledger.blocks(8)
    assert task.task.settled_round == (0 if guarded else 1)
    if guarded:
        assert task.ledger.must_attempt(lie).status == state_pb2.ATTEMPT_STATUS_VOID


# I5: the longest life that a round can have.


def wait_until(task: TaskHarness, height: int) -> None:
    """Whatever is sent next stands in the block at `height`."""
    task.ledger.blocks(height - 1 - task.ledger.height)
    assert task.ledger.height == height - 1


def hold(task: TaskHarness, number: int, *inputs: int, **overrides: Any) -> None:
    """Validators find a blob, in the block that closes its demand."""
    wait_until(task, task.ledger.height + task.parameters.demand_blocks)
    answer_all(task, 2, answer(task, number, *inputs, **overrides))


def draw_a_turn_out(task: TaskHarness, number: int) -> int:
    """Everything that may happen in a turn does, as late as it may; returns its attempt, at the last block it is open.

    Demands in the last block of each restart, the aggregate in the last block of the last one, a demand in the last
    block of the window, a challenge in the last one of the prolonged window, a vote to its last block, and a watch that
    is not shown.
    """
    due, parameters = task.due_aggregator(number), task.parameters
    for restart in range(3):
        wait_until(task, task.round(number).aggregation_deadline_height)
        task.ledger.accept(due, demand(task, number, restart))
        hold(task, number, restart)
        assert task.round(number).restarts == restart + 1
    wait_until(task, task.round(number).aggregation_deadline_height)
    bad = task.aggregate(number, task.poisoned_model(number))
    task.ledger.accept(VALIDATORS[2], attest(task, bad, VALIDATORS[2]))
    wait_until(task, task.round(number).window_close_height)
    task.ledger.accept(STRANGER, demand(task, number, attempt_id=bad, model=True))
    hold(task, number, attempt_id=bad, model=True)
    wait_until(task, task.round(number).window_close_height)
    task.ledger.accept(STRANGER, open_challenge(task, bad))
    # One commits and never reveals: both phases last until their deadlines.
    task.ledger.accept(VALIDATORS[0], commit_vote(task, bad, VALIDATORS[0], Vote(root=bytes(32))))
    wait_until(task, task.ledger.height + parameters.vote_commit_blocks - 1 + parameters.vote_reveal_blocks)
    wait_until(task, task.ledger.height + 1 + parameters.vote_reveal_blocks)
    assert task.round(number).watch_deadline_height == task.ledger.height + 1
    assert task.round(number).status == state_pb2.ROUND_STATUS_OPEN
    return bad


ROUND_LIVES = {
    "training_blocks": st.integers(2, 8),
    "aggregation_blocks": st.integers(4, 9),
    "min_window_blocks": st.integers(4, 12),
    "window_factor_percent": st.integers(0, 300),
    "demand_blocks": st.integers(4, 9),
    "vote_commit_blocks": st.integers(4, 8),
    "vote_reveal_blocks": st.integers(4, 8),
}


@settings(max_examples=8, deadline=None)
@given(st.fixed_dictionaries(ROUND_LIVES))
def test_I5_every_blob_outlives_every_height_at_which_it_is_evidence(parameters: dict[str, int]) -> None:
    """Attempts are convicted in the last block that they are open, until none is left. Certificates just suffice."""
    task = TaskHarness.start(max_attempts=3, **parameters)
    params = task.ledger.state.params
    kept = commit_for_as_short_as_allowed(task)
    for turn in range(3):
        start = task.ledger.height
        bad = draw_a_turn_out(task, 1)
        attempt = task.ledger.attempt(bad)
        assert attempt is not None
        assert attempt.turn == turn
        last = start + tasks.compute_turn_blocks(task.parameters) + params.evidence_blocks
        assert task.ledger.height + 1 <= attempt.evidence_height <= last <= kept
        assert attempt.evidence_height <= task.task.initial_model_certificate.retain_until_height
        task.ledger.accept(STRANGER, task.prove(bad))
        convicted = task.ledger.attempt(bad)
        assert convicted is not None
        assert convicted.status == state_pb2.ATTEMPT_STATUS_CONVICTED
    assert (task.round(1).status, task.round(1).aggregator) == (state_pb2.ROUND_STATUS_OPEN, b""), "no turn is left"


def test_I5_a_turn_that_its_base_draws_out_too() -> None:
    """Before all that, the model that it builds on is demanded, in the last block of the turn."""
    task = TaskHarness.start(min_window_blocks=40, demand_blocks=40, vote_commit_blocks=40, training_blocks=100)
    task.commit_all(1)
    author, model = task.due_aggregator(1), task.honest_model(1)
    retain = task.ledger.height + 1 + task.task.retention_blocks
    certificate = task.certify(author, 1, model, retain_until_height=retain)
    task.ledger.accept(author, task.submit_aggregate(1, model, certificate=certificate))
    task.commit_all(2)
    start = task.ledger.height
    wait_until(task, task.round(2).aggregation_deadline_height)
    task.ledger.accept(task.due_aggregator(2), demand(task, 1, attempt_id=1, model=True))
    hold(task, 1, attempt_id=1, model=True)
    assert (task.round(2).turn, task.round(2).restarts) == (0, 0)
    bad = draw_a_turn_out(task, 2)
    attempt = task.ledger.attempt(bad)
    assert attempt is not None
    assert task.ledger.height + 1 - start == tasks.compute_turn_blocks(task.parameters), "not a block less would do"
    assert attempt.evidence_height == start + tasks.compute_turn_blocks(task.parameters) + 20 <= retain


def commit_for_as_short_as_allowed(task: TaskHarness) -> int:
    """All but one commit in the round's first block, with receipts that just suffice; it freezes at its deadline."""
    retain = task.ledger.height + 1 + task.task.retention_blocks
    selected = [next(c for c in CLIENTS if c.address == address) for address in task.round(1).selected[:4]]
    messages = [
        task.commit_update(c, 1, certificate=task.certify(c, 1, task.update(c, 1), retain_until_height=retain))
        for c in selected
    ]
    results = task.ledger.block(*(task.ledger.sign(c, m) for c, m in zip(selected, messages, strict=True)))
    assert [r.code for r in results.results] == [0] * 4
    task.ledger.blocks(task.round(1).training_deadline_height - task.ledger.height)
    return retain


def test_I5_without_the_restarts_in_the_sum_honest_turns_are_lost(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention that forgets demands and votes: the last turns cannot be given, or their lies not be proven."""
    if not guarded:
        monkeypatch.setattr(tasks, "compute_turn_blocks", compute_turn_without_disputes)
        monkeypatch.setattr(rounds, "compute_last_evidence_height", lambda state, task, turn_start_height: 0)
    task = TaskHarness.start(max_attempts=3, training_blocks=2)
    kept = commit_for_as_short_as_allowed(task)
    for _ in range(2):
        task.ledger.accept(STRANGER, task.prove(draw_a_turn_out(task, 1)))
    attempt = task.ledger.attempt(draw_a_turn_out(task, 1))
    assert attempt is not None
    assert (attempt.evidence_height <= kept) == guarded


def compute_turn_without_disputes(parameters: Any) -> int:
    window = tasks.compute_window_blocks(parameters, parameters.aggregation_blocks)
    return int((parameters.aggregation_blocks + window) // 2)  # the formula leaves room for two rounds
