"""Byzantine validators, as watchers and voters. What their nodes do as proposers is in `proposer`."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Generic, TypeVar, Unpack

from offchain.adversaries.accomplices import NOBODY, Accomplices
from offchain.adversaries.certifying import EquivocatingCertifier, LyingCertifier
from offchain.interfaces import Blobs, Ledger
from offchain.roles.announcing import get_last_height
from offchain.roles.attesting import Attester
from offchain.roles.certifying import Certifier
from offchain.roles.computing import is_float
from offchain.roles.errands import Errands
from offchain.roles.fetching import DemandAnswerer
from offchain.roles.signing import Signer
from offchain.roles.validator import Validator, ValidatorOptions
from offchain.roles.views import Aggregate, submit
from offchain.roles.voting import Voter
from optfl import tasks
from optfl.announcements import COUNTED_BLOCKS
from optfl.merkle import HASH_BYTES
from optfl.sketch import ROWS
from optfl.vectors import Opening
from optfl.votes import build_ballot
from optfl.wire import state_pb2, transaction_pb2


class ByzantineValidator(Validator):
    """An honest validator in rounds before `from_round`."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        aggregate: Aggregate,
        *,
        from_round: int,
        accomplices: Accomplices = NOBODY,
        **options: Unpack[ValidatorOptions],
    ) -> None:
        super().__init__(ledger, blobs, aggregate, **options)
        self.from_round = from_round
        self._accomplices = accomplices
        if (signer := options.get("signer")) is not None:
            self._voter = self.make_voter(ledger, signer)
            self._certifier = self.make_certifier(ledger, blobs, signer)

    def make_voter(self, ledger: Ledger, signer: Signer) -> Voter:
        return Voter(ledger, signer, self.recompute, self.fetch_claimed)

    def make_certifier(self, ledger: Ledger, blobs: Blobs, signer: Signer) -> Certifier:
        return Certifier(ledger, blobs, signer, self._computer, self._compute)


class SilentValidator(ByzantineValidator):
    """Proposes blocks, and neither watches nor votes nor signs."""

    def act(self, view: state_pb2.TaskView, errands: Errands) -> None:
        if view.task.head_round < self.from_round:
            super().act(view, errands)


class MinorityValidator(ByzantineValidator):
    """Votes for a model of its own making, whatever was computed; signs one where models are signed."""

    def make_voter(self, ledger: Ledger, signer: Signer) -> Voter:
        return _MinorityVoter(ledger, signer, self)

    def make_certifier(self, ledger: Ledger, blobs: Blobs, signer: Signer) -> Certifier:
        return LyingCertifier(ledger, blobs, signer, self._computer, self._compute, from_round=self.from_round)


