"""A validator's watching: all of it, samples, triggers; proofs and challenges; what it does when it lacks something."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from offchain.adapters.memory import MemoryJournal
from offchain.interfaces import JournalError
from offchain.roles.announcing import compute_rank
from offchain.roles.computing import inline
from offchain.roles.signing import Signer
from offchain.roles.validator import Validator, ValidatorOptions, compute_patience, watch_with
from offchain.roles.watching import parse_policy
from optfl.aggregation import Aggregation, aggregate_chunk, derive_weights
from optfl.fraud import is_fraud, unwrap_proof
from optfl.rules import RoundFacts, parse_rule
from optfl.tasks import fill_defaults, trace_shape
from optfl.vectors import compute_vector_id
from optfl.wire import state_pb2, transaction_pb2
from support.roles import CHUNK_VALUES, LENGTH, FakeLedger, World, compute, make_key

KEY = make_key("validator0")
LATE = 40  # a height at which every courtesy is over


def make_validator(world: World, ledger: FakeLedger, policy: str = "full", **options: object) -> Validator:
    settings: ValidatorOptions = {"policy": parse_policy(policy), "compute": inline, "private_seed": b"private"}
    settings.update(options)  # type: ignore[typeddict-item]
    return Validator(ledger, world.blobs, compute, **settings)


def claim(world: World, *wrong: int) -> state_pb2.Attempt:
    """An attempt whose model is wrong by one at these coordinates."""
    values = world.compute_model().copy()
    values[list(wrong)] += 1
    return world.make_attempt(world.add_model(values), window_close_height=100)


def watch(validator: Validator, world: World, attempt: state_pb2.Attempt, *heights: int) -> None:
    for height in heights or (12, LATE):
        asyncio.run(validator.watch(world.make_view(height, attempt=attempt), attempt))


def test_a_right_model_is_verified_once() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger)
    watch(validator, world, claim(world), 12, 13, 14)
    assert not ledger.submitted
    assert (validator.cost.attempts, validator.cost.aggregations) == (1, 1)
    assert validator.cost.bytes == (2 * 4 + 3 * 2) * LENGTH


@pytest.mark.parametrize("policy", ["full", "sample(1)"])
def test_one_wrong_value_is_proven(policy: str) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world, 37)
    watch(make_validator(world, ledger, policy), world, attempt)
    (body,) = ledger.submitted
    proof = body.submit_fraud_proof
    assert (proof.attempt_id, proof.output.chunk) == (1, 37 // CHUNK_VALUES)
    assert is_fraud(world.parameters, attempt, proof.output)


def test_samples_fetch_their_chunks_and_nothing_else() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger, "sample(0.5)")
    watch(validator, world, claim(world), 12)
    drawn = sorted({chunk for _, chunk in world.blobs.fetched if chunk is not None})
    assert 0 < len(drawn) < 4
    assert len(world.blobs.fetched) == len(drawn) * 5, "the base, the claimed model and three updates"
    assert (validator.cost.aggregations, validator.cost.chunks) == (0, len(drawn))
    assert validator.cost.bytes > len(drawn) * CHUNK_VALUES * 14


def test_samples_are_the_same_at_a_second_try_and_others_for_others() -> None:
    world = World()
    seen = []
    for seed in (b"a", b"a", b"b", b"c"):
        validator = make_validator(world, FakeLedger(KEY.address), "sample(0.5)", private_seed=seed)
        world.blobs.fetched.clear()
        watch(validator, world, claim(world), 12)
        seen.append(sorted({chunk for _, chunk in world.blobs.fetched}))
    assert seen[0] == seen[1]
    assert seen[1:] != [seen[1]] * 3


def test_a_sample_finds_a_fraud_as_often_as_its_share() -> None:
    """One wrong chunk of four, each looked at with probability 1/4."""
    world = World()
    attempt = claim(world, 3)
    found = 0
    for seed in range(200):
        ledger = FakeLedger(KEY.address)
        validator = make_validator(world, ledger, "sample(0.25)", private_seed=seed.to_bytes(4, "big"))
        watch(validator, world, attempt)
        found += len(ledger.submitted)
    assert 30 < found < 72


def test_idle_looks_at_nothing() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    watch(make_validator(world, ledger, "idle"), world, claim(world, 1))
    assert not ledger.submitted
    assert not world.blobs.fetched


@pytest.mark.parametrize(("accuracy", "is_triggered"), [(0.95, False), (0.9, False), (0.89, True)])
def test_a_drop_in_accuracy_only_makes_it_recompute(accuracy: float, is_triggered: bool) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world)

    def evaluate(model: np.ndarray) -> float:
        return 1.0 if np.array_equal(model, world.base.values) else accuracy

    validator = make_validator(world, ledger, "idle, accuracy(0.1)", evaluate=evaluate)
    watch(validator, world, attempt)
    assert not ledger.submitted, "whatever the accuracy, the model is right"
    assert validator.cost.aggregations == validator.cost.triggered == int(is_triggered)


def test_an_odd_time_makes_it_recompute() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger, "idle, timing(3)")
    for attempt_id, blocks in enumerate([2, 2, 2, 9], start=1):
        attempt = claim(world)
        attempt.attempt_id, attempt.submit_height = attempt_id, attempt.freeze_height + blocks
        watch(validator, world, attempt, 20)
        assert validator.cost.aggregations == int(blocks == 9)


@pytest.mark.parametrize("faults", [0, 1])
def test_an_aggregator_with_faults_makes_it_recompute(faults: int) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    ledger.stakes[world.aggregator.address] = [state_pb2.Stake(role=transaction_pb2.ROLE_AGGREGATOR, faults=faults)]
    validator = make_validator(world, ledger, "idle, history")
    watch(validator, world, claim(world), 12)
    assert validator.cost.aggregations == faults


class FloatWorld(World):
    """The rule is a float aggregator's; the tolerance is 10."""

    def __init__(self) -> None:
        super().__init__(arithmetic=transaction_pb2.ARITHMETIC_FLOAT, vote_theta=10)
        self.parameters.rule = "float(mean)"

    def compute_model(self) -> np.ndarray:
        return self.base.values + np.int32(256)

    def make(self, ledger: FakeLedger, policy: str = "full") -> Validator:
        def mean(updates: list[np.ndarray], weights: list[int]) -> np.ndarray:
            return np.ones(LENGTH)

        return make_validator(self, ledger, policy, floats={"mean": mean})


