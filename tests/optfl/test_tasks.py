"""What everyone derives from a task's parameters: shapes, sums, windows, bounds."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abci_app.genesis import DEFAULT_PARAMS
from optfl import tasks
from optfl.certificates import quorum_of
from optfl.fraud import build_output_proof
from optfl.keys import SigningKey
from optfl.transactions import sign_transaction
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

KEY = SigningKey.from_seed(bytes(32))


def parameters(**fields: Any) -> transaction_pb2.TaskParameters:
    return transaction_pb2.TaskParameters(**{"rule": "median()", "length": 100, "chunk_values": 32, **fields})


def test_shapes_come_from_the_task() -> None:
    """A3: an update is int16, a model int32, both cut alike."""
    update, model = tasks.update_shape(parameters()), tasks.model_shape(parameters())
    assert (update.dtype, update.length, update.chunk_values, update.size_bytes) == ("int16", 100, 32, 200)
    assert (model.dtype, model.length, model.chunk_values, model.size_bytes) == ("int32", 100, 32, 400)


@pytest.mark.parametrize(("bits", "dtype", "size_bytes"), [(0, "int16", 200), (16, "int16", 200), (8, "int8", 100)])
def test_A3_the_size_of_an_updates_values_comes_from_the_task(bits: int, dtype: str, size_bytes: int) -> None:
    update, model = tasks.update_shape(parameters(update_bits=bits)), tasks.model_shape(parameters(update_bits=bits))
    assert (update.dtype, update.chunks, update.size_bytes) == (dtype, 4, size_bytes)
    assert model.dtype == "int32"


@pytest.mark.parametrize("shift", range(tasks.MAX_UPDATE_SHIFT + 1))
def test_every_int8_has_an_int16(shift: int) -> None:
    """Each byte string is a valid update: no shift that a task may have takes a value out of int16."""
    stored = np.arange(-128, 128, dtype=np.int8)
    expanded = tasks.expand_update(parameters(update_bits=8, update_shift=shift), stored)
    assert expanded.dtype == np.int16
    assert expanded.tolist() == [value * 2**shift for value in range(-128, 128)]


def test_int16_updates_are_what_rules_see() -> None:
    values = np.array([-(2**15), 0, 2**15 - 1], dtype=np.int16)
    assert tasks.expand_update(parameters(), values) is values


def test_replica_quorum_is_that_of_the_listed_replicas() -> None:
    assert tasks.replica_quorum(parameters(replicas=[bytes([i]) for i in range(7)])) == quorum_of(7) == 5


@pytest.mark.parametrize(("members", "least"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4), (255, 128)])
def test_quorum_needs_more_than_half(members: int, least: int) -> None:
    """f+1 of 2f+1; of an even number, since not all have joined, as many as of one more.  # seed 002"""
    parameters = transaction_pb2.TaskParameters(mode=transaction_pb2.MODE_QUORUM)
    of_all = [state_pb2.Member(address=i.to_bytes(20, "big"), power=1) for i in range(members)]
    addresses = [member.address for member in of_all]
    assert tasks.are_enough_signers(parameters, of_all, addresses[:least])
    assert not tasks.are_enough_signers(parameters, of_all, addresses[: least - 1])


@pytest.mark.parametrize(
    ("powers", "signing", "expected"),
    [
        ([1, 1, 1, 1], 3, True),
        ([1, 1, 1, 1], 2, False),
        ([1, 1, 1], 2, False),  # exactly two thirds
        ([1, 1, 1], 3, True),
        ([7, 1, 1, 1], 1, True),
        ([6, 1, 1, 1], 1, False),
        ([1], 1, True),
        ([1], 0, False),
        ([], 0, False),
    ],
)
def test_pbft_needs_more_than_two_thirds_of_the_power(powers: list[int], signing: int, expected: bool) -> None:
    parameters = transaction_pb2.TaskParameters(mode=transaction_pb2.MODE_PBFT)
    members = [state_pb2.Member(address=i.to_bytes(20, "big"), power=power) for i, power in enumerate(powers)]
    signers = [member.address for member in members[:signing]]
    assert tasks.are_enough_signers(parameters, members, signers) == expected


@pytest.mark.parametrize(
    ("status", "amount", "undecided"),
    [
        (state_pb2.DEMAND_STATUS_OPEN, 500, True),
        (state_pb2.DEMAND_STATUS_HELD, 500, True),
        (state_pb2.DEMAND_STATUS_HELD, 0, False),
        (state_pb2.DEMAND_STATUS_MISSING, 0, False),
    ],
)
def test_a_demand_is_undecided_while_it_is_open_or_its_bond_is_held(status: int, amount: int, undecided: bool) -> None:
    demand = state_pb2.Demand(status=status, bond=state_pb2.Bond(amount=amount))  # type: ignore[arg-type]
    assert tasks.is_undecided(demand) == undecided


