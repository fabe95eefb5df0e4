"""Red team, part 2: what a revert does to honest rounds, deadlines, payments and turns (R1–R10)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from abci_app import ledger as ledger_module
from abci_app.block_end import convictions, deadlines, new_rounds, settlement
from abci_app.state import State, participants, rounds
from abci_app.state.keyspace import task_key
from abci_app.state.task_end import end_task
from abci_app.transitions import cancel_task, submit_fraud_proof
from abci_app.transitions.call import BlockContext
from optfl import errors, fraud, tasks
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CancelTask, JoinTask
from support.demands import demand
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    FEE,
    REQUESTER,
    STRANGER,
    LedgerHarness,
    TaskHarness,
)


def pipeline(bad: set[int], open_rounds: int, **overrides: Any) -> TaskHarness:
    """Rounds 1 to `open_rounds` are open, those in `bad` wrong."""
    task = TaskHarness.start(**{"rounds": 8, "min_window_blocks": 30, **overrides})
    for number in range(1, open_rounds + 1):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number in bad else None)
    return task


def test_R1_an_honest_aggregator_is_judged_on_the_redone_base(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round 2 was built honestly on a lie. Round 1 is redone; a proof about round 2 opens the *new* base."""
    task = pipeline({1}, 2)
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    if not guarded:  # judged on the state of today, not on the attempt's record
        monkeypatch.setattr(submit_fraud_proof, "is_fraud", _judge_on_current_base(task))
    proof = task.prove(2)
    redone = task.models[3].opening(0)
    proof.output.base.data = bytes(redone.data)
    del proof.output.base.path[:]
    proof.output.base.path.extend(redone.path)
    code = task.ledger.send(STRANGER, proof).code
    honest = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1])
    if guarded:
        assert code == errors.MalformedProof.code
        assert (honest.amount, honest.excluded) == (AGGREGATOR_STAKE, False)
    else:
        assert code == 0
        assert (honest.amount, honest.excluded) == (0, True)


def _judge_on_current_base(task: TaskHarness) -> Any:
    def is_fraud(parameters: Any, attempt: state_pb2.Attempt, proof: Any) -> bool:
        today = state_pb2.Attempt()
        today.CopyFrom(attempt)
        today.base_root = task.models[3].root
        return fraud.is_fraud(parameters, today, proof)

    return is_fraud