@pytest.mark.parametrize(("distance", "is_challenged"), [(0, False), (10, False), (11, True)])
def test_a_float_model_further_than_theta_is_challenged(distance: int, is_challenged: bool) -> None:
    world, ledger = FloatWorld(), FakeLedger(KEY.address)
    values = world.compute_model().copy()
    values[5] += distance
    attempt = world.make_attempt(world.add_model(values), window_close_height=100)
    watch(world.make(ledger), world, attempt)
    assert ledger.kinds == ["open_challenge"] * is_challenged


def test_what_others_have_challenged_is_not_challenged_again() -> None:
    world, ledger = FloatWorld(), FakeLedger(KEY.address)
    attempt = world.make_attempt(world.add_model(world.compute_model() + 100))
    view = world.make_view(LATE, attempt=attempt)
    view.challenges.add(task_id=1, attempt_id=1)
    asyncio.run(world.make(ledger).watch(view, attempt))
    assert not ledger.submitted


def test_a_float_attempt_is_sampled_all_or_nothing() -> None:
    world = FloatWorld()
    attempt = world.make_attempt(world.add_model(world.compute_model()))
    validators = []
    for i in range(40):
        validators.append(world.make(FakeLedger(make_key(f"v{i}").address), "sample(0.5)"))
        watch(validators[-1], world, attempt, 12)
    full = sum(validator.cost.aggregations for validator in validators)
    assert 8 < full < 32
    assert not any(validator.cost.chunks for validator in validators)


def test_without_the_float_aggregator_an_attempt_is_left_to_others() -> None:
    world, ledger = FloatWorld(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger)
    watch(validator, world, world.make_attempt(world.base), 12, 13)
    assert not ledger.submitted
    assert validator.cost.aggregations == 0


