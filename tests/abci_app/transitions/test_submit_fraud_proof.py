"""SubmitFraudProof: one wrong chunk convicts its author, on the attempt's record alone; nothing else convicts."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest

from abci_app.state.keyspace import attempt_key
from optfl import errors, tasks
from optfl.announcements import PAID_BLOCKS
from optfl.fraud import build_output_proof, build_step_proof, build_weights_proof, wrap_proof
from optfl.rules import TotalsKind
from optfl.traces import Entry
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import OutputProof, SubmitFraudProof, Transfer
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    BALANCE,
    CLIENTS,
    FEE,
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

BOND = PARAMS["proof_bond"]
OPEN, VOID, CONVICTED = (
    state_pb2.ATTEMPT_STATUS_OPEN,
    state_pb2.ATTEMPT_STATUS_VOID,
    state_pb2.ATTEMPT_STATUS_CONVICTED,
)


def with_fraud(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    """A task whose first round is open, with attempt 1 wrong in value 0."""
    task = TaskHarness.start(ledger, **overrides)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    return task


def honest(**overrides: Any) -> TaskHarness:
    """A task whose first round is open, with attempt 1 as it should be."""
    task = TaskHarness.start(**overrides)
    task.run_round(1)
    return task


def status(task: TaskHarness, attempt_id: int) -> int:
    attempt = task.ledger.attempt(attempt_id)
    assert attempt is not None
    return attempt.status


def test_a_proof_convicts_in_the_block_that_includes_it() -> None:
    task = with_fraud()
    culprit = task.round(1).aggregator
    result = task.ledger.accept(STRANGER, task.prove(1))
    assert [event.kind for event in result.events] == ["fraud_proven"]
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert (attempt.status, attempt.prover, attempt.status_height) == (
        CONVICTED,
        STRANGER.address,
        task.ledger.height,
    )
    stake = task.ledger.state.stakes[bytes([AGGREGATOR]) + culprit]
    assert (stake.amount, stake.excluded) == (0, True)


def test_a_prover_that_announced_it_gets_the_reward_and_never_loses_its_bond() -> None:
    task = with_fraud()
    proof = task.prove(1)
    task.announce_in_time(STRANGER, proof)
    task.ledger.accept(STRANGER, proof)
    assert task.ledger.balance(STRANGER) == BALANCE - 2 * FEE + 200_000 * 9 // 100


def test_without_an_announcement_it_convicts_all_the_same_and_the_reward_is_burned() -> None:
    task = with_fraud()
    task.ledger.accept(STRANGER, task.prove(1))
    assert status(task, 1) == CONVICTED
    assert task.ledger.balance(STRANGER) == BALANCE - FEE
    record = task.ledger.state.disputes[attempt_key(1, 1)]
    assert (list(record.rewards), record.reporter_reward, record.prover) == ([], 0, STRANGER.address)
    assert record.burned == record.slashed - record.inclusion_reward == record.slashed - record.slashed // 200


def get_rewards(task: TaskHarness) -> dict[bytes, int]:
    return {r.account: r.amount for r in task.ledger.state.disputes[attempt_key(1, 1)].rewards}


def test_F7_of_accounts_without_power_one_is_paid_whoever_shows_the_proof() -> None:
    """Its sender if that has announced it; else it is a copy, and pays the first who has."""
    for sender, reporter in [(STRANGER, CLIENTS[1]), (CLIENTS[2], CLIENTS[2])]:
        task = with_fraud(min_window_blocks=12)
        proof = task.prove(1)
        announced = [(CLIENTS[0], task.prove(1, 1)), (CLIENTS[2], proof), (CLIENTS[1], proof)]
        if sender is STRANGER:
            announced.reverse()
        for prover, what in announced:
            task.ledger.accept(prover, task.announce(prover, what))
        task.ledger.blocks(PAID_BLOCKS)
        before = task.ledger.balance(reporter)
        task.ledger.accept(sender, proof)
        assert task.ledger.state.disputes[attempt_key(1, 1)].prover == sender.address
        assert get_rewards(task) == {reporter.address: AGGREGATOR_STAKE * 9 // 100}
        assert task.ledger.balance(reporter) - before == AGGREGATOR_STAKE * 9 // 100 - FEE * (sender is reporter)


@pytest.mark.parametrize("silent", [[], [1], [2, 3]])
def test_A10_validators_share_by_their_part_of_all_power_whatever_others_do(silent: list[int]) -> None:
    """Who has announced nothing, or another proof, leaves the others what they have; strangers get nothing."""
    ledger = LedgerHarness(stakes=(10_000, 20_000, 30_000, 40_000))
    task = with_fraud(ledger, min_window_blocks=12)
    proof, other = task.prove(1), task.prove(1, 1)
    ledger.block(ledger.sign(STRANGER, task.announce(STRANGER, proof)))
    ledger.block(*(ledger.sign(v, task.announce(v, other if i in silent else proof)) for i, v in enumerate(VALIDATORS)))
    ledger.blocks(PAID_BLOCKS - 1)
    ledger.accept(STRANGER, proof)
    share = AGGREGATOR_STAKE * 9 // 100
    paid = {v.address: share * (i + 1) // 10 for i, v in enumerate(VALIDATORS) if i not in silent}
    assert get_rewards(task) == paid
    record = ledger.state.disputes[attempt_key(1, 1)]
    half = AGGREGATOR_STAKE // 200
    assert record.inclusion_reward == half + sum(half * (i + 1) // 10 for i in range(4) if i not in silent)
    assert record.burned == AGGREGATOR_STAKE - sum(paid.values()) - record.inclusion_reward


@pytest.mark.parametrize(("oldest", "newest"), [(1, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (3, 3), (5, 1)])
def test_A10_nobody_is_paid_before_the_oldest_is_so_old_nor_what_may_be_a_copy(oldest: int, newest: int) -> None:
    """Ages in blocks, of the announcements of two validators."""
    task = with_fraud(min_window_blocks=20)
    proof = task.prove(1)
    shown = task.ledger.height + 1 + oldest
    waiting = [(shown - oldest, VALIDATORS[0]), (shown - newest, VALIDATORS[1])]
    while task.ledger.height < shown - 1:
        task.ledger.block(
            *(task.ledger.sign(v, task.announce(v, proof)) for h, v in waiting if h == task.ledger.height + 1)
        )
    late = [task.ledger.sign(v, task.announce(v, proof)) for h, v in waiting if h == shown]
    task.ledger.block(*late, task.ledger.sign(STRANGER, proof))
    ages = {VALIDATORS[0].address: oldest, VALIDATORS[1].address: newest}
    each = AGGREGATOR_STAKE * 9 // 400
    assert get_rewards(task) == ({who: each for who, age in ages.items() if age >= 2} if oldest >= 3 else {})


def test_A10_a_block_pays_for_what_it_has_only_with_its_beacon_and_a_known_proposer() -> None:
    """Who withholds its beacon goes without all pay for its block; what nobody earns is burned."""
    for announced, proven in itertools.product([0, 2, -1], [1, 2, -1]):
        ledger = LedgerHarness(beacons=True)
        task = with_fraud(ledger)
        proof = task.prove(1)
        withheld = 2
        for message, proposer in ((task.announce(STRANGER, proof), announced), (proof, proven)):
            ledger.block(ledger.sign(STRANGER, message), proposer=proposer, withhold=proposer == withheld)
            ledger.blocks((PAID_BLOCKS - 1) * (message is not proof))
        record = ledger.state.disputes[attempt_key(1, 1)]
        paid = sum(proposer not in (-1, withheld) for proposer in (announced, proven))
        assert record.inclusion_reward == paid * (record.slashed // 200)
        assert record.burned == record.slashed - record.reporter_reward - record.inclusion_reward


@pytest.mark.parametrize("other", ["sender", "chunk", "attempt", "same-block"])
def test_F7_what_was_announced_is_this_proof_of_this_sender_before_it_was_seen(other: str) -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    values = task.poisoned_model(1, 0).values.copy()
    values[40] += 1
    task.aggregate(1, ChunkedVector(tasks.model_shape(task.parameters), values))
    proof, prover = task.prove(1), STRANGER
    announced = task.prove(1, chunk=1) if other == "chunk" else proof
    if other == "attempt":
        announced = copy.deepcopy(proof)
        announced.attempt_id = 2
    message = task.announce(CLIENTS[0] if other == "sender" else prover, announced, attempt_id=1)
    if other == "same-block":
        results = task.ledger.block(task.ledger.sign(prover, message), task.ledger.sign(prover, proof)).results
        assert [result.code for result in results] == [0, 0]
    else:
        task.ledger.accept(prover, message)
        task.ledger.blocks(PAID_BLOCKS - 1)
        task.ledger.accept(prover, proof)
    assert task.ledger.balance(prover) == BALANCE - 2 * FEE
    assert status(task, 1) == CONVICTED


@pytest.mark.parametrize("coordinate", [0, 31, 32, 64, 95, 96, 99])
def test_a_single_value_off_by_one_convicts_wherever_it_is(coordinate: int) -> None:
    task = TaskHarness.start()
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1, coordinate))
    task.ledger.accept(STRANGER, task.prove(bad, chunk=coordinate // 32))
    assert status(task, bad) == CONVICTED


@pytest.mark.parametrize("sender", [CLIENTS[0], REQUESTER, VALIDATORS[3], STRANGER])
def test_anyone_may_prove(sender: Any) -> None:
    task = with_fraud()
    task.ledger.accept(sender, task.prove(1))
    assert status(task, 1) == CONVICTED


def test_invariant_2_no_chunk_of_an_honest_attempt_convicts() -> None:
    task = honest(min_window_blocks=20)
    for chunk in range(4):
        result = task.ledger.accept(STRANGER, task.prove(1, chunk))
        assert [event.kind for event in result.events] == ["proof_failed"]
    assert status(task, 1) == OPEN
    assert not task.ledger.must_stake(AGGREGATOR, task.due_aggregator(1)).excluded


def test_a_false_proof_costs_its_bond() -> None:
    task = honest()
    burned = task.ledger.state.supply.burned
    task.ledger.accept(STRANGER, task.prove(1))
    assert task.ledger.balance(STRANGER) == BALANCE - FEE - BOND
    assert task.ledger.state.supply.burned == burned + BOND


def test_the_right_chunk_of_a_wrong_model_is_a_false_proof() -> None:
    task = with_fraud()
    task.ledger.accept(STRANGER, task.prove(1, chunk=1))
    assert task.ledger.balance(STRANGER) == BALANCE - FEE - BOND
    assert status(task, 1) == OPEN


def test_the_bond_must_be_there_even_for_a_true_proof() -> None:
    task = with_fraud()
    spare = FEE  # for the transfer itself
    task.ledger.accept(STRANGER, Transfer(recipient=REQUESTER.address, amount=BALANCE - spare - FEE - BOND + 1))
    task.ledger.reject(errors.InsufficientBalance, STRANGER, task.prove(1))
    task.ledger.accept(REQUESTER, Transfer(recipient=STRANGER.address, amount=FEE + 1))
    task.ledger.accept(STRANGER, task.prove(1))


def test_F7_a_late_proof_is_moot_and_costs_no_bond() -> None:
    task = with_fraud()
    late = task.prove(1)
    task.ledger.accept(STRANGER, task.prove(1))
    result = task.ledger.accept(CLIENTS[0], late)
    assert [event.kind for event in result.events] == ["proof_moot"]
    assert len(task.ledger.state.disputes.all_keys()) == 1


def test_F7_of_two_proofs_in_one_block_the_first_is_paid_and_none_loses_its_bond() -> None:
    task = with_fraud()
    proof = task.prove(1)
    provers = (STRANGER, CLIENTS[0])
    task.ledger.block(*(task.ledger.sign(prover, task.announce(prover, proof)) for prover in provers))
    task.ledger.blocks(PAID_BLOCKS - 1)
    before = [task.ledger.balance(prover) for prover in provers]
    results = task.ledger.block(*(task.ledger.sign(prover, proof) for prover in provers)).results
    assert [result.code for result in results] == [0, 0]
    assert [task.ledger.balance(p) - b for p, b in zip(provers, before, strict=True)] == [18_000 - FEE, -FEE]


def test_F7_even_garbage_about_a_convicted_attempt_is_moot() -> None:
    """What its openings say does not matter any more, so they are not looked at."""
    task = with_fraud()
    task.ledger.accept(STRANGER, task.prove(1))
    garbage = SubmitFraudProof(task_id=1, attempt_id=1, output=OutputProof(chunk=99))
    task.ledger.accept(CLIENTS[0], garbage)


def test_a_block_judges_a_limited_number_of_proofs() -> None:
    """F6: two, here. Moot ones count; those that are rejected do not, nor do they cost more than a hash."""
    task = honest()
    proofs = [task.ledger.sign(sender, task.prove(1, chunk=i)) for i, sender in enumerate(VALIDATORS[:2])]
    task.ledger.reject(errors.TooManyProofs, STRANGER, task.prove(1, chunk=2), after=proofs)
    task.ledger.accept(STRANGER, task.prove(1, chunk=2))


def test_the_limit_on_proofs_is_of_the_block_not_of_the_task() -> None:
    ledger = LedgerHarness()
    both = [TaskHarness.start(ledger)]
    second = TaskHarness(ledger)
    second.launch()
    both.append(second)
    for task in both:
        task.run_round(1)
    proofs = [ledger.sign(sender, both[0].prove(1, chunk=i)) for i, sender in enumerate(VALIDATORS[:2])]
    ledger.reject(errors.TooManyProofs, STRANGER, both[1].prove(1), after=proofs)


@pytest.mark.parametrize("task_id", [0, 2, 2**64 - 1])
def test_unknown_task_is_refused(task_id: int) -> None:
    task = with_fraud()
    proof = task.prove(1)
    proof.task_id = task_id
    task.ledger.reject(errors.UnknownTask, STRANGER, proof)


@pytest.mark.parametrize("attempt_id", [0, 2, 2**32 - 1])
def test_unknown_attempt_is_refused(attempt_id: int) -> None:
    """0 stands for G_0, which nobody aggregated."""
    task = with_fraud()
    proof = task.prove(1)
    proof.attempt_id = attempt_id
    task.ledger.reject(errors.UnknownAttempt, STRANGER, proof)


def test_another_tasks_attempt_of_the_same_id_is_not_meant() -> None:
    """Both tasks have an attempt 1; the proof against one opens nothing of the other."""
    ledger = LedgerHarness()
    bad = TaskHarness.start(ledger)
    good = TaskHarness(ledger)
    good.launch(length=64)
    for task in (bad, good):
        task.commit_all(1)
    bad.aggregate(1, bad.poisoned_model(1))
    good.aggregate(1)
    proof = bad.prove(1)
    proof.task_id = 2
    ledger.reject(errors.MalformedProof, STRANGER, proof)


@pytest.mark.parametrize("message", [SubmitFraudProof(task_id=1, attempt_id=1), SubmitFraudProof()])
def test_without_a_proof_it_is_refused(message: SubmitFraudProof) -> None:
    with_fraud().ledger.reject(errors.MalformedProof, STRANGER, message)


def empty(proof: OutputProof) -> None:
    proof.Clear()


def drop_update(proof: OutputProof) -> None:
    del proof.updates[0]


def add_update(proof: OutputProof) -> None:
    proof.updates.append(proof.updates[0])


def swap_updates(proof: OutputProof) -> None:
    first, second = copy.deepcopy(proof.updates[0]), copy.deepcopy(proof.updates[1])
    proof.updates[0].CopyFrom(second)
    proof.updates[1].CopyFrom(first)


def drop_base(proof: OutputProof) -> None:
    proof.ClearField("base")


def drop_claimed(proof: OutputProof) -> None:
    proof.ClearField("claimed")


def change_chunk(proof: OutputProof) -> None:
    proof.chunk = 1


def far_chunk(proof: OutputProof) -> None:
    proof.chunk = 2**32 - 1


def flip_bit(proof: OutputProof) -> None:
    proof.claimed.data = bytes([proof.claimed.data[0] ^ 1]) + proof.claimed.data[1:]


def long_path(proof: OutputProof) -> None:
    proof.base.path.extend([bytes(32)] * 1000)


def empty_hashes(proof: OutputProof) -> None:
    proof.base.path[:] = [b""] * len(proof.base.path)


@pytest.mark.parametrize(
    "damage",
    [
        empty, drop_update, add_update, swap_updates, drop_base, drop_claimed, change_chunk, far_chunk, flip_bit,
        long_path, empty_hashes,
    ],
)  # fmt: skip
def test_what_does_not_open_the_record_is_refused_and_keeps_its_bond(damage: Any) -> None:
    """It shows neither guilt nor innocence; the fee is its price."""
    task = with_fraud()
    proof = task.prove(1)
    damage(proof.output)
    task.ledger.reject(errors.MalformedProof, STRANGER, proof)
    assert status(task, 1) == OPEN


def test_a_round_dropped_without_fault_convicts_nobody() -> None:
    task = TaskHarness.start()
    task.ledger.blocks(5)  # nobody commits
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.aggregator == b""
    garbage = SubmitFraudProof(task_id=1, attempt_id=1, output=OutputProof())
    task.ledger.reject(errors.NotConvictable, STRANGER, garbage)


def test_a_proof_in_the_windows_closing_block_counts() -> None:
    task = with_fraud()
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    task.ledger.accept(STRANGER, task.prove(1))
    assert task.ledger.height == close
    assert status(task, 1) == CONVICTED
    assert task.task.settled_round == 0


def test_a_proof_one_block_later_does_not() -> None:
    """Settled is settled (invariant 3)."""
    task = with_fraud()
    proof = task.prove(1)
    task.ledger.blocks(task.round(1).window_close_height - task.ledger.height)
    assert task.task.settled_round == 1
    task.ledger.reject(errors.UnknownAttempt, STRANGER, proof)


def test_L1_a_proof_counts_for_as_long_as_the_window_is_held_open() -> None:
    """Only one of four validators proposes: no third of the stake, so the window does not close, whatever its height.
    Nor does the evidence height matter to what is not settled: a minority of proposers cannot sit a proof out."""
    task = with_fraud(LedgerHarness(params={"evidence_blocks": 0}))
    for _ in range(40):
        task.ledger.block(proposer=0)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert attempt.evidence_height < task.ledger.height
    assert task.task.settled_round == 0
    proof = task.ledger.sign(STRANGER, task.prove(1))
    assert task.ledger.block(proof, proposer=1).results[0].code == 0
    assert attempt_key(1, 1) in task.ledger.state.disputes
    assert (task.task.settled_round, task.round(1).turn) == (0, 1)


def test_an_attempt_behind_a_longer_window_is_convictable_until_it_settles() -> None:
    """Round 1 took its whole time, so its window is long; round 2 waits for it, past its own window and evidence."""
    ledger = LedgerHarness(params={"evidence_blocks": 2})
    task = TaskHarness.start(ledger, window_factor_percent=1000, aggregation_blocks=5)
    task.commit_all(1)
    ledger.blocks(4)
    task.aggregate(1)
    task.commit_all(2)
    bad = task.aggregate(2, task.poisoned_model(2))
    last = task.round(1).window_close_height
    attempt = ledger.attempt(bad)
    assert attempt is not None
    assert attempt.evidence_height < last - 1
    ledger.blocks(last - 1 - ledger.height)
    ledger.accept(STRANGER, task.prove(bad))
    assert task.task.settled_round == 1
    assert attempt_key(1, bad) in ledger.state.disputes
    assert task.round(2).turn == 1


def build_on_fraud() -> tuple[TaskHarness, SubmitFraudProof]:
    """Round 1 is wrong, round 2 an honest aggregate on top of it; round 1 is convicted. Returns the task, and a proof
    about round 2 as its attempt stands on record."""
    task = with_fraud()
    task.commit_all(2)
    task.aggregate(2)
    about_second = task.prove(2)
    task.ledger.accept(STRANGER, task.prove(1))
    assert status(task, 2) == VOID
    return task, about_second


def test_R1_honest_round_on_reverted_base_cannot_be_convicted() -> None:
    """Its record names the base that it was built on; that this base was a fraud is not its author's."""
    task, about_second = build_on_fraud()
    author = task.ledger.attempt(2)
    assert author is not None
    task.ledger.accept(CLIENTS[0], about_second)  # a false proof: its bond is lost
    assert status(task, 2) == VOID
    task.aggregate(1)
    redone = task.models[3]
    updates = [task.updates[given.update_root] for given in author.inputs]
    with_new_base = build_output_proof(0, updates, redone, task.models[2])
    forged = SubmitFraudProof(task_id=1, attempt_id=2, output=with_new_base)
    task.ledger.reject(errors.MalformedProof, STRANGER, forged)
    assert not task.ledger.state.stakes[bytes([AGGREGATOR]) + author.aggregator].excluded


