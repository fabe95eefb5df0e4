"""CreateTask: only what the ledger can carry out to its end, and prove to be wrong, is taken."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app.genesis import DEFAULT_PARAMS
from abci_app.state.participants import MAX_PARTICIPANTS
from abci_app.transitions.create_task import _BOUNDS, MAX_LIVE_TASKS
from optfl import errors, tasks
from optfl.rules import parse_rule
from optfl.votes import MAX_EPSILON
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_PBFT, MODE_QUORUM, CancelTask, CreateTask, TaskParameters
from support.ledger import AGGREGATORS, BALANCE, CLIENTS, FEE, REQUESTER, STRANGER, LedgerHarness, key, task_parameters
from support.votes import FLOAT_TASK

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
    (f.name, {f.TYPE_UINT32: 2**32 - 1, f.TYPE_ENUM: 2**31 - 1}.get(f.type, 2**64 - 1))
    for f in TaskParameters.DESCRIPTOR.fields
    if f.name in _BOUNDS
]


@pytest.mark.parametrize(("field", "value"), OUTSIDE)
def test_numbers_have_bounds(ledger: LedgerHarness, field: str, value: int) -> None:
    result = ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**{field: value}))
    assert field in result.log


def test_every_number_has_bounds() -> None:
    """A number that is added to the message is a number that somebody sets to its most."""
    types = (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_ENUM)
    numbers = {f.name for f in TaskParameters.DESCRIPTOR.fields if f.type in types}
    assert numbers == set(_BOUNDS)


@pytest.mark.parametrize("chunk_values", [17, 24, 33, 1000, 65535])
def test_chunks_are_powers_of_two(ledger: LedgerHarness, chunk_values: int) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(chunk_values=chunk_values))


@pytest.mark.parametrize(
    "rule", ["", "blend(f=1)", "median", "median( )", "trimmed_mean(f=01)", "trimmed_mean(f=9999)"]
)
def test_unknown_or_unclear_rules_are_refused(ledger: LedgerHarness, rule: str) -> None:
    ledger.reject(errors.InvalidRule, REQUESTER, create(rule=rule))


def float_task(**overrides: Any) -> CreateTask:
    return create(**{**FLOAT_TASK, **overrides})


@pytest.mark.parametrize("name", ["mean", "a", "x" * 32, "my_rule_2"])
def test_a_float_tasks_rule_is_a_name(ledger: LedgerHarness, name: str) -> None:
    ledger.accept(REQUESTER, float_task(rule=f"float({name})"))


@pytest.mark.parametrize(
    "rule",
    [
        *("", "mean", "median()", "float()", "float(Mean)", "float(2x)", "float(_x)", "float(a-b)", "float(a) "),
        *("Float(a)", f"float({'x' * 33})", "float(mean)float(mean)", "float(a\n)", "float(a)\n"),
    ],
)
def test_and_nothing_but_a_name(ledger: LedgerHarness, rule: str) -> None:
    ledger.reject(errors.InvalidRule, REQUESTER, float_task(rule=rule))


def test_an_exact_tasks_rule_is_no_name(ledger: LedgerHarness) -> None:
    ledger.reject(errors.InvalidRule, REQUESTER, create(rule="float(mean)"))


@pytest.mark.parametrize(
    ("epsilon", "theta", "accepted"),
    [
        (0, 0, False),
        (0, 10, False),
        (1, 1, False),
        (1, 2, True),
        (100, 199, False),
        (100, 200, True),
        (100, 2**48, True),
        (MAX_EPSILON, 2 * MAX_EPSILON, True),
        (MAX_EPSILON + 1, 2 * MAX_EPSILON + 2, False),
    ],
)
def test_V7_a_float_tasks_tolerance_is_at_least_twice_the_votes_distance(
    ledger: LedgerHarness, epsilon: int, theta: int, accepted: bool
) -> None:
    message = float_task(vote_epsilon=epsilon, vote_theta=theta)
    if accepted:
        ledger.accept(REQUESTER, message)
    else:
        ledger.reject(errors.InvalidTaskParameters, REQUESTER, message)


@pytest.mark.parametrize("mode", [MODE_QUORUM, MODE_PBFT])
def test_a_float_task_is_optimistic(ledger: LedgerHarness, mode: int) -> None:
    """In the other modes members sign equal roots, which floats do not have."""
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, float_task(mode=mode))


def test_no_proof_limits_a_float_task() -> None:
    ledger = LedgerHarness({"max_proof_operations": 1})
    ledger.reject(errors.ProofTooLarge, REQUESTER, create())
    ledger.accept(REQUESTER, float_task())
    large: dict[str, Any] = {"length": 1 << 20, "chunk_values": 1 << 16, "clients_per_round": 100, "clients": []}
    large |= {"min_window_blocks": 10_000, "vote_commit_blocks": 10_000, "demand_blocks": 10_000}
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(**large))
    ledger.accept(REQUESTER, float_task(**large))


@pytest.mark.parametrize(("min_updates", "accepted"), [(0, False), (1, True), (5, True), (6, False)])
def test_a_float_task_needs_one_update(ledger: LedgerHarness, min_updates: int, accepted: bool) -> None:
    message = float_task(min_updates=min_updates)
    if accepted:
        ledger.accept(REQUESTER, message)
    else:
        ledger.reject(errors.InvalidTaskParameters, REQUESTER, message)


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
    fields = ("min_window_blocks", "vote_commit_blocks", "demand_blocks")  # whoever looks needs the time, for whatever
    for field in fields:
        short = {**dict.fromkeys(fields, 20), field: 19}
        result = ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**slow, **short))
        assert field in result.log
    ledger.accept(REQUESTER, create(**slow, **dict.fromkeys(fields, 20)))


def test_F2_a_task_whose_proof_would_not_fit_a_transaction_is_refused(ledger: LedgerHarness) -> None:
    wide = {"length": 1 << 20, "chunk_values": 2048, "clients": [], "min_updates": 3}
    wide |= {"min_window_blocks": 1000, "vote_commit_blocks": 1000, "demand_blocks": 1000}
    ledger.accept(REQUESTER, create(**wide, clients_per_round=220))
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(**wide, clients_per_round=260))


@pytest.mark.parametrize("bits", [1, 4, 7, 9, 15])
def test_updates_have_8_or_16_bits(ledger: LedgerHarness, bits: int) -> None:
    assert "use 8 or 16" in ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(update_bits=bits)).log


@pytest.mark.parametrize(("bits", "shift"), [(0, 0), (16, 0), (8, 0), (8, 1), (8, tasks.MAX_UPDATE_SHIFT)])
def test_updates_of_8_bits_may_be_shifted(ledger: LedgerHarness, bits: int, shift: int) -> None:
    ledger.accept(REQUESTER, create(update_bits=bits, update_shift=shift))
    assert tasks.update_shape(ledger.task(1).parameters).dtype == ("int8" if bits == 8 else "int16")


@pytest.mark.parametrize("bits", [0, 16])
def test_updates_of_16_bits_have_no_shift(ledger: LedgerHarness, bits: int) -> None:
    """It would change nothing, and say that it does."""
    result = ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(update_bits=bits, update_shift=1))
    assert "only updates of 8 bits" in result.log


@pytest.mark.parametrize("shift", [tasks.MAX_UPDATE_SHIFT + 1, 31, 2**32 - 1])
def test_no_shift_takes_an_int8_out_of_int16(ledger: LedgerHarness, shift: int) -> None:
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(update_bits=8, update_shift=shift))


def test_F2_a_proof_of_smaller_updates_takes_more_of_them(ledger: LedgerHarness) -> None:
    wide = {"length": 1 << 20, "chunk_values": 2048, "clients": [], "min_updates": 3, "clients_per_round": 400}
    wide |= {"min_window_blocks": 1000, "vote_commit_blocks": 1000, "demand_blocks": 1000}
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(**wide))
    ledger.accept(REQUESTER, create(**wide, update_bits=8, update_shift=4))


def test_F6_a_task_whose_proof_would_take_too_long_is_refused() -> None:
    ledger = LedgerHarness(params={"max_proof_operations": tasks.compute_proof_operations(create().parameters)})
    ledger.accept(REQUESTER, create())
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(chunk_values=64))


def test_longest_deadlines_do_not_halt_the_chain(ledger: LedgerHarness) -> None:
    """Their retention does not fit the task's record: once an exception in `apply`, after all checks."""
    longest = {"training_blocks": 10**6, "aggregation_blocks": 10**6, "max_attempts": 100}
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**longest, window_factor_percent=10_000))
    ledger.accept(REQUESTER, create(**longest, window_factor_percent=100))
    turn = 10**6 + 4 * (4 + 10**6) + 10**6 + 4 + 6 + 10
    assert ledger.task(1).retention_blocks == 2 * (10**6 + 100 * turn) + 1 + 20


