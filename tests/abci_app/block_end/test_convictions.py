"""Convictions: slash, exclude, revert to the lowest convicted round, and share out what was taken."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.block_end.convictions import process_convictions
from abci_app.state import State
from abci_app.state.invariants import check_block
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from abci_app.transitions.call import BlockContext, Conviction, Voiding
from optfl import errors, tasks
from optfl.announcements import PAID_BLOCKS
from optfl.keys import SigningKey
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, CancelTask, OpenChallenge, RegisterRole, Unbond
from support import demands, votes, watches
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    BALANCE,
    CLIENT,
    CLIENT_STAKE,
    CLIENTS,
    FEE,
    PARAMS,
    REPLICA,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)


def pipeline(bad: set[int], rounds: int, **overrides: object) -> TaskHarness:
    """A task with rounds 1 to `rounds` open, those in `bad` wrong; round `rounds` + 1 trains."""
    task = TaskHarness.start(rounds=8, min_window_blocks=30, **overrides)
    for number in range(1, rounds + 1):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number in bad else None)
    return task


def conviction(task: TaskHarness, attempt_id: int) -> state_pb2.Conviction:
    return task.ledger.state.disputes[attempt_key(task.task_id, attempt_id)]


def statuses(task: TaskHarness) -> list[int]:
    return [attempt.status for _, attempt in task.ledger.state.attempts.items()]


OPEN, VOID, CONVICTED = (
    state_pb2.ATTEMPT_STATUS_OPEN,
    state_pb2.ATTEMPT_STATUS_VOID,
    state_pb2.ATTEMPT_STATUS_CONVICTED,
)


def test_training_never_waits_for_a_dispute() -> None:
    """Invariant 6: r+1 trains while r is open, and so on."""
    task = pipeline(set(), 3)
    assert (task.task.settled_round, task.task.head_round) == (0, 4)
    assert [task.round(n).parent_attempt for n in (1, 2, 3, 4)] == [0, 1, 2, 3]


def test_later_rounds_are_void_and_earlier_ones_stay() -> None:
    task = pipeline({2}, 4)
    task.ledger.accept(STRANGER, task.prove(2))
    assert statuses(task) == [OPEN, CONVICTED, VOID, VOID]
    assert task.task.head_round == 2
    assert [task.ledger.round(n) is None for n in (1, 2, 3, 4, 5)] == [False, False, True, True, True]
    assert task.round(1).status == state_pb2.ROUND_STATUS_OPEN


def test_the_next_aggregator_redoes_the_round_from_the_same_updates() -> None:
    task = pipeline({2}, 3)
    old = task.ledger.attempt(2)
    selected = list(task.round(2).selected)
    task.ledger.accept(STRANGER, task.prove(2))
    current = task.round(2)
    assert old is not None
    assert current.status == state_pb2.ROUND_STATUS_AGGREGATING
    assert (current.turn, current.committed, list(current.selected)) == (1, 5, selected)
    assert current.aggregator not in (old.aggregator, b"")
    assert (current.turn_start_height, current.aggregation_deadline_height) == (
        task.ledger.height,
        task.ledger.height + 5,
    )
    redone = task.ledger.attempt(task.aggregate(2))
    assert redone is not None
    assert list(redone.inputs) == list(old.inputs)
    assert (redone.base_root, redone.turn, redone.parent_attempt) == (old.base_root, 1, old.parent_attempt)
    assert task.round(3).base_root == redone.model_root


def test_commitments_of_void_rounds_are_gone_and_those_of_the_redone_one_stay() -> None:
    task = pipeline({1}, 3)
    task.ledger.accept(STRANGER, task.prove(1))
    keys = task.ledger.state.commitments.all_keys()
    assert {key[:12] for key in keys} == {round_key(1, 1)}
    assert len(keys) == 5


def test_of_several_convictions_in_a_block_the_lowest_round_is_reverted_to() -> None:
    task = pipeline({2, 4}, 4)
    task.ledger.block(
        task.ledger.sign(STRANGER, task.prove(4)), task.ledger.sign(VALIDATORS[0], task.prove(2)), proposer=1
    )
    assert statuses(task) == [OPEN, CONVICTED, VOID, CONVICTED]
    assert (task.task.head_round, task.round(2).turn) == (2, 1)
    assert all(task.ledger.must_stake(AGGREGATOR, a).excluded for a in (AGGREGATORS[1], AGGREGATORS[0]))
    assert task.due_aggregator(2) is AGGREGATORS[2]


def test_of_several_convictions_in_a_block_one_pays_for_the_void_rounds_once() -> None:
    """What others lost with the void rounds is lost once, whoever else was convicted beside."""
    task = pipeline({1, 2}, 3)
    before = [task.ledger.balance(c) for c in [*CLIENTS, *AGGREGATORS]]
    task.ledger.block(task.ledger.sign(STRANGER, task.prove(1)), task.ledger.sign(REQUESTER, task.prove(2)))
    gained = [task.ledger.balance(c) - b for c, b in zip([*CLIENTS, *AGGREGATORS], before, strict=True)]
    assert gained == [200] * 5 + [0, 0, 1000]  # of rounds 2 and 3; the author of round 2 is convicted itself
    first, second = conviction(task, 1), conviction(task, 2)
    assert (first.reverted, first.compensation, first.voided_rounds) == (True, 2000, 3)
    assert (second.reverted, second.compensation, second.voided_rounds) == (False, 0, 0)


def test_two_tasks_revert_apart_in_one_block() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, min_window_blocks=20)
    second = TaskHarness(ledger)
    second.launch(min_window_blocks=20, aggregators=[a.address for a in reversed(AGGREGATORS)])
    for task in (first, second):
        task.commit_all(1)
        task.aggregate(1, task.poisoned_model(1))
    ledger.block(ledger.sign(STRANGER, first.prove(1)), ledger.sign(VALIDATORS[0], second.prove(1)))
    assert (first.round(1).turn, second.round(1).turn) == (1, 1)
    assert (conviction(first, 1).reverted, conviction(second, 1).reverted) == (True, True)


def test_the_culprit_loses_its_stake_and_is_excluded_for_good() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(STRANGER, task.prove(1))
    stake = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0])
    assert (stake.amount, stake.excluded) == (0, True)
    due = []
    for number in (1, 2, 3, 4, 5):
        if number > 1:
            task.commit_all(number)
        due.append(task.due_aggregator(number))
        task.aggregate(number)
    assert AGGREGATORS[0] not in due


def test_what_is_unbonding_is_slashed_too() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=60_000))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=40_000))
    task.ledger.accept(STRANGER, task.prove(1))
    assert [entry.amount for entry in task.ledger.unbonding(AGGREGATOR, AGGREGATORS[0])] == [0, 0]
    assert conviction(task, 1).slashed == AGGREGATOR_STAKE


def test_other_roles_of_the_culprit_are_untouched() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(AGGREGATORS[0], RegisterRole(role=CLIENT, stake=500))
    task.ledger.accept(STRANGER, task.prove(1))
    stake = task.ledger.must_stake(CLIENT, AGGREGATORS[0])
    assert (stake.amount, stake.excluded) == (500, False)


@pytest.mark.parametrize(("percent", "taken"), [(0, 0), (1, 2_000), (33, 66_000), (50, 100_000), (100, 200_000)])
def test_a_slash_is_shared_out_to_the_last_token(percent: int, taken: int) -> None:
    """A10: 9 % to the prover, 1 % to two proposers, at most 40 % to who worked on void rounds, the rest is burned."""
    ledger = LedgerHarness(params={"fraud_slash_percent": percent})
    task = TaskHarness.start(ledger, min_window_blocks=20)
    for number in (1, 2):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number == 1 else None)
    task.commit_all(3)
    clients, aggregator = [ledger.balance(c) for c in CLIENTS], ledger.balance(AGGREGATORS[1])
    burned = ledger.state.supply.burned
    operators = [ledger.balance(v) for v in VALIDATORS]
    ledger.block(ledger.sign(STRANGER, task.announce(STRANGER, task.prove(1))), proposer=2)
    ledger.blocks(PAID_BLOCKS - 1)
    ledger.block(ledger.sign(STRANGER, task.prove(1)), proposer=1)
    record = conviction(task, 1)
    budget = min(taken * 40 // 100, 2000)  # lost: 100 by 5 clients in 2 rounds each, 1000 by the aggregator of one
    reward, included = taken * 9 // 100, taken // 200
    each, once = 100 * budget // 2000, 1000 * budget // 2000
    assert (record.slashed, record.reporter_reward, record.compensation) == (taken, reward, 10 * each + once)
    assert record.inclusion_reward == 2 * included
    assert record.burned == taken - reward - 2 * included - 10 * each - once
    assert record.burned * 2 >= taken
    assert ledger.balance(STRANGER) == BALANCE - 2 * FEE + reward
    gained = [ledger.balance(v) - before for v, before in zip(VALIDATORS, operators, strict=True)]
    assert gained == [0, FEE + included, FEE + included, 0]
    assert [ledger.balance(c) for c in CLIENTS] == [before + 2 * each for before in clients]
    assert ledger.balance(AGGREGATORS[1]) == aggregator + once
    assert ledger.state.supply.burned == burned + record.burned


def test_clients_of_the_redone_round_are_paid_by_its_settlement_not_by_the_slash() -> None:
    task = pipeline({1}, 1)
    task.ledger.accept(STRANGER, task.prove(1))
    record = conviction(task, 1)
    assert (record.compensation, record.voided_rounds) == (0, 1)  # round 2 had no commit yet
    assert record.burned == AGGREGATOR_STAKE - record.inclusion_reward


def test_the_record_of_a_conviction_is_kept_for_good() -> None:
    task = pipeline({2}, 3)
    attempt = task.ledger.attempt(2)
    assert attempt is not None
    task.ledger.accept(STRANGER, task.prove(2))
    record = conviction(task, 2)
    assert (record.round, record.aggregator, record.prover) == (2, AGGREGATORS[1].address, STRANGER.address)
    assert (record.proof_kind, record.submit_height, record.convicted_height) == (
        "output",
        attempt.submit_height,
        task.ledger.height,
    )
    assert (record.voided_rounds, record.reverted) == (2, True)
    task.ledger.blocks(100)
    assert task.ledger.attempt(2) is None
    assert conviction(task, 2) == record


def test_after_the_last_attempt_the_round_is_dropped_without_fault() -> None:
    """A4: G_r = G_{r-1}, the round is open for settlement, and training goes on from the base."""
    task = TaskHarness.start(max_attempts=2)
    task.commit_all(1)
    for _ in range(2):
        bad = task.aggregate(1, task.poisoned_model(1))
        task.ledger.accept(STRANGER, task.prove(bad))
    current = task.round(1)
    assert (current.status, current.aggregator) == (state_pb2.ROUND_STATUS_OPEN, b"")
    assert task.round(2).base_root == task.models[0].root
    task.ledger.blocks(2)
    digest = task.ledger.state.digests[round_key(1, 1)]
    assert (digest.model_root, digest.aggregator, digest.updates) == (task.models[0].root, b"", 5)


def test_R8_when_all_are_excluded_the_task_pauses_and_ends() -> None:
    """Seed 001's Algorithm 1 would look for an aggregator for ever, inside FinalizeBlock."""
    task = TaskHarness.start(max_attempts=10, pause_blocks=10)
    task.commit_all(1)
    for _ in range(3):
        bad = task.aggregate(1, task.poisoned_model(1))
        task.ledger.accept(STRANGER, task.prove(bad))
    assert (task.task.status, task.round(1).aggregator) == (state_pb2.TASK_STATUS_PAUSED, b"")
    paused = task.task.paused_height
    escrow, before = task.task.escrow, task.ledger.balance(REQUESTER)
    task.ledger.blocks(paused + 9 - task.ledger.height)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.blocks(3)  # its clients have trained, and are paid for it
    assert (task.task.status, task.task.escrow) == (state_pb2.TASK_STATUS_ABORTED, 0)
    assert task.ledger.balance(REQUESTER) == before + escrow - 500
    assert all(task.ledger.must_stake(REPLICA, r).open_tasks == 0 for r in REPLICAS)
    assert task.ledger.state.rounds.all_keys() == task.ledger.state.commitments.all_keys() == []
    assert [task.ledger.must_stake(CLIENT, c).amount for c in CLIENTS] == [CLIENT_STAKE] * 5


