"""Red team, L4: who proposes the block that opens a round chooses the clients that are drawn for it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator

import pytest

from abci_app import ledger as ledger_module
from abci_app.state import State, participants
from abci_app.state.keyspace import round_key, stake_key
from abci_app.state_machine import Block, Stores
from abci_app.transitions import Call, register_beacon
from optfl.beacon import HashChain
from optfl.transactions import encode_reveal
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import AddStake, RegisterBeacon, Transfer
from support.ledger import (
    CLIENT,
    CLIENTS,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    apply_changes,
    beacon_chain,
)

SYBILS = {c.address for c in CLIENTS[:2]}  # two of five clients, of which a round takes three
ATTACKER = 0  # the validator that proposes


def start(ledger: LedgerHarness, **overrides: object) -> bytes:
    """A task whose next round opens with the returned transaction, in the attacker's block."""
    task = TaskHarness.start(ledger, clients_per_round=3, min_updates=2, **overrides)
    task.commit_all(1)
    return ledger.sign(task.due_aggregator(1), task.submit_aggregate(1))


def draw(stores: Stores, block: Block) -> tuple[bytes, ...]:
    """Whom the block would draw for round 2, if it were decided."""
    changes = ledger_module.apply_block(stores, block).changes
    encoded = changes["rounds"][round_key(1, 2)]
    assert encoded is not None
    return tuple(state_pb2.Round.FromString(encoded).selected)


def count_sybils(selected: tuple[bytes, ...]) -> int:
    return len(SYBILS & set(selected))


def try_blocks(ledger: LedgerHarness, opening: bytes, *, withhold: bool) -> Iterator[tuple[bytes, ...]]:
    """The draws of a hundred blocks that the attacker could propose: each has a payment to itself of another amount."""
    for amount in range(1, 101):
        ledger.pending.clear()
        payment = ledger.sign(STRANGER, Transfer(recipient=STRANGER.address, amount=amount))
        block = ledger.next_block(opening, payment, proposer=ATTACKER, withhold=withhold)
        content = hashlib.sha256(b"".join(block.transactions)).digest()  # as the header commits to it
        yield draw(ledger.stores, dataclasses.replace(block, hash=content))


def test_L4_a_proposer_grinds_its_block_until_the_draw_suits_it(guarded: bool) -> None:
    """With block hashes some block of a hundred draws all the attacker's clients. With chains all draw the same."""
    ledger = LedgerHarness(beacons=guarded)
    opening = start(ledger)
    draws = set(try_blocks(ledger, opening, withhold=False))
    if guarded:
        assert len(draws) == 1
        assert len(draws | set(try_blocks(ledger, opening, withhold=True))) <= 2  # one bit, at the price of the fees
    else:
        assert max(map(count_sybils, draws)) == len(SYBILS)
        assert len(draws) > 20


def select_from_present_stakes(state: State, task: state_pb2.Task, round_number: int, beacon: bytes) -> list[bytes]:
    """The guard taken out: stakes count as they are when the beacon is known."""
    stakes = [(c, state.stakes[stake_key(CLIENT, c)].amount) for c in task.parameters.clients]
    return participants.draw_clients(beacon, task.task_id, round_number, stakes, task.parameters.clients_per_round)


def test_L4_a_proposer_moves_its_clients_stakes_until_the_draw_suits_it(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows its reveal before its block: what the draw depends on must not be its own to change there."""
    if not guarded:
        monkeypatch.setattr(participants, "select_clients", select_from_present_stakes)
    ledger = LedgerHarness(beacons=True)
    opening = start(ledger, clients=[])
    draws = set()
    for amount in range(1, 101):
        ledger.pending.clear()
        more = ledger.sign(CLIENTS[0], AddStake(role=CLIENT, amount=amount))
        draws.add(draw(ledger.stores, ledger.next_block(more, opening, proposer=ATTACKER)))
    if guarded:
        assert len(draws) == 1
    else:
        assert max(map(count_sybils, draws)) == len(SYBILS)
        assert len(draws) > 5


def test_L4_who_leaves_makes_no_room_for_its_own(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that take their stake out are passed over; the others stay in the order that the beacon gave them."""
    if not guarded:
        monkeypatch.setattr(participants, "select_clients", select_from_present)
    beacons = [hashlib.sha256(bytes([i])).digest() for i in range(64)]
    ledger = LedgerHarness()
    task = TaskHarness.start(ledger, clients_per_round=2, min_updates=2)
    state, record = ledger.state, task.task
    before = [participants.select_clients(state, record, 2, beacon) for beacon in beacons]
    key = stake_key(CLIENT, CLIENTS[0].address)
    gone = state.stakes[key]
    gone.amount = 0
    state.stakes.put(key, gone)
    after = [participants.select_clients(state, record, 2, beacon) for beacon in beacons]
    staying = [[c for c in selected if c != CLIENTS[0].address] for selected in before]
    kept = [selected[: len(stay)] == stay for selected, stay in zip(after, staying, strict=True)]
    assert all(kept) == guarded


def select_from_present(state: State, task: state_pb2.Task, round_number: int, beacon: bytes) -> list[bytes]:
    """The guard taken out: who has no stake is left out before the draw, which changes the draw of all others."""
    present = [(c, 1) for c in task.parameters.clients if state.stakes[stake_key(CLIENT, c)].amount > 0]
    return participants.draw_clients(beacon, task.task_id, round_number, present, task.parameters.clients_per_round)


def test_L4_an_anchor_is_chosen_for_its_first_reveal(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two blocks in a row the first registers a chain, one of a hundred, and the second would reveal from it."""
    if not guarded:
        monkeypatch.setattr(register_beacon, "apply", register_at_once)
    ledger = LedgerHarness(beacons=True)
    opening = start(ledger)
    draws = set()
    for number in range(1, 101):
        ledger.pending.clear()
        chain = HashChain(number.to_bytes(32, "big"), 1)
        register = ledger.sign(VALIDATORS[ATTACKER], RegisterBeacon(anchor=chain.anchor))
        first = ledger.next_block(register, proposer=ATTACKER)
        stores = apply_changes(ledger.stores, ledger_module.apply_block(ledger.stores, first).changes)
        tip = State(stores).validators[VALIDATORS[ATTACKER].address].beacon_tip
        secret = chain if tip == chain.anchor else beacon_chain(f"validator-{ATTACKER}")
        reveal = encode_reveal(VALIDATORS[ATTACKER].address, secret.get_preimage(tip) or b"")
        second = dataclasses.replace(first, height=first.height + 1, transactions=(reveal, opening))
        draws.add(draw(stores, second))
    if guarded:
        assert len(draws) == 1
    else:
        assert max(map(count_sybils, draws)) == len(SYBILS)
        assert len(draws) > 20


def register_at_once(state: State, call: Call, message: RegisterBeacon, found: state_pb2.Validator) -> None:
    """The guard taken out: a new anchor waits for nobody."""
    found.beacon_tip = message.anchor
    state.validators.put(found.operator, found)