def test_escrow_covers_every_round_in_full() -> None:
    given_ = parameters(
        rounds=3, clients_per_round=5, aggregator_reward=1000, client_reward=100, validator_reward=50, replica_reward=40
    )
    assert tasks.compute_round_cost(given_) == 1000 + 5 * 100 + 50 + 40
    assert tasks.compute_escrow(given_) == 3 * 1590


@pytest.mark.parametrize(
    ("aggregate_blocks", "window"),
    [(0, 6), (1, 6), (4, 6), (5, 8), (7, 11), (8, 12), (9, 12), (1000, 12)],
)
def test_window_is_the_greater_of_the_least_and_alpha_times_the_time_taken(aggregate_blocks: int, window: int) -> None:
    """T = max(T_min, α·T_aggregate), rounded up, the time capped by the deadline.  # seed 001, section E"""
    given_ = parameters(min_window_blocks=6, window_factor_percent=150, aggregation_blocks=8)
    assert tasks.compute_window_blocks(given_, aggregate_blocks) == window


def test_window_without_a_factor_is_the_least_one() -> None:
    assert tasks.compute_window_blocks(parameters(min_window_blocks=6, aggregation_blocks=8), 8) == 6


@pytest.mark.parametrize(
    ("bandwidth", "block_time_ms", "blocks"),
    [
        (10**9, 1000, 3),  # the fetch takes no time to speak of, but a begun block counts
        (1800, 1000, 4),  # 5 updates of 200 bytes and 2 models of 400: one second, twice
        (1799, 1000, 5),
        (1800, 100, 22),
        (1, 1, 2 * 1_800_000 + 2),
    ],
)
def test_L1_least_window_covers_fetching_and_re_executing(bandwidth: int, block_time_ms: int, blocks: int) -> None:
    given_ = parameters(clients_per_round=5, bandwidth_bytes_per_second=bandwidth)
    assert tasks.compute_min_window_blocks(given_, block_time_ms) == blocks


def test_L1_least_window_follows_from_what_is_fetched() -> None:
    """Of int8, 5 updates are 500 bytes, and 2 models still 800."""
    assert (
        tasks.compute_min_window_blocks(
            parameters(clients_per_round=5, update_bits=8, bandwidth_bytes_per_second=1300), 1000
        )
        == 4
    )


