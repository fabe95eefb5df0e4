"""Challenges by vote: from phase to phase, and what a verdict does.  # seed 001, Alg. 2 and 3, with A7

A vote counts what was revealed when its deadline comes, or as soon as all who committed have revealed; never earlier,
however many agree (V2). Nobody who votes is slashed for how it votes: silence, abstention and the minority lose their
pay for the round (V3), and only two different ballots cost stake (`submit_equivocation`).
"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.challenges import hold_stake, hold_voters, is_live, open_challenge, put_challenge
from abci_app.state.keyspace import attempt_key, round_key, task_key
from abci_app.state.members import get_author_role
from abci_app.state.rounds import is_window_over
from abci_app.transitions.call import BlockContext, Conviction, Reporter, Voiding
from optfl.tasks import authors_of
from optfl.votes import Decision, decide
from optfl.wire import state_pb2, transaction_pb2

MOOT = Decision(state_pb2.VERDICT_MOOT, ())


def process_votes(state: State, block: BlockContext) -> None:
    _open_challenges(state, block)
    for key, challenge in state.challenges.items():
        if is_live(challenge):
            _process_challenge(state, block, challenge, state.attempts[key])  # kept while its challenge is live


def _process_challenge(
    state: State, block: BlockContext, challenge: state_pb2.Challenge, attempt: state_pb2.Attempt
) -> None:
    if not challenge.seed and _is_seed_due(state, block, attempt):
        _draw_seed(state, block, challenge)
    # However long the vote takes, there is somebody to convict at its end.
    role = get_author_role(state.tasks[task_key(attempt.task_id)])
    for author in authors_of(attempt):
        hold_stake(state, role, author, block.height)
    if _is_convicted(block, attempt):
        _close(state, block, challenge, attempt, MOOT)
    elif challenge.status == state_pb2.CHALLENGE_STATUS_COMMITTING:
        if _has_all_committed(challenge) or is_window_over(
            state, challenge.open_height, challenge.commit_deadline_height, block.height
        ):
            _start_reveals(state, block, challenge)
    elif _has_all_revealed(challenge) or is_window_over(
        state, challenge.reveal_start_height, challenge.reveal_deadline_height, block.height
    ):
        task = state.tasks[task_key(attempt.task_id)]
        _close(state, block, challenge, attempt, decide(task.parameters, attempt.model_root, challenge.voters))


def _is_seed_due(state: State, block: BlockContext, attempt: state_pb2.Attempt) -> bool:
    """Float: somebody honest has proposed since the claimed model was fixed.

    Who proposes the blocks of the model and of the challenge knows their beacons before, and could claim a model whose
    difference from the honest one the projection does not see (V8). Roots need no projection.
    """
    if not _is_float(state, attempt):
        return True
    return is_window_over(state, attempt.submit_height, attempt.submit_height, block.height)


def _draw_seed(state: State, block: BlockContext, challenge: state_pb2.Challenge) -> None:
    """Nobody can vote before: the time to commit begins now."""
    task = state.tasks[task_key(challenge.task_id)]
    challenge.seed = block.beacon
    challenge.commit_deadline_height = block.height + task.parameters.vote_commit_blocks
    put_challenge(state, challenge)


def _is_convicted(block: BlockContext, attempt: state_pb2.Attempt) -> bool:
    """By a proof, in this block or before: a vote has nothing left to say (L7)."""
    proven = ((c.attempt.task_id, c.attempt.attempt_id) for c in block.convictions)
    return attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED or (attempt.task_id, attempt.attempt_id) in proven


def _has_all_committed(challenge: state_pb2.Challenge) -> bool:
    return all(voter.commitment for voter in challenge.voters)


def _has_all_revealed(challenge: state_pb2.Challenge) -> bool:
    return all(voter.HasField("vote") for voter in challenge.voters if voter.commitment)


def _start_reveals(state: State, block: BlockContext, challenge: state_pb2.Challenge) -> None:
    task = state.tasks[task_key(challenge.task_id)]
    challenge.status = state_pb2.CHALLENGE_STATUS_REVEALING
    challenge.reveal_start_height = block.height
    challenge.reveal_deadline_height = block.height + task.parameters.vote_reveal_blocks
    put_challenge(state, challenge)
    hold_voters(state, challenge, challenge.reveal_deadline_height)  # the commitments may have taken longer (A8)
    state.emit(
        "reveals_started",
        task=challenge.task_id,
        attempt=challenge.attempt_id,
        reveal_deadline_height=challenge.reveal_deadline_height,
    )


def _close(
    state: State,
    block: BlockContext,
    challenge: state_pb2.Challenge,
    attempt: state_pb2.Attempt,
    decision: Decision,
) -> None:
    """Record the verdict, settle the bonds, note who is not paid, and hand on what becomes of the attempt."""
    challenge.status = state_pb2.CHALLENGE_STATUS_DECIDED
    challenge.verdict = decision.verdict
    challenge.decided_height = block.height
    for voter in challenge.voters:
        voter.agreed = voter.operator in decision.agreed
        voter.ClearField("vote")
    _settle_bonds(state, challenge)
    put_challenge(state, challenge)
    state.emit(
        "challenge_decided",
        task=challenge.task_id,
        round=challenge.round,
        attempt=challenge.attempt_id,
        verdict=state_pb2.Verdict.Name(decision.verdict).removeprefix("VERDICT_").lower(),
        agreed=len(decision.agreed),
        voters=len(challenge.voters),
    )
    if decision.verdict == state_pb2.VERDICT_MOOT:
        return
    current = state.rounds.get(round_key(attempt.task_id, attempt.round))
    if current is not None and current.attempt_id == attempt.attempt_id:
        _note_unpaid(current, challenge)
        if _is_float(state, attempt) and decision.verdict == state_pb2.VERDICT_NO_QUORUM:
            current.undecided_votes += 1  # the second one drops the round, see `start_turn` (V5)
        state.rounds.put(round_key(attempt.task_id, attempt.round), current)
    _judge_attempt(state, block, challenge, attempt)


def _judge_attempt(
    state: State, block: BlockContext, challenge: state_pb2.Challenge, attempt: state_pb2.Attempt
) -> None:
    """Exact: a vote voids, and only a proof slashes, because whoever lied can be proven to have (V4). No quorum: it
    stands, for the same reason. Float: nothing else can convict; no quorum: it is redone, and nobody is at fault."""
    is_open = attempt.status == state_pb2.ATTEMPT_STATUS_OPEN
    if _is_float(state, attempt):
        if challenge.verdict == state_pb2.VERDICT_UPHELD:  # void meanwhile, it is no less guilty (R3, R10)
            prover = challenge.bonds[0].address if challenge.bonds else b""
            reporters = (Reporter(prover, b"", 1, 1),) if prover else ()  # nobody, if the ledger opened it itself
            block.convictions.append(Conviction(attempt, prover, "vote", reporters))
        elif challenge.verdict == state_pb2.VERDICT_NO_QUORUM and is_open:
            block.voidings.append(Voiding(attempt, "vote", silent=False))
    elif challenge.verdict == state_pb2.VERDICT_UPHELD and is_open:
        block.voidings.append(Voiding(attempt, "vote", silent=False))


def _is_float(state: State, attempt: state_pb2.Attempt) -> bool:
    task = state.tasks[task_key(attempt.task_id)]
    return task.parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT


def _settle_bonds(state: State, challenge: state_pb2.Challenge) -> None:
    """Whoever was right, or was overtaken by a proof, gets the bond back. A failed challenge pays those who worked."""
    to_voters = 0
    for bond in challenge.bonds:
        half = bond.amount // 2
        if challenge.verdict == state_pb2.VERDICT_REJECTED:
            to_voters += half
            tokens.burn(state, bond.amount - half)
        elif challenge.verdict == state_pb2.VERDICT_NO_QUORUM:
            tokens.credit(state, bond.address, half)
            tokens.burn(state, bond.amount - half)
        else:
            tokens.credit(state, bond.address, bond.amount)
        bond.amount = 0
    agreed = [voter for voter in challenge.voters if voter.agreed]
    power = sum(voter.power for voter in agreed)
    paid = 0
    for voter in agreed:
        part = to_voters * voter.power // power
        tokens.credit(state, voter.operator, part)
        paid += part
    tokens.burn(state, to_voters - paid)


def _note_unpaid(current: state_pb2.Round, challenge: state_pb2.Challenge) -> None:
    """Silent, abstaining or in the minority: no share of this round's reward, and nothing worse (V3)."""
    unpaid = {*current.unpaid_validators, *(v.operator for v in challenge.voters if not v.agreed)}
    del current.unpaid_validators[:]
    current.unpaid_validators.extend(sorted(unpaid))


def _open_challenges(state: State, block: BlockContext) -> None:
    """A round once undecided is voted on at each attempt, before anything is built on it: `pbft` for that round."""
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        head = state.rounds.get(round_key(task_id, task.head_round))  # nothing is built on it, so it is the head
        if head is None or head.undecided_votes == 0 or head.status != state_pb2.ROUND_STATUS_OPEN:
            continue
        attempt = state.attempts[attempt_key(task_id, head.attempt_id)]
        if authors_of(attempt) and attempt_key(task_id, attempt.attempt_id) not in state.challenges:
            open_challenge(state, task, attempt, block.height)
