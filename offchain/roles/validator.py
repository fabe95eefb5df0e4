"""A validator: watches aggregations, proves wrong ones, votes, and looks for what is demanded.  # seed 001, Alg. 2

It is told nothing: it looks at each attempt on the ledger, fetches what the attempt names, and compares. Anyone who can
pay the fees and bonds can watch; only validators with voting power vote, answer demands and sign in mode `pbft`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypedDict, TypeVar, Unpack

import numpy as np

from offchain.interfaces import Blobs, Int32Vector, Ledger
from offchain.kernels.hashing import make_vector
from offchain.roles.announcing import announce, compute_rank, compute_show_height
from offchain.roles.attesting import Attester
from offchain.roles.certifying import Certifier
from offchain.roles.computing import (
    CannotCompute,
    Compute,
    FloatAggregate,
    ModelComputer,
    compute_squared_distance,
    in_thread,
    is_float,
)
from offchain.roles.errands import Errands
from offchain.roles.fetching import (
    DemandAnswerer,
    Demander,
    VectorsMissing,
    fetch_chunk,
    fetch_round,
    fetch_trace,
)
from offchain.roles.signing import Signer
from offchain.roles.views import TRANSIENT, Aggregate, compute_seed, submit, watch_task
from offchain.roles.voting import Voter
from offchain.roles.watching import Cost, Policy, draw_chunks, get_aggregation_blocks, is_odd_time
from optfl import tasks
from optfl.aggregation import Aggregation, aggregate_chunk
from optfl.fraud import (
    Proof,
    build_output_proof,
    build_step_proof,
    build_weights_proof,
    encode_output_proof,
    wrap_proof,
)
from optfl.rules import parse_rule
from optfl.traces import find_first_difference
from optfl.vectors import ChunkedVector, verify_opening
from optfl.wire import state_pb2, transaction_pb2
from optfl.wire.transaction_pb2 import OutputProof, StepProof, WeightsProof

log = logging.getLogger(__name__)

V = TypeVar("V")

_CONVICTABLE = (state_pb2.ATTEMPT_STATUS_OPEN, state_pb2.ATTEMPT_STATUS_VOID)
_MAX_KEPT = 4  # models of each kind, for a vote on what was just verified


class ValidatorOptions(TypedDict, total=False):
    """What most validators leave as it is."""

    policy: Policy  # by default all is re-executed
    signer: Signer  # to vote with; without, this only watches
    floats: Mapping[str, FloatAggregate]  # by name, for float tasks
    compute: Compute  # by default in a thread
    evaluate: Callable[[Int32Vector], float]  # accuracy on the validator's own held-out data, for that trigger
    private_seed: bytes  # which chunks are sampled: nobody else's business


async def run_validator(
    task_id: int, ledger: Ledger, blobs: Blobs, aggregate: Aggregate, **options: Unpack[ValidatorOptions]
) -> None:
    """Watch a task until it ends."""
    await watch_with(Validator(ledger, blobs, aggregate, **options), task_id)


async def watch_with(validator: Validator, task_id: int) -> None:
    """Do what `validator` finds to do, until the task ends. Nothing that is slow, or never comes, holds up the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            errands = Errands(group)
            async for view in watch_task(validator.ledger, task_id):
                validator.act(view, errands)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures  # what ended the others is what an operator has to read
    log.info("task %d: watched, %s", task_id, validator.cost)


class Result(NamedTuple):
    """What an attempt should have been, and of what, if it was computed just now: inputs are too large to be kept."""

    made: Aggregation
    inputs: tuple[ChunkedVector, list[ChunkedVector]] | None  # base, updates