def test_R4_deadlines_of_void_rounds_do_not_fire() -> None:
    """Round 3's turn would be missed in the very block that makes the round void: nobody is late."""
    task = pipeline({1}, 2)
    task.commit_all(3)
    deadline = task.round(3).aggregation_deadline_height
    task.ledger.blocks(deadline - 1 - task.ledger.height)
    results = task.ledger.block(task.ledger.sign(STRANGER, task.prove(1)))
    assert task.ledger.height == deadline
    assert "turn_missed" not in [event.kind for event in results.events]
    assert task.task.head_round == 1
    events = [event.kind for _ in range(4) for event in task.ledger.block().events]
    assert "turn_missed" not in events
    assert task.round(1).turn == 1


def test_R4_a_submission_for_a_void_round_changes_nothing() -> None:
    task = pipeline({1}, 2)
    task.commit_all(3)
    submission, due = task.submit_aggregate(3), task.due_aggregator(3)
    task.ledger.accept(STRANGER, task.prove(1))
    task.ledger.reject(errors.UnknownRound, due, submission)


def test_R4_a_conviction_comes_before_the_submission_of_its_own_block_takes_effect() -> None:
    """The submission is accepted, then its round is void with all others: its attempt is void too, not live."""
    task = pipeline({1}, 2)
    task.commit_all(3)
    submission = task.ledger.sign(task.due_aggregator(3), task.submit_aggregate(3))
    results = task.ledger.block(submission, task.ledger.sign(STRANGER, task.prove(1))).results
    assert [result.code for result in results] == [0, 0]
    assert statuses(task) == [CONVICTED, VOID, VOID]
    assert task.task.head_round == 1


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_revert_under_a_paused_head_asks_anew_for_an_aggregator(comes_back: bool) -> None:
    """The paused round is void; the one reverted to is given to who is eligible now, or pauses the task again."""
    task = TaskHarness.start(min_window_blocks=30, pause_blocks=50, aggregators=[a.address for a in AGGREGATORS[:2]])
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    for account in AGGREGATORS[:2]:
        task.ledger.accept(account, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert (task.task.status, task.task.head_round) == (state_pb2.TASK_STATUS_PAUSED, 2)
    task.ledger.blocks(3)
    back = [task.ledger.sign(AGGREGATORS[1], AddStake(role=AGGREGATOR, amount=AGGREGATOR_STAKE))] * comes_back
    task.ledger.block(task.ledger.sign(STRANGER, task.prove(bad)), *back)
    status = state_pb2.TASK_STATUS_RUNNING if comes_back else state_pb2.TASK_STATUS_PAUSED
    assert (task.task.status, task.task.head_round) == (status, 1)
    if comes_back:
        assert task.due_aggregator(1) is AGGREGATORS[1]
    else:
        assert task.task.paused_height == task.ledger.height


def test_a_revert_under_a_paused_head_may_drop_the_round_and_training_goes_on() -> None:
    """No turn is left for round 1: it is open without fault, and the task runs although nobody is eligible."""
    task = TaskHarness.start(
        min_window_blocks=30, pause_blocks=50, max_attempts=1, aggregators=[AGGREGATORS[0].address]
    )
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.commit_all(2)
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.accept(STRANGER, task.prove(bad))
    assert (task.task.status, task.task.head_round) == (state_pb2.TASK_STATUS_RUNNING, 2)
    assert task.round(2).status == state_pb2.ROUND_STATUS_TRAINING


# R5: the stake that a task requires pays for the worst that a lie in it can do.


def with_exact_stakes(**overrides: Any) -> TaskHarness:
    """A task whose aggregators stake what it requires, to the token."""
    ledger = LedgerHarness(params={"min_aggregator_stake": 1})
    roles = [(REPLICA, REPLICAS, 10_000), (CLIENT, CLIENTS, 1_000)]
    ledger.block(*(ledger.sign(a, RegisterRole(role=r, stake=s)) for r, accounts, s in roles for a in accounts))
    task = TaskHarness(ledger)
    task.create(**overrides)
    stake = task.task.required_stake
    ledger.block(*(ledger.sign(a, RegisterRole(role=AGGREGATOR, stake=stake)) for a in AGGREGATORS))
    task.join_all()
    ledger.accept(REQUESTER, task.start_task())
    return task


@pytest.mark.parametrize(
    "overrides",
    [
        {"rounds": 40},
        {"rounds": 40, "min_round_blocks": 5},
        {"rounds": 3, "client_reward": 777, "aggregator_reward": 1},
        {"rounds": 40, "client_reward": 0, "aggregator_reward": 12_345},
    ],
)
def test_R5_the_latest_confession_there_can_be_pays_everybody_in_full(overrides: dict[str, Any]) -> None:
    """Round 1 is a lie. Its model is demanded in the last block of its window, and answered as late as that counts;
    in the last block of the prolonged window a challenge comes; one validator commits to a vote, and reveals nothing;
    another one has watched, and does not show it. In the block in which that is over, the author's own sybil proves
    the lie. Rounds have followed one another as fast as they can."""
    task = with_exact_stakes(**{"training_blocks": 50, "rule": "fedavg()", "window_factor_percent": 0, **overrides})
    ledger = task.ledger
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    opened, closes = ledger.height, task.round(1).window_close_height
    earned = dict.fromkeys((a.address for a in [*CLIENTS, *AGGREGATORS]), 0)
    pay = task.parameters
    voter = VALIDATORS[3]

    def prolong() -> list[tuple[SigningKey, Any]]:
        """What holds the settlement of round 1 up, in the next block."""
        prolonged = closes + pay.demand_blocks + pay.min_window_blocks
        match ledger.height + 1:
            case height if height == opened + 1:
                return [(VALIDATORS[2], watches.attest(task, 1, VALIDATORS[2]))]
            case height if height == closes:
                return [(STRANGER, demands.demand(task, 1, attempt_id=1, model=True))]
            case height if height == closes + pay.demand_blocks:
                return [(v, demands.answer(task, 1, attempt_id=1, model=True, by=v)) for v in VALIDATORS[:2]]
            case height if height == prolonged:
                return [(STRANGER, OpenChallenge(task_id=1, attempt_id=1))]
            case height if height == prolonged + 1:
                return [(voter, votes.commit_vote(task, 1, voter, votes.ABSTAIN))]
        return []

    def step(*transactions: bytes) -> None:
        sent = [ledger.sign(sender, message) for sender, message in prolong()]
        results = ledger.block(*transactions, *sent).results
        assert [result.log for result in results if result.code] == []

    while ledger.height + 1 < opened + tasks.compute_open_blocks(pay):
        head = task.task.head_round
        current = task.round(head)
        if current.status == state_pb2.ROUND_STATUS_TRAINING and not current.committed:
            step(*(ledger.sign(c, task.commit_update(c, head)) for c in CLIENTS))
            earned.update({c.address: earned[c.address] + pay.client_reward for c in CLIENTS})
        elif current.status == state_pb2.ROUND_STATUS_AGGREGATING:
            due = task.due_aggregator(head)
            step(ledger.sign(due, task.submit_aggregate(head)))
            earned[due.address] += pay.aggregator_reward
        else:
            step()
    challenge = ledger.state.challenges[attempt_key(1, 1)]
    assert challenge.decided_height == challenge.reveal_deadline_height == task.round(1).watch_start_height
    assert task.round(1).watch_deadline_height == ledger.height + 1
    assert task.task.settled_round == 0
    voided = task.task.head_round - 1
    assert voided >= 2
    before = {a.address: ledger.balance(a) for a in [*CLIENTS, *AGGREGATORS]}
    ledger.accept(VALIDATORS[1], task.prove(1))
    record = conviction(task, 1)
    assert (record.voided_rounds, record.slashed) == (voided, task.task.required_stake)
    earned[AGGREGATORS[0].address] = 0  # what the culprit built on its own lie
    gained = {a.address: ledger.balance(a) - before[a.address] for a in [*CLIENTS, *AGGREGATORS]}
    assert gained == earned
    assert record.compensation == sum(earned.values())
    assert 5 * record.burned >= 2 * record.slashed


def test_R5_lies_in_two_tasks_are_paid_for_in_both() -> None:
    """Without its own part of the stake, the second task's clients would find that the first one took it all."""
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, min_window_blocks=30)
    second = TaskHarness(ledger)
    second.launch(min_window_blocks=30)
    for task in (first, second):
        task.commit_all(1)
        task.aggregate(1, task.poisoned_model(1))
        task.commit_all(2)
        task.aggregate(2)
    for task, left in ((first, AGGREGATOR_STAKE // 2), (second, 0)):
        before = [ledger.balance(account) for account in [*CLIENTS, AGGREGATORS[1]]]
        ledger.accept(STRANGER, task.prove(1))
        gained = [ledger.balance(a) - b for a, b in zip([*CLIENTS, AGGREGATORS[1]], before, strict=True)]
        assert gained == [100] * 5 + [1000]
        assert conviction(task, 1).slashed == AGGREGATOR_STAKE // 2
        assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).amount == left
    assert ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).excluded


