"""CommitVote: a validator binds itself to its vote before anyone can see another one."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.challenges import put_challenge
from abci_app.state.keyspace import attempt_key, task_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_voter, validate_digest
from optfl import errors
from optfl.ballots import verify_ballot
from optfl.votes import build_ballot
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.CommitVote) -> None:
    validate_digest(message.commitment, "commitment")


def check(state: State, call: Call, message: transaction_pb2.CommitVote) -> tuple[state_pb2.Challenge, int]:
    """Return the challenge and the sender's index among its voters."""
    challenge, index = check_voter(
        state, message.task_id, message.attempt_id, call.sender, state_pb2.CHALLENGE_STATUS_COMMITTING
    )
    if challenge.voters[index].commitment:
        raise errors.AlreadyVoted(f"a vote on attempt {message.attempt_id} is committed and cannot be replaced")
    parameters = state.tasks[task_key(message.task_id)].parameters
    if parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT and not challenge.seed:
        raise errors.WrongVotePhase(
            f"the projection of the vote on attempt {message.attempt_id} is not drawn yet; await its seed"
        )
    attempt = state.attempts[attempt_key(message.task_id, message.attempt_id)]  # kept while its challenge is live
    ballot = build_ballot(state.params.chain_id, attempt, message.commitment)
    if not verify_ballot(call.public_key, ballot, message.signature):
        raise errors.BadBallots("sign the ballot of this commitment with the validator's account key")
    return challenge, index


def apply(
    state: State, call: Call, message: transaction_pb2.CommitVote, found: tuple[state_pb2.Challenge, int]
) -> None:
    challenge, index = found
    challenge.voters[index].commitment = message.commitment
    put_challenge(state, challenge)
    state.emit("vote_committed", task=message.task_id, attempt=message.attempt_id, voter=call.sender)