def test_R2_a_settled_round_is_reverted(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round 1 took long, so its window is long; round 2 was quick. Round 1 falls after 2 could have settled."""
    task = TaskHarness.start(rounds=8, window_factor_percent=1000, aggregation_blocks=5)
    task.commit_all(1)
    task.ledger.blocks(4)
    task.aggregate(1, task.poisoned_model(1))
    task.commit_all(2)
    task.aggregate(2)
    if not guarded:  # each round settles by its own window
        monkeypatch.setattr(settlement, "_get_settleable", _settle_any)
    slow, quick = task.round(1), task.round(2)
    assert quick.window_close_height < slow.window_close_height
    if guarded:
        task.ledger.blocks(quick.window_close_height + 2 - task.ledger.height)
        assert task.task.settled_round == 0
        task.ledger.accept(STRANGER, task.prove(1))
        assert task.round(1).turn == 1
        return
    with pytest.raises(Exception, match=r".+"):  # the audit: round 2 is paid for, and stands on what can still fall
        task.ledger.blocks(quick.window_close_height + 2 - task.ledger.height)


def _settle_any(state: State, task: state_pb2.Task, block: BlockContext) -> state_pb2.Round | None:
    for _, current in state.rounds.items(task_key(task.task_id)):
        over = rounds.is_window_over(state, current.window_open_height, current.window_close_height, block.height)
        if current.status == state_pb2.ROUND_STATUS_OPEN and over:
            return current
    return None


def test_R3_colluders_are_shielded_by_an_earlier_fault(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds 1 and 2 are lies of two aggregators. With round 1 convicted, round 2 is void: is its author safe?"""
    if not guarded:  # only what is open can be proven wrong
        monkeypatch.setattr(submit_fraud_proof, "check", _only_open(submit_fraud_proof.check))
    task = pipeline({1, 2}, 2)
    proof = task.prove(2)
    task.ledger.accept(STRANGER, task.prove(1))
    task.ledger.send(STRANGER, proof)
    colluder = task.ledger.must_stake(AGGREGATOR, AGGREGATORS[1])
    assert (colluder.amount == 0) == guarded


def _only_open(original: Any) -> Any:
    def check(state: State, call: Any, message: Any) -> Any:
        attempt = state.attempts.get(task_key(message.task_id) + message.attempt_id.to_bytes(4, "big"))
        if attempt is not None and attempt.status == state_pb2.ATTEMPT_STATUS_VOID:
            raise errors.NotConvictable("void")
        return original(state, call, message)

    return check


def test_R4_the_deadline_of_a_void_round_slashes_an_honest_aggregator(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round 2's deadline is due in the very block in which round 1 is proven wrong."""
    if not guarded:
        monkeypatch.setattr(ledger_module, "STEPS", _deadlines_first())
    task = pipeline({1}, 1)
    task.commit_all(2)
    honest = task.due_aggregator(2)
    deadline = task.round(2).aggregation_deadline_height
    task.ledger.blocks(deadline - task.ledger.height - 1)
    task.ledger.accept(STRANGER, task.prove(1))
    slashed = task.ledger.must_stake(AGGREGATOR, honest).amount < AGGREGATOR_STAKE
    assert slashed != guarded


def _deadlines_first() -> Any:
    others = [step for step in ledger_module.STEPS if step is not deadlines.process_deadlines]
    return (deadlines.process_deadlines, *others)


def test_R5_a_late_confession_leaves_clients_unpaid(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lie that is confessed in the window's last block voids every round since: does the slash pay for them?"""
    if not guarded:  # any stake will do
        monkeypatch.setattr(tasks, "compute_required_stake", lambda parameters: 0)
    reward = 50_000
    ledger = LedgerHarness(params={"min_aggregator_stake": 1})
    task = TaskHarness(ledger)
    ledger.register_participants()
    task.create(rounds=8, min_window_blocks=30, client_reward=reward)
    join = task.ledger.send(AGGREGATORS[0], JoinTask(task_id=task.task_id))
    if guarded:
        assert join.code == errors.StakeTooLow.code
        return
    assert join.code == 0
    for other in AGGREGATORS[1:]:
        task.ledger.accept(other, JoinTask(task_id=task.task_id))
    task.ledger.accept(REQUESTER, task.start_task())
    for number in (1, 2, 3):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number) if number == 1 else None)
    before = task.ledger.balance(CLIENTS[0])
    task.ledger.accept(STRANGER, task.prove(1))  # its own sybil
    assert task.ledger.balance(CLIENTS[0]) - before < 2 * reward


def test_R6_a_requester_takes_the_updates_and_cancels(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates are readable from the freeze on. The requester aggregates them itself and wants its escrow back."""
    if not guarded:  # the task ends at once
        monkeypatch.setattr(cancel_task, "apply", _end_at_once)
    task = TaskHarness.start(rounds=1)
    task.commit_all(1)
    task.aggregate(1)
    before = [task.ledger.balance(client) for client in CLIENTS]
    task.ledger.accept(REQUESTER, CancelTask(task_id=task.task_id))
    task.ledger.blocks(12)
    paid = [task.ledger.balance(client) - b for client, b in zip(CLIENTS, before, strict=True)]
    assert paid == ([100] * 5 if guarded else [0] * 5)


def test_R6_a_requester_makes_its_own_models_unreadable(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The requester's own replicas and aggregator: when the clients of three rounds have committed, and their updates
    were read, the first model is gone. That costs one per cent of a stake; does it leave the clients unpaid?"""
    if not guarded:  # nobody makes it good
        monkeypatch.setattr(convictions, "_pay_from_escrow", lambda *_: None)
    task = pipeline(set(), 3, min_window_blocks=20, demand_blocks=5)
    before = [task.ledger.balance(client) for client in CLIENTS]
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(6)
    assert task.task.head_round == 1
    paid = [task.ledger.balance(client) - b for client, b in zip(CLIENTS, before, strict=True)]
    assert paid == ([200] * 5 if guarded else [0] * 5)  # of rounds 2 and 3; those of round 1 are in its next attempt


def _end_at_once(state: State, call: Any, message: CancelTask, found: state_pb2.Task) -> None:
    end_task(state, found, state_pb2.TASK_STATUS_ABORTED, call.height)


def test_R7_one_cheap_fault_stops_the_task(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first turn is missed: (N - 1)/N · 0/1 is below any S_min."""
    task = TaskHarness.start(min_safety_percent=30, pause_blocks=100, min_window_blocks=40)
    task.commit_all(1)
    if not guarded:  # S_t as the paper writes it
        monkeypatch.setattr(new_rounds, "is_safe", _literal_safety)
    first = task.due_aggregator(1)
    while task.due_aggregator(1) is first:
        task.ledger.block()
    task.aggregate(1)
    task.ledger.blocks(3)
    assert (task.task.head_round == 2) == guarded


def _literal_safety(state: State, task: state_pb2.Task) -> bool:
    aggregators = len(task.parameters.aggregators)
    eligible = len(participants.get_eligible_aggregators(state, task))
    attempts = max(task.next_attempt_id - 1 + task.outcomes.bit_count(), 1)
    return 100 * eligible * task.settled_round >= task.parameters.min_safety_percent * aggregators * attempts


def test_R8_with_all_excluded_the_rotation_never_ends(guarded: bool) -> None:
    """Algorithm 1 loops while a ∈ E. In FinalizeBlock this halts the chain."""
    everybody = [bytes([i]) for i in range(4)]
    if guarded:
        for literal in (False, True):
            assert participants.compute_turn(everybody, [], 1, 0, literal=literal) is None
        return
    r, excluded = 1, set(everybody)
    for _ in range(10_000):  # the paper's lines, with an end that they do not have
        if everybody[(r - 1) % len(everybody)] not in excluded:
            break
        r += 1
    assert r == 10_001


def test_R9_an_excluded_neighbours_turns_are_collected(guarded: bool) -> None:
    """N = 10, E = {0, 1, 2}, R = 100: who sits behind them does 40 rounds under the paper's rule."""
    aggregators = [bytes([i]) for i in range(10)]
    turns = Counter(
        participants.compute_turn(aggregators, aggregators[3:], r, 0, literal=not guarded) for r in range(1, 101)
    )
    if guarded:
        assert max(turns.values()) - min(turns.values()) <= 6
        assert max(turns.values()) <= 16
    else:
        assert turns[aggregators[3]] == 40


def test_R10_a_void_round_ends_the_dispute_about_it(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof about round 2 is under way when round 1 falls: its sender must neither be too late nor lose its bond."""
    if not guarded:  # what is void is forgotten at once
        monkeypatch.setattr(convictions, "_revert", _forget_void(convictions._revert))
    task = pipeline({1, 2}, 2)
    proof_of_2 = task.prove(2)
    task.announce_in_time(CLIENTS[0], proof_of_2)
    balance = task.ledger.balance(CLIENTS[0])
    task.ledger.accept(STRANGER, task.prove(1))
    result = task.ledger.send(CLIENTS[0], proof_of_2)
    assert result.code == (0 if guarded else errors.UnknownAttempt.code)
    assert (task.ledger.balance(CLIENTS[0]) >= balance - FEE + AGGREGATOR_STAKE * 9 // 100) == guarded


def _forget_void(original: Any) -> Any:
    def revert(state: State, block: BlockContext, task_id: int, round_number: int) -> Any:
        found = original(state, block, task_id, round_number)
        for key, attempt in state.attempts.items(task_key(task_id)):
            if attempt.status == state_pb2.ATTEMPT_STATUS_VOID:
                state.attempts.delete(key)
                for announced in [k for k, _ in state.announcements.items(key)]:
                    state.announcements.delete(announced)
        return found

    return revert
