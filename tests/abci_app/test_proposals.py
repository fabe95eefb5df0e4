"""Mempool, own proposals, others' proposals: whatever an honest node prepares, every honest node accepts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app import ledger as ledger_module
from abci_app.overlay import Overlay
from abci_app.proposals import LANE_KINDS
from abci_app.state_machine import compute_block_bytes, find_nothing
from optfl import errors, keys
from optfl.keys import SigningKey
from optfl.transactions import decode_transaction, encode_reveal
from optfl.wire.receipt_pb2 import Certificate, ReceiptSignature
from optfl.wire.transaction_pb2 import (
    Body,
    CommitUpdate,
    OutputProof,
    RegisterBeacon,
    RegisterRole,
    SubmitAggregate,
    SubmitFraudProof,
    Transaction,
    Transfer,
    Vote,
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
    beacon_chain,
    consensus_key,
)
from support.votes import challenge, commit_all, commit_vote, open_challenge, reveal_vote

ROOM = 1 << 22
PAY = Transfer(recipient=REQUESTER.address, amount=1)
BOND = PARAMS["proof_bond"]


def prepare(ledger: LedgerHarness, txs: list[bytes], max_bytes: int = ROOM) -> list[bytes]:
    """What a node without a hash chain proposes."""
    return ledger_module.prepare_proposal(ledger.stores, txs, max_bytes, b"", find_nothing)


def is_honest(ledger: LedgerHarness, txs: list[bytes]) -> bool:
    return ledger_module.process_proposal(ledger.stores, txs, b"")


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


# What disputes wait for: behind proofs, before the rest, and only what would succeed (L2).


def with_challenge() -> TaskHarness:
    """Round 1 is open and wrong in value 0, and its attempt is challenged."""
    task = with_fraud()
    challenge(task, 1)
    return task


VOTE = Vote(root=bytes(32))


def test_L2_votes_come_before_any_junk() -> None:
    task = with_challenge()
    filler = [junk(task.ledger, sender) for sender in CLIENTS for _ in range(3)]
    votes = [task.ledger.sign(v, commit_vote(task, 1, v, VOTE)) for v in VALIDATORS]
    chosen = prepare(task.ledger, [*filler, *votes], 700_000)
    assert chosen[:4] == votes
    assert len(chosen) > 4


def test_L2_reveals_too() -> None:
    task = with_challenge()
    commit_all(task, 1, dict.fromkeys(VALIDATORS, VOTE))
    filler = [junk(task.ledger, sender) for sender in CLIENTS]
    reveals = [task.ledger.sign(v, reveal_vote(task, 1, v, VOTE)) for v in VALIDATORS]
    assert prepare(task.ledger, [*filler, *reveals], 500_000)[:4] == reveals


def test_L2_a_challenge_too_and_an_aggregate() -> None:
    task = with_fraud()
    task.commit_all(2)
    filler = [junk(task.ledger, sender) for sender in CLIENTS]
    aggregate = task.ledger.sign(task.due_aggregator(2), task.submit_aggregate(2))
    opening = task.ledger.sign(STRANGER, open_challenge(task, 1))
    assert prepare(task.ledger, [*filler, aggregate, opening], 500_000)[:2] == [aggregate, opening]


def test_L2_proofs_come_before_them() -> None:
    task = with_challenge()
    votes = [task.ledger.sign(v, commit_vote(task, 1, v, VOTE)) for v in VALIDATORS]
    proof = task.ledger.sign(STRANGER, task.prove(1))
    assert prepare(task.ledger, [*votes, proof]) == [proof, *votes]


def test_L2_what_would_be_rejected_is_junk() -> None:
    task = with_challenge()
    commit_all(task, 1, {VALIDATORS[0]: VOTE})
    first = task.ledger.sign(CLIENTS[4], PAY)
    useless = [
        task.ledger.sign(CLIENTS[0], commit_vote(task, 1, CLIENTS[0], VOTE)),  # no voter
        task.ledger.sign(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE)),  # has voted
        task.ledger.sign(VALIDATORS[1], reveal_vote(task, 1, VALIDATORS[1], VOTE)),  # too early
        task.ledger.sign(VALIDATORS[2], commit_vote(task, 1, VALIDATORS[2], VOTE, signature=bytes(64))),
        task.ledger.sign(STRANGER, open_challenge(task, 1)),  # has joined
        task.ledger.sign(CLIENTS[1], open_challenge(task, 99)),  # nothing to challenge
        task.ledger.sign(CLIENTS[2], SubmitAggregate(task_id=1, round=1, model_root=bytes(32))),
    ]
    assert prepare(task.ledger, [first, *useless]) == [first, *useless]


def test_L2_repeating_it_does_not_fill_the_lane() -> None:
    """Only the first one can succeed."""
    task = with_fraud()
    repeated = [task.ledger.sign(CLIENTS[0], open_challenge(task, 1)) for _ in range(4)]
    other = task.ledger.sign(STRANGER, PAY)
    vote = task.ledger.sign(CLIENTS[1], open_challenge(task, 1))
    assert prepare(task.ledger, [*repeated, other, vote]) == [repeated[0], vote, *repeated[1:], other]


def test_L2_a_vote_takes_along_what_its_sender_sent_before_it() -> None:
    task = with_challenge()
    filler = [junk(task.ledger, sender) for sender in CLIENTS]
    before = task.ledger.sign(VALIDATORS[0], PAY)
    vote = task.ledger.sign(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))
    behind = task.ledger.sign(VALIDATORS[0], PAY)
    chosen = prepare(task.ledger, [before, *filler, vote, behind], 600_000)
    assert chosen[:3] == [before, vote, filler[0]]


def test_L2_junk_does_not_get_ahead_with_a_vote_behind_it() -> None:
    task = with_challenge()
    filler = [junk(task.ledger, VALIDATORS[0]) for _ in range(5)]
    tail = task.ledger.sign(VALIDATORS[0], commit_vote(task, 1, VALIDATORS[0], VOTE))
    vote = task.ledger.sign(VALIDATORS[1], commit_vote(task, 1, VALIDATORS[1], VOTE))
    assert prepare(task.ledger, [*filler, tail, vote], 700_000)[0] == vote


# As a property.


def make_mempool(task: TaskHarness, data: st.DataObject) -> list[bytes]:
    """Transactions good and bad, of several senders, shuffled."""
    ledger = task.ledger
    senders = [STRANGER, CLIENTS[0], CLIENTS[1], VALIDATORS[0], NOBODY]
    txs: list[bytes] = []
    for _ in range(data.draw(st.integers(0, 12))):
        sender = data.draw(st.sampled_from(senders))
        match data.draw(
            st.sampled_from(["pay", "proof", "false", "malformed", "role", "junk", "bytes", "odd", "challenge", "vote"])
        ):
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
            case "challenge":
                txs.append(ledger.sign(sender, open_challenge(task, data.draw(st.integers(1, 2)))))
            case "vote":
                txs.append(ledger.sign(sender, commit_vote(task, 1, sender, VOTE)))
            case "bytes":
                txs.append(data.draw(st.binary(max_size=60)))
            case "odd":
                number = st.sampled_from([0, 1, 2**63, 2**64 - 1])
                txs.append(ledger.sign(sender, PAY, sequence=data.draw(number), fee=data.draw(number)))
    ledger.pending.clear()
    return data.draw(st.permutations(txs + txs[:2]))


PROPERTY = with_challenge()


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
    if true and sent_nothing_else_before(txs, chosen[true[0]]):  # it has nothing but proofs and votes ahead of it
        assert all(kind in ("submit_fraud_proof", *LANE_KINDS) for kind in kinds[: true[0]])


def sent_nothing_else_before(txs: list[bytes], proof: bytes) -> bool:
    before = txs[: len(txs) - txs[::-1].index(proof) - 1]
    return senders_of([proof])[0] not in senders_of([tx for tx in before if is_signed(tx) and tx != proof])


def is_signed(tx: bytes) -> bool:
    try:
        decode_transaction(tx)
    except errors.Rejection:
        return False
    return True


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


# The proposer's reveal


def prepare_as(ledger: LedgerHarness, index: int, txs: list[bytes], max_bytes: int = ROOM) -> list[bytes]:
    """What the node of validator `index` proposes, with its hash chain."""
    find_preimage = beacon_chain(f"validator-{index}").get_preimage
    address = consensus_key(f"validator-{index}").address
    return ledger_module.prepare_proposal(ledger.stores, txs, max_bytes, address, find_preimage)


def is_honest_of(ledger: LedgerHarness, index: int, txs: list[bytes]) -> bool:
    return ledger_module.process_proposal(ledger.stores, txs, consensus_key(f"validator-{index}").address)


def test_A9_a_proposal_begins_with_its_proposers_reveal() -> None:
    ledger = LedgerHarness(beacons=True)
    pay = ledger.sign(STRANGER, PAY)
    for index in range(4):
        proposal = prepare_as(ledger, index, [pay])
        assert proposal == [ledger.reveal(index), pay]
        assert [is_honest_of(ledger, i, proposal) for i in range(4)] == [i == index for i in range(4)]


def test_A9_a_reveal_comes_before_the_proofs() -> None:
    task = with_fraud()
    anchor = RegisterBeacon(anchor=beacon_chain("validator-0").anchor)
    task.ledger.accept(VALIDATORS[0], anchor)
    task.ledger.blocks(4)
    proof = task.ledger.sign(STRANGER, task.prove(1))
    proposal = prepare_as(task.ledger, 0, [proof])
    assert proposal == [task.ledger.reveal(0), proof]
    assert is_honest_of(task.ledger, 0, proposal)


def test_A9_a_node_without_the_secret_proposes_without_a_reveal_and_is_accepted() -> None:
    """A node that lost its file must not stop the chain: it goes without fees."""
    ledger = LedgerHarness(beacons=True)
    address = consensus_key("validator-0").address
    pay = ledger.sign(STRANGER, PAY)
    proposal = ledger_module.prepare_proposal(ledger.stores, [pay], ROOM, address, find_nothing)
    assert proposal == [pay]
    assert is_honest_of(ledger, 0, proposal)
    assert is_honest_of(ledger, 0, [])


def test_A9_a_node_that_is_no_validator_reveals_nothing() -> None:
    ledger = LedgerHarness(beacons=True)
    assert ledger_module.prepare_proposal(ledger.stores, [], ROOM, b"", beacon_chain("validator-0").get_preimage) == []


@pytest.mark.parametrize(("max_bytes", "count"), [(0, 0), (59, 0), (60, 1), (61, 1)])
def test_A9_a_reveal_takes_its_room(max_bytes: int, count: int) -> None:
    ledger = LedgerHarness(beacons=True)
    proposal = prepare_as(ledger, 0, [ledger.sign(STRANGER, PAY)], max_bytes)
    assert len(proposal) == count
    assert sum(map(compute_block_bytes, proposal)) == 60 * count


def test_A9_dishonest_reveals_are_refused() -> None:
    ledger = LedgerHarness(beacons=True)
    own, pay = ledger.reveal(0), ledger.sign(STRANGER, PAY)
    wrong = encode_reveal(VALIDATORS[0].address, bytes(32))
    for proposal in ([wrong], [wrong, own], [pay, own], [own, own], [own, pay, own], [ledger.reveal(1)]):
        assert not is_honest_of(ledger, 0, proposal)
    assert not is_honest(ledger, [own])


def test_A9_without_an_anchor_in_force_every_reveal_is_refused() -> None:
    ledger = LedgerHarness()
    chain = beacon_chain("validator-0")
    reveal = encode_reveal(VALIDATORS[0].address, chain.get_preimage(chain.anchor) or b"")
    assert not is_honest_of(ledger, 0, [reveal])
    assert prepare_as(ledger, 0, []) == []


def test_A9_the_mempool_takes_no_reveal() -> None:
    """And one that got into it is not proposed."""
    ledger = LedgerHarness(beacons=True)
    own = ledger.reveal(0)
    result, changes = ledger_module.check_tx(ledger.stores, own)
    assert (result.code, changes) == (errors.MisplacedReveal.code, {})
    assert prepare(ledger, [own]) == []
    assert prepare_as(ledger, 0, [own, own]) == [own]


def test_A9_every_block_of_a_running_chain_is_what_its_proposer_prepared() -> None:
    ledger = LedgerHarness(beacons=True)
    for index in (0, 1, 1, 3, 2, 0):
        pay = ledger.sign(STRANGER, PAY)
        proposal = prepare_as(ledger, index, [pay])
        assert is_honest_of(ledger, index, proposal)
        assert [r.code for r in ledger.block(*proposal, proposer=index, withhold=True).results] == [0, 0]
