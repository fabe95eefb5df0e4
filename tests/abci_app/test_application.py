"""ABCI's methods over a real state machine and a real store: what is kept when, what is proven, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.application import CODESPACE, MAX_KEPT_ANSWERS, MAX_KEPT_QUESTION_BYTES, Application, UnexpectedCall
from abci_app.state_machine import Block, BlockResults, GenesisError, Stores, compute_block_bytes, find_nothing
from abci_app.store import VERSIONS, Store
from abci_app.wire import abci_pb2
from optfl import query_codes
from optfl.merkle import compute_root_from_path, simple_map_leaf
from support.counter import MALFORMED, WRONG_VALUE, Counter

GENESIS = {"alice": 3}
KEY = bytes(range(32))


class Node:
    """An application as CometBFT drives it; `restart` is a crash: whatever was not committed is lost."""

    def __init__(self, path: Path, initial_height: int = 1) -> None:
        self.path = path
        self.initial_height = initial_height
        self.ledger = Counter()
        self.store = Store(path)
        self.app = Application(self.store, self.ledger)

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.path)
        self.app = Application(self.store, self.ledger)

    def info(self) -> tuple[int, bytes]:
        response = self.app.info(abci_pb2.RequestInfo())
        return response.last_block_height, response.last_block_app_hash

    def init_chain(self, genesis: object = GENESIS, key: str = "ed25519") -> abci_pb2.ResponseInitChain:
        public_key = abci_pb2.PublicKey(**{key: KEY})
        return self.app.init_chain(
            abci_pb2.RequestInitChain(
                chain_id="test",
                initial_height=self.initial_height,
                app_state_bytes=json.dumps(genesis).encode(),
                validators=[abci_pb2.ValidatorUpdate(pub_key=public_key, power=10)],
            )
        )

    def finalize(self, height: int, *txs: bytes) -> abci_pb2.ResponseFinalizeBlock:
        return self.app.finalize_block(abci_pb2.RequestFinalizeBlock(height=height, txs=txs, hash=b"h" * 32))

    def block(self, height: int, *txs: bytes) -> abci_pb2.ResponseFinalizeBlock:
        response = self.finalize(height, *txs)
        self.app.commit()
        return response

    def check(self, tx: bytes) -> int:
        return self.app.check_tx(abci_pb2.RequestCheckTx(tx=tx)).code

    def query(self, path: str, data: bytes = b"", height: int = 0, prove: bool = True) -> abci_pb2.ResponseQuery:
        return self.app.query(abci_pb2.RequestQuery(path=path, data=data, height=height, prove=prove))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "ledger.db")
    yield node
    node.store.close()


def verify(response: abci_pb2.ResponseQuery, store: str) -> bytes:
    """The app hash that the proof leads to; checks it as CometBFT's proof runtime does, key by key."""
    value, path = response.value, [store.encode(), response.key]
    for op in response.proof_ops.ops:
        assert op.type == "simple:v"
        assert op.key == path.pop()
        proof = abci_pb2.ValueOp.FromString(op.data).proof
        leaf = simple_map_leaf(op.key, value)
        assert leaf == proof.leaf_hash
        value = compute_root_from_path(leaf, proof.index, proof.total, proof.aunts)
    assert path == []
    return value


def test_info_before_the_first_commit_is_height_zero(node: Node) -> None:
    assert node.info() == (0, b"")
    node.init_chain()
    node.finalize(1)
    assert node.info() == (0, b"")


def test_info_is_the_last_commit(node: Node) -> None:
    node.init_chain()
    app_hash = node.block(1, b"alice:4").app_hash
    assert node.info() == (1, app_hash)
    node.finalize(2, b"alice:5")
    assert node.info() == (1, app_hash)
    node.restart()
    assert node.info() == (1, app_hash)


def test_nothing_is_written_outside_commit(node: Node) -> None:
    def rows() -> int:
        return int(node.store._database.total_changes)

    before = rows()
    node.init_chain()
    node.check(b"alice:4")
    node.app.prepare_proposal(abci_pb2.RequestPrepareProposal(txs=[b"alice:4"], max_tx_bytes=100))
    node.app.process_proposal(abci_pb2.RequestProcessProposal(txs=[b"alice:4"]))
    node.finalize(1, b"alice:4")
    assert rows() == before
    node.app.commit()
    assert rows() > before


