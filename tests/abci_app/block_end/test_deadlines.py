"""Deadlines: training ends, a late turn passes on and costs a little, a paused task resumes or is aborted."""

from __future__ import annotations

import pytest

from abci_app.block_end.deadlines import MAX_CREATED_BLOCKS
from abci_app.state.keyspace import round_key
from abci_app.state.rounds import get_commitments
from optfl import errors
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, CommitUpdate, Unbond
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    FEE,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)

TRAINING, AGGREGATING, OPEN = (
    state_pb2.ROUND_STATUS_TRAINING,
    state_pb2.ROUND_STATUS_AGGREGATING,
    state_pb2.ROUND_STATUS_OPEN,
)


def commit(task: TaskHarness, *clients: object) -> None:
    chosen = [c for c in CLIENTS if c in clients]
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in chosen))


def test_training_ends_at_its_deadline_with_who_has_committed() -> None:
    task = TaskHarness.start()
    deadline = task.round(1).training_deadline_height
    commit(task, *CLIENTS[:3])
    task.ledger.blocks(deadline - 1 - task.ledger.height)
    assert task.round(1).status == TRAINING
    task.ledger.block()
    current = task.round(1)
    assert (current.status, current.freeze_height, current.committed) == (AGGREGATING, deadline, 3)


@pytest.mark.parametrize(("committed", "dropped"), [(0, True), (2, True), (3, False), (5, False)])
def test_I6_fewer_than_min_updates_drop_the_round_without_fault(committed: int, dropped: bool) -> None:
    task = TaskHarness.start()
    commit(task, *CLIENTS[:committed])
    task.ledger.blocks(task.round(1).training_deadline_height - task.ledger.height)
    current = task.round(1)
    assert current.status == (OPEN if dropped else AGGREGATING)
    if dropped:
        attempt = task.ledger.attempt(1)
        assert attempt is not None
        assert (attempt.aggregator, attempt.model_root, len(attempt.inputs)) == (b"", task.models[0].root, committed)
        assert attempt.window_close_height == task.ledger.height
        assert task.round(2).base_root == task.models[0].root
        assert not any(task.ledger.must_stake(AGGREGATOR, a).excluded for a in AGGREGATORS)


