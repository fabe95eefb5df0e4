"""ABCI's methods on one side, a state machine and its store on the other.

What a block does is computed in FinalizeBlock and kept in memory; Commit writes it, and nothing else writes. So after a
crash anywhere the store is at the last commit, Info says so, and CometBFT replays from there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from abci_app.app_hash import MerkleState, SimpleProof
from abci_app.overlay import Overlay
from abci_app.state_machine import (
    Block,
    Event,
    FindPreimage,
    GenesisError,
    Misbehavior,
    MisbehaviorKind,
    StateMachine,
    ValidatorUpdate,
    compute_block_bytes,
    find_nothing,
)
from abci_app.store import Store, Version
from abci_app.wire import abci_pb2
from optfl import query_codes

APP_VERSION = 1
"""Of the rules of the state machine; CometBFT puts it into every header."""

CODESPACE = "abci_app"
"""Of the codes from 101 on. A state machine's own codes have none, and are below 100."""

MAX_KEPT_ANSWERS, MAX_KEPT_QUESTION_BYTES = 64, 64
"""Answers to queries of one height, enough for the views that many ask for; and how long a question may be for that."""

_STORE_PATH = re.compile(r"/store/([^/]+)/key")


class UnexpectedCall(Exception):
    """CometBFT called what cannot come now: it and the ledger are not of the same chain, or one of them has a bug."""


