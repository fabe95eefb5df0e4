"""Checks that several kinds share."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from optfl import errors
from optfl.ballots import DIGEST_BYTES
from optfl.certificates import CertificateError, Statement, check_certificate
from optfl.keys import ADDRESS_BYTES
from optfl.tasks import MODEL_BLOB, TRACE_BLOB, replica_quorum
from optfl.vectors import Shape, compute_vector_id
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2

ROOT_BYTES = 32
MAX_INPUTS = 1000  # of a round: the most clients that a task may draw
ROLE_NAMES: dict[int, str] = {
    transaction_pb2.ROLE_VALIDATOR: "validator",
    transaction_pb2.ROLE_AGGREGATOR: "aggregator",
    transaction_pb2.ROLE_REPLICA: "replica",
    transaction_pb2.ROLE_CLIENT: "client",
}


def validate_address(value: bytes, field: str) -> None:
    if len(value) != ADDRESS_BYTES:
        raise errors.InvalidField(f"{field} has {len(value)} bytes; an address has {ADDRESS_BYTES}")


def validate_root(value: bytes, field: str) -> None:
    if len(value) != ROOT_BYTES:
        raise errors.InvalidField(f"{field} has {len(value)} bytes; a Merkle root has {ROOT_BYTES}")


def validate_digest(value: bytes, field: str) -> None:
    if len(value) != DIGEST_BYTES:
        raise errors.InvalidField(f"{field} has {len(value)} bytes; a SHA-256 digest has {DIGEST_BYTES}")


def validate_positive(value: int, field: str) -> None:
    if value == 0:
        raise errors.InvalidField(f"{field} is 0; give at least 1")


def validate_role(role: int) -> None:
    if role not in ROLE_NAMES:
        raise errors.InvalidField(f"role {role} is unknown; use one of {', '.join(ROLE_NAMES.values())}")


def validate_blobs(message: transaction_pb2.DemandBlob | transaction_pb2.AnswerDemand) -> None:
    inputs = list(message.inputs)
    if not get_blobs(message):
        raise errors.InvalidField("no blob is named: give selection indices of updates, or an attempt's model or trace")
    if len(inputs) > MAX_INPUTS or inputs != sorted(set(inputs)):
        raise errors.InvalidField(f"inputs are selection indices, ascending, each once, at most {MAX_INPUTS}")
    if (message.model or message.trace) and message.attempt_id == 0:
        raise errors.InvalidField("a turn has no model yet; a round's base is the model of the attempt that made it")


def get_blobs(message: transaction_pb2.DemandBlob | transaction_pb2.AnswerDemand) -> list[int]:
    """Numbers of the blobs that are named, as demands have them, ascending."""
    return [
        *message.inputs,
        *([TRACE_BLOB] if message.trace else []),
        *([MODEL_BLOB] if message.model else []),
    ]


def check_balance(state: State, address: bytes, amount: int) -> None:
    balance = tokens.get_balance(state, address)
    if balance < amount:
        raise errors.InsufficientBalance(f"{amount} tokens are needed beside the fee; the balance is {balance}")


def check_stake(state: State, role: int, address: bytes) -> state_pb2.Stake:
    stake = state.stakes.get(stake_key(role, address))
    if stake is None:
        raise errors.NotRegistered(f"{address.hex()} is no {ROLE_NAMES[role]}; register the role first")
    return stake


def min_stake(params: state_pb2.Params, role: int) -> int:
    minimums: dict[int, int] = {
        transaction_pb2.ROLE_VALIDATOR: params.min_validator_stake,
        transaction_pb2.ROLE_AGGREGATOR: params.min_aggregator_stake,
        transaction_pb2.ROLE_REPLICA: params.min_replica_stake,
        transaction_pb2.ROLE_CLIENT: params.min_client_stake,
    }
    return minimums[role]


def check_task(state: State, task_id: int) -> state_pb2.Task:
    task = state.tasks.get(task_key(task_id))
    if task is None:
        raise errors.UnknownTask(f"no task {task_id}; `optfl task list` shows those that exist")
    return task


def check_running_task(state: State, task_id: int) -> state_pb2.Task:
    task = check_task(state, task_id)
    if task.status != state_pb2.TASK_STATUS_RUNNING:
        status = state_pb2.TaskStatus.Name(task.status).removeprefix("TASK_STATUS_").lower()
        raise errors.WrongTaskStatus(f"task {task_id} is {status}, not running")
    return task


def check_round(state: State, task_id: int, number: int, parent_attempt: int, status: int) -> state_pb2.Round:
    current = state.rounds.get(round_key(task_id, number))
    if current is None:
        raise errors.UnknownRound(f"task {task_id} has no live round {number}; query the task for those it has")
    if current.parent_attempt != parent_attempt:
        raise errors.StaleBase(
            f"round {number} builds on attempt {current.parent_attempt}, not {parent_attempt}; fetch that model again"
        )
    if current.status != status:
        raise errors.WrongRoundStatus(
            f"round {number} is {_status_name(current.status)}; this is taken while it is {_status_name(status)}"
        )
    return current


def check_attempt(state: State, task: state_pb2.Task, attempt_id: int) -> state_pb2.Attempt:
    attempt = state.attempts.get(attempt_key(task.task_id, attempt_id))
    if attempt is None:
        raise errors.UnknownAttempt(f"task {task.task_id} has no attempt {attempt_id} on record")
    return attempt


def check_voter(
    state: State, task_id: int, attempt_id: int, sender: bytes, status: int
) -> tuple[state_pb2.Challenge, int]:
    """The challenge of an attempt, which must be in phase `status`, and the sender's index among its voters."""
    task = check_task(state, task_id)
    challenge = state.challenges.get(attempt_key(task.task_id, attempt_id))
    if challenge is None:
        raise errors.UnknownChallenge(f"nobody challenges attempt {attempt_id} of task {task_id}; see its challenges")
    if challenge.status != status:
        phase, expected = (
            state_pb2.ChallengeStatus.Name(s).removeprefix("CHALLENGE_STATUS_").lower()
            for s in (challenge.status, status)
        )
        raise errors.WrongVotePhase(
            f"the vote on attempt {attempt_id} is {phase}; this is taken while it is {expected}"
        )
    operators = [voter.operator for voter in challenge.voters]
    if sender not in operators:
        raise errors.NotVoter(f"{sender.hex()} had no voting power when attempt {attempt_id} was challenged")
    return challenge, operators.index(sender)