def test_R5_a_part_for_other_tasks_never_makes_a_lie_cheap() -> None:
    """However little a task pays, it requires the least stake of all, and a lie in it costs that."""
    ledger = LedgerHarness()
    free = {"client_reward": 0, "aggregator_reward": 0, "validator_reward": 0, "replica_reward": 0}
    first = TaskHarness.start(ledger, **free)
    second = TaskHarness(ledger)
    second.launch(**free)
    first.commit_all(1)
    first.aggregate(1, first.poisoned_model(1))
    ledger.accept(STRANGER, first.prove(1))
    assert conviction(first, 1).slashed == PARAMS["min_aggregator_stake"]


def test_R5_what_is_left_for_another_task_comes_back_after_it() -> None:
    ledger = LedgerHarness()
    first = TaskHarness.start(ledger, training_blocks=100)
    second = TaskHarness(ledger)
    second.launch(training_blocks=100)
    first.commit_all(1)
    first.aggregate(1, first.poisoned_model(1))
    ledger.accept(STRANGER, first.prove(1))
    ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE // 2))
    evidence = ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).evidence_height
    ledger.blocks(evidence + PARAMS["unbonding_blocks"] - ledger.height)
    assert ledger.unbonding(AGGREGATOR, AGGREGATORS[0])
    ledger.accept(REQUESTER, CancelTask(task_id=2))
    before = ledger.balance(AGGREGATORS[0])
    while ledger.unbonding(AGGREGATOR, AGGREGATORS[0]):
        ledger.block()
    assert ledger.balance(AGGREGATORS[0]) == before + AGGREGATOR_STAKE // 2