class Validator:
    """One validator's findings and its duties. `aggregate` is the kernel that it re-executes with."""

    def __init__(self, ledger: Ledger, blobs: Blobs, aggregate: Aggregate, **options: Unpack[ValidatorOptions]) -> None:
        self.ledger = ledger
        self.cost = Cost()
        self._ledger = ledger
        self._blobs = blobs
        self._computer = ModelComputer(aggregate, options.get("floats"))
        self._compute = options.get("compute", in_thread)
        self._policy = options.get("policy", Policy())
        self._evaluate = options.get("evaluate")
        self._private_seed = options.get("private_seed", b"")
        self._demander = Demander(ledger)
        self._answerer = DemandAnswerer(ledger, blobs)
        self._attester = Attester(ledger, blobs, self._compute, self._private_seed)
        signer = options.get("signer")
        self._voter = None if signer is None else Voter(ledger, signer, self.recompute, self.fetch_claimed)
        self._certifier = None
        if signer is not None:
            self._certifier = Certifier(ledger, blobs, signer, self._computer, self._compute, cost=self.cost)
        self._verified: set[int] = set()
        self._seen: set[int] = set()
        self._times: dict[int, int] = {}  # attempt -> blocks that its aggregation took
        self._findings: dict[int, tuple[int, transaction_pb2.Body]] = {}  # attempt -> height, what to send about it
        self._results: dict[int, Aggregation] = {}
        self._claimed: dict[int, ChunkedVector] = {}
        self._locks: dict[int, asyncio.Lock] = {}

    def act(self, view: state_pb2.TaskView, errands: Errands) -> None:
        """Begin all that is to be done at this block."""
        self._forget_all_but({attempt.attempt_id for attempt in view.attempts})
        if view.task.parameters.mode == transaction_pb2.MODE_PBFT and self._certifier is not None:
            errands.start("certifying", partial(self._certifier.act, view))
        for attempt in view.attempts:  # they are kept for long: most of them are done with
            if attempt.status in _CONVICTABLE and attempt.attempt_id not in self._verified:
                errands.start(f"watching attempt {attempt.attempt_id}", partial(self.watch, view, attempt))
        if self._ledger.address in view.validators:
            for attempt_id, work in self._attester.find_work(view).items():
                errands.start(f"watch of attempt {attempt_id}", work)
            for scope, demands in self._answerer.find_work(view).items():
                errands.start(scope, partial(self._answerer.answer, view, demands))
        for challenge in view.challenges:  # also of a time when it had voting power
            if self._voter is not None and self._voter.is_due(challenge):
                self.cast_vote(self._voter, view, challenge, errands)

    def _forget_all_but(self, attempts: set[int]) -> None:
        for known in (self._verified, self._seen):
            known &= attempts
        for attempt_id in [attempt_id for attempt_id in self._locks if attempt_id not in attempts]:
            del self._locks[attempt_id]
        self._findings = {known: finding for known, finding in self._findings.items() if known in attempts}

    def cast_vote(
        self, voter: Voter, view: state_pb2.TaskView, challenge: state_pb2.Challenge, errands: Errands
    ) -> None:
        """Begin what the challenge waits for."""
        errands.start(f"vote on attempt {challenge.attempt_id}", partial(voter.act, view, challenge))
        if voter.is_urgent(view, challenge):
            errands.start(f"abstention on attempt {challenge.attempt_id}", partial(voter.abstain, view, challenge))

    def has_doubts(self, attempt: state_pb2.Attempt) -> bool:
        """Whether this watcher found the attempt wrong."""
        return attempt.attempt_id in self._findings

    def has_judged(self, attempt: state_pb2.Attempt) -> bool:
        """Whether it has looked at the attempt, and found it wrong or not."""
        return attempt.attempt_id in self._findings or attempt.attempt_id in self._verified

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        """Verify an attempt that was not, or send what was found against it. What fails is tried at the next block."""
        try:
            await self._watch(view, attempt)
        except VectorsMissing as missing:
            log.warning("attempt %d: %s", attempt.attempt_id, missing)
            await self._demand(view, attempt, missing)
        except TRANSIENT as error:
            log.warning("attempt %d: %s; trying again at the next block", attempt.attempt_id, error)
        except CannotCompute as error:
            self._verified.add(attempt.attempt_id)
            log.warning("attempt %d is not verified here: %s", attempt.attempt_id, error)

    async def _watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        if attempt.attempt_id in self._verified or not attempt.aggregator or attempt.status not in _CONVICTABLE:
            return
        if attempt.attempt_id not in self._findings:
            finding = await self.examine(view, attempt)
            if finding is None:
                self._verified.add(attempt.attempt_id)
                return
            self._findings[attempt.attempt_id] = (view.height, finding)
        await self._report(view, attempt)

    async def _report(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        found_height, finding = self._findings[attempt.attempt_id]
        kind = finding.WhichOneof("kind")
        if kind == "open_challenge":
            is_challenged = any(c.attempt_id == attempt.attempt_id for c in view.challenges)
            if is_challenged or attempt.status != state_pb2.ATTEMPT_STATUS_OPEN:
                self._verified.add(attempt.attempt_id)  # the vote decides; a void attempt cannot be put to one
                return
        if kind == "submit_fraud_proof":
            proof = finding.submit_fraud_proof
            is_announced = await announce(self._ledger, view, attempt, proof)
            if is_announced or view.height < self.compute_show_height(view, attempt, proof):
                return
        elif view.height < found_height + compute_patience(view, attempt, self._ledger.address, found_height):
            return  # a courtesy: another validator is first to challenge it; if it does not, we do
        sent = "fraud proof sent" if kind == "submit_fraud_proof" else "challenged by vote"
        if await submit(self._ledger, finding, f"round {attempt.round}, attempt {attempt.attempt_id}: {sent}"):
            self._verified.add(attempt.attempt_id)

    def compute_show_height(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
    ) -> int:
        """The height at which this watcher sends its proof."""
        return compute_show_height(self._ledger, view, attempt, proof)

    async def _demand(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, missing: VectorsMissing) -> None:
        submitted = attempt.submit_height
        if view.height < submitted + compute_patience(view, attempt, self._ledger.address, submitted):
            return  # the same courtesy: one demand is enough
        try:
            await self._demander.demand_of_attempt(view, attempt, missing.roots)
        except TRANSIENT as error:
            log.warning("attempt %d: %s; trying again at the next block", attempt.attempt_id, error)

    async def examine(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> transaction_pb2.Body | None:
        """Look at an attempt as closely as the policy says; what to send about it, or None. Raises BlobUnavailable."""
        if attempt.attempt_id not in self._seen:
            self._seen.add(attempt.attempt_id)
            self.cost.attempts += 1
        share = self._policy.share
        chunks = self._draw_chunks(view.task, attempt)
        if share < 1 and self._policy.has_triggers and await self._is_triggered(view, attempt):
            self.cost.triggered += 1
            share = 1
        if share == 1 or (chunks and is_indivisible(view.task.parameters)):
            return await self.verify(view, attempt)
        return await self.sample(view, attempt, chunks)

    def _draw_chunks(self, task: state_pb2.Task, attempt: state_pb2.Attempt) -> list[int]:
        """The same after a failed fetch: who decides what we can fetch must not have us draw again."""
        seed = compute_seed(self._private_seed, self._ledger.address, attempt.task_id, attempt.attempt_id)
        chunks = tasks.model_shape(task.parameters).chunks
        return draw_chunks(seed, 1 if is_indivisible(task.parameters) else chunks, self._policy.share)

    async def _is_triggered(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> bool:
        policy = self._policy
        self._times.setdefault(attempt.attempt_id, get_aggregation_blocks(attempt))
        others = [took for attempt_id, took in self._times.items() if attempt_id != attempt.attempt_id]
        blocks = self._times[attempt.attempt_id]
        if policy.timing_factor is not None and is_odd_time(blocks, others, policy.timing_factor):
            log.info("attempt %d: took %d blocks, which is odd; re-executing all of it", attempt.attempt_id, blocks)
            return True
        if policy.history and any(s.faults for s in await self._ledger.get_stakes(attempt.aggregator)):
            log.info("attempt %d: its aggregator was at fault lately; re-executing all of it", attempt.attempt_id)
            return True
        if policy.accuracy_drop is None or self._evaluate is None:
            return False
        (base,), _ = await self._fetch(view, [attempt.base_root], [])
        claimed = await self._get_claimed(view, attempt)
        before = await self._compute(self._evaluate, base.values)
        after = await self._compute(self._evaluate, claimed.values)
        if before - after <= policy.accuracy_drop:
            return False
        log.info("attempt %d: accuracy fell from %.3f to %.3f; re-executing", attempt.attempt_id, before, after)
        return True

    async def verify(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> transaction_pb2.Body | None:
        """Re-execute the whole aggregation; a proof about the first step that is wrong, or a challenge, or None.

        Raises BlobUnavailable; CannotCompute where a float aggregator is missing.
        """
        own = await self._get_result(view, attempt)
        if (misreduced := await self._check_reduction(view, attempt, own)) is not None:
            return _wrap_proof(attempt, misreduced)
        claimed = await self._get_claimed(view, attempt)
        finding = await self._compare(view, attempt, own, claimed)
        is_open = attempt.status == state_pb2.ATTEMPT_STATUS_OPEN
        if finding is None and is_open and self._ledger.address in view.validators:
            await self._attester.note(attempt, await self._get_inputs(view, attempt, own), claimed)
        return finding

    async def _compare(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, own: Result, claimed: ChunkedVector
    ) -> transaction_pb2.Body | None:
        if is_float(view.task.parameters):
            return self._compare_floats(view.task.parameters, attempt, own.made.model, claimed.values)
        wrong = np.flatnonzero(own.made.model != claimed.values)
        if wrong.size == 0:
            log.info("round %d, attempt %d: verified in full", attempt.round, attempt.attempt_id)
            return None
        chunk = int(wrong[0]) // view.task.parameters.chunk_values
        log.warning(
            "round %d, attempt %d: %d of %d values are wrong; proving chunk %d",
            attempt.round,
            attempt.attempt_id,
            wrong.size,
            claimed.values.size,
            chunk,
        )
        if own.inputs is None:
            proof = await self._check_chunk(view, attempt, chunk)
            return None if proof is None else _wrap_proof(attempt, proof)
        base, updates = own.inputs
        return _wrap_proof(attempt, build_output_proof(chunk, updates, base, claimed))

    async def _check_reduction(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, own: Result
    ) -> StepProof | WeightsProof | None:
        """Proof of what is wrong in how an attempt says that its totals came about and decided; None if all is right.

        Raises VectorsMissing.
        """
        if own.made.trace is None:
            return None
        parameters, updates = view.task.parameters, len(attempt.inputs)
        kind = parse_rule(attempt.rule).totals
        trace = make_vector(tasks.trace_shape(parameters, updates), own.made.trace)
        name = f"round {attempt.round}, attempt {attempt.attempt_id}"
        if trace.root == attempt.reduction.trace_root:
            if own.made.weights == tuple(attempt.reduction.weights):
                return None
            log.warning("%s: its totals are right and decide otherwise; proving that", name)
            return build_weights_proof(kind, trace, updates)
        claimed = await fetch_trace(self._blobs, view, attempt)
        self.cost.bytes += len(claimed.data)
        entry = find_first_difference(kind, own.made.trace, claimed.values, updates)
        if entry is None:
            raise RuntimeError(f"{name}: two traces with two roots are equal")
        log.warning("%s: its trace is wrong from row %d on; proving entry (%d, %d)", name, *entry)
        if own.inputs is not None:
            _, vectors = own.inputs
        else:
            _, vectors = await self._fetch(view, [], [given.update_root for given in attempt.inputs])
        return build_step_proof(kind, entry, vectors, claimed)

    def _compare_floats(
        self,
        parameters: transaction_pb2.TaskParameters,
        attempt: state_pb2.Attempt,
        own: Int32Vector,
        claimed: Int32Vector,
    ) -> transaction_pb2.Body | None:
        """Challenge what is further than θ from our own result: the others may see what we see."""
        squared = compute_squared_distance(own, claimed)
        if squared <= parameters.vote_theta**2:
            log.info("round %d, attempt %d: within the tolerance", attempt.round, attempt.attempt_id)
            return None
        log.warning("round %d, attempt %d: √%d from our result", attempt.round, attempt.attempt_id, squared)
        challenge = transaction_pb2.OpenChallenge(task_id=attempt.task_id, attempt_id=attempt.attempt_id)
        return transaction_pb2.Body(open_challenge=challenge)

    async def sample(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, chunks: Sequence[int]
    ) -> transaction_pb2.Body | None:
        """Re-execute these chunks, fetching nothing else; a proof about the first wrong one, or None."""
        if not chunks:
            return None
        for chunk in chunks:
            proof = await self._check_chunk(view, attempt, chunk)
            if proof is not None:
                log.warning("round %d, attempt %d: chunk %d is wrong", attempt.round, attempt.attempt_id, chunk)
                return _wrap_proof(attempt, proof)
        log.info("round %d, attempt %d: %d of its chunks verified", attempt.round, attempt.attempt_id, len(chunks))
        return None

    async def _check_chunk(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, chunk: int
    ) -> OutputProof | None:
        parameters = view.task.parameters
        model, update = tasks.model_shape(parameters), tasks.update_shape(parameters)
        wanted = [(model, attempt.base_root), (model, attempt.model_root)]
        wanted += [(update, given.update_root) for given in attempt.inputs]
        openings = await fetch_chunk(self._blobs, view, chunk, wanted)
        self.cost.chunks += 1
        self.cost.bytes += sum(len(opening.data) + sum(map(len, opening.path)) for opening in openings)
        base, claimed, *updates = (
            verify_opening(shape, root, chunk, opening) for (shape, root), opening in zip(wanted, openings, strict=True)
        )
        rule, weights = parse_rule(attempt.rule), attempt.reduction.weights
        stacked = tasks.expand_update(parameters, np.stack(updates))
        own = await self._compute(aggregate_chunk, rule, base, stacked, tasks.get_facts(attempt), weights)
        if np.array_equal(own, claimed):
            return None
        return encode_output_proof(chunk, openings[2:], openings[0], openings[1])

    async def recompute(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> Int32Vector:
        """The model that we make of the attempt's inputs. Raises VectorsMissing, CannotCompute."""
        return (await self._get_result(view, attempt)).made.model

    async def fetch_claimed(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> Int32Vector:
        """The model that the attempt claims. Raises VectorsMissing."""
        values: Int32Vector = (await self._get_claimed(view, attempt)).values
        return values

    async def _get_result(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> Result:
        # A vote and a verification may ask at once: it is fetched and computed once.
        async with self._locks.setdefault(attempt.attempt_id, asyncio.Lock()):
            if (known := self._results.get(attempt.attempt_id)) is not None:
                return Result(known, None)
            roots = [given.update_root for given in attempt.inputs]
            (base,), updates = await self._fetch(view, [attempt.base_root], roots)
            values, facts = [update.values for update in updates], tasks.get_facts(attempt)
            made = await self._compute(self._computer.compute, view.task.parameters, base.values, values, facts)
            self.cost.aggregations += 1
            _keep(self._results, attempt.attempt_id, made)
            return Result(made, (base, updates))

    async def _get_inputs(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, own: Result
    ) -> list[ChunkedVector]:
        if own.inputs is not None:
            return own.inputs[1]
        _, updates = await self._fetch(view, [], [given.update_root for given in attempt.inputs])
        return updates  # a vote had them before, and they were too large to be kept

    async def _get_claimed(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> ChunkedVector:
        if (known := self._claimed.get(attempt.attempt_id)) is not None:
            return known
        (claimed,), _ = await self._fetch(view, [attempt.model_root], [])
        _keep(self._claimed, attempt.attempt_id, claimed)
        return claimed

    async def _fetch(
        self, view: state_pb2.TaskView, models: Sequence[bytes], updates: Sequence[bytes]
    ) -> tuple[list[ChunkedVector], list[ChunkedVector]]:
        found = await fetch_round(self._blobs, view, models, updates)
        self.cost.bytes += sum(len(vector.data) for vectors in found for vector in vectors)
        return found


def _wrap_proof(attempt: state_pb2.Attempt, proof: Proof) -> transaction_pb2.Body:
    return transaction_pb2.Body(submit_fraud_proof=wrap_proof(attempt, proof))


def is_indivisible(parameters: transaction_pb2.TaskParameters) -> bool:
    """Whether a watcher re-executes all of an aggregation or nothing.

    Float arithmetic may be of any kind. Of a rule with totals, chunks show nothing while the totals may be wrong.
    """
    return is_float(parameters) or tasks.needs_totals(parameters)


def _keep(kept: dict[int, V], attempt_id: int, value: V) -> None:
    """Newest few only."""
    kept[attempt_id] = value
    while len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]


def compute_patience(view: state_pb2.TaskView, attempt: state_pb2.Attempt, address: bytes, since_height: int) -> int:
    """Blocks that this watcher leaves to others before it sends what it found: another order for each attempt.

    The ledger does not know of it; it only saves the fees and bonds of what comes second. At most a third of what is
    left of the window, however many validators there are: none of the others may be watching.
    """
    rank = compute_rank(view, attempt, address)
    most = max(attempt.window_close_height - since_height, 0) // 3
    return min(rank, rank * most // max(len(view.validators), 1))