@given(
    st.fixed_dictionaries(
        {
            field: st.integers(1, 1000)
            for field in (
                "training_blocks",
                "aggregation_blocks",
                "min_window_blocks",
                "demand_blocks",
                "vote_commit_blocks",
                "vote_reveal_blocks",
                "min_round_blocks",
            )
        }
    ),
    st.integers(0, 10_000),
    st.integers(1, 20),
    st.integers(0, 1000),
)
def test_I5_retention_outlasts_every_height_of_evidence(
    blocks: dict[str, int], factor: int, attempts: int, evidence: int
) -> None:
    """A model is the base of the next round, which trains once it may; then come all turns, each at its longest.

    A turn: its own time, three restarts after demands and one after a demand of its base, each at the last moment;
    the window, prolonged by a last demand; a vote that is called as it closes; and the showing of
    watches. The ledger plays this through in `tests/redteam/test_availability.py`.
    """
    given_ = parameters(**blocks, window_factor_percent=factor, max_attempts=attempts)
    aggregation, demand = given_.aggregation_blocks, given_.demand_blocks
    window = max(given_.min_window_blocks, -(-aggregation * factor // 100))
    dispute = demand + given_.min_window_blocks + given_.vote_commit_blocks + 2 * given_.vote_reveal_blocks
    turn = aggregation + 4 * (demand + aggregation) + window + dispute
    needed = given_.min_round_blocks + given_.training_blocks + attempts * turn + evidence
    assert tasks.compute_turn_blocks(given_) == turn
    assert tasks.compute_dispute_blocks(given_) == dispute
    assert tasks.compute_retention_blocks(given_, evidence) >= needed


@given(
    st.fixed_dictionaries(
        {
            field: st.integers(1, 30)
            for field in (
                "aggregation_blocks",
                "min_window_blocks",
                "demand_blocks",
                "vote_commit_blocks",
                "vote_reveal_blocks",
                "min_round_blocks",
                "clients_per_round",
                "rounds",
            )
        }
    ),
    st.integers(0, 400),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
def test_R5_the_default_share_of_the_required_stake_pays_for_the_worst_that_a_lie_does(
    given_fields: dict[str, int], factor: int, client_reward: int, aggregator_reward: int
) -> None:
    """Rounds start on the lie in its own block and then as fast as they may, up to the last before it is shown."""
    given_ = parameters(
        **given_fields, window_factor_percent=factor, client_reward=client_reward, aggregator_reward=aggregator_reward
    )
    longest = max(given_.min_window_blocks, -(-given_.aggregation_blocks * factor // 100))
    longest += given_.demand_blocks + given_.min_window_blocks + given_.vote_commit_blocks
    longest += 2 * given_.vote_reveal_blocks  # of the vote, and of what has watched
    starts = range(0, longest, given_.min_round_blocks)  # in the block that shows it, nothing starts any more
    voided = min(len(starts), given_.rounds - 1)
    lost = voided * (given_.clients_per_round * client_reward + aggregator_reward)
    required = tasks.compute_required_stake(given_)
    compensation_percent = DEFAULT_PARAMS["compensation_percent"]
    assert required * compensation_percent // 100 >= lost
    assert lost == 0 or (required - 1) * compensation_percent // 100 < lost


def test_R5_no_more_rounds_are_paid_for_than_can_be_live() -> None:
    """And what is required always fits its field: the escrow, of as many rounds, fits 2^62."""
    given_ = parameters(
        rounds=100_000, clients_per_round=1, client_reward=1, min_window_blocks=10**6, min_round_blocks=1
    )
    assert tasks.compute_required_stake(given_) == -(-5 * (tasks.MAX_LIVE_ROUNDS - 1) // 2)
    assert 5 * (1 << 62) // 2 < 1 << 64


def test_defaults_fill_in_what_is_not_set_and_nothing_else() -> None:
    given_ = parameters(min_window_blocks=7, vote_reveal_blocks=3)
    tasks.fill_defaults(given_)
    assert (given_.vote_commit_blocks, given_.demand_blocks, given_.vote_reveal_blocks) == (7, 7, 3)
    assert (given_.min_safety_percent, given_.min_round_blocks) == (10, 1)
    again = transaction_pb2.TaskParameters()
    again.CopyFrom(given_)
    tasks.fill_defaults(again)
    assert again == given_


def test_inputs_hash_binds_every_input_and_their_order() -> None:
    one = state_pb2.Input(client=b"a" * 20, update_root=bytes(32), weight=1)
    other = state_pb2.Input(client=b"b" * 20, update_root=bytes(32), weight=2)
    encoded = [i.SerializeToString(deterministic=True) for i in (one, other)]
    by_hand = b"".join(len(e).to_bytes(4, "big") + e for e in encoded)
    assert tasks.compute_inputs_hash([one, other]) == hashlib.sha256(by_hand).digest()
    assert tasks.compute_inputs_hash([other, one]) != tasks.compute_inputs_hash([one, other])
    assert tasks.compute_inputs_hash([]) == hashlib.sha256(b"").digest()


@settings(max_examples=40)
@given(
    st.integers(1, 700), st.sampled_from([16, 32, 128, 1024]), st.integers(1, 40), st.sampled_from([8, 16]), st.data()
)
def test_F2_no_proof_is_larger_than_computed(
    length: int, chunk_values: int, clients: int, bits: int, data: st.DataObject
) -> None:
    """A real proof, signed, with every number as large as its field holds."""
    given_ = parameters(length=length, chunk_values=chunk_values, clients_per_round=clients, update_bits=bits)
    shape = tasks.update_shape(given_)
    update = ChunkedVector(shape, np.full(length, 7, shape.dtype))
    model = ChunkedVector(tasks.model_shape(given_), np.full(length, 7, np.int32))
    chunk = data.draw(st.integers(0, update.shape.chunks - 1))
    proof = transaction_pb2.SubmitFraudProof(
        task_id=2**64 - 1,
        attempt_id=2**32 - 1,
        output=build_output_proof(chunk, [update] * clients, model, model),
    )
    largest = 2**64 - 1
    body = transaction_pb2.Body(
        chain_id="x" * 50, sequence=largest, fee=largest, expiry_height=largest, submit_fraud_proof=proof
    )
    assert len(sign_transaction(KEY, body)) <= tasks.compute_proof_bytes(given_)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("float(mean)", "mean"),
        ("float(a1_)", "a1_"),
        ("float()", None),
        ("mean", None),
        ("float(mean", None),
        ("float(é)", None),
        ("float(mean)\n", None),
        ("median()", None),
    ],
)
def test_a_float_tasks_rule_is_a_plugins_name(rule: str, name: str | None) -> None:
    assert tasks.parse_plugin(rule) == name