def test_R3_a_void_attempt_stays_convictable_and_reverts_nothing() -> None:
    """One early fault does not shield the later ones: r and r+1 are both wrong, and both are convicted."""
    task = with_fraud()
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    proof = task.prove(second)
    culprit = task.due_aggregator(2)
    task.ledger.accept(STRANGER, task.prove(1))
    assert (status(task, second), task.task.head_round) == (VOID, 1)
    assert task.due_aggregator(1) is culprit
    task.ledger.accept(STRANGER, proof)
    assert status(task, second) == CONVICTED
    assert (task.task.head_round, task.round(1).turn) == (1, 2)  # not reverted again: the turn of the culprit passed on
    assert task.ledger.must_stake(AGGREGATOR, culprit).excluded
    [first, later] = [record for _, record in task.ledger.state.disputes.items()]
    assert (first.reverted, later.reverted) == (True, False)
    assert (later.compensation, later.voided_rounds) == (0, 0)


def test_R3_a_void_attempt_is_convictable_up_to_its_evidence_height() -> None:
    for late in (False, True):
        task = with_fraud()
        task.commit_all(2)
        second = task.aggregate(2, task.poisoned_model(2))
        proof = task.prove(second)
        task.ledger.accept(STRANGER, task.prove(1))
        attempt = task.ledger.attempt(second)
        assert attempt is not None
        task.ledger.blocks(attempt.evidence_height - 1 + late - task.ledger.height)
        if late:
            task.ledger.reject(errors.NotConvictable, STRANGER, proof)
            task.ledger.reject(errors.UnknownAttempt, STRANGER, proof)
        else:
            task.ledger.accept(STRANGER, proof)
            assert status(task, second) == CONVICTED


