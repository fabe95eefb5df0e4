"""What a node says of transactions before they are in a decided block: mempool, own proposals, others' proposals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from abci_app.envelope import charge_fee, check_envelope
from abci_app.state import State, tokens
from abci_app.state_machine import Changes, Stores, TxResult, compute_block_bytes
from abci_app.transitions import TRANSITIONS, Call, submit_fraud_proof
from abci_app.transitions.call import BlockContext, Conviction
from abci_app.transitions.fields import check_balance
from optfl.errors import NotConvictable, Rejection, TooManyProofs
from optfl.transactions import SignedTransaction, decode_transaction
from optfl.wire import state_pb2

PROOF_KIND = "submit_fraud_proof"


def check_tx(stores: Stores, tx: bytes) -> tuple[TxResult, Changes]:
    """Whether the mempool takes `tx`: well-formed, signed, in sequence, paid for. What it does is judged in a block.

    A fraud proof is judged here already: the few that a block has room for must not be held up by junk (L2).
    """
    state = State(stores)
    try:
        _admit(state, decode_transaction(tx))
    except Rejection as rejection:
        return TxResult(code=rejection.code, log=f"{type(rejection).__name__}: {rejection.message}"), {}
    return TxResult(), state.collect_changes()


def prepare_proposal(stores: Stores, txs: Sequence[bytes], max_bytes: int) -> list[bytes]:
    """The transactions of our own proposal: fraud proofs first, so that no amount of paid junk crowds them out (L2)."""
    proposal = _Proposal(State(stores))
    chosen: list[bytes] = []
    room = max_bytes
    for tx, signed in _order_disputes_first(State(stores), txs):
        size = compute_block_bytes(tx)
        if size > room:
            continue
        try:
            proposal.add(signed)
        except Rejection:
            continue  # it stays in the mempool, or is removed by the recheck
        chosen.append(tx)
        room -= size
    return chosen


def process_proposal(stores: Stores, txs: Sequence[bytes]) -> bool:
    """Whether `prepare_proposal` of an honest node on the same state could have chosen these."""
    proposal = _Proposal(State(stores))
    try:
        for tx in txs:
            proposal.add(decode_transaction(tx))
    except Rejection:
        return False
    return True


class _Proposal:
    """What is in a proposal so far, charged in a state of its own."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._proofs_left = state.params.max_proofs_per_block
        self._proven: set[tuple[int, int]] = set()

    def add(self, signed: SignedTransaction) -> None:
        """Raise a Rejection, or count `signed` in."""
        if signed.kind != PROOF_KIND:
            _admit(self._state, signed)
            return
        message = signed.body.submit_fraud_proof
        attempt = (message.task_id, message.attempt_id)
        if self._proofs_left == 0:
            raise TooManyProofs("wait for the next block")
        if attempt in self._proven:
            raise NotConvictable(f"an earlier proof of this block convicts attempt {message.attempt_id}")
        if _admit(self._state, signed) is not None:
            self._proven.add(attempt)
        self._proofs_left -= 1


def _admit(state: State, signed: SignedTransaction) -> Conviction | None:
    """Raise a Rejection, or charge the transaction in `state` as the block would; return what a fraud proof shows."""
    check_envelope(state, signed, state.chain.height + 1)
    TRANSITIONS[signed.kind].validate(getattr(signed.body, signed.kind))
    if signed.kind != PROOF_KIND:
        charge_fee(state, signed)
        return None
    found = _judge_proof(state, signed)
    charge_fee(state, signed)
    if found is None:
        tokens.debit(state, signed.sender, state.params.proof_bond)
    return found


def _judge_proof(state: State, signed: SignedTransaction) -> Conviction | None:
    """What the proof would do in the next block. Raises the Rejection that it would meet, and if it would be moot."""
    message = signed.body.submit_fraud_proof
    check_balance(state, signed.sender, signed.body.fee + state.params.proof_bond)
    call = Call(signed.sender, signed.public_key, BlockContext(height=state.chain.height + 1, beacon=b""))
    found = submit_fraud_proof.check(state, call, message)
    if found is not None and found.attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED:
        raise NotConvictable(f"attempt {message.attempt_id} is convicted already; save the fee")
    return found


def _order_disputes_first(state: State, txs: Sequence[bytes]) -> list[tuple[bytes, SignedTransaction]]:
    """Decoded transactions; first the proofs that convict, each behind what its sender sent before it, then the others.

    Senders with less before their proof come first: nobody's junk with a proof behind it delays another's proof.
    """
    decoded = []
    for tx in txs:
        try:
            decoded.append((tx, decode_transaction(tx)))
        except Rejection:
            continue  # an honest proposer includes nothing that cannot be charged
    last_proof = {signed.sender: i for i, (_, signed) in enumerate(decoded) if _is_convicting(state, signed)}
    first = [pair for i, pair in enumerate(decoded) if i <= last_proof.get(pair[1].sender, -1)]
    rest = [pair for i, pair in enumerate(decoded) if i > last_proof.get(pair[1].sender, -1)]
    ahead = Counter[bytes]()  # by sender, bytes that are no proof
    for tx, signed in first:
        ahead[signed.sender] += len(tx) * (signed.kind != PROOF_KIND)
    return sorted(first, key=lambda pair: ahead[pair[1].sender]) + rest


def _is_convicting(state: State, signed: SignedTransaction) -> bool:
    if signed.kind != PROOF_KIND or signed.body.submit_fraud_proof.WhichOneof("proof") is None:
        return False
    try:
        return _judge_proof(state, signed) is not None
    except Rejection:
        return False
