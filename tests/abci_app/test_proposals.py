"""Mempool, own proposals, others' proposals: whatever an honest node prepares, every honest node accepts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app import ledger as ledger_module
from abci_app.overlay import Overlay
from abci_app.state_machine import compute_block_bytes
from optfl import errors, keys
from optfl.keys import SigningKey
from optfl.wire.receipt_pb2 import Certificate, ReceiptSignature
from optfl.wire.transaction_pb2 import (
    Body,
    CommitUpdate,
    OutputProof,
    RegisterRole,
    SubmitFraudProof,
    Transaction,
    Transfer,
)
from support.ledger import (
    ACCOUNTS,
    BALANCE,
    CLIENT,
    CLIENTS,
    FEE,
    FIRST_CHARGED_CODE,
    NOBODY,
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

ROOM = 1 << 22
PAY = Transfer(recipient=REQUESTER.address, amount=1)
BOND = PARAMS["proof_bond"]


def prepare(ledger: LedgerHarness, txs: list[bytes], max_bytes: int = ROOM) -> list[bytes]:
    return ledger_module.prepare_proposal(ledger.stores, txs, max_bytes)


def is_honest(ledger: LedgerHarness, txs: list[bytes]) -> bool:
    return ledger_module.process_proposal(ledger.stores, txs)


def junk(ledger: LedgerHarness, sender: SigningKey, size: int = 200_000) -> bytes:
    """A paid transaction of about `size` bytes that will be charged and do nothing."""
    certificate = Certificate(signatures=[ReceiptSignature(signature=bytes(size))])
    return ledger.sign(
        sender,
        CommitUpdate(task_id=99, base_root=bytes(32), update_root=bytes(32), certificate=certificate),
    )


def test_junk_is_what_a_block_takes_and_charges() -> None:
    ledger = LedgerHarness()
    tx = junk(ledger, STRANGER)
    assert prepare(ledger, [tx]) == [tx]
    ledger.reject_bytes(errors.UnknownTask, tx)


def with_fraud(**overrides: Any) -> TaskHarness:
    """Round 1 is open and wrong in value 0."""
    task = TaskHarness.start(min_window_blocks=30, **overrides)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    return task


# The mempool.


def test_the_mempool_takes_what_a_block_would() -> None:
    ledger = LedgerHarness()
    result, changes = ledger_module.check_tx(ledger.stores, ledger.sign(STRANGER, PAY))
    assert result.code == 0
    assert set(changes) == {"accounts", "supply"}


@pytest.mark.parametrize(
    ("overrides", "rejection"),
    [
        ({"chain_id": "other"}, errors.WrongChain),
        ({"sequence": 1}, errors.WrongSequence),
        ({"fee": 1}, errors.FeeTooLow),
        ({"fee": BALANCE + 1}, errors.CannotPayFee),
        ({"expiry_height": 0}, errors.ExpiredTransaction),
        ({"expiry_height": 2**64 - 1}, errors.ExpiryTooFar),
    ],
)
def test_the_mempool_refuses_what_cannot_be_charged(
    overrides: dict[str, Any], rejection: type[errors.Rejection]
) -> None:
    ledger = LedgerHarness()
    result, changes = ledger_module.check_tx(ledger.stores, ledger.sign(STRANGER, PAY, **overrides))
    assert (result.code, changes) == (rejection.code, {})
    assert result.log.startswith(rejection.__name__ + ": ")


def test_the_mempool_refuses_what_is_wrong_in_any_state() -> None:
    ledger = LedgerHarness()
    result, changes = ledger_module.check_tx(ledger.stores, ledger.sign(STRANGER, Transfer()))
    assert (result.code, changes) == (errors.InvalidField.code, {})


def test_the_mempool_keeps_count_of_what_is_pending() -> None:
    """Sequence and fee of each accepted transaction count for the sender's next one."""
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=2 * FEE))
    pool = Overlay(ledger.stores)
    codes = []
    for sequence in (0, 0, 1, 2):
        tx = ledger.sign(NOBODY, PAY, sequence=sequence)
        result, changes = ledger_module.check_tx(pool, tx)
        pool.apply(changes)
        codes.append(result.code)
    assert codes == [0, errors.WrongSequence.code, 0, errors.CannotPayFee.code]


# Own proposals.


def test_a_proposal_keeps_the_mempools_order() -> None:
    ledger = LedgerHarness()
    txs = [ledger.sign(sender, PAY) for sender in (STRANGER, CLIENTS[0], STRANGER, CLIENTS[1])]
    assert prepare(ledger, txs) == txs


