"""CreateTask: only what the ledger can carry out to its end, and prove to be wrong, is taken."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app.state.participants import MAX_PARTICIPANTS
from abci_app.transitions.create_task import _BOUNDS, MAX_LIVE_TASKS
from optfl import errors, tasks
from optfl.rules import parse_rule
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import CancelTask, CreateTask, TaskParameters
from support.ledger import BALANCE, CLIENTS, FEE, REQUESTER, STRANGER, LedgerHarness, key, task_parameters

ROOT = bytes(range(32))


@pytest.fixture
def ledger() -> LedgerHarness:
    return LedgerHarness()


def create(root: bytes = ROOT, **overrides: Any) -> CreateTask:
    return CreateTask(parameters=task_parameters(**overrides), initial_model_root=root)


def addresses(count: int) -> list[bytes]:
    return [key(f"address {i}").address for i in range(count)]


def test_a_task_waits_for_its_start(ledger: LedgerHarness) -> None:
    """Its participants need not be there yet; its escrow is."""
    result = ledger.accept(REQUESTER, create())
    task = ledger.task(1)
    assert result.data == (1).to_bytes(8, "big")
    assert (task.status, task.requester, task.initial_model_root) == (
        state_pb2.TASK_STATUS_CREATED,
        REQUESTER.address,
        ROOT,
    )
    assert task.parameters == task_parameters()
    assert (task.created_height, task.head_round, task.settled_round, task.next_attempt_id) == (1, 0, 0, 1)
    assert task.escrow == tasks.compute_escrow(task.parameters) == 4 * (1000 + 500 + 50 + 40)
    assert ledger.balance(REQUESTER) == BALANCE - FEE - task.escrow
    ledger.blocks(5)
    assert ledger.state.rounds.all_keys() == []


def test_an_escrow_below_the_minimum_is_refused() -> None:
    """64 tasks without rewards would keep everybody else out for nothing."""
    ledger = LedgerHarness({"min_task_escrow": 6361})
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create())
    LedgerHarness({"min_task_escrow": 6360}).accept(REQUESTER, create())


def test_task_ids_ascend(ledger: LedgerHarness) -> None:
    results = ledger.block(ledger.sign(REQUESTER, create()), ledger.sign(STRANGER, create())).results
    assert [int.from_bytes(result.data, "big") for result in results] == [1, 2]
    assert ledger.task(2).requester == STRANGER.address
    assert list(ledger.state.chain.live_tasks) == [1, 2]


@pytest.mark.parametrize("size", [0, 31, 33, 20])
def test_root_of_another_length_is_refused(ledger: LedgerHarness, size: int) -> None:
    ledger.reject(errors.InvalidField, REQUESTER, create(root=bytes(size)))


def test_name_is_at_most_64_bytes(ledger: LedgerHarness) -> None:
    """Bytes, not characters."""
    ledger.accept(REQUESTER, create(name="é" * 32))
    ledger.reject(errors.InvalidField, REQUESTER, create(name="é" * 32 + "x"))


def test_missing_parameters_are_refused(ledger: LedgerHarness) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, CreateTask(initial_model_root=ROOT))
    ledger.reject(errors.InvalidField, REQUESTER, CreateTask())


# Outside of its bounds each number is refused, with all others as they should be.
OUTSIDE = [(field, low - 1) for field, (low, _) in _BOUNDS.items() if low > 0]
OUTSIDE += [(field, high + 1) for field, (_, high) in _BOUNDS.items()]
OUTSIDE += [
    (f.name, 2**32 - 1 if f.type == f.TYPE_UINT32 else 2**64 - 1)
    for f in TaskParameters.DESCRIPTOR.fields
    if f.name in _BOUNDS
]


@pytest.mark.parametrize(("field", "value"), OUTSIDE)
def test_numbers_have_bounds(ledger: LedgerHarness, field: str, value: int) -> None:
    result = ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**{field: value}))
    assert field in result.log


def test_every_number_has_bounds() -> None:
    """A number that is added to the message is a number that somebody sets to its most."""
    numbers = {f.name for f in TaskParameters.DESCRIPTOR.fields if f.type in (f.TYPE_UINT32, f.TYPE_UINT64)}
    assert numbers == set(_BOUNDS)


@pytest.mark.parametrize("chunk_values", [17, 24, 33, 1000, 65535])
def test_chunks_are_powers_of_two(ledger: LedgerHarness, chunk_values: int) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(chunk_values=chunk_values))


@pytest.mark.parametrize("rule", ["", "krum(f=1)", "median", "median( )", "trimmed_mean(f=01)", "trimmed_mean(f=9999)"])
def test_unknown_or_unclear_rules_are_refused(ledger: LedgerHarness, rule: str) -> None:
    ledger.reject(errors.InvalidRule, REQUESTER, create(rule=rule))


@pytest.mark.parametrize(
    ("overrides", "accepted"),
    [
        ({"rule": "trimmed_mean(f=1)", "min_updates": 3}, True),
        ({"rule": "trimmed_mean(f=1)", "min_updates": 2}, False),
        ({"rule": "trimmed_mean(f=2)", "min_updates": 5}, True),
        ({"rule": "trimmed_mean(f=2)", "min_updates": 4}, False),
        ({"min_updates": 5}, True),
        ({"min_updates": 6}, False),
        ({"min_updates": 1}, True),
    ],
)
def test_I6_min_updates_suffice_for_the_rule(ledger: LedgerHarness, overrides: dict[str, Any], accepted: bool) -> None:
    """Else a round that is not dropped would have no result, and the ledger would stop over it."""
    if accepted:
        ledger.accept(REQUESTER, create(**overrides))
    else:
        ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**overrides))


@pytest.mark.parametrize(("field", "most"), [("aggregators", 256), ("replicas", 64)])
def test_lists_have_limits(ledger: LedgerHarness, field: str, most: int) -> None:
    ledger.accept(REQUESTER, create(**{field: addresses(most)}))
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**{field: addresses(most + 1)}))


def test_client_list_has_a_limit(ledger: LedgerHarness) -> None:
    clients = [i.to_bytes(20, "big") for i in range(MAX_PARTICIPANTS + 1)]
    ledger.accept(REQUESTER, create(clients=clients[:-1]), fee=100_000)
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(clients=clients), fee=100_000)


@pytest.mark.parametrize("field", ["aggregators", "clients", "replicas"])
def test_an_account_stands_once_in_a_list(ledger: LedgerHarness, field: str) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**{field: [*addresses(6), addresses(1)[0]]}))


@pytest.mark.parametrize("field", ["aggregators", "clients", "replicas"])
@pytest.mark.parametrize("size", [0, 19, 21])
def test_listed_addresses_have_20_bytes(ledger: LedgerHarness, field: str, size: int) -> None:
    ledger.reject(errors.InvalidField, REQUESTER, create(**{field: [*addresses(6), bytes(size)]}))


def test_an_allow_list_fills_a_round(ledger: LedgerHarness) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(clients=[c.address for c in CLIENTS[:4]]))
    ledger.accept(REQUESTER, create(clients=[]))


def test_replicas_must_be_named(ledger: LedgerHarness) -> None:
    """A quorum of none would certify everything."""
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(replicas=[]))


def test_escrow_must_be_there(ledger: LedgerHarness) -> None:
    per_round = (BALANCE - FEE) // 4
    free = {"client_reward": 0, "validator_reward": 0, "replica_reward": 0}
    ledger.reject(errors.InsufficientBalance, REQUESTER, create(**free, aggregator_reward=per_round + 1))
    ledger.accept(STRANGER, create(**free, aggregator_reward=per_round))
    assert ledger.balance(STRANGER) == BALANCE - FEE - 4 * per_round


def test_rewards_that_no_account_could_hold_are_refused(ledger: LedgerHarness) -> None:
    """1000 clients, 100,000 rounds, 2^48 a piece: more than 64 bits."""
    many = {"rounds": 100_000, "clients_per_round": 1000, "client_reward": 1 << 48, "clients": [], "min_updates": 3}
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**many))
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(rounds=100_000, aggregator_reward=1 << 46))


def test_L1_a_window_in_which_nobody_could_look_is_refused(ledger: LedgerHarness) -> None:
    """5 updates of 200 bytes and two models of 400, at 200 bytes a second: 9 s, twice, and two blocks."""
    slow = {"bandwidth_bytes_per_second": 200}
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**slow, min_window_blocks=19))
    ledger.accept(REQUESTER, create(**slow, min_window_blocks=20))


def test_F2_a_task_whose_proof_would_not_fit_a_transaction_is_refused(ledger: LedgerHarness) -> None:
    wide = {"length": 1 << 20, "chunk_values": 2048, "clients": [], "min_updates": 3, "min_window_blocks": 1000}
    ledger.accept(REQUESTER, create(**wide, clients_per_round=220))
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(**wide, clients_per_round=260))


def test_F6_a_task_whose_proof_would_take_too_long_is_refused() -> None:
    ledger = LedgerHarness(params={"max_proof_operations": 5 * 32})
    ledger.accept(REQUESTER, create())
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(chunk_values=64))


def test_longest_deadlines_do_not_halt_the_chain(ledger: LedgerHarness) -> None:
    """Their retention does not fit the task's record: once an exception in `apply`, after all checks."""
    longest = {"training_blocks": 10**6, "aggregation_blocks": 10**6, "max_attempts": 100}
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**longest, window_factor_percent=10_000))
    ledger.accept(REQUESTER, create(**longest, window_factor_percent=100))
    assert ledger.task(1).retention_blocks == 2 * (10**6 + 100 * 2 * 10**6) + 20


