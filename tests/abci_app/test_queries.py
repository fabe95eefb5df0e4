"""Queries: composite views at one height, permanent codes for what has no answer, and nothing that crashes."""

from __future__ import annotations

from typing import TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from abci_app import ledger as ledger_module
from abci_app.queries import _HANDLERS
from abci_app.state.keyspace import task_key
from optfl import query_codes
from optfl.keys import SigningKey
from optfl.tasks import MODEL_BLOB
from optfl.views import join_parts
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_PBFT, MODE_QUORUM, Unbond
from support.demands import answer_audits, demand
from support.ledger import (
    AGGREGATOR,
    AGGREGATORS,
    BALANCE,
    CLIENT,
    CLIENTS,
    NOBODY,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)
from support.votes import challenge

M = TypeVar("M", bound=Message)


def ask(ledger: LedgerHarness, path: str, kind: type[M], data: bytes = b"") -> M:
    code, value = ledger_module.query(ledger.stores, path, data, ledger.height)
    assert code == 0, value.decode()
    return kind.FromString(value)


def refuse(ledger: LedgerHarness, path: str, data: bytes = b"") -> int:
    code, message = ledger_module.query(ledger.stores, path, data, ledger.height)
    assert message.decode()
    return code


@pytest.fixture(scope="module")
def task() -> TaskHarness:
    """Round 1 settled, 2 convicted and being redone, with an unbonding under way. Only read by tests."""
    harness = TaskHarness.start(training_blocks=50, min_window_blocks=6)
    harness.run_round(1)
    harness.ledger.blocks(5)
    harness.commit_all(2)
    harness.aggregate(2, harness.poisoned_model(2))
    harness.ledger.accept(STRANGER, harness.prove(2))
    harness.ledger.accept(CLIENTS[0], Unbond(role=CLIENT, amount=5))
    return harness


def test_a_task_is_one_consistent_view(task: TaskHarness) -> None:
    view = ask(task.ledger, "/task", state_pb2.TaskView, task_key(1))
    assert view.height == task.ledger.height
    assert view.task == task.task
    assert [r.round for r in view.rounds] == [2]
    assert [len(c.commitments) for c in view.commitments] == [5]
    assert [c.index for c in view.commitments[0].commitments] == [0, 1, 2, 3, 4]
    assert [c.commitment.client for c in view.commitments[0].commitments] == list(view.rounds[0].selected)
    assert [a.attempt_id for a in view.attempts] == [2]
    assert [d.round for d in view.digests] == [1]
    assert [c.attempt_id for c in view.convictions] == [2]
    assert list(view.replica_keys) == [r.public_key for r in REPLICAS]
    assert list(view.validators) == sorted(v.address for v in VALIDATORS)


def test_parts_that_the_asker_has_are_not_sent_again(task: TaskHarness) -> None:
    whole = ask(task.ledger, "/task", state_pb2.TaskView, task_key(1))
    view, parts = join_parts(ask(task.ledger, "/task/parts", state_pb2.TaskParts, task_key(1)), {})
    assert view == whole
    again = ask(task.ledger, "/task/parts", state_pb2.TaskParts, task_key(1) + b"".join(parts))
    assert [part.digest for part in again.parts] == list(parts)
    assert join_parts(again, parts)[0] == whole
    other = ask(task.ledger, "/task/parts", state_pb2.TaskParts, task_key(1) + bytes(32))
    assert join_parts(other, {})[0] == whole
    assert refuse(task.ledger, "/task/parts", task_key(1) + bytes(31)) == query_codes.MALFORMED_DATA


def test_a_task_shows_what_is_disputed_and_what_was_shown() -> None:
    task = TaskHarness.start(training_blocks=50, min_window_blocks=20)
    task.run_round(1)
    challenge(task, 1)
    task.ledger.accept(STRANGER, demand(task, 1, 3, attempt_id=1, model=True))
    answer_audits(task, 1, 2)
    view = ask(task.ledger, "/task", state_pb2.TaskView, task_key(1))
    state = task.ledger.state
    assert list(view.challenges) == [c for _, c in state.challenges.items()]
    assert list(view.demands) == [d for _, d in state.demands.items()]
    assert [(d.attempt_id, d.blob) for d in view.demands] == [(1, 3), (1, MODEL_BLOB)]
    assert [(a.attempt_id, a.replica) for a in view.audits] == [(1, 0), (1, 1)]
    assert len(view.members) == 0
    bonds = ask(task.ledger, "/tokens", state_pb2.TokenView).bonds
    assert bonds == task.parameters.challenge_bond + 2 * task.parameters.demand_bond


@pytest.mark.parametrize(("mode", "members"), [(MODE_QUORUM, AGGREGATORS), (MODE_PBFT, VALIDATORS)])
def test_a_task_shows_who_signs(mode: int, members: list[SigningKey]) -> None:
    task = TaskHarness.start(mode=mode)
    view = ask(task.ledger, "/task", state_pb2.TaskView, task_key(1))
    assert [m.address for m in view.members] == sorted(m.address for m in members)
    assert {m.address: m.public_key for m in view.members} == {m.address: m.public_key for m in members}