class ColludingValidator(ByzantineValidator):
    """Honest towards all but its accomplices: it does not see their lies, and votes that they are right."""

    async def watch(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        if not self.is_accomplice(attempt):
            await super().watch(view, attempt)

    def make_voter(self, ledger: Ledger, signer: Signer) -> Voter:
        return _ColludingVoter(ledger, signer, self)

    def make_certifier(self, ledger: Ledger, blobs: Blobs, signer: Signer) -> Certifier:
        return LyingCertifier(ledger, blobs, signer, self._computer, self._compute, from_round=self.from_round)

    def is_accomplice(self, attempt: state_pb2.Attempt) -> bool:
        authors = {attempt.aggregator, *attempt.signers}
        return attempt.round >= self.from_round and not authors.isdisjoint(self._accomplices.aggregators)


class DoubleVoter(ByzantineValidator):
    """Commits to two votes on one question, and signs two models of one round: whichever suits it later."""

    def make_voter(self, ledger: Ledger, signer: Signer) -> Voter:
        return _DoubleVoter(ledger, signer, self)

    def make_certifier(self, ledger: Ledger, blobs: Blobs, signer: Signer) -> Certifier:
        return EquivocatingCertifier(ledger, blobs, signer, self._computer, self._compute, from_round=self.from_round)


class ImpatientValidator(ByzantineValidator):
    """Leaves nobody the first word: it shows its proof as soon as it is as old as it has to be to count."""

    def compute_show_height(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
    ) -> int:
        own = super().compute_show_height(view, attempt, proof)
        me = (attempt.attempt_id, self._ledger.address)
        heights = [a.announcement.height for a in view.announcements if (a.attempt_id, a.prover) == me]
        return min([own, *(height + COUNTED_BLOCKS - 1 for height in heights if attempt.round >= self.from_round)])


class ReluctantValidator(ByzantineValidator):
    """Announces what it finds, and leaves it to others to show it, at their cost."""

    def compute_show_height(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, proof: transaction_pb2.SubmitFraudProof
    ) -> int:
        own = super().compute_show_height(view, attempt, proof)
        return own if attempt.round < self.from_round else max(own, get_last_height(view, attempt) - 2)


class FalseHolder(ByzantineValidator):
    """Says of all that is demanded that it serves it, and has nothing to show or to serve."""

    def act(self, view: state_pb2.TaskView, errands: Errands) -> None:
        if view.task.head_round >= self.from_round:
            self._answerer = _FalseAnswerer(self._ledger, self._blobs)
        super().act(view, errands)


class FalseWatcher(ByzantineValidator):
    """Says of every attempt that it has read it, and has not; shows what it can then get of what is drawn (E1)."""

    def act(self, view: state_pb2.TaskView, errands: Errands) -> None:
        if view.task.head_round < self.from_round:
            super().act(view, errands)
            return
        if not isinstance(self._attester, _FalseAttester):
            self._attester = _FalseAttester(self._ledger, self._blobs, self._compute)
        for attempt in view.attempts:
            self._attester.pretend(view, attempt)
        for attempt_id, work in self._attester.find_work(view).items():
            errands.start(f"watch of attempt {attempt_id}", work)


class _FalseAttester(Attester):
    def pretend(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt) -> None:
        """A tree of the right size over nothing."""
        size = (len(attempt.inputs) + 1) * tasks.model_shape(view.task.parameters).chunks
        if attempt.aggregator:
            self._leaves.setdefault(attempt.attempt_id, bytes(size * HASH_BYTES))

    async def find_failed(self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, last_height: int) -> list[int]:
        return []


class _FalseAnswerer(DemandAnswerer):
    async def _offer(self, view: state_pb2.TaskView, demand: state_pb2.Demand) -> Opening | None:
        return Opening(b"", ())


V = TypeVar("V", bound=ByzantineValidator)


class _ByzantineVoter(Voter, Generic[V]):
    """The votes of `validator`."""

    def __init__(self, ledger: Ledger, signer: Signer, validator: V) -> None:
        super().__init__(ledger, signer, validator.recompute, validator.fetch_claimed)
        self._validator = validator


class _MinorityVoter(_ByzantineVoter[MinorityValidator]):
    async def make_vote(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, challenge: state_pb2.Challenge
    ) -> transaction_pb2.Vote:
        if attempt.round < self._validator.from_round:
            return await super().make_vote(view, attempt, challenge)
        if is_float(view.task.parameters):
            return transaction_pb2.Vote(sketch=transaction_pb2.Sketch(values=[1 << 30] * ROWS))
        return transaction_pb2.Vote(root=hashlib.sha256(self._ledger.address).digest())


class _ColludingVoter(_ByzantineVoter[ColludingValidator]):
    async def make_vote(
        self, view: state_pb2.TaskView, attempt: state_pb2.Attempt, challenge: state_pb2.Challenge
    ) -> transaction_pb2.Vote:
        if not self._validator.is_accomplice(attempt):
            return await super().make_vote(view, attempt, challenge)
        if is_float(view.task.parameters):
            return transaction_pb2.Vote(sketch=transaction_pb2.Sketch(values=[0] * ROWS))
        return transaction_pb2.Vote(root=attempt.model_root)


class _DoubleVoter(_ByzantineVoter[DoubleVoter]):
    async def act(self, view: state_pb2.TaskView, challenge: state_pb2.Challenge) -> None:
        if challenge.round >= self._validator.from_round and challenge.status == state_pb2.CHALLENGE_STATUS_COMMITTING:
            attempt = next(a for a in view.attempts if a.attempt_id == challenge.attempt_id)
            other = hashlib.sha256(attempt.model_root).digest()  # a commitment to who knows what
            commit = transaction_pb2.CommitVote(
                task_id=attempt.task_id,
                attempt_id=attempt.attempt_id,
                commitment=other,
                signature=self._signer.sign(build_ballot(self._ledger.chain_id, attempt, other)),
            )
            body = transaction_pb2.Body(commit_vote=commit)
            what = f"attempt {attempt.attempt_id}: a second vote committed"
            await asyncio.gather(super().act(view, challenge), submit(self._ledger, body, what))
        else:
            await super().act(view, challenge)


VALIDATORS: dict[str, type[ByzantineValidator]] = {
    "colluding-validator": ColludingValidator,
    "double-voter": DoubleVoter,
    "false-holder": FalseHolder,
    "false-watcher": FalseWatcher,
    "impatient-validator": ImpatientValidator,
    "minority-voter": MinorityValidator,
    "reluctant-validator": ReluctantValidator,
    "silent-validator": SilentValidator,
}
