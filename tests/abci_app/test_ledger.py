"""`apply_block` as a whole: one table of kinds, one order of steps, the same result everywhere, and no crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app import block_end, transitions
from abci_app import ledger as ledger_module
from abci_app.state_machine import find_nothing
from abci_app.transitions import TRANSITIONS
from optfl import errors
from optfl.keys import SigningKey
from optfl.wire.transaction_pb2 import Body, RegisterRole, StartTask, Transfer
from support import chaos, votes
from support.chaos import Chaos
from support.ledger import (
    ACCOUNTS,
    BALANCE,
    CLIENT,
    CLIENTS,
    FEE,
    FIRST_CHARGED_CODE,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

TESTS = Path(__file__).parent
ROOT = TESTS.parents[1]
KINDS = [field for field in Body.DESCRIPTOR.fields if field.containing_oneof is not None]


# The table and the order of steps.


def test_every_kind_has_one_transition_of_its_name_and_one_test_file() -> None:
    """House rule 1: the kind's name is the same in proto, message, transition and test."""
    names = {field.name for field in KINDS}
    assert set(TRANSITIONS) == names
    for name in names:
        module: Any = TRANSITIONS[name]
        assert module.__name__ == f"abci_app.transitions.{name}"
        assert all(callable(getattr(module, step)) for step in ("validate", "check", "apply"))
        assert (TESTS / "transitions" / f"test_{name}.py").exists()


def test_every_file_of_the_blocks_end_has_a_test_file() -> None:
    names = {path.stem for path in Path(block_end.__file__).parent.glob("*.py")} - {"__init__"}
    assert names == {path.stem.removeprefix("test_") for path in (TESTS / "block_end").glob("test_*.py")}


def test_A2_order_of_the_blocks_end() -> None:
    """What is found, convictions, then settlement, then deadlines; voting power last of all, outside the table."""
    assert [step.__name__ for step in block_end.STEPS] == [
        "process_votes",
        "process_demands",
        "process_convictions",
        "process_watches",
        "process_settlements",
        "process_deadlines",
        "process_new_rounds",
        "process_evidence_heights",
        "process_unbonding",
        "process_proposer_pay",
    ]


def test_every_module_of_transitions_is_in_the_table_or_shared() -> None:
    names = {path.stem for path in Path(transitions.__file__).parent.glob("*.py")} - {"__init__"}
    assert names == set(TRANSITIONS) | {"call", "claims", "fields"}


# Results.


def test_a_block_without_transactions_changes_the_chain_and_its_proposer() -> None:
    results = LedgerHarness().block()
    assert set(results.changes) == {"chain", "validators"}
    assert (results.results, results.validator_updates) == ([], [])


def test_one_result_for_each_transaction_in_order() -> None:
    ledger = LedgerHarness()
    good = ledger.sign(STRANGER, Transfer(recipient=REQUESTER.address, amount=1))
    results = ledger.block(b"\xff", good, ledger.sign(CLIENTS[0], Transfer()), b"", good).results
    assert [result.code for result in results] == [
        errors.MalformedTransaction.code,
        0,
        errors.InvalidField.code,
        errors.UnknownKind.code,
        errors.WrongSequence.code,
    ]


def test_events_belong_to_their_transaction() -> None:
    ledger = LedgerHarness()
    pay = Transfer(recipient=REQUESTER.address, amount=1)
    results = ledger.block(
        ledger.sign(STRANGER, pay),
        ledger.sign(STRANGER, Transfer()),
        ledger.sign(STRANGER, RegisterRole(role=CLIENT, stake=100)),
    ).results
    assert [[event.kind for event in result.events] for result in results] == [["transfer"], [], ["role_registered"]]


def test_a_rejected_transaction_does_not_spoil_those_around_it() -> None:
    ledger = LedgerHarness()
    txs = [ledger.sign(STRANGER, Transfer(recipient=REQUESTER.address, amount=amount)) for amount in (1, 2**64 - 1, 2)]
    assert [result.code for result in ledger.block(*txs).results] == [0, errors.InsufficientBalance.code, 0]
    assert ledger.balance(REQUESTER) == BALANCE + 3
    assert ledger.balance(STRANGER) == BALANCE - 3 - 3 * FEE


