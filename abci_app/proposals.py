"""What a node says of transactions before they are in a decided block: mempool, own proposals, others' proposals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from abci_app.envelope import charge_fee, check_envelope
from abci_app.state import State, tokens
from abci_app.state.beacons import get_proposer, is_next_reveal
from abci_app.state_machine import Changes, FindPreimage, Stores, TxResult, compute_block_bytes
from abci_app.transitions import TRANSITIONS, Call, submit_fraud_proof
from abci_app.transitions.call import BlockContext, Conviction
from abci_app.transitions.fields import check_balance
from optfl.errors import NotConvictable, Rejection, TooManyProofs
from optfl.transactions import SignedTransaction, decode_reveal, decode_transaction, encode_reveal
from optfl.wire import state_pb2

PROOF_KIND = "submit_fraud_proof"
# Kinds with a deadline at which somebody is late, unheard or unpunished: no paid junk may crowd them out (L2).
LANE_KINDS = (
    "submit_aggregate",
    "submit_certified_aggregate",
    "open_challenge",
    "commit_vote",
    "reveal_vote",
    "submit_equivocation",
    "demand_blob",
    "answer_demand",
    "announce_proof",
    "attest_watch",
    "open_watch",
)


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


def prepare_proposal(
    stores: Stores, txs: Sequence[bytes], max_bytes: int, proposer_address: bytes, find_preimage: FindPreimage
) -> list[bytes]:
    """The transactions of our own proposal: our reveal, proofs, disputes; no paid junk crowds these out (L2)."""
    proposal = _Proposal(State(stores))
    chosen: list[bytes] = []
    room = max_bytes
    reveal = _build_reveal(State(stores), proposer_address, find_preimage)
    if reveal is not None and compute_block_bytes(reveal) <= room:
        chosen.append(reveal)
        room -= compute_block_bytes(reveal)
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


def process_proposal(stores: Stores, txs: Sequence[bytes], proposer_address: bytes) -> bool:
    """Whether `prepare_proposal` of an honest node on the same state could have chosen these.

    A missing reveal is no reason to refuse: the operator may have lost its secret, and goes without the fees for it.
    """
    proposal = _Proposal(State(stores))
    reveal = decode_reveal(txs[0]) if txs else None
    if reveal is not None and not is_next_reveal(get_proposer(State(stores), proposer_address), reveal):
        return False
    try:
        for tx in txs[1:] if reveal is not None else txs:
            proposal.add(decode_transaction(tx))
    except Rejection:
        return False
    return True


def _build_reveal(state: State, proposer_address: bytes, find_preimage: FindPreimage) -> bytes | None:
    """What our own block begins with, if we are a validator with an anchor in force and have the secret under it."""
    proposer = get_proposer(state, proposer_address)
    preimage = None if proposer is None else find_preimage(proposer.beacon_tip)
    return None if proposer is None or preimage is None else encode_reveal(proposer.operator, preimage)


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
    call = _next_call(state, signed)
    found = submit_fraud_proof.check(state, call, message)
    if found is not None and found.attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED:
        raise NotConvictable(f"attempt {message.attempt_id} is convicted already; save the fee")
    return found


def _order_disputes_first(state: State, txs: Sequence[bytes]) -> list[tuple[bytes, SignedTransaction]]:
    """Decoded transactions: first the proofs that convict, then what disputes wait for, then the others.

    Each stands behind what its sender sent before it. Senders with less before theirs come first: nobody's junk with a
    proof or a vote behind it delays another's. Of proofs with nothing before them those come first that pay most of who
    has announced one: of two against one attempt a block takes one (F7).
    """
    decoded = []
    for tx in txs:
        try:
            decoded.append((tx, decode_transaction(tx)))
        except Rejection:
            continue  # an honest proposer includes nothing that cannot be charged
    proofs = [i for i, (_, signed) in enumerate(decoded) if _is_convicting(state, signed)]
    lane = _find_lane(state, [signed for _, signed in decoded])
    last_proof = {decoded[i][1].sender: i for i in proofs}
    last_in_lane = {decoded[i][1].sender: i for i in lane}
    ranks: tuple[list[int], list[int], list[int]] = ([], [], [])
    for i, (_, signed) in enumerate(decoded):
        if i <= last_proof.get(signed.sender, -1):
            ranks[0].append(i)
        else:
            ranks[1 if i <= last_in_lane.get(signed.sender, -1) else 2].append(i)
    is_urgent = [signed.kind == PROOF_KIND for _, signed in decoded]
    for i in lane:
        is_urgent[i] = True
    ordered = []
    paid = _find_paid(state, [decoded[i][1] for i in proofs])
    for rank in ranks[:2]:
        ahead = Counter[bytes]()  # by sender, bytes of what is not urgent
        for i in rank:
            ahead[decoded[i][1].sender] += len(decoded[i][0]) * (not is_urgent[i])
        places = {sender: (size > 0, -paid[sender], size) for sender, size in ahead.items()}
        ordered += sorted(rank, key=lambda i: places[decoded[i][1].sender])
    return [decoded[i] for i in ordered + ranks[2]]


def _find_paid(state: State, proofs: Sequence[SignedTransaction]) -> Counter[bytes]:
    """By sender, the weight of those who are paid for one of its proofs."""
    weights = Counter[bytes]()
    for signed in proofs:
        reporters = submit_fraud_proof.find_reporters(state, _next_call(state, signed), signed.body.submit_fraud_proof)
        weights[signed.sender] = max(weights[signed.sender], sum(reporter.weight for reporter in reporters))
    return weights


def _is_convicting(state: State, signed: SignedTransaction) -> bool:
    if signed.kind != PROOF_KIND or signed.body.submit_fraud_proof.WhichOneof("proof") is None:
        return False
    try:
        return _judge_proof(state, signed) is not None
    except Rejection:
        return False


def _find_lane(state: State, txs: Sequence[SignedTransaction]) -> list[int]:
    """Indices of what disputes wait for and what would be accepted now: one for each sender, kind and subject.

    So junk costs a check at most, and nobody fills the lane with what only the first of can succeed.
    """
    found: list[int] = []
    tried: dict[tuple[bytes, str, tuple[int, ...]], int] = {}
    for i, signed in enumerate(txs):
        if signed.kind not in LANE_KINDS:
            continue
        message = getattr(signed.body, signed.kind)
        subject = tuple(getattr(message, field, 0) for field in ("task_id", "round", "attempt_id"))
        if tried.setdefault((signed.sender, signed.kind, subject), i) == i and _would_succeed(state, signed):
            found.append(i)
    return found


def _would_succeed(state: State, signed: SignedTransaction) -> bool:
    transition, message = TRANSITIONS[signed.kind], getattr(signed.body, signed.kind)
    try:
        transition.validate(message)
        transition.check(state, _next_call(state, signed), message)
    except Rejection:
        return False
    return True


def _next_call(state: State, signed: SignedTransaction) -> Call:
    return Call(signed.sender, signed.public_key, BlockContext(height=state.chain.height + 1, beacon=b""))