class Application:
    """Answers ABCI requests; not thread-safe, so its server holds one lock round it.

    Any exception is a bug, a failing disk or an unusable genesis file: the state in memory must not be used after it.
    """

    def __init__(self, store: Store, ledger: StateMachine, find_preimage: FindPreimage = find_nothing) -> None:
        self._store = store
        self._ledger = ledger
        self._find_preimage = find_preimage
        self._genesis: Version | None = None  # from InitChain until the first Commit, which brings it to the disk
        self._pending: Version | None = None  # from FinalizeBlock until Commit
        self._mempool = Overlay(store.state)
        self._answers: dict[tuple[str, bytes, int], tuple[int, bytes]] = {}  # to queries, since the last Commit

    def answer(self, request: abci_pb2.Request) -> abci_pb2.Response:
        """Any request but Echo and Flush, which are the server's."""
        match request.WhichOneof("value"):
            case "info":
                return abci_pb2.Response(info=self.info(request.info))
            case "init_chain":
                return abci_pb2.Response(init_chain=self.init_chain(request.init_chain))
            case "query":
                return abci_pb2.Response(query=self.query(request.query))
            case "check_tx":
                return abci_pb2.Response(check_tx=self.check_tx(request.check_tx))
            case "prepare_proposal":
                return abci_pb2.Response(prepare_proposal=self.prepare_proposal(request.prepare_proposal))
            case "process_proposal":
                return abci_pb2.Response(process_proposal=self.process_proposal(request.process_proposal))
            case "finalize_block":
                return abci_pb2.Response(finalize_block=self.finalize_block(request.finalize_block))
            case "commit":
                return abci_pb2.Response(commit=self.commit())
            # The genesis file does not switch vote extensions on, and the state never depends on one.
            case "extend_vote":
                return abci_pb2.Response(extend_vote=abci_pb2.ResponseExtendVote())
            case "verify_vote_extension":
                accept = abci_pb2.ResponseVerifyVoteExtension.ACCEPT
                return abci_pb2.Response(
                    verify_vote_extension=abci_pb2.ResponseVerifyVoteExtension(status=accept),
                )
            # No snapshots are made or taken: a new node replays the blocks.
            case "list_snapshots":
                return abci_pb2.Response(list_snapshots=abci_pb2.ResponseListSnapshots())
            case "offer_snapshot":
                abort = abci_pb2.ResponseOfferSnapshot.ABORT
                return abci_pb2.Response(offer_snapshot=abci_pb2.ResponseOfferSnapshot(result=abort))
            case "load_snapshot_chunk":
                return abci_pb2.Response(load_snapshot_chunk=abci_pb2.ResponseLoadSnapshotChunk())
            case "apply_snapshot_chunk":
                result = abci_pb2.ResponseApplySnapshotChunk.ABORT
                return abci_pb2.Response(apply_snapshot_chunk=abci_pb2.ResponseApplySnapshotChunk(result=result))
            case kind:
                raise UnexpectedCall(f"{kind} is not a method of the application")

    def info(self, request: abci_pb2.RequestInfo) -> abci_pb2.ResponseInfo:
        """Height and app hash of the last Commit, from which CometBFT replays."""
        return abci_pb2.ResponseInfo(
            data="optfl",
            app_version=APP_VERSION,
            last_block_height=self._store.height,
            last_block_app_hash=self._store.state.app_hash if self._store.height else b"",
        )

    def init_chain(self, request: abci_pb2.RequestInitChain) -> abci_pb2.ResponseInitChain:
        """Make the state that the first block starts from. Comes again when a crash follows before the first Commit."""
        if self._store.height:
            raise UnexpectedCall(f"InitChain for {request.chain_id}, but the ledger is at height {self._store.height}")
        validators = [_decode_validator(update) for update in request.validators]
        stores, updates = self._ledger.init_chain(
            request.app_state_bytes, request.chain_id, validators, request.initial_height
        )
        state = MerkleState.from_stores(stores)
        changes = {name: dict[bytes, bytes | None](of_store) for name, of_store in state.items()}
        self._genesis = Version(request.initial_height - 1, state, changes)
        self._pending = None
        self._mempool = Overlay(state)
        return abci_pb2.ResponseInitChain(
            validators=[_encode_validator(update) for update in updates], app_hash=state.app_hash
        )

    def check_tx(self, request: abci_pb2.RequestCheckTx) -> abci_pb2.ResponseCheckTx:
        """Check on top of the transactions accepted since the last Commit; after it CometBFT has the rest rechecked."""
        result, changes = self._ledger.check_tx(self._mempool, request.tx)
        if result.code == 0:
            self._mempool.apply(changes)
        return abci_pb2.ResponseCheckTx(
            code=result.code, data=result.data, log=result.log, gas_wanted=result.gas_wanted, gas_used=result.gas_used
        )

    def prepare_proposal(self, request: abci_pb2.RequestPrepareProposal) -> abci_pb2.ResponsePrepareProposal:
        txs = self._ledger.prepare_proposal(
            self._latest.state, list(request.txs), request.max_tx_bytes, request.proposer_address, self._find_preimage
        )
        size_bytes = sum(compute_block_bytes(tx) for tx in txs)
        if size_bytes > request.max_tx_bytes:
            raise UnexpectedCall(f"the ledger proposes {size_bytes} bytes where a block has {request.max_tx_bytes}")
        return abci_pb2.ResponsePrepareProposal(txs=txs)

    def process_proposal(self, request: abci_pb2.RequestProcessProposal) -> abci_pb2.ResponseProcessProposal:
        is_honest = self._ledger.process_proposal(self._latest.state, list(request.txs), request.proposer_address)
        response = abci_pb2.ResponseProcessProposal
        return response(status=response.ACCEPT if is_honest else response.REJECT)

    def finalize_block(self, request: abci_pb2.RequestFinalizeBlock) -> abci_pb2.ResponseFinalizeBlock:
        """Compute what the block does. Nothing is kept before Commit, so it may come again, even with another block."""
        latest = self._latest
        if request.height != latest.height + 1:
            raise UnexpectedCall(f"FinalizeBlock of height {request.height} on a ledger at height {latest.height}")
        block = Block(
            height=request.height,
            hash=request.hash,
            proposer_address=request.proposer_address,
            misbehavior=tuple(_decode_misbehavior(misbehavior) for misbehavior in request.misbehavior),
            transactions=tuple(request.txs),
        )
        results = self._ledger.apply_block(latest.state, block)
        if len(results.results) != len(block.transactions):
            raise UnexpectedCall(f"{len(results.results)} results for {len(block.transactions)} transactions")
        state = latest.state.update(results.changes)
        self._pending = Version(request.height, state, results.changes)
        return abci_pb2.ResponseFinalizeBlock(
            events=_encode_events(results.events),
            tx_results=[
                abci_pb2.ExecTxResult(
                    code=result.code,
                    data=result.data,
                    log=result.log,
                    gas_wanted=result.gas_wanted,
                    gas_used=result.gas_used,
                    events=_encode_events(result.events),
                )
                for result in results.results
            ],
            validator_updates=[_encode_validator(update) for update in results.validator_updates],
            app_hash=state.app_hash,
        )

    def commit(self) -> abci_pb2.ResponseCommit:
        """Write the finalized block, durably. CometBFT may keep every block (`retain_height` 0)."""
        if self._pending is None:
            raise UnexpectedCall("Commit without FinalizeBlock")
        self._store.commit([self._genesis, self._pending] if self._genesis else [self._pending])
        self._genesis = self._pending = None
        self._mempool = Overlay(self._store.state)
        self._answers.clear()
        return abci_pb2.ResponseCommit()

    def query(self, request: abci_pb2.RequestQuery) -> abci_pb2.ResponseQuery:
        """`/store/<name>/key` with the key as data, provably; every other path is the state machine's."""
        if request.path.startswith("/p2p/filter/"):
            return abci_pb2.ResponseQuery()  # CometBFT asks about a peer; any other code would turn it away
        latest = self._store.height
        if latest == 0:
            return _refuse(query_codes.NO_BLOCK, "no block is committed yet; ask again after the first one")
        store_path = _STORE_PATH.fullmatch(request.path)
        height = request.height
        if height == 0:
            # The proof of a state is in the header after it, so the newest state that can be proven now is the one
            # before the latest. Nothing is before height 1.
            height = max(latest - 1, 1) if store_path else latest
        if height > latest:
            return _refuse(query_codes.HEIGHT_IN_FUTURE, f"height {height} is not reached; the latest is {latest}")
        state = self._store.get_version(height)
        if state is None:
            return _refuse(
                query_codes.HEIGHT_PRUNED, f"height {height} is not kept; the oldest is {self._store.oldest_height}"
            )
        if store_path is None:
            code, value = self._query_ledger(state, request.path, request.data, height)
            if code:
                return abci_pb2.ResponseQuery(code=code, log=value.decode(errors="replace"), height=height)
            return abci_pb2.ResponseQuery(key=request.data, value=value, height=height)
        name, key = store_path[1], request.data
        if name not in state or key not in state[name]:
            return _refuse(query_codes.KEY_NOT_FOUND, f"store {name} has no key {key.hex()} at height {height}", height)
        of_key, of_store = state.prove(name, key)
        return abci_pb2.ResponseQuery(
            key=key,
            value=state[name][key],
            index=of_key.index,
            height=height,
            proof_ops=_encode_proofs([of_key, of_store]) if request.prove else None,
        )

    def _query_ledger(self, state: MerkleState, path: str, data: bytes, height: int) -> tuple[int, bytes]:
        """Every role asks the same at every block: an answer is computed once."""
        if len(path) + len(data) > MAX_KEPT_QUESTION_BYTES:
            return self._ledger.query(state, path, data, height)
        asked = (path, data, height)
        if asked not in self._answers:
            if len(self._answers) == MAX_KEPT_ANSWERS:
                self._answers.clear()
            self._answers[asked] = self._ledger.query(state, path, data, height)
        return self._answers[asked]

    @property
    def _latest(self) -> Version:
        """What the next block starts from: the last commit, or before the first one the genesis state."""
        if self._store.height:
            return Version(self._store.height, self._store.state, {})
        if self._genesis is None:
            raise UnexpectedCall("a block before InitChain")
        return self._genesis