def test_a_whole_task_from_genesis_to_completion() -> None:
    """Twelve rounds, one fraud, one silent aggregator; every block checked, every token accounted for."""
    task = TaskHarness.start(rounds=12, rule="trimmed_mean(f=1)", pause_blocks=100)
    ledger = task.ledger
    for number in range(1, 13):
        task.commit_all(number)
        if number == 4:
            bad = task.aggregate(number, task.poisoned_model(number, coordinate=77))
            task.commit_all(5)  # void a moment later, and trained again
            ledger.accept(VALIDATORS[1], task.prove(bad, chunk=77 // 32))
        if number == 8:
            ledger.blocks(5)  # whose turn it is stays silent
        task.aggregate(number)
    ledger.blocks(50)
    assert (task.task.status, task.task.settled_round) == (4, 12)
    assert len(ledger.state.digests.all_keys()) == 12
    assert len(ledger.state.disputes.all_keys()) == 1
    assert ledger.state.attempts.all_keys() == ledger.state.rounds.all_keys() == []


# Determinism (invariant 1).


@pytest.mark.parametrize("seed", [1, 7, 10, 11])
def test_chaos(seed: int) -> None:
    """Hundreds of blocks of everything at once; what is asserted is in `support.chaos` and in the harness."""
    run = Chaos(seed)
    for _ in range(250):
        run.step()
    assert run.kinds["round_settled"]
    assert len(run.codes) > 15


def test_chaos_reaches_every_path() -> None:
    """The menu is only worth something if all of it happens, in a few runs."""
    expected = {
        "aggregator_convicted", "aggregator_late", "attempt_voided", "challenge_decided", "challenge_joined",
        "challenge_opened", "compensated", "fraud_proven", "member_equivocated", "proof_failed", "readmitted",
        "round_dropped", "round_settled", "rounds_reverted", "stake_released", "task_cancelled", "task_ended",
        "task_joined", "task_paused", "task_resumed", "turn_missed", "validator_equivocated", "validator_power",
        "vote_committed", "vote_revealed", "blobs_demanded", "demand_answered", "blob_held", "blob_missing",
        "turn_restarted", "update_struck", "window_prolonged", "audit_answered", "proof_announced", "watch_attested",
        "watches_drawn", "watch_opened",
    }  # fmt: skip
    for seed in range(3, 40):
        run = Chaos(seed)
        for _ in range(150):
            run.step()
        expected -= set(run.kinds)
        if not expected:
            return
    assert not expected, "never happened"


def test_two_processes_with_other_hash_seeds_agree() -> None:
    """Nothing depends on the order of a set or of a dict of strings."""
    traces = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        command = [sys.executable, chaos.__file__, "5", "120"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        traces.append(done.stdout)
    assert traces[0] == traces[1] != ""


# Invariant 8: nothing that a user or a proposer can send halts the chain.

FUZZED = TaskHarness.start(min_window_blocks=10_000, training_blocks=500)
FUZZED.run_round(1)
votes.challenge(FUZZED, 1)
VALID = [
    FUZZED.ledger.sign(VALIDATORS[1], votes.commit_vote(FUZZED, 1, VALIDATORS[1], votes.ABSTAIN)),
    FUZZED.ledger.sign(CLIENTS[0], FUZZED.commit_update(CLIENTS[0], 2)),
    FUZZED.ledger.sign(STRANGER, FUZZED.prove(1)),
    FUZZED.ledger.sign(REQUESTER, Transfer(recipient=STRANGER.address, amount=1)),
    FUZZED.ledger.sign(REQUESTER, StartTask(task_id=1)),
]
FUZZED.ledger.pending.clear()


@given(st.lists(st.binary(max_size=120), max_size=4))
def test_no_bytes_halt_the_chain(txs: list[bytes]) -> None:
    results = ledger_module.apply_block(FUZZED.ledger.stores, FUZZED.ledger.next_block(*txs))
    assert all(0 < result.code < FIRST_CHARGED_CODE for result in results.results)
    assert set(results.changes) <= {"chain", "validators"}


@settings(max_examples=200)
@given(st.sampled_from(VALID), st.data())
def test_no_damaged_transaction_halts_the_chain(tx: bytes, data: st.DataObject) -> None:
    """Bytes cut out, put in, or changed anywhere, with the signature as it was."""
    start = data.draw(st.integers(0, len(tx) - 1))
    stop = data.draw(st.integers(start, min(len(tx), start + 8)))
    damaged = tx[:start] + data.draw(st.binary(max_size=8)) + tx[stop:]
    [result] = ledger_module.apply_block(FUZZED.ledger.stores, FUZZED.ledger.next_block(damaged)).results
    assert 0 < result.code < FIRST_CHARGED_CODE or damaged == tx


NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 100, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
BYTES = st.one_of(
    st.sampled_from([b"", bytes(20), bytes(31), bytes(32), bytes(33), bytes(64), *(a.address for a in ACCOUNTS[:3])]),
    st.sampled_from([FUZZED.models[0].root, FUZZED.models[1].root, CLIENTS[0].address, CLIENTS[0].public_key]),
    st.binary(max_size=40),
)
TEXTS = st.sampled_from(["", "median()", "fedavg()", "trimmed_mean(f=1)", "krum(f=1)", "test-chain", "\0", "é" * 40])


def draw_field(field: FieldDescriptor, draw: Any, depth: int) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return draw_message(field.message_type._concrete_class, draw, depth + 1)
        case FieldDescriptor.TYPE_BYTES:
            return draw(BYTES)
        case FieldDescriptor.TYPE_STRING:
            return draw(TEXTS)
        case FieldDescriptor.TYPE_ENUM:
            return draw(st.sampled_from([0, 1, 2, 3, 4, 5, -1, 2**31 - 1]))
        case FieldDescriptor.TYPE_UINT32:
            return draw(NUMBERS) % 2**32
        case FieldDescriptor.TYPE_BOOL:
            return draw(st.booleans())
        case FieldDescriptor.TYPE_SINT64:
            return draw(NUMBERS) // 2 * draw(st.sampled_from([1, -1]))
        case _:
            return draw(NUMBERS)


def draw_message(message_type: Any, draw: Any, depth: int = 0) -> Any:
    """Any message at all: fields missing, at their extremes, of the wrong length, known to the ledger or not."""
    message = message_type()
    for field in message_type.DESCRIPTOR.fields:
        if draw(st.integers(0, 5)) == 0:
            continue
        if field.is_repeated:
            values = [draw_field(field, draw, depth) for _ in range(draw(st.integers(0, 2 if depth else 4)))]
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(draw_field(field, draw, depth))
        else:
            setattr(message, field.name, draw_field(field, draw, depth))
    return message


@settings(max_examples=300)
@given(st.sampled_from(KINDS), st.sampled_from([REQUESTER, STRANGER, CLIENTS[0], VALIDATORS[0]]), st.data())
def test_no_well_signed_message_halts_the_chain(kind: FieldDescriptor, sender: SigningKey, data: st.DataObject) -> None:
    message = draw_message(kind.message_type._concrete_class, data.draw)
    tx = FUZZED.ledger.sign(sender, message)
    FUZZED.ledger.pending.clear()
    block = FUZZED.ledger.next_block(tx)
    [result] = ledger_module.apply_block(FUZZED.ledger.stores, block).results
    assert result.code == 0 or result.code >= FIRST_CHARGED_CODE
    ledger_module.check_tx(FUZZED.ledger.stores, tx)
    assert ledger_module.process_proposal(FUZZED.ledger.stores, [tx], b"") == (
        ledger_module.prepare_proposal(FUZZED.ledger.stores, [tx], 1 << 20, b"", find_nothing) == [tx]
    )