def test_longest_evidence_does_not_halt_the_chain() -> None:
    """437 blocks of every kind of deadline, and the evidence on top."""
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 1})
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create())
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 1 - 437})
    ledger.accept(REQUESTER, create())
    assert ledger.task(1).retention_blocks == 2**32 - 1
    ledger = LedgerHarness(params={"evidence_blocks": 2**32 - 437})
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


@pytest.mark.parametrize(("count", "is_taken"), [(0, True), (1, True), (2, False), (3, True)])
def test_a_quorum_lists_an_odd_number_of_aggregators_or_none(count: int, is_taken: bool) -> None:
    """2f+2 tolerate no more faulty ones than 2f+1 do."""
    aggregators = [a.address for a in AGGREGATORS[:count]]
    message = create(mode=MODE_QUORUM, aggregators=aggregators)
    if is_taken:
        LedgerHarness().accept(REQUESTER, message)
    else:
        LedgerHarness().reject(errors.InvalidTaskParameters, REQUESTER, message)
    LedgerHarness().accept(REQUESTER, create(aggregators=aggregators))


def test_a_task_whose_trace_no_replica_takes_is_refused(ledger: LedgerHarness) -> None:
    """Nobody could ever submit: honest aggregators would be late."""
    long = {"length": 1 << 27, "rule": "krum(f=1)", "clients": [], "chunk_values": 64, "min_updates": 3}
    long |= {"bandwidth_bytes_per_second": 1 << 40}
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, create(**long, clients_per_round=400))
    ledger.accept(REQUESTER, create(**long, clients_per_round=300))