def test_a_challenge_waits_for_those_before_it() -> None:
    world, ledger = FloatWorld(), FakeLedger(KEY.address)
    attempt = world.make_attempt(world.add_model(world.compute_model() + 100), window_close_height=100)
    rank = compute_rank(world.make_view(attempt=attempt), attempt, KEY.address)
    validator = world.make(ledger)
    for height in range(12, 12 + rank):
        watch(validator, world, attempt, height)
        assert not ledger.submitted
    watch(validator, world, attempt, 12 + rank)
    assert ledger.kinds == ["open_challenge"]


def test_a_proof_is_announced_at_once_and_shown_once_when_that_pays() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world, 0)
    view = world.make_view(12, attempt=attempt)
    view.rounds[0].window_close_height = 100
    validator = make_validator(world, ledger)
    asyncio.run(validator.watch(view, attempt))
    assert ledger.kinds == ["announce_proof"]
    noted = state_pb2.Announcement(commitment=ledger.submitted[0].announce_proof.commitment, height=13)
    view.announcements.add(attempt_id=attempt.attempt_id, prover=KEY.address, announcement=noted)
    for height, shown in ((13, 0), (14, 0), (15, 1), (16, 1)):  # the block behind 15 is three after the announcement
        view.height = height
        asyncio.run(validator.watch(view, attempt))
        assert ledger.kinds == ["announce_proof", *["submit_fraud_proof"] * shown]


@pytest.mark.parametrize(("since", "most"), [(12, 4), (20, 1), (24, 0), (30, 0)])
def test_nobody_waits_for_others_until_the_window_closes(since: int, most: int) -> None:
    """A hundred validators, of whom none but this one may be watching, and a window of 12 blocks."""
    world = World()
    attempt = world.make_attempt(world.base, window_close_height=24)
    view = world.make_view(attempt=attempt)
    del view.validators[:]
    view.validators.extend(make_key(f"validator{i}").address for i in range(100))
    waits = [compute_patience(view, attempt, address, since) for address in view.validators]
    assert min(waits) == 0
    assert max([*waits, compute_patience(view, attempt, make_key("nobody").address, since)]) == most


@pytest.mark.parametrize("policy", ["full", "sample(1)"])
def test_a_model_that_nobody_has_is_demanded(policy: str) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = world.make_attempt(world.base, window_close_height=24)
    attempt.model_root = bytes(range(32))
    watch(make_validator(world, ledger, policy), world, attempt, 18, 19, 20)
    (body,) = ledger.submitted
    assert body.demand_blob == transaction_pb2.DemandBlob(task_id=1, round=1, attempt_id=1, model=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", state_pb2.ATTEMPT_STATUS_SETTLED), ("status", state_pb2.ATTEMPT_STATUS_CONVICTED), ("aggregator", b"")],
)
def test_what_cannot_be_convicted_is_not_looked_at(field: str, value: int | bytes) -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world, 0)
    setattr(attempt, field, value)
    watch(make_validator(world, ledger), world, attempt)
    assert not world.blobs.fetched


def test_a_vote_and_a_verification_compute_once() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger)
    attempt = claim(world, 0)
    view = world.make_view(12, attempt=attempt)

    async def both() -> None:
        await asyncio.gather(validator.watch(view, attempt), validator.recompute(view, attempt))

    asyncio.run(both())
    assert validator.cost.aggregations == 1


def test_after_a_vote_came_first_a_proof_is_made_of_the_wrong_chunk_alone() -> None:
    """The inputs are not kept for it: only the model is."""
    world, ledger = World(), FakeLedger(KEY.address)
    validator = make_validator(world, ledger)
    attempt = claim(world, 20)
    asyncio.run(validator.recompute(world.make_view(12, attempt=attempt), attempt))
    world.blobs.fetched.clear()
    watch(validator, world, attempt)
    assert is_fraud(world.parameters, attempt, ledger.submitted[0].submit_fraud_proof.output)
    assert validator.cost.aggregations == 1
    assert {chunk for _, chunk in world.blobs.fetched} == {None, 1}, "the claimed model, and one chunk of everything"


def run_blocks(world: World, ledger: FakeLedger, validator: Validator, *views: state_pb2.TaskView) -> None:
    ended = world.make_view(99)
    ended.task.status = state_pb2.TASK_STATUS_COMPLETED
    ledger.views = [*views, ended]
    asyncio.run(watch_with(validator, 1))


