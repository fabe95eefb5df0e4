"""What follows from a task's parameters alone: shapes, sizes, sums and deadlines that everyone must agree on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from optfl import certificates, traces
from optfl.rules import RoundFacts, parse_rule
from optfl.rules.base import output_operations
from optfl.rules.gram import TotalsKind, count_totals
from optfl.vectors import Shape
from optfl.wire import state_pb2, transaction_pb2

# Room for what surrounds an opening in an encoded proof: tags and lengths of protobuf, chunk number, path entries.
_OPENING_OVERHEAD_BYTES = 32
_PATH_ENTRY_BYTES = 34
_ENVELOPE_BYTES = 512
_PLUGIN = re.compile(r"float\(([a-z][a-z0-9_]{0,31})\)")


MODEL_BLOB = (1 << 32) - 1  # names an attempt's model where a number names one of its updates
TRACE_BLOB = (1 << 32) - 2  # and its trace
MAX_RESTARTS = 3  # of a turn, after demanded blobs were found or struck: a lazy aggregator cannot buy time for ever
MAX_LIVE_ROUNDS = 256  # of a task: rounds that are dropped cost nobody anything, but each is kept until it settles
MAX_UPDATE_SHIFT = 8  # -128 · 2^8 is the least int16

DISPUTE_DEFAULTS: dict[str, int] = {
    "min_safety_percent": 10,
    "vote_reveal_blocks": 5,
    "min_round_blocks": 1,
    "challenge_bond": 100_000,
    "demand_bond": 10_000,
}
"""What `fill_defaults` sets, beside what follows from the window."""


def fill_defaults(parameters: transaction_pb2.TaskParameters) -> None:
    """Set the numbers of disputes that are 0 to what suits most tasks: a sender's help, the ledger fills in nothing."""
    from_window = {"vote_commit_blocks": parameters.min_window_blocks, "demand_blocks": parameters.min_window_blocks}
    for field, value in {**DISPUTE_DEFAULTS, **from_window}.items():
        if getattr(parameters, field) == 0:
            setattr(parameters, field, value)


def parse_plugin(rule: str) -> str | None:
    """The name in "float(name)", the rule of a float task; None where it is no such name."""
    match = _PLUGIN.fullmatch(rule)
    return None if match is None else match.group(1)


def authors_of(attempt: state_pb2.Attempt) -> list[bytes]:
    """Who answers for an attempt: its aggregator, or its signers; nobody for a round that was dropped."""
    return [attempt.aggregator] if attempt.aggregator else list(attempt.signers)


def compute_signers_needed(aggregators: int) -> int:
    """Mode quorum: f+1 equal signatures, of which one is honest, of 2f+1 aggregators.  # seed 002

    More than half of them also where their number is even, since not all who were named have joined: of two, one alone
    would make models that nobody has time to object to.
    """
    return aggregators // 2 + 1


def are_enough_signers(
    parameters: transaction_pb2.TaskParameters, members: Iterable[state_pb2.Member], signers: Collection[bytes]
) -> bool:
    """Whether these of a task's members make its models: one honest one among them, or more than 2/3 of the power."""
    powers = {member.address: member.power for member in members}
    if parameters.mode == transaction_pb2.MODE_QUORUM:
        return len(signers) >= compute_signers_needed(len(powers))
    return 3 * sum(powers[signer] for signer in signers) > 2 * sum(powers.values())


def is_undecided(demand: state_pb2.Demand) -> bool:
    """Whether answers still change something: the blob's fate, or that of the bond."""
    return demand.status == state_pb2.DEMAND_STATUS_OPEN or demand.bond.amount > 0


def update_shape(parameters: transaction_pb2.TaskParameters) -> Shape:
    """Of an update as it is stored, hashed and opened; rules see what `expand_update` makes of it."""
    dtype: Literal["int8", "int16"] = "int8" if parameters.update_bits == 8 else "int16"
    return Shape(dtype, parameters.length, parameters.chunk_values)