@pytest.mark.parametrize("proof_first", [False, True])
def test_what_is_submitted_in_the_block_of_its_authors_conviction_is_void(proof_first: bool) -> None:
    """No stake would answer for it: the next lie would be free, and whoever builds on it unpaid."""
    task = pipeline({1, 2}, 2)
    proof = task.prove(2)
    task.ledger.accept(STRANGER, task.prove(1))
    due = task.due_aggregator(1)
    assert due is AGGREGATORS[1]
    txs = [task.ledger.sign(due, task.submit_aggregate(1)), task.ledger.sign(STRANGER, proof)]
    results = task.ledger.block(*(reversed(txs) if proof_first else txs)).results
    assert [result.code for result in results] == [0, 0]
    assert statuses(task) == [CONVICTED, CONVICTED, VOID]
    assert (task.task.head_round, task.round(1).turn) == (1, 2)
    assert task.due_aggregator(1) is AGGREGATORS[2]


# Voidings: what cannot stand though nobody has shown it to be wrong.


def void(
    task: TaskHarness, *voidings: tuple[int, bool], convicted: tuple[int, ...] = (), reason: str = "model"
) -> State:
    """Carry out these voidings (attempt id, author silent) and convictions, as of the next block."""
    state = task.ledger.state
    block = BlockContext(height=task.ledger.height + 1, beacon=bytes(32))
    block.convictions = [Conviction(get_attempt(state, i), STRANGER.address, "output") for i in convicted]
    block.voidings = [Voiding(get_attempt(state, i), reason, silent) for i, silent in voidings]
    process_convictions(state, block)
    check_block(state)
    return state