def test_junk_is_left_out() -> None:
    ledger = LedgerHarness()
    good = ledger.sign(STRANGER, PAY)
    bad = [
        b"",
        b"\xff",
        ledger.sign(CLIENTS[0], PAY, chain_id="other"),
        ledger.sign(NOBODY, PAY),
        ledger.sign(CLIENTS[1], Transfer()),
        good,
    ]
    assert prepare(ledger, [*bad[:5], good, *bad]) == [good]


def test_a_gap_leaves_out_what_follows_it() -> None:
    ledger = LedgerHarness()
    first, second, third = (ledger.sign(STRANGER, PAY) for _ in range(3))
    assert prepare(ledger, [first, third]) == [first]
    assert prepare(ledger, [third, second, first]) == [first]


@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_a_proposal_fits_its_room_to_the_byte(spare: int) -> None:
    ledger = LedgerHarness()
    txs = [ledger.sign(sender, PAY) for sender in CLIENTS]
    size = sum(compute_block_bytes(tx) for tx in txs)
    assert len(prepare(ledger, txs, size + spare)) == (4 if spare < 0 else 5)


def test_without_room_there_is_an_empty_proposal() -> None:
    ledger = LedgerHarness()
    assert prepare(ledger, [ledger.sign(STRANGER, PAY)], 0) == []


# Others' proposals.


def test_an_empty_proposal_is_honest() -> None:
    assert is_honest(LedgerHarness(), [])


@pytest.mark.parametrize("tx", [b"", b"\xff", bytes(100)])
def test_a_proposal_with_junk_is_not(tx: bytes) -> None:
    ledger = LedgerHarness()
    assert not is_honest(ledger, [ledger.sign(STRANGER, PAY), tx])


def test_a_replay_within_a_proposal_is_not() -> None:
    ledger = LedgerHarness()
    tx = ledger.sign(STRANGER, PAY)
    assert is_honest(ledger, [tx])
    assert not is_honest(ledger, [tx, tx])


def test_L9_what_cannot_pay_is_not_repeated_for_free() -> None:
    """It changes nothing, so a Byzantine proposer could fill block after block with it."""
    ledger = LedgerHarness()
    ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=FEE - 1))
    tx = ledger.sign(NOBODY, PAY)
    assert not is_honest(ledger, [tx])
    ledger.reject_bytes(errors.CannotPayFee, tx)


def test_another_order_than_ours_is_honest() -> None:
    """A mempool's order is its node's own."""
    ledger = LedgerHarness()
    txs = [ledger.sign(sender, PAY) for sender in CLIENTS[:3]]
    assert all(is_honest(ledger, list(order)) for order in itertools.permutations(txs))


# Disputes first (L2), and only disputes.


def test_L2_a_proof_comes_first_however_much_junk_is_paid_for() -> None:
    task = with_fraud()
    filler = [junk(task.ledger, sender) for sender in [*CLIENTS, *VALIDATORS] for _ in range(3)]
    proof = task.ledger.sign(STRANGER, task.prove(1))
    chosen = prepare(task.ledger, [*filler, proof], 1_000_000)
    assert chosen[0] == proof
    assert len(chosen) == 5


def test_L2_a_proof_takes_along_what_its_sender_sent_before_it() -> None:
    task = with_fraud()
    filler = [junk(task.ledger, sender) for sender in CLIENTS]
    before = task.ledger.sign(STRANGER, PAY)
    proof = task.ledger.sign(STRANGER, task.prove(1))
    behind = task.ledger.sign(STRANGER, PAY)
    chosen = prepare(task.ledger, [before, *filler, proof, behind], 600_000)
    assert chosen[:2] == [before, proof]
    assert chosen[2] == filler[0]


def test_L2_junk_does_not_get_ahead_with_a_proof_behind_it() -> None:
    """Its author proves the same fraud at the end of a block full of junk, ahead of us in the mempool."""
    task = with_fraud()
    filler = [junk(task.ledger, CLIENTS[0]) for _ in range(5)]
    tail = task.ledger.sign(CLIENTS[0], task.prove(1))
    proof = task.ledger.sign(STRANGER, task.prove(1))
    assert prepare(task.ledger, [*filler, tail, proof], 700_000)[0] == proof


def test_L2_junk_with_a_proof_that_convicts_nobody_behind_it_is_junk() -> None:
    task = with_fraud()
    filler = [junk(task.ledger, CLIENTS[0]) for _ in range(5)]
    tail = task.ledger.sign(CLIENTS[0], task.prove(1, chunk=1))  # that chunk is right
    first = task.ledger.sign(CLIENTS[1], PAY)
    assert prepare(task.ledger, [first, *filler, tail], 700_000)[0] == first


def malformed(task: TaskHarness) -> SubmitFraudProof:
    return SubmitFraudProof(task_id=task.task_id, attempt_id=1, output=OutputProof(chunk=0))


