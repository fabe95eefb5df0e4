"""What a role signs beside its transactions: ballots, never two different ones on the same question.

Two that differ are slashed, whatever the reason (red team V10). So every digest is journalled before it is signed, and
what stands in the journal is signed again after a crash, even where a new computation would say something else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from offchain.interfaces import Ballots, VoteJournal
from optfl.ballots import sign_ballot
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2

SALT_DOMAIN = b"optfl/salt/v1"


@dataclass(frozen=True)
class Signer:
    """An account that signs ballots, its journal, and how it reaches other members."""

    key: SigningKey
    journal: VoteJournal
    ballots: Ballots | None = None  # for modes quorum and pbft

    def sign(self, ballot: transaction_pb2.Ballot) -> bytes:
        """Sign what is journalled; see `Voter` and `Certifier`, which journal it."""
        return sign_ballot(self.key, ballot)

    def derive_salt(self, name: str) -> bytes:
        """A salt that nobody else can tell, the same after a crash: of a signature, which is deterministic."""
        return hashlib.sha256(self.key.sign(SALT_DOMAIN, name.encode())).digest()