def get_attempt(state: State, attempt_id: int) -> state_pb2.Attempt:
    return state.attempts[attempt_key(1, attempt_id)]


def get_stake(state: State, account: SigningKey) -> state_pb2.Stake:
    return state.stakes[stake_key(AGGREGATOR, account.address)]


@pytest.mark.parametrize("silent", [False, True])
def test_a_voided_round_is_redone_and_at_most_its_author_is_late(silent: bool) -> None:
    task = pipeline(set(), 3)
    state = void(task, (2, silent))
    author = get_stake(state, AGGREGATORS[1])
    assert (author.excluded, author.faults, bool(author.excluded_until_height)) == (False, silent, silent)
    assert author.amount == AGGREGATOR_STAKE - 2_000 * silent
    assert [get_attempt(state, i).status for i in (1, 2, 3)] == [OPEN, VOID, VOID]
    redone = state.rounds[round_key(1, 2)]
    assert (redone.turn, redone.aggregator) == (1, AGGREGATORS[2].address)
    assert state.tasks[task_key(1)].outcomes == silent
    assert not state.disputes.all_keys()


def test_L7_two_reasons_to_void_an_attempt_punish_once() -> None:
    state = void(pipeline(set(), 2), (1, False), (1, True), (1, True))
    assert get_stake(state, AGGREGATORS[0]).faults == 1
    assert state.rounds[round_key(1, 1)].turn == 1


