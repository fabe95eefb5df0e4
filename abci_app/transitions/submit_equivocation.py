"""SubmitEquivocation: two ballots that answer one question differently cost their signer a part of its stake, once.

Whoever follows the protocol signs one answer to each question, so nobody honest is ever hurt by this (V3).
"""

from __future__ import annotations

import hashlib

from abci_app.state import State, tokens
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_stake, check_task, validate_address, validate_digest
from optfl import errors
from optfl.ballots import encode_ballot, is_equivocation, strip_digest, verify_ballot
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.SubmitEquivocation) -> None:
    validate_address(message.member, "member")
    validate_digest(message.first.digest, "first.digest")
    validate_digest(message.second.digest, "second.digest")
    if not is_equivocation(message.first, message.second):
        raise errors.NotEquivocation("the ballots have to answer the same question, and to differ in their digest")


def check(state: State, call: Call, message: transaction_pb2.SubmitEquivocation) -> tuple[bytes, int]:
    """Return the offence's key and the role in which it was committed."""
    if message.first.chain_id != state.params.chain_id:
        raise errors.NotEquivocation(f"the ballots are of chain {message.first.chain_id!r}; this is another one")
    task = check_task(state, message.first.task_id)
    role = _get_role(task, message.member, message.first.kind)
    stake = check_stake(state, role, message.member)
    key = compute_offence_key(message.member, message.first)
    if key in state.equivocations:
        raise errors.AlreadyPunished(f"{message.member.hex()} was slashed for this already; save the fee")
    for ballot, signature in ((message.first, message.first_signature), (message.second, message.second_signature)):
        if not verify_ballot(stake.public_key, ballot, signature):
            raise errors.NotEquivocation(f"{message.member.hex()} has not signed both ballots")
    return key, role


def _get_role(task: state_pb2.Task, member: bytes, kind: int) -> int:
    """The role in which a member signs such a ballot."""
    if kind == transaction_pb2.BALLOT_KIND_COMMITMENT:
        return transaction_pb2.ROLE_VALIDATOR
    if kind != transaction_pb2.BALLOT_KIND_AGGREGATE:
        raise errors.NotEquivocation(f"nobody signs ballots of kind {kind}")
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        return transaction_pb2.ROLE_VALIDATOR
    if task.parameters.mode != transaction_pb2.MODE_QUORUM:
        raise errors.WrongMode(f"task {task.task_id} is optimistic; its models are not signed by ballot")
    if member not in task.parameters.aggregators:
        raise errors.NotEquivocation(
            f"{member.hex()} is no aggregator of task {task.task_id}; its ballots count nothing"
        )
    return transaction_pb2.ROLE_AGGREGATOR


def compute_offence_key(member: bytes, ballot: transaction_pb2.Ballot) -> bytes:
    """One question, one slash, however many answers were signed (L7)."""
    return hashlib.sha256(member + encode_ballot(strip_digest(ballot))).digest()


def apply(state: State, call: Call, message: transaction_pb2.SubmitEquivocation, found: tuple[bytes, int]) -> None:
    key, role = found
    slashed = tokens.slash(state, role, message.member, state.params.equivocation_slash_percent)
    reward = slashed * state.params.reporter_percent // 100
    tokens.credit(state, call.sender, reward)
    tokens.burn(state, slashed - reward)
    state.equivocations.put(key, state_pb2.Equivocation(member=message.member, height=call.height, slashed=slashed))
    state.emit(
        "member_equivocated",
        task=message.first.task_id,
        role=ROLE_NAMES[role],
        member=message.member,
        reporter=call.sender,
        slashed=slashed,
        reward=reward,
    )