def test_R3_after_the_task_has_ended_void_attempts_are_still_convictable() -> None:
    task = with_fraud(rounds=2)
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    proof = task.prove(second)
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    task.run_round(2)
    task.ledger.blocks(8)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    task.ledger.accept(STRANGER, proof)
    assert status(task, second) == CONVICTED
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED


def test_R10_a_dispute_goes_on_after_its_round_is_void() -> None:
    """Both proofs in one block, the later round's first: guilt is found for both, the lower one is reverted to."""
    task = with_fraud()
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    results = task.ledger.block(
        task.ledger.sign(STRANGER, task.prove(second)), task.ledger.sign(CLIENTS[0], task.prove(1))
    ).results
    assert [result.code for result in results] == [0, 0]
    assert (status(task, 1), status(task, second)) == (CONVICTED, CONVICTED)
    assert (task.task.head_round, task.round(1).turn) == (1, 1)


def test_L7_an_attempt_is_convicted_once() -> None:
    """Another chunk of the same wrong model is no second offence."""
    task = TaskHarness.start(LedgerHarness(params={"fraud_slash_percent": 50}))
    task.commit_all(1)
    values = task.honest_model(1).values.copy()
    values += np.int32(1)
    bad = task.aggregate(1, ChunkedVector(task.models[0].shape, values))
    culprit = task.due_aggregator(1)
    second = task.prove(bad, chunk=1)
    task.ledger.accept(STRANGER, task.prove(bad, chunk=0))
    task.ledger.accept(CLIENTS[0], second)
    assert task.ledger.must_stake(AGGREGATOR, culprit).amount == 100_000
    assert len(task.ledger.state.disputes.all_keys()) == 1


