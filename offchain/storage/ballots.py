"""Ballots among the members of a signer set: each serves its own, and asks the others for theirs.

The same for Zenoh and for the simulation. What comes back is whatever a member says: its caller verifies signatures.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

from offchain.interfaces import SignedDigest
from offchain.storage import protocol
from offchain.storage.protocol import BallotRequest, Malformed, Refusal
from offchain.storage.replicated import NoAnswer, Transport
from offchain.storage.verify import BadAnswer
from optfl.ballots import encode_ballot, strip_digest
from optfl.wire import transaction_pb2

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0  # of one member; whoever needs its ballot asks again in the next block
MAX_PUBLISHED = 1024  # newest ones; a question is open for a few blocks


class ExchangedBallots:
    """`offchain.interfaces.Ballots` of the account with this address, over a transport."""

    def __init__(self, transport: Transport, address: bytes, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._transport = transport
        self._address = address
        self._answer_seconds = answer_seconds
        self._box = BallotBox()

    async def publish(self, ballot: transaction_pb2.Ballot, signature: bytes) -> None:
        self._box.add(ballot, signature)
        self._transport.serve("ballot", self._box.handle)

    async def collect(self, question: transaction_pb2.Ballot, members: Sequence[bytes]) -> list[SignedDigest]:
        asked = encode_ballot(strip_digest(question))
        found = await asyncio.gather(*(self._ask(member, asked) for member in members))
        return [answer for answer in found if answer is not None]

    async def _ask(self, member: bytes, question: bytes) -> SignedDigest | None:
        if member == self._address:
            own = self._box.find(question)
            return None if own is None else SignedDigest(member, *own)
        if not self._transport.is_reachable(member, "ballot"):  # it has published nothing yet, or is not there
            return None
        request = protocol.encode_ballot_request(BallotRequest(question))
        try:
            async with asyncio.timeout(self._answer_seconds):
                digest, signature = await self._transport.ask(
                    member, "ballot", request, check_ballot_reply, protocol.MAX_SMALL_ANSWER_BYTES
                )
        except (NoAnswer, Refusal, BadAnswer, TimeoutError) as error:
            log.debug("no ballot from %s: %s", member.hex(), error)
            return None
        return SignedDigest(member, digest, signature)


class BallotBox:
    """The ballots that an account has published, by their question. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ballots: dict[bytes, tuple[bytes, bytes]] = {}  # question -> digest, signature

    def add(self, ballot: transaction_pb2.Ballot, signature: bytes) -> None:
        question = encode_ballot(strip_digest(ballot))
        with self._lock:
            self._ballots[question] = (ballot.digest, signature)
            if len(self._ballots) > MAX_PUBLISHED:
                del self._ballots[next(iter(self._ballots))]

    def find(self, question: bytes) -> tuple[bytes, bytes] | None:
        with self._lock:
            return self._ballots.get(question)

    def handle(self, message: bytes) -> bytes:
        """Send the ballot on a question, or refuse; never raises for a peer's fault."""
        try:
            found = self.find(protocol.decode_ballot_request(message).question)
        except Malformed as error:
            return protocol.encode_refusal(Refusal("malformed", str(error)))
        if found is None:
            return protocol.encode_refusal(Refusal("no-ballot", "nothing is signed on this question yet; try again"))
        return protocol.encode_ballot_reply(*found)


def check_ballot_reply(message: bytes) -> tuple[bytes, bytes]:
    """Digest and signature, unverified. Raises BadAnswer, or the Refusal that came instead."""
    try:
        return protocol.decode_ballot_reply(message)
    except Malformed as error:
        raise BadAnswer(str(error)) from error