def test_longest_evidence_does_not_halt_the_chain() -> None:
    """100 blocks of every kind of deadline, and the evidence on top."""
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 1})
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create())
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 1 - 100})
    ledger.accept(REQUESTER, create())
    assert ledger.task(1).retention_blocks == 2**32 - 1
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 100})
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create())


@settings(max_examples=150)
@given(st.data())
def test_every_corner_of_the_bounds_is_taken_or_refused(data: st.DataObject) -> None:
    """Nothing that a requester can ask for raises: some numbers at their least or most, the others as usual."""
    fields = data.draw(st.sets(st.sampled_from(sorted(_BOUNDS)), max_size=5))
    overrides = {field: data.draw(st.sampled_from(_BOUNDS[field]), label=field) for field in sorted(fields)}
    result = CORNERS.send(REQUESTER, create(**overrides, clients=[]))
    if result.code == 0:
        created = CORNERS.task(CORNERS.state.chain.next_task_id - 1)
        assert parse_rule(created.parameters.rule).minimum_updates <= created.parameters.min_updates
        CORNERS.accept(REQUESTER, CancelTask(task_id=created.task_id))


CORNERS = LedgerHarness(params={"max_proof_operations": 1 << 30})


def test_live_tasks_are_limited(ledger: LedgerHarness) -> None:
    """Each is visited at every block's end. A task that ends makes room for another."""
    free = create(aggregator_reward=0, client_reward=0, validator_reward=0, replica_reward=0)
    ledger.block(*(ledger.sign(REQUESTER, free) for _ in range(MAX_LIVE_TASKS)))
    ledger.reject(errors.InvalidTaskParameters, STRANGER, free)
    ledger.accept(REQUESTER, CancelTask(task_id=7))
    ledger.accept(STRANGER, free)
    assert ledger.state.chain.live_tasks[-1] == MAX_LIVE_TASKS + 1