def test_a_crash_after_init_chain_starts_over(node: Node) -> None:
    first = node.init_chain()
    node.finalize(1, b"alice:4")
    node.restart()
    assert node.init_chain() == first
    node.block(1, b"alice:4")
    node.restart()
    assert node.store.height == 1


def test_init_chain_again_without_a_crash_starts_over(node: Node) -> None:
    """CometBFT alone restarted: the application still has the block that was never committed."""
    node.init_chain()
    node.finalize(1, b"alice:4")
    node.init_chain()
    with pytest.raises(UnexpectedCall):
        node.app.commit()
    node.block(1, b"bob:1")
    assert node.query("/store/counters/key", b"bob", height=1).code == 0


def test_init_chain_on_a_ledger_with_blocks_halts(node: Node) -> None:
    node.init_chain()
    node.block(1)
    with pytest.raises(UnexpectedCall, match="at height 1"):
        node.init_chain()


def test_a_replayed_block_gives_the_same_hash(node: Node) -> None:
    node.init_chain()
    node.block(1, b"alice:4")
    first = node.finalize(2, b"alice:5", b"bob:1", b"alice:drop")
    node.restart()
    assert node.finalize(2, b"alice:5", b"bob:1", b"alice:drop") == first


def test_the_last_finalized_block_is_the_one_committed(node: Node) -> None:
    node.init_chain()
    node.finalize(1, b"alice:4")
    app_hash = node.finalize(1, b"bob:1").app_hash
    node.app.commit()
    assert node.info() == (1, app_hash)
    assert node.query("/store/counters/key", b"bob", height=1).code == 0


@pytest.mark.parametrize("height", [0, 2])
def test_a_block_of_the_wrong_height_halts(node: Node, height: int) -> None:
    node.init_chain()
    with pytest.raises(UnexpectedCall, match="height"):
        node.finalize(height)


def test_commit_without_a_block_halts(node: Node) -> None:
    node.init_chain()
    node.block(1)
    with pytest.raises(UnexpectedCall):
        node.app.commit()


def test_a_block_before_init_chain_halts(node: Node) -> None:
    with pytest.raises(UnexpectedCall):
        node.finalize(1)


def test_results_carry_everything_in_order(node: Node) -> None:
    node.init_chain()
    power = b"power:" + KEY.hex().encode() + b":7"
    response = node.finalize(1, b"alice:4", b"alice:9", b"nonsense", power)
    assert [result.code for result in response.tx_results] == [0, WRONG_VALUE, MALFORMED, 0]
    assert response.tx_results[0].events[0].type == "count"
    attribute = response.tx_results[0].events[0].attributes[0]
    assert (attribute.key, attribute.value, attribute.index) == ("name", "alice", True)
    assert (response.tx_results[0].gas_wanted, response.tx_results[0].gas_used) == (1, 1)
    assert response.tx_results[1].log == "the next value is 5"
    assert response.events[0].attributes[0].value == "1"
    (update,) = response.validator_updates
    assert (update.pub_key.ed25519, update.power) == (KEY, 7)


def test_misbehavior_reaches_the_state_machine(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Block] = []
    apply_block = node.ledger.apply_block

    def spy(stores: Stores, block: Block) -> BlockResults:
        seen.append(block)
        return apply_block(stores, block)

    monkeypatch.setattr(node.ledger, "apply_block", spy)
    node.init_chain()
    evidence = abci_pb2.Misbehavior(
        type=abci_pb2.DUPLICATE_VOTE,
        validator=abci_pb2.Validator(address=b"a" * 20, power=3),
        height=5,
        total_voting_power=40,
    )
    node.app.finalize_block(
        abci_pb2.RequestFinalizeBlock(
            height=1, txs=[b"alice:4"], hash=b"h", proposer_address=b"p" * 20, misbehavior=[evidence]
        )
    )
    (block,) = seen
    (misbehavior,) = block.misbehavior
    assert (block.height, block.hash, block.proposer_address, block.transactions) == (1, b"h", b"p" * 20, (b"alice:4",))
    assert misbehavior.kind.name == "DUPLICATE_VOTE"
    assert (misbehavior.address, misbehavior.height) == (b"a" * 20, 5)
    assert (misbehavior.power, misbehavior.total_power) == (3, 40)


