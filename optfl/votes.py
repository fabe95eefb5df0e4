"""Challenges by vote: what a validator commits to, and how the votes decide.  # seed 001, Alg. 3, with A7

Read `decide` beside the paper's algorithm. Where it is unsafe or undefined, the amendment A7 speaks instead: quorum
and groups are counted in voting power and not in heads (V1); "similar" is a ball round one vote, ties by address, the
median is the lower one of each coordinate by power (V7); and whom more than a third of the power finds close enough
is acquitted, because somebody honest is among them. All in integers, and total: any votes have a verdict.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optfl.keys import ADDRESS_BYTES
from optfl.sketch import MAX_VALUE, ROWS, compute_squared_norm, is_within
from optfl.wire import state_pb2, transaction_pb2

VOTE_DOMAIN = b"optfl/vote/v1"
SALT_BYTES = 32
ROOT_BYTES = 32
MAX_EPSILON = (1 << 27) - 1  # 256 squares of what is just above it still fit an int64


class VoteError(ValueError):
    """A vote that no voter of such a task can cast."""


@dataclass(frozen=True)
class Decision:
    """What the votes say of an attempt, and who said so."""

    verdict: state_pb2.Verdict
    agreed: tuple[bytes, ...]  # operators that voted with the verdict, ascending; without a quorum: all who judged


def compute_commitment(
    chain_id: str, task_id: int, attempt_id: int, voter: bytes, vote: transaction_pb2.Vote, salt: bytes
) -> bytes:
    """What hides a vote until all have voted, bound to the voter and to the attempt (red team L8, V9)."""
    if len(voter) != ADDRESS_BYTES or len(salt) != SALT_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, a salt {SALT_BYTES}; not {len(voter)}, {len(salt)}")
    encoded_chain_id = chain_id.encode()
    return hashlib.sha256(
        VOTE_DOMAIN
        + len(encoded_chain_id).to_bytes(2, "big")
        + encoded_chain_id
        + task_id.to_bytes(8, "big")
        + attempt_id.to_bytes(4, "big")
        + voter
        + salt
        + vote.SerializeToString(deterministic=True)
    ).digest()


def build_ballot(chain_id: str, attempt: state_pb2.Attempt, commitment: bytes) -> transaction_pb2.Ballot:
    """What a voter signs: two such ballots that differ in the commitment alone are an equivocation.

    Round, parent and turn name the attempt, and there is one vote on an attempt, so `restarts` stays 0.
    """
    return transaction_pb2.Ballot(
        chain_id=chain_id,
        task_id=attempt.task_id,
        round=attempt.round,
        parent_attempt=attempt.parent_attempt,
        turn=attempt.turn,
        kind=transaction_pb2.BALLOT_KIND_COMMITMENT,
        digest=commitment,
    )


def check_vote(parameters: transaction_pb2.TaskParameters, vote: transaction_pb2.Vote) -> None:
    """Raise VoteError unless it is an abstention with a reason, or a result of the kind that the task compares."""
    choice = vote.WhichOneof("choice")
    if choice == "abstain":
        if vote.abstain not in transaction_pb2.AbstainReason.values() or vote.abstain == 0:
            raise VoteError(f"{vote.abstain} is no reason to abstain; see AbstainReason in transaction.proto")
        return
    expected = "sketch" if parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT else "root"
    if choice != expected:
        raise VoteError(f"the vote is {choice or 'empty'}; in this task vote with a {expected}, or abstain")
    if choice == "root" and len(vote.root) != ROOT_BYTES:
        raise VoteError(f"the root has {len(vote.root)} bytes; a Merkle root has {ROOT_BYTES}")
    if choice == "sketch":
        if len(vote.sketch.values) != ROWS:
            raise VoteError(f"the sketch has {len(vote.sketch.values)} rows; a sketch has {ROWS}")
        if any(abs(value) > MAX_VALUE for value in vote.sketch.values):
            raise VoteError("the sketch is not that of any two models: a row is out of its bounds")


def decide(
    parameters: transaction_pb2.TaskParameters, model_root: bytes, voters: Sequence[state_pb2.Voter]
) -> Decision:
    """The verdict over the attempt that claims `model_root`. `voters`: the whole snapshot, silent ones included.

    A quorum is more than 2/3 of the snapshot's power. The votes must have passed `check_vote`; their order is of no
    matter.
    """
    total = sum(voter.power for voter in voters)
    ordered = sorted(voters, key=lambda voter: voter.operator)
    if parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT:
        return _decide_float(ordered, total, parameters.vote_epsilon, parameters.vote_theta)
    return _decide_exact(ordered, total, model_root)


def _decide_exact(voters: Sequence[state_pb2.Voter], total: int, model_root: bytes) -> Decision:
    """Equal results have equal roots: groups need no tolerance."""
    judging = [v for v in voters if v.vote.WhichOneof("choice") == "root"]
    power = Counter[bytes]()
    for voter in judging:
        power[voter.vote.root] += voter.power
    agreed_root = next((root for root, held in sorted(power.items()) if _is_quorum(held, total)), None)
    if agreed_root is None:
        return Decision(state_pb2.VERDICT_NO_QUORUM, _operators(judging))
    verdict = state_pb2.VERDICT_REJECTED if agreed_root == model_root else state_pb2.VERDICT_UPHELD
    return Decision(verdict, _operators([v for v in judging if v.vote.root == agreed_root]))


def _decide_float(voters: Sequence[state_pb2.Voter], total: int, epsilon: int, theta: int) -> Decision:
    judging = [v for v in voters if v.vote.WhichOneof("choice") == "sketch"]
    # More than a third cannot all be lying. And a quorum holds more than a third of honest power, so if the honest are
    # close to the claim they acquit here, whatever a median of close votes would have said (V7).
    acquitting = [v for v in judging if is_within(v.vote.sketch.values, theta)]
    if 3 * sum(v.power for v in acquitting) > total:
        return Decision(state_pb2.VERDICT_REJECTED, _operators(acquitting))
    group = _find_largest_ball(judging, epsilon)  # Alg. 3, step 2
    if not _is_quorum(sum(v.power for v in group), total):  # step 3
        return Decision(state_pb2.VERDICT_NO_QUORUM, _operators(judging))
    consensus = compute_lower_median(  # step 4: C − G_r, the median of the sketches, not the sketch of a median (V8)
        [v.vote.sketch.values for v in group], [v.power for v in group]
    )
    is_guilty = compute_squared_norm(consensus) > theta * theta  # steps 5 to 9: at a distance of θ, innocent
    return Decision(state_pb2.VERDICT_UPHELD if is_guilty else state_pb2.VERDICT_REJECTED, _operators(group))


def _find_largest_ball(judging: Sequence[state_pb2.Voter], epsilon: int) -> list[state_pb2.Voter]:
    """Of the ε-balls round each vote the one with the most power; of equals that of the lowest address.

    `judging` ascends by address. Closeness is not transitive, so a group is a ball and never a chain (V7).
    """
    if not 0 <= epsilon <= MAX_EPSILON:
        raise ValueError(f"epsilon is {epsilon}; use at most {MAX_EPSILON}")
    sketches = np.array([v.vote.sketch.values for v in judging], dtype=np.int64).reshape(-1, ROWS)
    powers = np.array([v.power for v in judging], dtype=np.int64)  # which add up to less than 2^60
    most, best = 0, np.zeros(len(judging), dtype=np.bool_)
    for centre in sketches:
        # Rows are below 2^59, so differences fit. Cutting one off at ε + 1 leaves it too far away all the same, and
        # keeps 256 squares of it below 2^63.
        apart = np.clip(sketches - centre, -epsilon - 1, epsilon + 1)
        is_close = np.einsum("ij,ij->i", apart, apart) <= epsilon * epsilon
        if (power := int(powers[is_close].sum())) > most:
            most, best = power, is_close
    return [v for v, close in zip(judging, best, strict=True) if close]


def compute_lower_median(vectors: Sequence[Sequence[int]], powers: Sequence[int]) -> list[int]:
    """In each coordinate the least value at which half of the power, or more, is at or below."""
    half = -(-sum(powers) // 2)
    median = []
    for column in zip(*vectors, strict=True):
        below = 0
        for value, power in sorted(zip(column, powers, strict=True)):
            below += power
            if below >= half:
                median.append(value)
                break
    return median


def _is_quorum(power: int, total: int) -> bool:
    return 3 * power > 2 * total


def _operators(voters: Sequence[state_pb2.Voter]) -> tuple[bytes, ...]:
    return tuple(v.operator for v in voters)
