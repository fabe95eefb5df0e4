"""Byzantine members of a signer set, in modes `quorum` (aggregators) and `pbft` (validators)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from offchain.interfaces import Blobs, Ledger
from offchain.roles.certifying import Certifier
from offchain.roles.claiming import Claim
from offchain.roles.computing import Compute, ModelComputer
from offchain.roles.keeping import KeptVectors
from offchain.roles.signing import Signer
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2


class ByzantineCertifier(Certifier):
    """An honest member in rounds before `from_round`."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: Blobs,
        signer: Signer,
        computer: ModelComputer,
        compute: Compute,
        kept: KeptVectors | None = None,
        *,
        from_round: int,
    ) -> None:
        super().__init__(ledger, blobs, signer, computer, compute, kept)
        self._from_round = from_round


class SilentCertifier(ByzantineCertifier):
    """Signs nothing."""

    async def act(self, view: state_pb2.TaskView) -> None:
        if view.task.head_round < self._from_round:
            await super().act(view)


class LyingCertifier(ByzantineCertifier):
    """Signs a wrong model, the same as all who lie like this: enough of them certify it."""

    async def make_claim(self, view: state_pb2.TaskView, current: state_pb2.Round) -> Claim | None:
        honest = await super().make_claim(view, current)
        if honest is None or current.round < self._from_round:
            return honest
        values = honest.model.values.copy()
        values[0] += 1 if values[0] < np.iinfo(np.int32).max else -1
        lie = ChunkedVector(honest.model.shape, values)
        self._kept.keep(current.round, lie)
        return replace(honest, model=lie)


class EquivocatingCertifier(ByzantineCertifier):
    """Signs two models of one round: whoever asks sees the one or the other."""

    _signed = 0

    async def _publish(self, ballot: transaction_pb2.Ballot, digest: bytes) -> None:
        await super()._publish(ballot, digest)
        self._signed += 1
        if ballot.round < self._from_round or self._signed % 2 or self._signer.ballots is None:
            return
        other = transaction_pb2.Ballot()
        other.CopyFrom(ballot)
        other.digest = hashlib.sha256(digest).digest()
        await self._signer.ballots.publish(other, self._signer.sign(other))