def test_a_task_whose_replicas_are_not_registered_yet_can_be_read() -> None:
    waiting = TaskHarness(LedgerHarness())
    waiting.create()
    view = ask(waiting.ledger, "/task", state_pb2.TaskView, task_key(1))
    assert list(view.replica_keys) == [b""] * 4


def test_the_index_of_a_commitment_is_that_of_its_client() -> None:
    some = TaskHarness.start(training_blocks=50)
    some.ledger.accept(CLIENTS[2], some.commit_update(CLIENTS[2], 1))
    view = ask(some.ledger, "/task", state_pb2.TaskView, task_key(1))
    [commitment] = view.commitments[0].commitments
    assert view.rounds[0].selected[commitment.index] == CLIENTS[2].address


def test_all_tasks(task: TaskHarness) -> None:
    answer = ask(task.ledger, "/tasks", state_pb2.TaskList)
    assert (answer.height, [t.task_id for t in answer.tasks]) == (task.ledger.height, [1])


def test_accounts(task: TaskHarness) -> None:
    account = ask(task.ledger, "/account", state_pb2.Account, REQUESTER.address)
    assert (account.balance, account.sequence) == (task.ledger.balance(REQUESTER), 2)


def test_stakes_of_one_and_of_all(task: TaskHarness) -> None:
    one = ask(task.ledger, "/stakes", state_pb2.StakeList, CLIENTS[0].address)
    assert [(s.role, s.amount) for s in one.stakes] == [(CLIENT, 995)]
    assert [(u.role, u.amount) for u in one.unbonding] == [(CLIENT, 5)]
    everything = ask(task.ledger, "/stakes", state_pb2.StakeList)
    assert len(everything.stakes) == 4 + 3 + 4 + 5
    assert [s.address for s in everything.stakes if s.excluded] == [AGGREGATORS[1].address]
    assert {s.role for s in everything.stakes} >= {AGGREGATOR, CLIENT}
    assert ask(task.ledger, "/stakes", state_pb2.StakeList, NOBODY.address).stakes == []


def test_the_tokens_add_up(task: TaskHarness) -> None:
    view = ask(task.ledger, "/tokens", state_pb2.TokenView)
    places = [*view.balances, *view.stakes, *view.unbonding, *view.escrows]
    total = sum(place.amount for place in places) + view.bonds + view.supply.burned + view.supply.fee_pot
    assert total == view.supply.genesis == len(view.balances) * BALANCE + 4 * 100_000
    assert (view.height, [e.task_id for e in view.escrows]) == (task.ledger.height, [1])


def test_validators_params_supply_and_chain(task: TaskHarness) -> None:
    validators = ask(task.ledger, "/validators", state_pb2.ValidatorList)
    assert [v.operator for v in validators.validators] == sorted(v.address for v in VALIDATORS)
    assert all(v.power == 100 for v in validators.validators)
    assert ask(task.ledger, "/params", state_pb2.Params) == task.ledger.state.params
    assert ask(task.ledger, "/supply", state_pb2.Supply) == task.ledger.state.supply
    assert ask(task.ledger, "/chain", state_pb2.Chain) == task.ledger.state.chain


@pytest.mark.parametrize("path", ["", "/", "/nothing", "task", "/task/", "/tasks/1", "/store/accounts", "\0"])
def test_unknown_paths(task: TaskHarness, path: str) -> None:
    assert refuse(task.ledger, path) == query_codes.UNKNOWN_PATH


@pytest.mark.parametrize(
    ("path", "data"),
    [("/task", b""), ("/task", bytes(7)), ("/task", bytes(40)), ("/task/parts", bytes(7)),
     ("/task/parts", bytes(9)), ("/account", b""), ("/account", bytes(19)), ("/account", bytes(32)),
     ("/stakes", bytes(1)), ("/stakes", bytes(21))],
)  # fmt: skip
def test_malformed_data(task: TaskHarness, path: str, data: bytes) -> None:
    assert refuse(task.ledger, path, data) == query_codes.MALFORMED_DATA


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/task", bytes(8)),
        ("/task/parts", bytes(8)),
        ("/task", task_key(2)),
        ("/task", b"\xff" * 8),
        ("/account", NOBODY.address),
    ],
)
def test_what_is_not_there(task: TaskHarness, path: str, data: bytes) -> None:
    assert refuse(task.ledger, path, data) == query_codes.NOT_FOUND


@given(st.text(max_size=20) | st.sampled_from(sorted(_HANDLERS)), st.binary(max_size=40), st.integers(0, 2**63 - 1))
def test_no_query_crashes(path: str, data: bytes, height: int) -> None:
    code, value = ledger_module.query(READ.ledger.stores, path, data, height)
    assert code in (0, query_codes.UNKNOWN_PATH, query_codes.MALFORMED_DATA, query_codes.NOT_FOUND)
    assert code == 0 or value.decode()


READ = TaskHarness.start()
