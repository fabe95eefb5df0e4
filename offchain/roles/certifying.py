"""Modes `quorum` and `pbft`: every member computes the round's model, and enough equal signatures make it.

seed 002's validity proof: f+1 equal ones of 2f+1 aggregators, at least one of them honest; or more than two thirds of
the voting power. Each member signs one root for one question. Whoever sees enough equal ones stores the model and
submits them; members leave that to one another in turn, which only saves fees.
"""

from __future__ import annotations

import hashlib
import logging

from offchain.interfaces import Blobs, Ledger, SignedDigest
from offchain.roles.claiming import Claim, ClaimMaker, Inputs, Question, get_question
from offchain.roles.computing import CannotCompute, Compute, ModelComputer
from offchain.roles.keeping import KeptVectors
from offchain.roles.membership import ROLE
from offchain.roles.signing import Signer
from offchain.roles.views import get_head, submit
from offchain.roles.watching import Cost
from optfl import tasks
from optfl.aggregation import Aggregation
from optfl.ballots import build_aggregate_question, verify_ballot
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)


class Certifier:
    """One member's part in the rounds of a task."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        signer: Signer,
        computer: ModelComputer,
        compute: Compute,
        kept: KeptVectors | None = None,
        *,
        cost: Cost | None = None,
    ) -> None:
        self._ledger = ledger
        self._signer = signer
        self._computer = computer
        self._kept = kept or KeptVectors(blobs)
        self.cost = cost or Cost()
        self._claims = ClaimMaker(ledger, blobs, compute, self._kept, self.cost)
        self._question: Question | None = None
        self._complete: tuple[Question, int] | None = None  # since which height enough signatures are here
        self._seen: dict[bytes, SignedDigest] = {}  # by member, of `_question`
        self._reported: set[bytes] = set()

    async def act(self, view: state_pb2.TaskView) -> None:
        """Sign our model of the round that waits for one, collect the others' signatures, submit what is enough.

        Raises BlobUnavailable, LedgerUnavailable, JournalError.
        """
        current = get_head(view)
        if current is None or current.status != state_pb2.ROUND_STATUS_AGGREGATING:
            return
        if view.task.status != state_pb2.TASK_STATUS_RUNNING or self._signer.ballots is None:
            return
        if self._ledger.address not in {member.address for member in view.members}:
            return
        claim = await self.make_claim(view, current)
        ballot = build_aggregate_question(self._ledger.chain_id, current)
        if claim is not None:
            await self._publish(ballot, claim.digest)
        answers = await self._signer.ballots.collect(ballot, [member.address for member in view.members])
        valid = await self._check(view, ballot, answers)
        if claim is None:
            return
        agreed = [answer for answer in valid if answer.digest == claim.digest]
        if not _are_enough(view, agreed):
            return
        question = get_question(current)
        if self._complete is None or self._complete[0] != question:
            self._complete = (question, view.height)
        if view.height < self._complete[1] + compute_member_rank(view, current, self._ledger.address):
            return  # a courtesy: another member stores and submits; if it does not, we do
        agreed = [answer for answer in agreed if await self._may_sign(view, answer.member)]
        if _are_enough(view, agreed):
            await self._submit(view, current, claim, agreed)

    async def make_claim(self, view: state_pb2.TaskView, current: state_pb2.Round) -> Claim | None:
        """Our claim of the round, computed once. None where it cannot be computed here."""
        try:
            claim = await self._claims.make(view, current, self._compute_claim)
        except CannotCompute as error:
            log.warning("round %d cannot be computed here: %s", current.round, error)
            return None
        if self._question != get_question(current):
            self._question = get_question(current)
            self._seen.clear()
        return claim

    def _compute_claim(self, task: state_pb2.Task, current: state_pb2.Round, inputs: Inputs) -> Aggregation:
        updates = [update.values for update in inputs.updates]
        return self._computer.compute(task.parameters, inputs.base.values, updates, inputs.facts)

    async def _publish(self, ballot: transaction_pb2.Ballot, digest: bytes) -> None:
        """Sign the digest that is journalled; ours if none is: after a crash, float arithmetic may make another."""
        turn = f"{ballot.round}/{ballot.parent_attempt}/{ballot.turn}/{ballot.restarts}"
        name = f"aggregate/{ballot.task_id}/{turn}"
        journalled = self._signer.journal.get(name)
        if journalled is None:
            self._signer.journal.put(name, digest)
            journalled = digest
        signed = transaction_pb2.Ballot()
        signed.CopyFrom(ballot)
        signed.digest = self.choose_digest(journalled)
        if self._signer.ballots is not None:
            await self._signer.ballots.publish(signed, self._signer.sign(signed))

    def choose_digest(self, digest: bytes) -> bytes:
        """What is signed. Byzantine members differ in this alone."""
        return digest

    async def _check(
        self, view: state_pb2.TaskView, question: transaction_pb2.Ballot, answers: list[SignedDigest]
    ) -> list[SignedDigest]:
        """The answers that their members have signed. Who signed two different ones is reported."""
        keys = {member.address: member.public_key for member in view.members}
        valid = []
        for answer in answers:
            if not verify_ballot(keys.get(answer.member, b""), _answer(question, answer), answer.signature):
                continue
            valid.append(answer)
            first = self._seen.setdefault(answer.member, answer)
            if first.digest != answer.digest and answer.member not in self._reported:
                await self._report(question, first, answer)
        return valid

    async def _may_sign(self, view: state_pb2.TaskView, member: bytes) -> bool:
        """Whether the ledger counts the member's signature: an aggregator may be excluded, for good or for a time."""
        if view.task.parameters.mode == transaction_pb2.MODE_PBFT:
            return True
        stakes = await self._ledger.get_stakes(member)
        return any(s.role == ROLE and not s.excluded and not s.excluded_until_height for s in stakes)

    async def _report(self, question: transaction_pb2.Ballot, first: SignedDigest, second: SignedDigest) -> None:
        evidence = transaction_pb2.SubmitEquivocation(
            member=first.member,
            first=_answer(question, first),
            first_signature=first.signature,
            second=_answer(question, second),
            second_signature=second.signature,
        )
        self._reported.add(first.member)
        what = f"round {question.round}: {first.member.hex()} signed two different models; reported"
        await submit(self._ledger, transaction_pb2.Body(submit_equivocation=evidence), what)

    async def _submit(
        self, view: state_pb2.TaskView, current: state_pb2.Round, claim: Claim, agreed: list[SignedDigest]
    ) -> None:
        certificate, reduction = await self._claims.store(view, current, claim)
        message = transaction_pb2.SubmitCertifiedAggregate(
            task_id=current.task_id,
            round=current.round,
            parent_attempt=current.parent_attempt,
            turn=current.turn,
            model_root=claim.model.root,
            certificate=certificate,
            reduction=reduction,
            signatures=[
                transaction_pb2.BallotSignature(member=answer.member, signature=answer.signature)
                for answer in sorted(agreed)
            ],
        )
        what = f"round {current.round}: model with {len(agreed)} signatures submitted"
        await submit(self._ledger, transaction_pb2.Body(submit_certified_aggregate=message), what)


def compute_member_rank(view: state_pb2.TaskView, current: state_pb2.Round, address: bytes) -> int:
    """Blocks that this member leaves to others before it submits: another order for each round and turn."""
    name = b"".join(part.to_bytes(8, "big") for part in (current.task_id, current.round, current.turn))
    order = sorted((m.address for m in view.members), key=lambda member: hashlib.sha256(name + member).digest())
    return order.index(address)


def _are_enough(view: state_pb2.TaskView, agreed: list[SignedDigest]) -> bool:
    return tasks.are_enough_signers(view.task.parameters, view.members, [answer.member for answer in agreed])


def _answer(question: transaction_pb2.Ballot, answer: SignedDigest) -> transaction_pb2.Ballot:
    ballot = transaction_pb2.Ballot()
    ballot.CopyFrom(question)
    ballot.digest = answer.digest
    return ballot