@pytest.mark.parametrize(
    ("rule", "clients"), [("minimum_diameter(f=2)", 400), ("bucketing(s=2) | minimum_diameter(f=2)", 800)]
)
def test_a_rule_is_not_defined_for_any_number_of_updates(ledger: LedgerHarness, rule: str, clients: int) -> None:
    message = create(rule=rule, clients=[], clients_per_round=clients, min_updates=10, chunk_values=16)
    ledger.reject(errors.InvalidTaskParameters, REQUESTER, message)


def test_F6_what_it_takes_to_make_a_recipe_counts() -> None:
    """Matrices of a thousand rows one after the other: a second of every node for each proof."""
    ledger = LedgerHarness(params={"max_proof_operations": 1 << 24})
    ledger.register_participants()
    many = {"clients": [], "clients_per_round": 1000, "chunk_values": 16, "min_updates": 10}
    many |= {"bandwidth_bytes_per_second": 1 << 40}
    rule = "bucketing(s=1) | bucketing(s=1) | bucketing(s=1) | median()"
    ledger.reject(errors.ProofTooLarge, REQUESTER, create(**many, rule=rule))
    ledger.accept(REQUESTER, create(**many, rule="median()"))


NORM_RULES = ["norm_clipped_mean(norm=0)", "clipping(norm=0) | median()", "arc(f=100) | trimmed_mean(f=100)"]


@pytest.mark.parametrize("rule", [*NORM_RULES, "arc(f=100) | fedavg()"])
def test_a_thousand_clients_fit_where_norms_alone_decide(rule: str) -> None:
    """Their totals are a thousand numbers; inner products would be half a million, which no proof opens."""
    ledger = LedgerHarness(params={"max_proof_operations": DEFAULT_PARAMS["max_proof_operations"]})
    many = {"length": 1 << 20, "clients": [], "clients_per_round": 1000, "chunk_values": 256, "min_updates": 201}
    many |= {"bandwidth_bytes_per_second": 1 << 40}
    ledger.accept(REQUESTER, create(**many, rule=rule))
    for more in ("krum(f=1)", f"bucketing(s=1) | {rule}", "arc(f=100) | geometric_median(steps=1)"):
        ledger.reject(errors.ProofTooLarge, REQUESTER, create(**many, rule=more))
