"""SubmitCertifiedAggregate: modes quorum and pbft. The round's model, with enough members' signatures for its root.

The first valid one makes the round's attempt, whoever sends it. There is no window to wait for: of enough members one
is honest and has computed this root itself. (seed 002's validity proof; seed 001's baseline, where everybody computes.)
"""

from __future__ import annotations

from typing import NamedTuple

from abci_app.state import State
from abci_app.state.challenges import hold_stake
from abci_app.state.members import get_author_role, get_members, may_sign
from abci_app.state.rounds import open_window
from abci_app.transitions.call import Call
from abci_app.transitions.claims import build_claimed_attempt, check_claim, check_totals, validate_claim
from abci_app.transitions.fields import check_round, check_running_task
from optfl import errors
from optfl.ballots import build_aggregate_question, compute_aggregate_digest, verify_ballot
from optfl.tasks import are_enough_signers
from optfl.wire import state_pb2, transaction_pb2


class Found(NamedTuple):
    """What the checks have read."""

    task: state_pb2.Task
    current: state_pb2.Round


def validate(message: transaction_pb2.SubmitCertifiedAggregate) -> None:
    validate_claim(message)
    signers = [given.member for given in message.signatures]
    if signers != sorted(set(signers)):
        raise errors.BadBallots("order the signatures by member, ascending, each member once")


def check(state: State, call: Call, message: transaction_pb2.SubmitCertifiedAggregate) -> Found:
    task = check_running_task(state, message.task_id)
    if task.parameters.mode == transaction_pb2.MODE_OPTIMISTIC:
        raise errors.WrongMode(f"task {task.task_id} is optimistic; whose turn it is sends SubmitAggregate")
    current = check_round(
        state, task.task_id, message.round, message.parent_attempt, state_pb2.ROUND_STATUS_AGGREGATING
    )
    if current.turn != message.turn:
        raise errors.NotYourTurn(f"round {message.round} is at turn {current.turn}, not {message.turn}; sign again")
    check_totals(message, task)
    _check_ballots(state, task, current, message)  # of members alone: a claim takes longer to check than a ballot
    check_claim(state, call, message, task, current)
    return Found(task, current)


def _check_ballots(
    state: State,
    task: state_pb2.Task,
    current: state_pb2.Round,
    message: transaction_pb2.SubmitCertifiedAggregate,
) -> None:
    """Raise unless enough members that can answer for it have signed this root. Signatures are verified last."""
    members = get_members(state, task)
    by_address = {member.address: member for member in members}
    signers = []
    for given in message.signatures:
        member = by_address.get(given.member)
        if member is None or not may_sign(state, task, member):
            raise errors.BadBallots(
                f"{given.member.hex()} is no member of task {task.task_id}, or excluded; leave it out"
            )
        signers.append(member)
    if not are_enough_signers(task.parameters, members, [signer.address for signer in signers]):
        raise errors.BadBallots(f"{len(signers)} of {len(members)} members have signed; collect more of their ballots")
    ballot = build_aggregate_question(state.params.chain_id, current)
    reduction = message.reduction if message.HasField("reduction") else None
    ballot.digest = compute_aggregate_digest(message.model_root, reduction)
    for member, given in zip(signers, message.signatures, strict=True):
        if not verify_ballot(member.public_key, ballot, given.signature):
            raise errors.BadBallots(
                f"{member.address.hex()} has not signed this root for turn {current.turn}, restart {current.restarts}"
            )


def apply(state: State, call: Call, message: transaction_pb2.SubmitCertifiedAggregate, found: Found) -> None:
    task, current = found
    attempt = build_claimed_attempt(state, call, message, task, current)
    attempt.signers.extend(given.member for given in message.signatures)
    open_window(state, task, current, attempt, window_blocks=0)
    # Nothing of these stakes is released while the attempt can be proven wrong.
    for signer in attempt.signers:
        hold_stake(state, get_author_role(task), signer, attempt.evidence_height)
