"""The checks themselves: each finds the state that it is there to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from abci_app import ledger as ledger_module
from abci_app.state import State, tokens
from abci_app.state.invariants import check_block, check_state
from abci_app.state.keyspace import round_key, task_key
from abci_app.state.tokens import InvariantViolation
from abci_app.transitions import transfer
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Transfer
from support.ledger import REQUESTER, STRANGER, LedgerHarness, TaskHarness


def make_tokens(state: State) -> None:
    tokens.credit(state, STRANGER.address, 1)


def lose_tokens(state: State) -> None:
    tokens.debit(state, STRANGER.address, 1)


def burn_what_is_not_there(state: State) -> None:
    tokens.burn(state, 1)


def lose_escrow(state: State) -> None:
    task = state.tasks[task_key(1)]
    task.escrow -= 1
    state.tasks.put(task_key(1), task)


def lose_fees(state: State) -> None:
    state.put_supply(state_pb2.Supply(genesis=state.supply.genesis, burned=state.supply.burned, fee_pot=1))


@pytest.mark.parametrize("damage", [make_tokens, lose_tokens, burn_what_is_not_there, lose_escrow, lose_fees])
def test_invariant_4_a_block_that_makes_or_loses_a_token_is_found(damage: Callable[[State], None]) -> None:
    state = TaskHarness.start().ledger.state
    check_block(state)
    damage(state)
    with pytest.raises(InvariantViolation, match="tokens"):
        check_block(state)
    with pytest.raises(InvariantViolation, match="tokens"):
        check_state(state)


def test_a_wrong_block_halts_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    """House rule 5: our own bug raises, and nothing of the block is written."""
    ledger = LedgerHarness()
    monkeypatch.setattr(transfer, "apply", lambda state, call, message, found: make_tokens(state))
    tx = ledger.sign(STRANGER, Transfer(recipient=REQUESTER.address, amount=1))
    before = {name: dict(values) for name, values in ledger.stores.items()}
    with pytest.raises(InvariantViolation):
        ledger_module.apply_block(ledger.stores, ledger.next_block(tx))
    assert ledger.stores == before


def change_task(**fields: object) -> Callable[[State], None]:
    def damage(state: State) -> None:
        task = state.tasks[task_key(1)]
        for name, value in fields.items():
            setattr(task, name, value)
        state.tasks.put(task_key(1), task)

    return damage


def change_round(number: int, **fields: object) -> Callable[[State], None]:
    def damage(state: State) -> None:
        current = state.rounds[round_key(1, number)]
        for name, value in fields.items():
            setattr(current, name, value)
        state.rounds.put(round_key(1, number), current)

    return damage


def lose_digest(state: State) -> None:
    state.digests.delete(round_key(1, 1))


def lose_round(state: State) -> None:
    state.rounds.delete(round_key(1, 2))


def repeat_live_task(state: State) -> None:
    chain = state.chain
    chain.live_tasks.append(1)
    state.put_chain(chain)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_task(status=state_pb2.TASK_STATUS_COMPLETED), "is_live"),
        (change_task(head_round=9), "live rounds"),
        (change_task(settled_round=0), "live rounds"),
        (change_task(settled_attempt=9), "does not build"),
        (change_round(3, parent_attempt=9), "does not build"),
        (change_round(2, status=state_pb2.ROUND_STATUS_TRAINING), "not open"),
        (lose_digest, "no digest"),
        (lose_round, "live rounds"),
        (repeat_live_task, "ascending"),
    ],
)
def test_a_broken_task_is_found(damage: Callable[[State], None], message: str) -> None:
    """Round 1 is settled, round 2 open, round 3 trains."""
    task = TaskHarness.start(training_blocks=50)
    task.run_round(1)
    task.ledger.blocks(5)
    task.run_round(2)
    assert (task.task.settled_round, task.task.head_round) == (1, 3)
    state = task.ledger.state
    check_state(state)
    damage(state)
    with pytest.raises(InvariantViolation, match=message):
        check_state(state)


def test_an_ended_task_with_a_live_round_is_found() -> None:
    task = TaskHarness.start(rounds=1)
    task.run_round(1)
    live = task.round(1)
    task.ledger.blocks(6)
    state = task.ledger.state
    state.rounds.put(round_key(1, 1), live)
    change_task(settled_round=0, head_round=1)(state)
    with pytest.raises(InvariantViolation, match="is over but has live rounds"):
        check_state(state)
