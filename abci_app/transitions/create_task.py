"""CreateTask: a requester describes a task and puts its escrow up. It runs once StartTask shows that G_0 is stored."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import task_key
from abci_app.state.participants import MAX_AGGREGATORS, MAX_PARTICIPANTS
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_balance, validate_address, validate_root
from optfl import errors, tasks
from optfl.fees import compute_fee
from optfl.rules import Rule, RuleError, parse_rule
from optfl.transactions import MAX_TRANSACTION_BYTES
from optfl.vectors import MAX_VECTOR_BYTES
from optfl.votes import MAX_EPSILON
from optfl.wire import state_pb2, transaction_pb2

MAX_LIVE_TASKS = 64  # each is visited at every block's end
MAX_NAME_BYTES = 64
MAX_TOKENS = 1 << 62  # no sum of rewards may overflow a field of 64 bits
VOTE_BYTES = (512, 4096)  # of a commitment and of a reveal, at most
MAX_RETENTION_BLOCKS = (1 << 32) - 1  # what a task's record can hold

# Inclusive bounds of each number. They keep every loop, key and product in the ledger small (invariant 8).
_BOUNDS = {
    "length": (1, 1 << 27),
    "chunk_values": (16, 1 << 16),
    "fraction_bits": (0, 30),
    "rounds": (1, 100_000),
    "clients_per_round": (1, 1000),
    "min_updates": (1, 1000),
    "max_weight": (1, 1 << 20),
    "training_blocks": (1, 1_000_000),
    "aggregation_blocks": (1, 1_000_000),
    "min_window_blocks": (1, 1_000_000),
    "window_factor_percent": (0, 10_000),
    "max_attempts": (1, 100),
    "pause_blocks": (1, 1_000_000),
    "bandwidth_bytes_per_second": (1, 1 << 40),
    "aggregator_reward": (0, 1 << 48),
    "client_reward": (0, 1 << 48),
    "validator_reward": (0, 1 << 48),
    "replica_reward": (0, 1 << 48),
    "mode": (0, 2),
    "arithmetic": (0, 1),
    "rotation": (0, 1),
    "vote_epsilon": (0, 1 << 48),
    "vote_theta": (0, 1 << 48),
    "vote_commit_blocks": (1, 1_000_000),
    "vote_reveal_blocks": (1, 1_000_000),
    "demand_blocks": (1, 1_000_000),
    "min_safety_percent": (0, 100),
    "min_round_blocks": (1, 1_000_000),
    "challenge_bond": (1, 1 << 48),
    "demand_bond": (1, 1 << 48),
    "update_bits": (0, 16),
    "update_shift": (0, tasks.MAX_UPDATE_SHIFT),
}
_MAX_PARTICIPANTS = {"aggregators": MAX_AGGREGATORS, "clients": MAX_PARTICIPANTS, "replicas": 64}


def validate(message: transaction_pb2.CreateTask) -> None:
    parameters = message.parameters
    validate_root(message.initial_model_root, "initial_model_root")
    if len(parameters.name.encode()) > MAX_NAME_BYTES:
        raise errors.InvalidField(f"name is longer than {MAX_NAME_BYTES} bytes")
    for field, (low, high) in _BOUNDS.items():
        if not low <= getattr(parameters, field) <= high:
            raise errors.InvalidTaskParameters(f"{field} is {getattr(parameters, field)}; use {low} to {high}")
    if parameters.chunk_values & (parameters.chunk_values - 1):
        raise errors.InvalidTaskParameters(f"chunk_values is {parameters.chunk_values}; use a power of two")
    if parameters.update_bits not in (0, 8, 16):
        raise errors.InvalidTaskParameters(f"update_bits is {parameters.update_bits}; use 8 or 16")
    if parameters.update_shift and parameters.update_bits != 8:
        raise errors.InvalidTaskParameters(
            f"update_shift is {parameters.update_shift}, but only updates of 8 bits are shifted; use 0"
        )
    for field, most in _MAX_PARTICIPANTS.items():
        _validate_participants(field, list(getattr(parameters, field)), most)
    listed = len(parameters.aggregators)
    if parameters.mode == transaction_pb2.MODE_QUORUM and listed > 0 and listed % 2 == 0:
        raise errors.InvalidTaskParameters(
            f"{listed} aggregators tolerate no more faulty ones than {listed - 1} do; name 2f+1"
        )
    _validate_rule(parameters)
    if tasks.compute_escrow(parameters) > MAX_TOKENS:
        raise errors.InvalidTaskParameters("rounds times rewards is more than any account can hold")
    if not parameters.replicas:
        raise errors.InvalidTaskParameters("replicas is empty; name 3f+1 registered replicas to tolerate f faulty ones")


def _validate_participants(field: str, addresses: list[bytes], most: int) -> None:
    if len(addresses) > most:
        raise errors.InvalidTaskParameters(f"{len(addresses)} {field}; name at most {most}")
    if len(set(addresses)) < len(addresses):
        raise errors.InvalidTaskParameters(f"an account stands twice in {field}")
    for address in addresses:
        validate_address(address, field)


def _validate_rule(parameters: transaction_pb2.TaskParameters) -> None:
    is_float = parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT
    minimum = 1 if is_float else _parse(parameters.rule).minimum_updates
    if not is_float and parameters.clients_per_round > (most := _parse(parameters.rule).maximum_updates):
        raise errors.InvalidTaskParameters(
            f"clients_per_round is {parameters.clients_per_round}; {parameters.rule} is defined for {most} at most"
        )
    if not minimum <= parameters.min_updates <= parameters.clients_per_round:
        raise errors.InvalidTaskParameters(
            f"min_updates is {parameters.min_updates}; {parameters.rule} needs {minimum}, "
            f"and clients_per_round is {parameters.clients_per_round}"
        )
    if parameters.clients and len(parameters.clients) < parameters.clients_per_round:
        raise errors.InvalidTaskParameters(
            f"clients_per_round is {parameters.clients_per_round}, but {len(parameters.clients)} clients are allowed"
        )
    if is_float:
        _validate_plugin(parameters)
    elif (size := tasks.compute_proof_bytes(parameters)) > MAX_TRANSACTION_BYTES:
        raise errors.ProofTooLarge(
            f"a fraud proof would take {size} bytes of at most {MAX_TRANSACTION_BYTES}; "
            "use a smaller chunk_values or fewer clients_per_round"
        )
    elif tasks.needs_totals(parameters):
        size = tasks.trace_shape(parameters, parameters.clients_per_round).size_bytes
        if size > MAX_VECTOR_BYTES:
            raise errors.InvalidTaskParameters(
                f"a trace would take {size} bytes, replicas take {MAX_VECTOR_BYTES}; use fewer clients_per_round"
            )


def _validate_plugin(parameters: transaction_pb2.TaskParameters) -> None:
    """A float aggregator: the ledger knows its name alone, so only votes convict, within a tolerance."""
    if tasks.parse_plugin(parameters.rule) is None:
        raise errors.InvalidRule(
            f"{parameters.rule!r} names no float aggregator; write float(name), name of a-z, 0-9 and _, 32 at most"
        )
    if parameters.mode != transaction_pb2.MODE_OPTIMISTIC:
        raise errors.InvalidTaskParameters("a float task is optimistic: no two machines sign the same model root")
    if not 1 <= parameters.vote_epsilon <= MAX_EPSILON:
        raise errors.InvalidTaskParameters(f"vote_epsilon is {parameters.vote_epsilon}; use 1 to {MAX_EPSILON}")
    # A median of votes that are ε apart can lie further than ε from every one of them (red team V7).
    if parameters.vote_theta < 2 * parameters.vote_epsilon:
        raise errors.InvalidTaskParameters(
            f"vote_theta is {parameters.vote_theta}; use at least twice vote_epsilon, {2 * parameters.vote_epsilon}"
        )


def _parse(rule: str) -> Rule:
    try:
        return parse_rule(rule)
    except RuleError as error:
        raise errors.InvalidRule(str(error)) from None


def check(state: State, call: Call, message: transaction_pb2.CreateTask) -> int:
    parameters = message.parameters
    minimum = tasks.compute_min_window_blocks(parameters, state.params.block_time_ms)
    for field in ("min_window_blocks", "vote_commit_blocks", "demand_blocks"):
        if getattr(parameters, field) < minimum:
            raise errors.InvalidTaskParameters(
                f"{field} is {getattr(parameters, field)}; at this bandwidth a watcher needs {minimum}"
            )
    voters = sum(validator.power > 0 for _, validator in state.validators.items())
    fees = voters * sum(compute_fee(state.params, size) for size in VOTE_BYTES)
    if parameters.challenge_bond < 2 * fees:
        # Half of it goes to those who voted. For less, whoever makes a task has them all work and pay for it.
        raise errors.InvalidTaskParameters(
            f"challenge_bond is {parameters.challenge_bond}; half of it has to cover {voters} voters' fees, {fees}"
        )
    retention = tasks.compute_retention_blocks(parameters, state.params.evidence_blocks)
    if retention > MAX_RETENTION_BLOCKS:
        raise errors.InvalidTaskParameters(
            f"replicas would have to keep blobs for {retention} blocks of at most {MAX_RETENTION_BLOCKS}; "
            "use shorter deadlines, a smaller window_factor_percent or fewer attempts"
        )
    if parameters.arithmetic == transaction_pb2.ARITHMETIC_EXACT:
        _check_operations(state, parameters)
    if len(state.chain.live_tasks) >= MAX_LIVE_TASKS:
        raise errors.InvalidTaskParameters(f"{MAX_LIVE_TASKS} tasks are live; wait until one has ended")
    escrow = tasks.compute_escrow(parameters)
    if escrow < state.params.min_task_escrow:
        raise errors.InvalidTaskParameters(
            f"rounds times rewards is {escrow}; a task's escrow is at least {state.params.min_task_escrow}"
        )
    check_balance(state, call.sender, escrow)
    return escrow


def _check_operations(state: State, parameters: transaction_pb2.TaskParameters) -> None:
    operations = tasks.compute_proof_operations(parameters)
    if operations > state.params.max_proof_operations:
        raise errors.ProofTooLarge(
            f"a fraud proof would take {operations} operations of at most {state.params.max_proof_operations}; "
            "use a smaller chunk_values or fewer clients_per_round"
        )


def apply(state: State, call: Call, message: transaction_pb2.CreateTask, found: int) -> bytes:
    chain = state.chain
    task = state_pb2.Task(
        task_id=chain.next_task_id,
        requester=call.sender,
        parameters=message.parameters,
        status=state_pb2.TASK_STATUS_CREATED,
        escrow=found,
        next_attempt_id=1,
        initial_model_root=message.initial_model_root,
        created_height=call.height,
        retention_blocks=tasks.compute_retention_blocks(message.parameters, state.params.evidence_blocks),
        # Each task has its own part of a stake: whatever it pays, a lie costs the minimum at least.
        required_stake=max(tasks.compute_required_stake(message.parameters), state.params.min_aggregator_stake),
    )
    chain.next_task_id += 1
    chain.live_tasks.append(task.task_id)
    state.put_chain(chain)
    tokens.debit(state, call.sender, found)
    state.tasks.put(task_key(task.task_id), task)
    state.emit("task_created", task=task.task_id, requester=call.sender, escrow=found)
    return task_key(task.task_id)