def expand_update(parameters: transaction_pb2.TaskParameters, values: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    """An update, or a part of one, as rules see it: q · 2^update_shift of each stored value q, which always fits int16.

    `values` has the dtype of `update_shape`; int16 ones come back as they are, not copied.
    """
    if values.dtype == np.int16:
        return values
    expanded: npt.NDArray[np.int16] = np.multiply(values, np.int16(1 << parameters.update_shift), dtype=np.int16)
    return expanded


def model_shape(parameters: transaction_pb2.TaskParameters) -> Shape:
    return Shape("int32", parameters.length, parameters.chunk_values)


def trace_shape(parameters: transaction_pb2.TaskParameters, updates: int) -> Shape:
    """Of rules with totals: the shape of the trace of so many updates."""
    return traces.trace_shape(parse_rule(parameters.rule).totals, parameters.length, updates)


def needs_totals(parameters: transaction_pb2.TaskParameters) -> bool:
    """Whether attempts of such a task have a trace."""
    is_exact = parameters.arithmetic == transaction_pb2.ARITHMETIC_EXACT
    return is_exact and bool(parse_rule(parameters.rule).totals)


def get_facts(attempt: state_pb2.Attempt) -> RoundFacts:
    """What an attempt's record says of its round beside the updates."""
    return RoundFacts(tuple(given.weight for given in attempt.inputs), attempt.round_beacon)


def find_blob(parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, blob: int) -> tuple[Shape, bytes]:
    """Shape and root of an attempt's input number `blob`, of its model or of its trace."""
    if blob == MODEL_BLOB:
        return model_shape(parameters), attempt.model_root
    if blob == TRACE_BLOB:
        return trace_shape(parameters, len(attempt.inputs)), attempt.reduction.trace_root
    return update_shape(parameters), attempt.inputs[blob].update_root


def replica_quorum(parameters: transaction_pb2.TaskParameters) -> int:
    return certificates.quorum_of(len(parameters.replicas))


def compute_round_cost(parameters: transaction_pb2.TaskParameters) -> int:
    """Tokens that one settled round pays out at most."""
    return (
        parameters.aggregator_reward
        + parameters.client_reward * parameters.clients_per_round
        + parameters.validator_reward
        + parameters.replica_reward
    )


def compute_escrow(parameters: transaction_pb2.TaskParameters) -> int:
    return parameters.rounds * compute_round_cost(parameters)


def compute_window_blocks(parameters: transaction_pb2.TaskParameters, aggregate_blocks: int) -> int:
    """T = max(T_min, α·T_aggregate), in blocks.  # seed 001, section E"""
    capped = min(aggregate_blocks, parameters.aggregation_blocks)
    return max(parameters.min_window_blocks, -(-capped * parameters.window_factor_percent // 100))


def compute_min_window_blocks(parameters: transaction_pb2.TaskParameters, block_time_ms: int) -> int:
    """Blocks in which a watcher can fetch K updates and two models, re-execute, and get a proof included (A8, L1)."""
    fetch_bytes = parameters.clients_per_round * update_shape(parameters).size_bytes
    fetch_bytes += 2 * model_shape(parameters).size_bytes
    if needs_totals(parameters):
        fetch_bytes += trace_shape(parameters, parameters.clients_per_round).size_bytes
    # Re-execution runs at memory speed and is allowed the time of the fetch; two blocks carry the proof.
    fetch_ms = 2 * -(-fetch_bytes * 1000 // parameters.bandwidth_bytes_per_second)
    return -(-fetch_ms // block_time_ms) + 2


def compute_vote_blocks(parameters: transaction_pb2.TaskParameters) -> int:
    return parameters.vote_commit_blocks + parameters.vote_reveal_blocks


def compute_dispute_blocks(parameters: transaction_pb2.TaskParameters) -> int:
    """Blocks for which an attempt may stay open beyond its window, at most.

    A demand may come as the window closes, and prolongs it once its blobs are found; a challenge may come then; and
    once that is decided, those who have watched have to show it.
    """
    disputes = parameters.demand_blocks + parameters.min_window_blocks + compute_vote_blocks(parameters)
    return disputes + compute_showing_blocks(parameters)


def compute_showing_blocks(parameters: transaction_pb2.TaskParameters) -> int:
    """Blocks in which who has watched an attempt has to show it: as long as for a vote that is committed."""
    return parameters.vote_reveal_blocks


def compute_open_blocks(parameters: transaction_pb2.TaskParameters) -> int:
    """Blocks for which an attempt is open, at most."""
    return compute_window_blocks(parameters, parameters.aggregation_blocks) + compute_dispute_blocks(parameters)


def compute_turn_blocks(parameters: transaction_pb2.TaskParameters) -> int:
    """Blocks from the start of a turn until nothing of its attempt is open any more, at most."""
    # One more than those counted: when the base itself was demanded, as the model of another attempt.
    restarts = (MAX_RESTARTS + 1) * (parameters.demand_blocks + parameters.aggregation_blocks)
    return parameters.aggregation_blocks + restarts + compute_open_blocks(parameters)


def compute_required_stake(parameters: transaction_pb2.TaskParameters) -> int:
    """What a lie in this task puts at stake, at least: shown as late as possible, it voids the work of L rounds.

    2.5 · L · (K · client_reward + aggregator_reward), so that the 40 % of a slash that compensates pays for all of it
    (A10, red team R5).
    """
    rounds = -(-compute_open_blocks(parameters) // parameters.min_round_blocks)
    rounds = min(rounds, parameters.rounds - 1, MAX_LIVE_ROUNDS - 1)  # those after the lie itself
    lost = parameters.clients_per_round * parameters.client_reward + parameters.aggregator_reward
    return -(-5 * rounds * lost // 2)


def compute_retention_blocks(parameters: transaction_pb2.TaskParameters, evidence_blocks: int) -> int:
    """Blocks for which a blob can still be evidence, from the height at which its certificate is included (I5)."""
    attempts = parameters.max_attempts * compute_turn_blocks(parameters)
    # A model is also the base of the next round, whose commits and attempts come after its own.
    return 2 * (parameters.training_blocks + attempts) + parameters.min_round_blocks + evidence_blocks


def compute_inputs_hash(inputs: Iterable[state_pb2.Input]) -> bytes:
    """What a digest keeps of an attempt's inputs: enough to tell whether two attempts aggregated the same."""
    digest = hashlib.sha256()
    for given in inputs:
        encoded = given.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


def compute_opening_bytes(data_bytes: int, path_length: int) -> int:
    """Size that an opening in a message cannot exceed."""
    return data_bytes + _PATH_ENTRY_BYTES * path_length + _OPENING_OVERHEAD_BYTES


def compute_proof_bytes(parameters: transaction_pb2.TaskParameters) -> int:
    """Size that the largest proof of such a task, as a signed transaction, cannot exceed."""
    update, model = update_shape(parameters), model_shape(parameters)
    chunk_values = min(parameters.chunk_values, parameters.length)
    path = _compute_path_bytes(update)
    output = parameters.clients_per_round * (chunk_values * update.value_bytes + path)
    output += 2 * (chunk_values * model.value_bytes + path)
    largest = output
    if needs_totals(parameters):
        trace = trace_shape(parameters, parameters.clients_per_round)
        chunk = trace.chunk_values * trace.value_bytes + _compute_path_bytes(trace)
        # The siblings of a range are on both of its sides.
        block = min(traces.BLOCK_VALUES, parameters.length) * update.value_bytes + 2 * path
        kind = parse_rule(parameters.rule).totals
        row = count_totals(kind, parameters.clients_per_round) * trace.value_bytes
        largest = max(output, 2 * chunk + _count_blocks(kind) * block, row + 2 * chunk)
    return largest + _ENVELOPE_BYTES


def _count_blocks(kind: TotalsKind) -> int:
    """Updates of which a step proof opens a block, at most."""
    return 1 if kind == TotalsKind.NORMS else 2


def _compute_path_bytes(shape: Shape) -> int:
    return _PATH_ENTRY_BYTES * (shape.chunks - 1).bit_length() + _OPENING_OVERHEAD_BYTES


def compute_proof_operations(parameters: transaction_pb2.TaskParameters) -> int:
    """Work of judging the most expensive proof of such a task, in values read."""
    rule, updates = parse_rule(parameters.rule), parameters.clients_per_round
    output = output_operations(rule, updates, parameters.chunk_values)
    if not rule.totals:
        return output
    return max(output, _count_blocks(rule.totals) * traces.BLOCK_VALUES, rule.weight_operations(updates))
