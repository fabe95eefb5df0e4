"""RevealVote: a validator shows the vote that it committed to, once nobody can commit any more."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.challenges import put_challenge
from abci_app.state.keyspace import task_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_voter
from optfl import errors
from optfl.votes import SALT_BYTES, VoteError, check_vote, compute_commitment
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.RevealVote) -> None:
    if len(message.salt) != SALT_BYTES:
        raise errors.InvalidField(f"salt has {len(message.salt)} bytes; it has {SALT_BYTES}")
    if message.vote.WhichOneof("choice") is None:
        raise errors.BadReveal("the vote is empty; reveal the result that was committed to")


def check(state: State, call: Call, message: transaction_pb2.RevealVote) -> tuple[state_pb2.Challenge, int]:
    """Return the challenge and the sender's index among its voters."""
    challenge, index = check_voter(
        state, message.task_id, message.attempt_id, call.sender, state_pb2.CHALLENGE_STATUS_REVEALING
    )
    voter = challenge.voters[index]
    if voter.HasField("vote"):
        raise errors.AlreadyVoted(f"the vote on attempt {message.attempt_id} is revealed and cannot be replaced")
    if not voter.commitment:
        raise errors.BadReveal(
            f"no vote on attempt {message.attempt_id} was committed in time; this one counts as none"
        )
    commitment = compute_commitment(
        state.params.chain_id, message.task_id, message.attempt_id, call.sender, message.vote, message.salt
    )
    if commitment != voter.commitment:
        raise errors.BadReveal("vote and salt are not those of the commitment; reveal what was committed to")
    try:
        check_vote(state.tasks[task_key(message.task_id)].parameters, message.vote)
    except VoteError as error:
        raise errors.BadReveal(str(error)) from None
    return challenge, index


def apply(
    state: State, call: Call, message: transaction_pb2.RevealVote, found: tuple[state_pb2.Challenge, int]
) -> None:
    challenge, index = found
    challenge.voters[index].vote.CopyFrom(message.vote)
    put_challenge(state, challenge)
    choice = message.vote.WhichOneof("choice") or ""
    state.emit("vote_revealed", task=message.task_id, attempt=message.attempt_id, voter=call.sender, choice=choice)
