"""A validator's vote in a challenge: recompute, commit, reveal.  # seed 001, Alg. 3

The vote is journalled before it is signed. What was committed to is what is revealed, whatever happened in between; and
no crash makes a second, different ballot, for which the stake is slashed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from offchain.interfaces import BlobUnavailable, Int32Vector, Ledger
from offchain.kernels.hashing import make_vector
from offchain.roles.computing import CannotCompute, is_float
from offchain.roles.signing import Signer
from offchain.roles.views import submit
from optfl import tasks
from optfl.sketch import compute_sketch
from optfl.votes import build_ballot, compute_commitment
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

GetModel = Callable[[state_pb2.TaskView, state_pb2.Attempt], Awaitable[Int32Vector]]
"""A model that belongs to an attempt. Raises BlobUnavailable, CannotCompute."""

_LAST_BLOCKS = 2  # of the commit phase: who has no result by then abstains


class Voter:
    """One validator's votes in one task. `recompute` makes its own model, `fetch_claimed` gets the attempt's."""

    def __init__(self, ledger: Ledger, signer: Signer, recompute: GetModel, fetch_claimed: GetModel) -> None:
        self._ledger = ledger
        self._signer = signer
        self._recompute = recompute
        self._fetch_claimed = fetch_claimed

    def is_due(self, challenge: state_pb2.Challenge) -> bool:
        """Whether the challenge waits for a transaction of ours."""
        own = next((v for v in challenge.voters if v.operator == self._ledger.address), None)
        if own is None:
            return False
        if challenge.status == state_pb2.CHALLENGE_STATUS_COMMITTING:
            return bool(challenge.seed) and not own.commitment  # without it nothing can be projected
        is_revealing = challenge.status == state_pb2.CHALLENGE_STATUS_REVEALING
        return is_revealing and bool(own.commitment) and not own.HasField("vote")

    def is_urgent(self, view: state_pb2.TaskView, challenge: state_pb2.Challenge) -> bool:
        """Whether a vote that is not ready now would come too late."""
        is_committing = challenge.status == state_pb2.CHALLENGE_STATUS_COMMITTING
        return is_committing and view.height >= challenge.commit_deadline_height - _LAST_BLOCKS

    async def act(self, view: state_pb2.TaskView, challenge: state_pb2.Challenge) -> None:
        """Commit or reveal, whichever is due. Raises BlobUnavailable, LedgerUnavailable, JournalError."""
        attempt = next(a for a in view.attempts if a.attempt_id == challenge.attempt_id)
        if challenge.status == state_pb2.CHALLENGE_STATUS_COMMITTING:
            if self._find_journalled(attempt) is None:
                self._journal(attempt, await self.make_vote(view, attempt, challenge))
            await self._commit(attempt)
        else:
            await self._reveal(attempt)

    async def abstain(self, view: state_pb2.TaskView, challenge: state_pb2.Challenge) -> None:
        """Commit to whatever is journalled, or to an abstention: a result that is still not here comes too late."""
        attempt = next(a for a in view.attempts if a.attempt_id == challenge.attempt_id)
        if self._find_journalled(attempt) is None:
            log.warning("attempt %d: no result in time; abstaining from the vote", attempt.attempt_id)
            vote = transaction_pb2.Vote(abstain=transaction_pb2.ABSTAIN_REASON_UNAVAILABLE)
            self._journal(attempt, vote)
        await self._commit(attempt)

    async def make_vote(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, challenge: state_pb2.Challenge
    ) -> transaction_pb2.Vote:
        """What this validator makes of the attempt. Byzantine ones differ in this alone. Raises BlobUnavailable."""
        parameters = view.task.parameters
        try:
            own = await self._recompute(view, attempt)
            if not is_float(parameters):  # nobody has to have the claimed model for that
                return transaction_pb2.Vote(root=make_vector(tasks.model_shape(parameters), own).root)
            claimed = await self._fetch_claimed(view, attempt)
        except CannotCompute as error:
            log.warning("attempt %d: %s; abstaining from the vote", attempt.attempt_id, error)
            return transaction_pb2.Vote(abstain=transaction_pb2.ABSTAIN_REASON_UNSUPPORTED)
        except BlobUnavailable:
            if not self.is_urgent(view, challenge):
                raise
            return transaction_pb2.Vote(abstain=transaction_pb2.ABSTAIN_REASON_UNAVAILABLE)
        return transaction_pb2.Vote(sketch=transaction_pb2.Sketch(values=compute_sketch(challenge.seed, own, claimed)))

    def _journal(self, attempt: state_pb2.Attempt, vote: transaction_pb2.Vote) -> None:
        name = get_journal_name(attempt)
        reveal = transaction_pb2.RevealVote(
            task_id=attempt.task_id, attempt_id=attempt.attempt_id, vote=vote, salt=self._signer.derive_salt(name)
        )
        if self._signer.journal.get(name) is None:  # an abstention may have come first
            self._signer.journal.put(name, reveal.SerializeToString(deterministic=True))

    def _find_journalled(self, attempt: state_pb2.Attempt) -> transaction_pb2.RevealVote | None:
        entry = self._signer.journal.get(get_journal_name(attempt))
        return None if entry is None else transaction_pb2.RevealVote.FromString(entry)

    async def _commit(self, attempt: state_pb2.Attempt) -> None:
        reveal = self._find_journalled(attempt)
        if reveal is None:
            raise LookupError(f"attempt {attempt.attempt_id} has no journalled vote")
        chain_id = self._ledger.chain_id
        commitment = compute_commitment(
            chain_id, attempt.task_id, attempt.attempt_id, self._ledger.address, reveal.vote, reveal.salt
        )
        commit = transaction_pb2.CommitVote(
            task_id=attempt.task_id,
            attempt_id=attempt.attempt_id,
            commitment=commitment,
            signature=self._signer.sign(build_ballot(chain_id, attempt, commitment)),
        )
        what = f"attempt {attempt.attempt_id}: vote committed"
        await submit(self._ledger, transaction_pb2.Body(commit_vote=commit), what)

    async def _reveal(self, attempt: state_pb2.Attempt) -> None:
        reveal = self._find_journalled(attempt)
        if reveal is None:
            log.error("attempt %d: a vote of ours is committed, but not in the journal", attempt.attempt_id)
            return
        what = f"attempt {attempt.attempt_id}: vote revealed ({reveal.vote.WhichOneof('choice')})"
        await submit(self._ledger, transaction_pb2.Body(reveal_vote=reveal), what)


def get_journal_name(attempt: state_pb2.Attempt) -> str:
    return f"vote/{attempt.task_id}/{attempt.attempt_id}"


async def challenge_by_vote(ledger: Ledger, task_id: int, attempt_id: int) -> bool:
    """Have all validators recompute an open attempt and vote on it; whether the ledger took it. Costs a bond if wrong.

    Raises LedgerUnavailable.
    """
    challenge = transaction_pb2.OpenChallenge(task_id=task_id, attempt_id=attempt_id)
    what = f"attempt {attempt_id}: challenged by vote"
    return await submit(ledger, transaction_pb2.Body(open_challenge=challenge), what)