def test_L2_malformed_proofs_do_not_take_a_true_ones_place() -> None:
    """A block has room for two proofs. Malformed ones cost a fee and no bond: for a few tokens a block, whoever could
    put them first would keep every true proof out until the window is over."""
    task = with_fraud()
    flood = [task.ledger.sign(sender, malformed(task)) for sender in [*CLIENTS, *VALIDATORS]]
    proof = task.ledger.sign(STRANGER, task.prove(1))
    assert prepare(task.ledger, [*flood, proof]) == [proof]
    for tx in flood:
        result, changes = ledger_module.check_tx(task.ledger.stores, tx)
        assert (result.code, changes) == (errors.MalformedProof.code, {})
        assert not is_honest(task.ledger, [tx])


def test_L2_false_proofs_do_not_take_a_true_ones_place() -> None:
    """They pay their bond; even so the true one goes first."""
    task = with_fraud()
    flood = [task.ledger.sign(sender, task.prove(1, chunk=1)) for sender in CLIENTS]
    proof = task.ledger.sign(STRANGER, task.prove(1))
    chosen = prepare(task.ledger, [*flood, proof])
    assert chosen == [proof]  # once it is in, the others have nothing left to say
    assert prepare(task.ledger, flood) == flood[:2]


def test_L2_moot_proofs_do_not_take_a_true_ones_place() -> None:
    """What was convicted before could be proven again and again, for a fee."""
    task = with_fraud()
    moot = task.prove(1)
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    about_second = task.prove(second)
    task.ledger.accept(REQUESTER, moot)
    flood = [task.ledger.sign(sender, moot) for sender in CLIENTS]
    proof = task.ledger.sign(STRANGER, about_second)
    assert prepare(task.ledger, [*flood, proof]) == [proof]
    assert ledger_module.check_tx(task.ledger.stores, flood[0])[0].code == errors.NotConvictable.code


def test_L2_copies_of_one_proof_do_not_take_anothers_place() -> None:
    task = with_fraud()
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    copies = [task.ledger.sign(sender, task.prove(1)) for sender in CLIENTS]
    proof = task.ledger.sign(STRANGER, task.prove(second))
    assert prepare(task.ledger, [*copies, proof]) == [copies[0], proof]
    assert not is_honest(task.ledger, copies[:2])


def test_L2_a_proof_whose_bond_is_spent_before_it_does_not_count() -> None:
    """One bond moved on from account to account, each with a proof that loses nothing."""
    task = with_fraud()
    task.ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=FEE + BOND - 1))
    false = task.ledger.sign(NOBODY, task.prove(1, chunk=1))
    assert ledger_module.check_tx(task.ledger.stores, false)[0].code == errors.InsufficientBalance.code
    task.ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=1))
    assert prepare(task.ledger, [false]) == [false]
    task.ledger.accept(STRANGER, Transfer(recipient=NOBODY.address, amount=FEE))
    twice = [task.ledger.sign(NOBODY, task.prove(1, chunk=chunk)) for chunk in (1, 2)]
    assert prepare(task.ledger, twice) == twice[:1]


def test_one_sender_may_have_several_proofs_in_a_proposal() -> None:
    """Each uses its sequence number and fee up, like anything else."""
    task = with_fraud()
    task.commit_all(2)
    second = task.aggregate(2, task.poisoned_model(2))
    proofs = [task.ledger.sign(STRANGER, task.prove(attempt)) for attempt in (1, second)]
    assert prepare(task.ledger, proofs) == proofs
    assert is_honest(task.ledger, proofs)
    assert not is_honest(task.ledger, proofs[::-1])


def test_a_proposal_has_no_more_proofs_than_a_block_may() -> None:
    task = with_fraud()
    false = [task.ledger.sign(sender, task.prove(1, chunk=1)) for sender in CLIENTS[:3]]
    assert prepare(task.ledger, false) == false[:2]
    assert is_honest(task.ledger, false[:2])
    assert not is_honest(task.ledger, false)


def test_what_a_full_lane_leaves_out_is_in_the_next_block() -> None:
    task = with_fraud()
    for number in (2, 3):
        task.commit_all(number)
        task.aggregate(number, task.poisoned_model(number))
    proofs = [task.ledger.sign(sender, task.prove(i + 1)) for i, sender in enumerate(CLIENTS[:3])]
    chosen = prepare(task.ledger, proofs)
    assert chosen == proofs[:2]
    assert [result.code for result in task.ledger.block(*chosen).results] == [0, 0]
    assert prepare(task.ledger, proofs) == proofs[2:]


# As a property.