@pytest.mark.parametrize("rule", ["median()", "fedavg()", "trimmed_mean(f=1)"])
@pytest.mark.parametrize("value", [0, -(2**15), 2**15 - 1])
def test_I6_degenerate_updates_are_aggregated_and_judged_like_any_others(rule: str, value: int) -> None:
    """All zero, all least, all most, with the greatest weight there is: no division by 0, no overflow, no halt."""
    task = TaskHarness.start(rule=rule, max_weight=1 << 20, min_window_blocks=20)
    vector = ChunkedVector(tasks.update_shape(task.parameters), np.full(100, value, np.int16))
    task.updates[vector.root] = vector
    commits = [
        task.commit_update(
            client, 1, update_root=vector.root, weight=1 << 20, certificate=task.certify(client, 1, vector)
        )
        for client in CLIENTS
    ]
    task.ledger.block(*(task.ledger.sign(c, message) for c, message in zip(CLIENTS, commits, strict=True)))
    task.aggregate(1)
    assert list(task.models[1].values) == [base + value for base in range(100)]
    result = task.ledger.accept(STRANGER, task.prove(1))
    assert [event.kind for event in result.events] == ["proof_failed"]


def test_a_proof_about_an_attempt_of_the_same_block() -> None:
    """Included behind it: the record is there, so it is judged."""
    task = TaskHarness.start()
    task.commit_all(1)
    submission = task.ledger.sign(task.due_aggregator(1), task.submit_aggregate(1, task.poisoned_model(1)))
    inputs = [next(c for c in CLIENTS if c.address == a) for a in task.round(1).selected]
    proof = build_output_proof(0, [task.update(c, 1) for c in inputs], task.models[0], task.models[1])
    message = SubmitFraudProof(task_id=1, attempt_id=1, output=proof)
    task.ledger.block(submission, task.ledger.sign(STRANGER, message))
    assert status(task, 1) == CONVICTED
    assert task.round(1).turn == 1