def test_it_votes_and_answers_demands_beside_watching() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world)
    view = world.make_view(12, attempt=attempt)
    view.challenges.add(
        task_id=1,
        attempt_id=1,
        status=state_pb2.CHALLENGE_STATUS_COMMITTING,
        seed=bytes(range(32)),
        commit_deadline_height=30,
        voters=[state_pb2.Voter(operator=KEY.address, power=1)],
    )
    root = world.updates[0].root
    view.demands.add(task_id=1, round=1, attempt_id=1, root=root, status=state_pb2.DEMAND_STATUS_OPEN)
    validator = make_validator(world, ledger, signer=Signer(KEY, MemoryJournal()))
    run_blocks(world, ledger, validator, view)
    assert sorted(map(str, ledger.kinds)) == ["answer_demand", "commit_vote"]


def test_without_power_it_only_watches() -> None:
    world, ledger = World(), FakeLedger(make_key("passer-by").address)
    view = world.make_view(12, attempt=claim(world))
    view.demands.add(task_id=1, round=1, root=world.updates[0].root, status=state_pb2.DEMAND_STATUS_OPEN)
    validator = make_validator(world, ledger, signer=Signer(make_key("passer-by"), MemoryJournal()))
    run_blocks(world, ledger, validator, view)
    assert not ledger.submitted
    assert validator.cost.aggregations == 1


def test_a_journal_that_fails_ends_the_role_with_its_own_words() -> None:
    class Broken(MemoryJournal):
        def put(self, name: str, value: bytes) -> None:
            raise JournalError("cannot write the journal; make room")

    world, ledger = World(), FakeLedger(KEY.address)
    view = world.make_view(12, attempt=claim(world))
    view.challenges.add(
        attempt_id=1,
        status=state_pb2.CHALLENGE_STATUS_COMMITTING,
        seed=bytes(range(32)),
        commit_deadline_height=30,
        voters=[state_pb2.Voter(operator=KEY.address, power=1)],
    )
    with pytest.raises(JournalError, match="make room"):
        run_blocks(world, ledger, make_validator(world, ledger, signer=Signer(KEY, Broken())), view)
    assert "commit_vote" not in ledger.kinds


def test_a_claimed_chunk_is_checked_where_the_last_one_is_shorter() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    world.parameters.length = LENGTH - 5
    fill_defaults(world.parameters)
    world.base = world.add_model(world.base.values[:-5].copy())
    world.updates = [world.add_update(update.values[:-5].copy()) for update in world.updates]
    attempt = claim(world, LENGTH - 6)
    watch(make_validator(world, ledger, "sample(1)"), world, attempt)
    (body,) = ledger.submitted
    assert is_fraud(world.parameters, attempt, body.submit_fraud_proof.output)


# Rules with totals.


def test_a_right_reduction_is_verified_and_its_trace_is_not_even_fetched() -> None:
    world, ledger = World(updates=5, rule="krum(f=1)"), FakeLedger(KEY.address)
    validator = make_validator(world, ledger)
    attempt = world.add_claim(world.compute_aggregation(), window_close_height=100)
    watch(validator, world, attempt)
    assert not ledger.submitted
    assert validator.has_judged(attempt)
    assert not validator.has_doubts(attempt)
    trace = compute_vector_id(trace_shape(world.parameters, 5), attempt.reduction.trace_root)
    assert trace not in [vector_id for vector_id, _ in world.blobs.fetched]


def misreduce(world: World, *, row: bool) -> Aggregation:
    """Totals that are wrong in one entry, or true ones that are taken for others; and what follows from that."""
    honest = world.compute_aggregation()
    if honest.trace is None:
        raise AssertionError
    facts, rule = RoundFacts(tuple(world.weights)), parse_rule(world.parameters.rule)
    trace = honest.trace.copy()
    if row:
        trace[1] += 1 << 40
    weights = derive_weights(rule, trace if row else -trace, facts)
    stacked = np.stack([update.values for update in world.updates])
    return Aggregation(aggregate_chunk(rule, world.base.values, stacked, facts, weights), weights, trace)