def test_a_late_turn_passes_on_and_costs_a_little() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    deadline = task.round(1).aggregation_deadline_height
    updates = get_commitments(task.ledger.state, task.round(1))
    turns = []
    for _ in range(3):
        turns.append(task.due_aggregator(1))
        task.ledger.blocks(task.round(1).aggregation_deadline_height - 1 - task.ledger.height)
        assert task.due_aggregator(1) is turns[-1]
        results = task.ledger.block()
        assert [event.kind for event in results.events[:2]] == ["aggregator_late", "turn_missed"]
    assert turns == AGGREGATORS
    assert deadline < task.ledger.height
    for number, aggregator in enumerate(AGGREGATORS):
        stake = task.ledger.must_stake(AGGREGATOR, aggregator)
        assert (stake.amount, stake.excluded, stake.faults) == (AGGREGATOR_STAKE * 99 // 100, False, 1)
        assert stake.excluded_until_height == deadline + number * 5 + 10
    attempt = task.ledger.attempt(1)  # A_max = 3 turns are over: dropped, with the same updates
    assert attempt is not None
    assert attempt.aggregator == b""
    assert [given.update_root for given in attempt.inputs] == [u.update_root for u in updates]


def test_the_next_aggregator_works_from_the_same_updates() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    before = get_commitments(task.ledger.state, task.round(1))
    task.ledger.blocks(5)
    current = task.round(1)
    assert (current.turn, current.status) == (1, AGGREGATING)
    assert current.aggregation_deadline_height == current.turn_start_height + 5
    assert get_commitments(task.ledger.state, current) == before
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert (attempt.turn, attempt.aggregator) == (1, AGGREGATORS[1].address)


def test_L1_a_turn_does_not_end_while_a_minority_proposes() -> None:
    """A8: whoever is the only proposer can keep a submission out, but not make its author late by it."""
    task = TaskHarness.start()
    task.commit_all(1)
    for _ in range(20):
        task.ledger.block(proposer=2)
    assert task.round(1).turn == 0
    submission = task.ledger.sign(task.due_aggregator(1), task.submit_aggregate(1))
    assert task.ledger.block(submission, proposer=3).results[0].code == 0
    assert task.round(1).status == OPEN


def test_L1_a_turn_ends_with_the_second_proposer() -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    for _ in range(20):
        task.ledger.block(proposer=2)
    task.ledger.block(proposer=3)
    assert task.round(1).turn == 1


def paused() -> TaskHarness:
    """One aggregator, convicted: nobody is left for round 1."""
    task = TaskHarness.start(aggregators=[a.address for a in AGGREGATORS[:2]], pause_blocks=10, max_attempts=10)
    task.ledger.accept(AGGREGATORS[1], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    return task


def test_R8_a_paused_task_resumes_when_somebody_is_eligible_again() -> None:
    task = paused()
    task.ledger.blocks(5)
    task.ledger.accept(AGGREGATORS[1], AddStake(role=AGGREGATOR, amount=100_000))
    assert task.task.status == state_pb2.TASK_STATUS_RUNNING
    current = task.round(1)
    assert (current.turn, current.aggregator) == (1, AGGREGATORS[1].address)
    assert current.aggregation_deadline_height == task.ledger.height + 5
    task.aggregate(1)
    assert task.round(1).status == OPEN


# A turn's 5 blocks, four restarts of 5 after demands of 4; a window of 10, prolonged by 6 after a demand of 4, a vote
# of 7, and 3 to show what was watched; and 20 blocks of evidence.
LONGEST = 5 + 4 * (5 + 4) + (10 + 6 + 4 + 7 + 3) + 20


def paused_before_its_turn(g0_retain_until_height: int | None) -> TaskHarness:
    """The only aggregator has left before the freeze of round 1; replicas keep G_0 until then, or as long as usual."""
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create(aggregators=[AGGREGATORS[0].address], pause_blocks=1000)
    task.join_all()
    certificate = task.certify(REQUESTER, 0, task.models[0], retain_until_height=g0_retain_until_height)
    task.ledger.accept(REQUESTER, task.start_task(certificate=certificate))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(1)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    return task


def test_I5_a_turn_that_would_outlive_its_evidence_is_not_given() -> None:
    """Otherwise a lie could settle whose inputs no replica has any more; nobody is at fault, and training goes on."""
    task = paused_before_its_turn(g0_retain_until_height=10_000)
    task.ledger.blocks(task.task.retention_blocks)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert (attempt.aggregator, attempt.model_root) == (b"", task.models[0].root)
    assert (task.task.status, task.task.head_round) == (state_pb2.TASK_STATUS_RUNNING, 2)


def test_I5_a_turn_within_the_evidence_is_given() -> None:
    task = paused_before_its_turn(g0_retain_until_height=10_000)
    # What the turn, its window and the evidence may take at most must still be covered, with the commits' spare blocks.
    task.ledger.blocks(task.task.retention_blocks - LONGEST)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    assert task.round(1).aggregator == AGGREGATORS[0].address


def test_I5_a_task_whose_base_is_forgotten_ends_with_a_refund() -> None:
    task = paused_before_its_turn(g0_retain_until_height=None)
    task.ledger.blocks(task.task.retention_blocks)
    before = task.ledger.balance(REQUESTER)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    assert task.task.cancelled
    task.ledger.blocks(3)  # the dropped round settles once others have proposed
    assert task.task.status == state_pb2.TASK_STATUS_ABORTED
    assert task.ledger.balance(REQUESTER) > before


@pytest.mark.parametrize("late", [0, 1])
def test_I5_both_sides_of_the_bases_last_evidence_height(late: int) -> None:
    """The turn, with all that may hold it up, and the evidence end while G_0 is still kept."""
    task = paused_before_its_turn(g0_retain_until_height=462)
    task.ledger.blocks(462 - LONGEST + late - 1 - task.ledger.height)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    assert task.task.cancelled == bool(late)
    assert task.round(1).aggregator == (b"" if late else AGGREGATORS[0].address)


@pytest.mark.parametrize("late", [0, 1])
def test_I5_both_sides_of_the_updates_last_evidence_height(late: int) -> None:
    """The first update to be forgotten counts. G_0 is kept longer, so the task goes on."""
    task = paused_before_its_turn(g0_retain_until_height=10_000)
    first = min(c.certificate.retain_until_height for c in get_commitments(task.ledger.state, task.round(1)))
    task.ledger.blocks(first - LONGEST + late - 1 - task.ledger.height)
    task.ledger.accept(AGGREGATORS[0], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    assert not task.task.cancelled
    assert task.round(1).aggregator == (b"" if late else AGGREGATORS[0].address)


def test_a_task_that_nobody_starts_gives_its_place_up() -> None:
    task = TaskHarness(LedgerHarness())
    before = task.ledger.balance(REQUESTER)
    task.create()
    state = task.task
    task.ledger.height = state.created_height + MAX_CREATED_BLOCKS - 2  # nothing else happens in the blocks between
    task.ledger.block()
    assert task.task.status == state_pb2.TASK_STATUS_CREATED
    task.ledger.block()
    assert task.task.status == state_pb2.TASK_STATUS_ABORTED
    assert task.ledger.balance(REQUESTER) == before - FEE


def test_R8_a_stake_below_the_minimum_does_not_resume_it() -> None:
    task = paused()
    task.ledger.accept(AGGREGATORS[1], AddStake(role=AGGREGATOR, amount=99_999))
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED


def test_R8_a_paused_task_ends_after_its_pause_and_the_rest_goes_back() -> None:
    """Its head is dropped, which pays the clients that have trained; then there is nothing left to wait for."""
    task = paused()
    escrow, before = task.task.escrow, task.ledger.balance(REQUESTER)
    clients = [task.ledger.balance(client) for client in CLIENTS]
    task.ledger.blocks(task.task.paused_height + 9 - task.ledger.height)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.block()
    assert (task.task.status, task.task.cancelled) == (state_pb2.TASK_STATUS_RUNNING, True)
    assert task.round(1).status == OPEN
    task.ledger.blocks(2)
    assert (task.task.status, task.task.ended_height) == (state_pb2.TASK_STATUS_ABORTED, task.ledger.height)
    assert task.ledger.balance(REQUESTER) == before + escrow - 500
    assert [task.ledger.balance(client) for client in CLIENTS] == [b + 100 for b in clients]


def test_a_paused_task_takes_no_commits() -> None:
    task = paused()
    message = CommitUpdate(task_id=1, round=1, base_root=bytes(32), update_root=bytes(32), weight=1)
    task.ledger.reject(errors.WrongTaskStatus, CLIENTS[0], message)


def test_rounds_before_a_paused_one_settle_meanwhile() -> None:
    task = TaskHarness.start(aggregators=[a.address for a in AGGREGATORS[:1]], pause_blocks=20)
    task.run_round(1)
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.blocks(8)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_PAUSED, 1)
    assert round_key(1, 1) in task.ledger.state.digests


def abandoned() -> TaskHarness:
    """Round 1 is open, and wrong; round 2 has waited in vain for an aggregator: they have all left."""
    task = TaskHarness.start(aggregators=[a.address for a in AGGREGATORS[:2]], pause_blocks=3, min_window_blocks=30)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    for account in AGGREGATORS[:2]:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    task.ledger.blocks(3)
    assert task.task.cancelled
    return task


def test_R6_a_pause_is_no_way_to_free_training() -> None:
    """The requester's own aggregators submit, and leave: it has the updates, and pays for every one of them."""
    task = abandoned()
    before = [task.ledger.balance(client) for client in CLIENTS]
    while task.task.status == state_pb2.TASK_STATUS_RUNNING:
        task.ledger.block()
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_ABORTED, 2)
    assert [task.ledger.balance(client) - b for client, b in zip(CLIENTS, before, strict=True)] == [200] * 5


def test_an_abandoned_tasks_open_attempts_are_convictable_like_all_others() -> None:
    task = abandoned()
    task.ledger.accept(STRANGER, task.prove(1))
    assert task.ledger.attempt(1).status == state_pb2.ATTEMPT_STATUS_CONVICTED  # type: ignore[union-attr]
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded
    while task.task.status != state_pb2.TASK_STATUS_ABORTED:  # round 1 is to be redone, by nobody: it pauses once more
        task.ledger.block()
    assert task.task.settled_round == 1


def test_a_round_without_any_client_is_dropped_at_once() -> None:
    """All have taken their stake out since the task began: nobody can be drawn."""
    task = TaskHarness.start()
    task.run_round(1)
    task.ledger.block(*(task.ledger.sign(c, Unbond(role=CLIENT, amount=CLIENT_STAKE)) for c in CLIENTS))
    task.ledger.blocks(5)
    attempt = task.ledger.attempt(3)
    assert attempt is not None
    assert (attempt.round, attempt.aggregator, attempt.model_root) == (3, b"", task.models[1].root)