# Rules with totals: each is convicted, in one transaction, of the very step in which its author lied.

TOTALS_RULES = [
    "krum(f=1)",
    "multi_krum(f=1)",
    "bulyan(f=0)",
    "geometric_median(steps=3)",
    "centred_clipping(norm=0, steps=2)",
    "norm_clipped_mean(norm=0)",
    "minimum_diameter(f=1)",
    "nnm(f=1) | median()",
    "arc(f=1) | trimmed_mean(f=1)",
    "clipping(norm=0) | meamed(f=1)",
    "bucketing(s=2) | krum(f=0)",
]


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (rule, kind)
        for rule in TOTALS_RULES
        for kind in ("step", "weights", "output")
        # Of five updates Bulyan takes all, whatever their totals; of seven see tests/optfl/test_fraud.py.
        if (rule, kind) != ("bulyan(f=0)", "weights")
    ],
)
def test_each_rule_is_convicted_of_each_kind_of_lie(rule: str, kind: str) -> None:
    task = TaskHarness.start(rule=rule)
    task.commit_all(1)
    due = task.due_aggregator(1)
    if kind == "output":
        task.aggregate(1, task.poisoned_model(1))
        proof = task.prove(1)
    else:
        task.ledger.accept(due, task.claim(1, task.misreduce(1, row=0 if kind == "step" else None)))
        proof = task.prove_reduction(1)
    assert proof.WhichOneof("proof") == kind
    task.ledger.accept(STRANGER, proof)
    (conviction,) = [c for _, c in task.ledger.state.disputes.items()]
    assert (conviction.proof_kind, conviction.aggregator, conviction.reverted) == (kind, due.address, True)
    assert task.ledger.must_stake(AGGREGATOR, due).excluded
    assert task.round(1).status == state_pb2.ROUND_STATUS_AGGREGATING


@pytest.mark.parametrize("rule", TOTALS_RULES)
def test_invariant_2_an_honest_claim_of_each_rule_costs_every_prover_its_bond(rule: str) -> None:
    task = TaskHarness.start(rule=rule, min_window_blocks=30)
    task.commit_all(1)
    task.aggregate(1)
    attempt = task.ledger.must_attempt(1)
    updates = [task.updates[given.update_root] for given in attempt.inputs]
    kind = task.rule.totals
    honest = [
        build_step_proof(kind, Entry(0, 1, 3 if kind == TotalsKind.PRODUCTS else 1), updates, task.traces[1]),
        build_weights_proof(kind, task.traces[1], len(updates)),
        task.prove(1).output,
    ]
    for proof in honest:
        result = task.ledger.accept(STRANGER, wrap_proof(attempt, proof))
        assert [event.kind for event in result.events] == ["proof_failed"]
    assert not task.ledger.state.disputes.all_keys()