def test_a_result_too_few_halts(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.ledger, "apply_block", lambda stores, block: BlockResults())
    node.init_chain()
    with pytest.raises(UnexpectedCall, match="0 results for 1"):
        node.finalize(1, b"alice:4")


def test_genesis_mistakes_are_the_operators(node: Node) -> None:
    with pytest.raises(GenesisError, match="correct the genesis file"):
        node.init_chain(genesis=[1])
    with pytest.raises(GenesisError, match="ed25519"):
        node.init_chain(key="secp256k1")


# The mempool


def test_several_transactions_of_one_sender_can_wait(node: Node) -> None:
    node.init_chain()
    assert [node.check(tx) for tx in (b"alice:4", b"alice:5", b"alice:6", b"bob:1")] == [0, 0, 0, 0]
    assert node.check(b"alice:4") == WRONG_VALUE
    assert node.check(b"alice:9") == WRONG_VALUE
    assert node.check(b"alice:7") == 0


def test_commit_resets_what_is_checked_against(node: Node) -> None:
    node.init_chain()
    node.check(b"alice:4")
    node.check(b"alice:5")
    node.block(1, b"alice:4")
    # CometBFT rechecks what was not included, in order, on the new state.
    assert [node.check(tx) for tx in (b"alice:4", b"alice:5", b"alice:6")] == [WRONG_VALUE, 0, 0]


def test_checks_do_not_reach_the_block(node: Node) -> None:
    node.init_chain()
    node.check(b"alice:4")
    assert node.finalize(1, b"alice:4").tx_results[0].code == 0
    node.restart()
    node.init_chain()
    assert node.check(b"alice:4") == 0


# Proposals


@given(st.lists(st.binary(max_size=300)), st.integers(0, 2000))
def test_a_proposal_fits_as_cometbft_counts(txs: list[bytes], limit: int) -> None:
    chosen = Counter().prepare_proposal({}, txs, limit, b"", find_nothing)
    encoded = abci_pb2.ResponsePrepareProposal(txs=chosen)  # the same field number and shape as a block's data
    assert encoded.ByteSize() == sum(compute_block_bytes(tx) for tx in chosen) <= limit


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384])
def test_block_bytes_at_the_edges_of_a_varint(size: int) -> None:
    assert compute_block_bytes(bytes(size)) == abci_pb2.ResponsePrepareProposal(txs=[bytes(size)]).ByteSize()