def _refuse(code: int, log: str, height: int = 0) -> abci_pb2.ResponseQuery:
    return abci_pb2.ResponseQuery(code=code, codespace=CODESPACE, log=log, height=height)


def _encode_proofs(proofs: Sequence[SimpleProof]) -> abci_pb2.ProofOps:
    """Operators from the value upwards; CometBFT checks each against the next part of the path, from its end."""
    ops = []
    for proof in proofs:
        encoded = abci_pb2.Proof(total=proof.total, index=proof.index, leaf_hash=proof.leaf_hash, aunts=proof.aunts)
        data = abci_pb2.ValueOp(key=proof.key, proof=encoded).SerializeToString()
        ops.append(abci_pb2.ProofOp(type="simple:v", key=proof.key, data=data))
    return abci_pb2.ProofOps(ops=ops)


def _encode_events(events: Iterable[Event]) -> list[abci_pb2.Event]:
    """Every attribute is indexed, so that a transaction can be searched by it."""
    return [
        abci_pb2.Event(
            type=event.kind,
            attributes=[abci_pb2.EventAttribute(key=key, value=value, index=True) for key, value in event.attributes],
        )
        for event in events
    ]


def _encode_validator(update: ValidatorUpdate) -> abci_pb2.ValidatorUpdate:
    return abci_pb2.ValidatorUpdate(pub_key=abci_pb2.PublicKey(ed25519=update.consensus_key), power=update.power)


def _decode_validator(update: abci_pb2.ValidatorUpdate) -> ValidatorUpdate:
    kind = update.pub_key.WhichOneof("sum")
    if kind != "ed25519":
        raise GenesisError(f"the genesis file has a validator with a {kind} key; give every validator an ed25519 key")
    return ValidatorUpdate(update.pub_key.ed25519, update.power)


def _decode_misbehavior(misbehavior: abci_pb2.Misbehavior) -> Misbehavior:
    return Misbehavior(
        kind=MisbehaviorKind(misbehavior.type),
        address=misbehavior.validator.address,
        power=misbehavior.validator.power,
        height=misbehavior.height,
        total_power=misbehavior.total_voting_power,
    )
