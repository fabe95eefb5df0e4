"""Challenges by vote: what opening one records, whoever opens it, and whose stakes answer for it."""

from __future__ import annotations

from collections.abc import Sequence

from abci_app.state.keyspace import attempt_key, stake_key
from abci_app.state.state import State
from optfl.wire import state_pb2, transaction_pb2

MAX_CHALLENGERS = 16


def open_challenge(
    state: State,
    task: state_pb2.Task,
    attempt: state_pb2.Attempt,
    height: int,
    bonds: Sequence[state_pb2.Bond] = (),
) -> None:
    """Call the validators of this height to vote on `attempt`. Without bonds it is the ledger that asks."""
    voters = [state_pb2.Voter(operator=v.operator, power=v.power) for _, v in state.validators.items() if v.power > 0]
    challenge = state_pb2.Challenge(
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        round=attempt.round,
        status=state_pb2.CHALLENGE_STATUS_COMMITTING,
        bonds=bonds,
        open_height=height,
        commit_deadline_height=height + task.parameters.vote_commit_blocks,
        voters=voters,
    )
    put_challenge(state, challenge)
    hold_voters(state, challenge, challenge.commit_deadline_height + task.parameters.vote_reveal_blocks)
    state.emit(
        "challenge_opened",
        task=attempt.task_id,
        round=attempt.round,
        attempt=attempt.attempt_id,
        challenger=bonds[0].address if bonds else b"",
        commit_deadline_height=challenge.commit_deadline_height,
    )


def hold_voters(state: State, challenge: state_pb2.Challenge, deadline_height: int) -> None:
    """Voters answer with their stakes for what they sign, as long as somebody may show two of their ballots (L6)."""
    for voter in challenge.voters:
        hold_stake(
            state, transaction_pb2.ROLE_VALIDATOR, voter.operator, deadline_height + state.params.evidence_blocks
        )


def put_challenge(state: State, challenge: state_pb2.Challenge) -> None:
    state.challenges.put(attempt_key(challenge.task_id, challenge.attempt_id), challenge)


def is_live(challenge: state_pb2.Challenge) -> bool:
    return challenge.status != state_pb2.CHALLENGE_STATUS_DECIDED


def has_live_challenge(state: State, attempt: state_pb2.Attempt) -> bool:
    challenge = state.challenges.get(attempt_key(attempt.task_id, attempt.attempt_id))
    return challenge is not None and is_live(challenge)


def hold_stake(state: State, role: int, address: bytes, height: int) -> None:
    """Release nothing of this stake up to and including `height`."""
    stake = state.stakes.get(stake_key(role, address))
    if stake is not None and stake.evidence_height < height:
        stake.evidence_height = height
        state.stakes.put(stake_key(role, address), stake)