@pytest.mark.parametrize("rule", ["krum(f=1)", "norm_clipped_mean(norm=0)"])
@pytest.mark.parametrize("policy", ["full", "sample(1)"])
@pytest.mark.parametrize("kind", ["step", "weights"])
def test_F1_a_wrong_reduction_is_proven_though_its_model_follows_from_it(policy: str, kind: str, rule: str) -> None:
    world, ledger = World(updates=5, rule=rule), FakeLedger(KEY.address)
    attempt = world.add_claim(misreduce(world, row=kind == "step"), window_close_height=100)
    watch(make_validator(world, ledger, policy), world, attempt)
    (body,) = ledger.submitted
    assert body.submit_fraud_proof.WhichOneof("proof") == kind
    assert is_fraud(world.parameters, attempt, unwrap_proof(body.submit_fraud_proof))


def test_a_wrong_value_behind_a_right_reduction_is_proven() -> None:
    world, ledger = World(updates=5, rule="krum(f=1)"), FakeLedger(KEY.address)
    made = world.compute_aggregation()
    made.model[37] += 1
    attempt = world.add_claim(made, window_close_height=100)
    watch(make_validator(world, ledger), world, attempt)
    (body,) = ledger.submitted
    assert body.submit_fraud_proof.output.chunk == 37 // CHUNK_VALUES
    assert is_fraud(world.parameters, attempt, body.submit_fraud_proof.output)


def test_F1_a_wrong_trace_that_cannot_be_read_is_demanded() -> None:
    world, ledger = World(updates=5, rule="krum(f=1)"), FakeLedger(KEY.address)
    attempt = world.add_claim(misreduce(world, row=True), window_close_height=100)
    world.blobs.lost.add(compute_vector_id(trace_shape(world.parameters, 5), attempt.reduction.trace_root))
    watch(make_validator(world, ledger), world, attempt, 12, LATE, LATE + 1)
    (body,) = ledger.submitted
    assert body.demand_blob == transaction_pb2.DemandBlob(task_id=1, round=1, attempt_id=1, trace=True)


def test_a_sampler_looks_at_all_of_a_reduction_or_at_nothing() -> None:
    """Chunks show nothing while the totals may be wrong."""
    world = World(updates=5, rule="krum(f=1)")
    attempt = world.add_claim(misreduce(world, row=True), window_close_height=100)
    found = 0
    for seed in range(40):
        ledger = FakeLedger(KEY.address)
        validator = make_validator(world, ledger, "sample(0.25)", private_seed=bytes([seed]))
        watch(validator, world, attempt)
        assert validator.cost.chunks == 0
        assert bool(ledger.submitted) == bool(validator.cost.aggregations)
        found += bool(ledger.submitted)
    assert 2 <= found <= 20


# Pay for watching.


@pytest.mark.parametrize(
    ("policy", "name", "attests"),
    [
        ("full", "validator0", True),
        ("sample(0.5)", "validator0", False),
        ("idle", "validator0", False),
        ("full", "passer-by", False),  # it has no power, and is not paid
    ],
)
def test_only_what_a_validator_has_read_in_full_is_attested(policy: str, name: str, attests: bool) -> None:
    world, ledger = World(), FakeLedger(make_key(name).address)
    attempt = claim(world)
    view = world.make_view(12, attempt=attempt)
    view.rounds[0].window_close_height = 100
    validator = make_validator(world, ledger, policy)
    watch(validator, world, attempt, 12)
    run_blocks(world, ledger, validator, view)
    assert ledger.kinds == (["attest_watch"] if attests else [])


def test_a_lie_is_announced_and_proven_and_not_attested() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world, 3)
    view = world.make_view(12, attempt=attempt)
    view.rounds[0].window_close_height = 100
    validator = make_validator(world, ledger)
    for height in (12, 99):
        view.height = height
        asyncio.run(validator.watch(view, attempt))
    run_blocks(world, ledger, validator, view)
    assert ledger.kinds == ["announce_proof", "submit_fraud_proof"]


def test_what_a_vote_has_computed_before_is_read_again_to_attest_it() -> None:
    world, ledger = World(), FakeLedger(KEY.address)
    attempt = claim(world)
    view = world.make_view(12, attempt=attempt)
    view.rounds[0].window_close_height = 100
    validator = make_validator(world, ledger)
    asyncio.run(validator.recompute(view, attempt))
    watch(validator, world, attempt, 12)
    run_blocks(world, ledger, validator, view)
    assert ledger.kinds == ["attest_watch"]
    assert validator.cost.aggregations == 1
