"""OpenChallenge: with a bond, anyone has the validators recompute an open attempt and vote on it.  # seed 001, Alg. 2

There is one vote on an attempt; whoever doubts it too joins, so that serial challenges cost nobody a second vote (V6).
"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.challenges import MAX_CHALLENGERS, is_live, open_challenge, put_challenge
from abci_app.state.keyspace import attempt_key, round_key, task_key
from abci_app.state.rounds import was_window_over
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_attempt, check_balance, check_task
from optfl import errors
from optfl.tasks import authors_of
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.OpenChallenge) -> None:
    pass  # a task id and an attempt id


def check(state: State, call: Call, message: transaction_pb2.OpenChallenge) -> state_pb2.Challenge | None:
    """Return the challenge to join, or None if this one opens it."""
    task = check_task(state, message.task_id)
    attempt = check_attempt(state, task, message.attempt_id)
    if not authors_of(attempt):
        raise errors.NotConvictable(f"attempt {attempt.attempt_id} is a round dropped without fault")
    if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN:
        raise errors.NotConvictable(f"attempt {attempt.attempt_id} is not open any more; there is nothing to void")
    challenge = state.challenges.get(attempt_key(task.task_id, attempt.attempt_id))
    if challenge is not None:
        _check_join(challenge, call.sender)
    current = state.rounds[round_key(task.task_id, attempt.round)]
    if was_window_over(state, current.window_open_height, current.window_close_height, call.height):
        raise errors.WindowOver(f"the window of attempt {attempt.attempt_id} is over")
    check_balance(state, call.sender, task.parameters.challenge_bond)
    return challenge


def _check_join(challenge: state_pb2.Challenge, sender: bytes) -> None:
    if not is_live(challenge):
        raise errors.AlreadyChallenged(f"attempt {challenge.attempt_id} was voted on; there is one vote on an attempt")
    if not challenge.bonds:
        raise errors.AlreadyChallenged(f"the ledger itself has put attempt {challenge.attempt_id} to a vote; await it")
    if challenge.status != state_pb2.CHALLENGE_STATUS_COMMITTING:
        raise errors.WrongVotePhase(
            f"the votes on attempt {challenge.attempt_id} are being revealed; await the verdict"
        )
    if any(bond.address == sender for bond in challenge.bonds):
        raise errors.AlreadyChallenged(f"this account challenges attempt {challenge.attempt_id} already")
    if len(challenge.bonds) >= MAX_CHALLENGERS:
        raise errors.TooManyChallengers(f"{MAX_CHALLENGERS} accounts challenge attempt {challenge.attempt_id} already")


def apply(state: State, call: Call, message: transaction_pb2.OpenChallenge, found: state_pb2.Challenge | None) -> None:
    task = state.tasks[task_key(message.task_id)]
    bond = state_pb2.Bond(address=call.sender, amount=task.parameters.challenge_bond)
    tokens.debit(state, call.sender, bond.amount)
    if found is None:
        attempt = state.attempts[attempt_key(message.task_id, message.attempt_id)]
        open_challenge(state, task, attempt, call.height, [bond])
        return
    found.bonds.append(bond)
    put_challenge(state, found)
    state.emit("challenge_joined", task=message.task_id, attempt=message.attempt_id, challenger=call.sender)
