"""What a node says of transactions before they are in a decided block: mempool, own proposals, others' proposals."""

from __future__ import annotations

from collections.abc import Sequence

from abci_app.envelope import charge_fee, check_envelope
from abci_app.state import State
from abci_app.state_machine import Changes, Stores, TxResult, compute_block_bytes
from abci_app.transitions import TRANSITIONS
from optfl.errors import Rejection, TooManyProofs
from optfl.transactions import SignedTransaction, decode_transaction

PROOF_KIND = "submit_fraud_proof"


def check_tx(stores: Stores, tx: bytes) -> tuple[TxResult, Changes]:
    """Whether the mempool takes `tx`: well-formed, signed, in sequence, paid for. What it does is judged in a block."""
    state = State(stores)
    try:
        _admit(state, decode_transaction(tx))
    except Rejection as rejection:
        return TxResult(code=rejection.code, log=f"{type(rejection).__name__}: {rejection.message}"), {}
    return TxResult(), state.collect_changes()


def prepare_proposal(stores: Stores, txs: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """The transactions of our own proposal: fraud proofs first, so that no amount of paid junk crowds them out (L2)."""
    state = State(stores)
    proofs = _ProofCount(state.params.max_proofs_per_block)
    chosen: list[bytes] = []
    room = max_bytes
    for tx, signed in _order_disputes_first(txs):
        size = compute_block_bytes(tx)
        if size > room:
            continue
        try:
            proofs.check(signed)
            _admit(state, signed)
        except Rejection:
            continue  # it stays in the mempool, or is removed by the recheck
        proofs.add(signed)
        chosen.append(tx)
        room -= size
    return chosen


def process_proposal(stores: Stores, txs: Sequence[bytes]) -> bool:
    """Whether `prepare_proposal` of an honest node on the same state could have chosen these."""
    state = State(stores)
    proofs = _ProofCount(state.params.max_proofs_per_block)
    try:
        for tx in txs:
            signed = decode_transaction(tx)
            proofs.check(signed)
            _admit(state, signed)
            proofs.add(signed)
    except Rejection:
        return False
    return True


def _admit(state: State, signed: SignedTransaction) -> None:
    """Raise a Rejection, or charge the transaction in `state` as the block would."""
    check_envelope(state, signed, state.chain.height + 1)
    TRANSITIONS[signed.kind].validate(getattr(signed.body, signed.kind))
    charge_fee(state, signed)


class _ProofCount:
    """Fraud proofs in a proposal, against the most that a block may make the ledger re-execute."""

    def __init__(self, most: int) -> None:
        self._left = most

    def check(self, signed: SignedTransaction) -> None:
        if signed.kind == PROOF_KIND and self._left == 0:
            raise TooManyProofs("wait for the next block")

    def add(self, signed: SignedTransaction) -> None:
        self._left -= signed.kind == PROOF_KIND


def _order_disputes_first(txs: Sequence[bytes]) -> list[tuple[bytes, SignedTransaction]]:
    """Decoded transactions; first the fraud proofs, each behind what its sender sent before it, then the others."""
    decoded = []
    for tx in txs:
        try:
            decoded.append((tx, decode_transaction(tx)))
        except Rejection:
            continue  # an honest proposer includes nothing that cannot be charged
    last_proof = {signed.sender: i for i, (_, signed) in enumerate(decoded) if signed.kind == PROOF_KIND}
    first = [pair for i, pair in enumerate(decoded) if i <= last_proof.get(pair[1].sender, -1)]
    rest = [pair for i, pair in enumerate(decoded) if i > last_proof.get(pair[1].sender, -1)]
    return first + rest