def test_L7_who_is_convicted_is_not_late_for_the_same_attempt() -> None:
    state = void(pipeline({1}, 2), (1, True), convicted=(1,))
    culprit = get_stake(state, AGGREGATORS[0])
    assert (culprit.excluded, culprit.faults) == (True, 0)
    assert get_attempt(state, 1).status == CONVICTED
    assert state.tasks[task_key(1)].outcomes == 1


def test_a_voiding_below_a_conviction_is_reverted_to_and_the_slash_compensates_nobody() -> None:
    """The rounds are lost with the lower one, which nobody is shown to have lied about."""
    task = pipeline({2}, 3)
    before = task.ledger.balance(CLIENTS[0])
    state = void(task, (1, False), convicted=(2,), reason="vote")
    assert state.tasks[task_key(1)].head_round == 1
    record = state.disputes[attempt_key(1, 2)]
    assert (record.reverted, record.compensation, record.slashed) == (False, 0, AGGREGATOR_STAKE)
    assert state.accounts[CLIENTS[0].address].balance == before


# R6: what replicas lost is paid for by who chose them.


@pytest.mark.parametrize(
    ("reason", "silent", "paid"), [("model", True, True), ("update", False, True), ("vote", False, False)]
)
def test_R6_work_on_what_nobody_can_read_is_paid_from_the_escrow(reason: str, silent: bool, paid: bool) -> None:
    """Or a requester's own replicas and aggregators could end rounds for little, after it has read their updates."""
    task = pipeline(set(), 4)
    accounts = [*CLIENTS, *AGGREGATORS]
    before = [task.ledger.balance(account) for account in accounts]
    escrow = task.task.escrow
    state = void(task, (1, silent), reason=reason)
    gained = [state.accounts[a.address].balance - b for a, b in zip(accounts, before, strict=True)]
    parameters = task.parameters
    # Rounds 2 to 4 are void, of which aggregator 0, whose model it is, has made the last.
    lost = [3 * parameters.client_reward] * 5 + [parameters.aggregator_reward] * 3
    if silent:
        lost[5] = 0
    assert gained == (lost if paid else [0] * 8)
    assert state.tasks[task_key(1)].escrow == escrow - sum(gained)