def test_a_proposal_over_the_limit_is_our_own_bug(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.init_chain()
    request = abci_pb2.RequestPrepareProposal(txs=[b"alice:4", b"bob:1"], max_tx_bytes=12)
    assert list(node.app.prepare_proposal(request).txs) == [b"alice:4"]

    def greedy(stores: Stores, txs: Sequence[bytes], *_: object) -> list[bytes]:
        return list(txs)

    monkeypatch.setattr(node.ledger, "prepare_proposal", greedy)
    with pytest.raises(UnexpectedCall, match="proposes 16 bytes"):
        node.app.prepare_proposal(request)


def test_A9_the_state_machine_learns_who_proposes_and_our_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    ledger = Counter()
    secret = {b"tip": b"preimage"}.get

    def prepare(stores: Stores, txs: Sequence[bytes], max_bytes: int, *rest: object) -> list[bytes]:
        seen.append(rest)
        return []

    def process(stores: Stores, txs: Sequence[bytes], *rest: object) -> bool:
        seen.append(rest)
        return True

    monkeypatch.setattr(ledger, "prepare_proposal", prepare)
    monkeypatch.setattr(ledger, "process_proposal", process)
    store = Store(tmp_path / "with a secret.db")
    app = Application(store, ledger, secret)
    app.init_chain(abci_pb2.RequestInitChain(chain_id="test", initial_height=1, app_state_bytes=b"{}"))
    app.prepare_proposal(abci_pb2.RequestPrepareProposal(proposer_address=b"us"))
    app.process_proposal(abci_pb2.RequestProcessProposal(proposer_address=b"them"))
    assert seen == [(b"us", secret), (b"them",)]
    store.close()


def test_proposals_are_judged_without_side_effects(node: Node) -> None:
    node.init_chain()
    for _ in range(3):
        accepted = node.app.process_proposal(abci_pb2.RequestProcessProposal(txs=[b"alice:4"], height=1))
        refused = node.app.process_proposal(abci_pb2.RequestProcessProposal(txs=[b"nonsense"], height=1))
        assert accepted.status == abci_pb2.ResponseProcessProposal.ACCEPT
        assert refused.status == abci_pb2.ResponseProcessProposal.REJECT
    assert node.finalize(1, b"alice:4").tx_results[0].code == 0


# Queries


def test_every_kept_height_is_proven_against_its_own_header(node: Node) -> None:
    node.init_chain()
    hashes = {height: node.block(height, b"alice:%d" % (height + 3)).app_hash for height in range(1, VERSIONS + 3)}
    node.restart()
    for height in range(3, VERSIONS + 3):
        response = node.query("/store/counters/key", b"alice", height)
        assert (response.code, response.height, response.key) == (0, height, b"alice")
        assert int.from_bytes(response.value, "big") == height + 3
        assert verify(response, "counters") == hashes[height]


def test_without_a_height_the_newest_provable_state_answers(node: Node) -> None:
    """The light client wants the header after the answer's height, and the newest there is has the latest height."""
    node.init_chain()
    hashes = [node.block(height, b"alice:%d" % (height + 3)).app_hash for height in (1, 2, 3)]
    response = node.query("/store/counters/key", b"alice")
    assert response.height == 2
    assert verify(response, "counters") == hashes[1]


def test_at_height_one_there_is_no_state_before(node: Node) -> None:
    """Height 0 would be refused by the light client; the header that proves height 1 is one block away."""
    node.init_chain()
    app_hash = node.block(1, b"alice:4").app_hash
    response = node.query("/store/counters/key", b"alice")
    assert (response.height, verify(response, "counters")) == (1, app_hash)


def test_the_genesis_state_is_provable_where_the_chain_starts_higher(tmp_path: Path) -> None:
    node = Node(tmp_path / "ledger.db", initial_height=100)
    app_hash = node.init_chain().app_hash
    with pytest.raises(UnexpectedCall):
        node.finalize(1)
    node.block(100, b"alice:4")
    node.restart()
    response = node.query("/store/counters/key", b"alice")
    assert (response.height, int.from_bytes(response.value, "big")) == (99, 3)
    assert verify(response, "counters") == app_hash
    assert node.info()[0] == 100
    node.store.close()


def test_a_query_without_proof_has_none(node: Node) -> None:
    node.init_chain()
    node.block(1)
    response = node.query("/store/counters/key", b"alice", prove=False)
    assert not response.HasField("proof_ops")
    assert response.value


def test_what_many_ask_is_computed_once_a_block(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, bytes]] = []

    def query(stores: object, path: str, data: bytes, height: int) -> tuple[int, bytes]:
        asked.append((path, data))
        return 0, data + bytes([height])

    monkeypatch.setattr(node.ledger, "query", query)
    node.init_chain()
    for height in (1, 2):
        node.block(height)
        for _ in range(3):
            assert node.query("/view", b"a").value == b"a" + bytes([height])
    assert asked == [("/view", b"a")] * 2
    for _ in range(2):  # what is too long to be kept is answered all the same
        assert node.query("/view", bytes(MAX_KEPT_QUESTION_BYTES)).value[-1] == 2
    assert len(asked) == 4
    for i in range(MAX_KEPT_ANSWERS + 1):
        assert node.query("/view", b"%d" % i).value == b"%d\x02" % i


@pytest.mark.parametrize(
    ("path", "data", "height", "code"),
    [
        ("/store/counters/key", b"alice", 99, query_codes.HEIGHT_IN_FUTURE),
        ("/store/counters/key", b"alice", 1, query_codes.HEIGHT_PRUNED),
        ("/store/counters/key", b"alice", -1, query_codes.HEIGHT_PRUNED),
        ("/store/counters/key", b"nobody", 0, query_codes.KEY_NOT_FOUND),
        ("/store/counters/key", b"", 0, query_codes.KEY_NOT_FOUND),
        ("/store/nothing/key", b"alice", 0, query_codes.KEY_NOT_FOUND),
        ("/store/unused/key", b"alice", 0, query_codes.KEY_NOT_FOUND),
        ("/total", b"", 99, query_codes.HEIGHT_IN_FUTURE),
    ],
)
def test_what_cannot_be_answered_has_its_own_code(node: Node, path: str, data: bytes, height: int, code: int) -> None:
    node.init_chain()
    for at in range(1, VERSIONS + 3):
        node.block(at)
    response = node.query(path, data, height)
    assert (response.code, response.codespace) == (code, CODESPACE)
    assert response.log
    assert not response.value