def _status_name(status: int) -> str:
    return state_pb2.RoundStatus.Name(status).removeprefix("ROUND_STATUS_").lower()


def check_stored(
    state: State,
    task: state_pb2.Task,
    height: int,
    *,
    round_number: int,
    owner: bytes,
    shape: Shape,
    root: bytes,
    certificate: receipt_pb2.Certificate,
) -> None:
    """Raise unless a quorum of the task's replicas certifies the vector with `root`, for as long as it may be evidence.

    The vector id is derived from the task's shape, never taken from the sender (A3); owner and round are bound by the
    receipts, so that nobody's certificate serves anybody else or another round (red team I4).
    """
    needed = height + task.retention_blocks
    if certificate.retain_until_height < needed:
        raise errors.RetentionTooShort(
            f"the receipts end at height {certificate.retain_until_height}; store it again until at least {needed}"
        )
    statement = Statement(
        chain_id=state.params.chain_id,
        task_id=task.task_id,
        round=round_number,
        owner=owner,
        vector_id=compute_vector_id(shape, root),
        size_bytes=shape.size_bytes,
        retain_until_height=certificate.retain_until_height,
    )
    keys = [state.stakes[stake_key(transaction_pb2.ROLE_REPLICA, r)].public_key for r in task.parameters.replicas]
    try:
        check_certificate(certificate, statement, keys, replica_quorum(task.parameters))
    except CertificateError as error:
        raise errors.BadCertificate(f"{error}; put the blob at the task's replicas and send what they sign") from None