def make_mempool(task: TaskHarness, data: st.DataObject) -> list[bytes]:
    """Transactions good and bad, of several senders, shuffled."""
    ledger = task.ledger
    senders = [STRANGER, CLIENTS[0], CLIENTS[1], VALIDATORS[0], NOBODY]
    txs: list[bytes] = []
    for _ in range(data.draw(st.integers(0, 12))):
        sender = data.draw(st.sampled_from(senders))
        match data.draw(st.sampled_from(["pay", "proof", "false", "malformed", "role", "junk", "bytes", "odd"])):
            case "pay":
                txs.append(ledger.sign(sender, Transfer(recipient=CLIENTS[2].address, amount=BALANCE // 2)))
            case "proof":
                txs.append(ledger.sign(sender, task.prove(1)))
            case "false":
                txs.append(ledger.sign(sender, task.prove(1, chunk=2)))
            case "malformed":
                txs.append(ledger.sign(sender, malformed(task)))
            case "role":
                txs.append(ledger.sign(sender, RegisterRole(role=CLIENT, stake=1000)))
            case "junk":
                txs.append(junk(ledger, sender, 3000))
            case "bytes":
                txs.append(data.draw(st.binary(max_size=60)))
            case "odd":
                number = st.sampled_from([0, 1, 2**63, 2**64 - 1])
                txs.append(ledger.sign(sender, PAY, sequence=data.draw(number), fee=data.draw(number)))
    ledger.pending.clear()
    return data.draw(st.permutations(txs + txs[:2]))


PROPERTY = with_fraud()


@settings(max_examples=60)
@given(st.data())
def test_whatever_is_prepared_is_accepted_fits_and_is_charged(data: st.DataObject) -> None:
    ledger = PROPERTY.ledger
    txs = make_mempool(PROPERTY, data)
    max_bytes = data.draw(st.sampled_from([0, 300, 2_000, 10_000, ROOM]))
    chosen = prepare(ledger, txs, max_bytes)
    assert is_honest(ledger, chosen)
    assert sum(compute_block_bytes(tx) for tx in chosen) <= max_bytes
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= set(txs)
    results = ledger_module.apply_block(ledger.stores, ledger.next_block(*chosen)).results
    envelope = {r.code for r in results} & set(range(1, FIRST_CHARGED_CODE))
    # What one transaction spends may leave its sender too little for the next one's fee.
    assert envelope <= {errors.CannotPayFee.code, errors.WrongSequence.code}
    kinds = [Body.FromString(Transaction.FromString(tx).body).WhichOneof("kind") for tx in chosen]
    assert kinds.count("submit_fraud_proof") <= 2
    true = [i for i, tx in enumerate(chosen) if convicts(tx)]
    if true:  # a prover who sent nothing else before has nothing but other proofs ahead of it
        ahead = [i for i in range(true[0]) if kinds[i] != "submit_fraud_proof"]
        senders = senders_of(chosen)
        assert not ahead or senders[true[0]] in {senders[i] for i in ahead}


def senders_of(txs: list[bytes]) -> list[bytes]:
    return [keys.address_of(Transaction.FromString(tx).public_key) for tx in txs]


def convicts(tx: bytes) -> bool:
    body = Body.FromString(Transaction.FromString(tx).body)
    return body.submit_fraud_proof == PROPERTY.prove(1)


@settings(max_examples=60)
@given(st.data())
def test_what_the_mempool_takes_alone_can_be_proposed_alone(data: st.DataObject) -> None:
    ledger = PROPERTY.ledger
    for tx in make_mempool(PROPERTY, data):
        taken = ledger_module.check_tx(ledger.stores, tx)[0].code == 0
        assert taken == (prepare(ledger, [tx]) == [tx]) == is_honest(ledger, [tx])


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_bytes_of_any_kind_crash_nothing(txs: list[bytes]) -> None:
    ledger = PROPERTY.ledger
    assert prepare(ledger, txs) == []
    assert is_honest(ledger, txs) == (txs == [])
    assert all(ledger_module.check_tx(ledger.stores, tx)[0].code for tx in txs)


def test_nothing_of_this_writes_to_the_stores() -> None:
    task = with_fraud()
    before = {name: dict(values) for name, values in task.ledger.stores.items()}
    txs = [task.ledger.sign(account, PAY) for account in ACCOUNTS[:3]]
    txs.append(task.ledger.sign(STRANGER, task.prove(1)))
    prepare(task.ledger, txs)
    is_honest(task.ledger, txs)
    for tx in txs:
        ledger_module.check_tx(task.ledger.stores, tx)
    ledger_module.apply_block(task.ledger.stores, task.ledger.next_block(*txs))
    assert task.ledger.stores == before