def test_R6_two_reasons_to_void_an_attempt_pay_once() -> None:
    task = pipeline(set(), 2)
    escrow = task.task.escrow
    state = void(task, (1, True), (1, True))
    parameters = task.parameters
    assert escrow - state.tasks[task_key(1)].escrow == 5 * parameters.client_reward + parameters.aggregator_reward


def test_R6_a_task_that_cannot_pay_for_another_round_ends_with_its_open_ones() -> None:
    """What was paid for rounds 2 and 3, which are void, was to pay for them."""
    task = TaskHarness.start(rounds=3, training_blocks=100, min_window_blocks=20, demand_blocks=5)
    task.run_round(1)
    task.run_round(2)
    task.commit_all(3)
    task.ledger.accept(STRANGER, demands.demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(6)
    assert (task.task.head_round, task.task.cancelled) == (1, False)
    task.aggregate(1)
    assert (task.task.head_round, task.task.cancelled) == (1, True)
    cost = tasks.compute_round_cost(task.parameters)
    assert cost <= task.task.escrow < 2 * cost
    task.ledger.blocks(21)
    assert (task.task.status, task.task.settled_round) == (state_pb2.TASK_STATUS_ABORTED, 1)


def test_an_attempt_that_is_void_already_is_not_voided_again() -> None:
    task = pipeline({1}, 2)
    task.ledger.accept(STRANGER, task.prove(1))
    since = task.ledger.must_attempt(2).status_height
    state = void(task, (2, True))
    assert (get_attempt(state, 2).status_height, get_stake(state, AGGREGATORS[1]).faults) == (since, 0)
    assert state.rounds[round_key(1, 1)].turn == 1