def test_before_the_first_block_there_is_no_answer(node: Node) -> None:
    node.init_chain()
    node.finalize(1)
    assert node.query("/store/counters/key", b"alice").code == query_codes.NO_BLOCK
    assert node.query("/total").code == query_codes.NO_BLOCK


def test_other_paths_are_the_state_machines_on_the_latest_state(node: Node) -> None:
    node.init_chain()
    node.block(1, b"alice:4")
    node.block(2, b"alice:5")
    node.finalize(3, b"alice:6")
    response = node.query("/total")
    assert (response.code, response.height, int.from_bytes(response.value, "big")) == (0, 2, 2)
    assert int.from_bytes(node.query("/total", height=1).value, "big") == 1
    unknown = node.query("/store/counters/subspace")
    assert (unknown.code, unknown.log, unknown.codespace) == (MALFORMED, "no such path; use /total", "")


def test_peers_are_not_filtered(node: Node) -> None:
    """Any other code than 0 would have CometBFT turn the peer away, before the first block too."""
    assert node.query("/p2p/filter/addr/192.0.2.1:26656").code == 0
    assert node.query("/p2p/filter/id/abcdef").code == 0


# The rest of ABCI


def test_every_request_has_an_answer_of_its_own_kind(node: Node) -> None:
    requests = [
        abci_pb2.Request(info=abci_pb2.RequestInfo()),
        abci_pb2.Request(init_chain=abci_pb2.RequestInitChain(app_state_bytes=b"{}", initial_height=1)),
        abci_pb2.Request(query=abci_pb2.RequestQuery(path="/total")),
        abci_pb2.Request(check_tx=abci_pb2.RequestCheckTx(tx=b"alice:1")),
        abci_pb2.Request(prepare_proposal=abci_pb2.RequestPrepareProposal()),
        abci_pb2.Request(process_proposal=abci_pb2.RequestProcessProposal()),
        abci_pb2.Request(extend_vote=abci_pb2.RequestExtendVote()),
        abci_pb2.Request(verify_vote_extension=abci_pb2.RequestVerifyVoteExtension(vote_extension=b"x")),
        abci_pb2.Request(finalize_block=abci_pb2.RequestFinalizeBlock(height=1)),
        abci_pb2.Request(commit=abci_pb2.RequestCommit()),
        abci_pb2.Request(list_snapshots=abci_pb2.RequestListSnapshots()),
        abci_pb2.Request(offer_snapshot=abci_pb2.RequestOfferSnapshot()),
        abci_pb2.Request(load_snapshot_chunk=abci_pb2.RequestLoadSnapshotChunk()),
        abci_pb2.Request(apply_snapshot_chunk=abci_pb2.RequestApplySnapshotChunk()),
    ]
    kinds = [request.WhichOneof("value") for request in requests]
    assert {*kinds, "echo", "flush"} == {field.name for field in abci_pb2.Request.DESCRIPTOR.fields}
    assert [node.app.answer(request).WhichOneof("value") for request in requests] == kinds


def test_snapshots_are_refused_and_vote_extensions_let_pass(node: Node) -> None:
    offer = node.app.answer(abci_pb2.Request(offer_snapshot=abci_pb2.RequestOfferSnapshot()))
    apply = node.app.answer(abci_pb2.Request(apply_snapshot_chunk=abci_pb2.RequestApplySnapshotChunk()))
    vote = node.app.answer(abci_pb2.Request(verify_vote_extension=abci_pb2.RequestVerifyVoteExtension()))
    assert offer.offer_snapshot.result == abci_pb2.ResponseOfferSnapshot.ABORT
    assert apply.apply_snapshot_chunk.result == abci_pb2.ResponseApplySnapshotChunk.ABORT
    assert vote.verify_vote_extension.status == abci_pb2.ResponseVerifyVoteExtension.ACCEPT


def test_echo_and_flush_are_the_servers(node: Node) -> None:
    with pytest.raises(UnexpectedCall):
        node.app.answer(abci_pb2.Request(echo=abci_pb2.RequestEcho()))
