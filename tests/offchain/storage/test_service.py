"""What a replica stores and signs for, and what it hands out to whom, when."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.storage import protocol
from offchain.storage import service as service_module
from offchain.storage.memory import MemoryStore
from offchain.storage.protocol import GetRequest, PutRequest, Refusal
from offchain.storage.service import MAX_RETENTION_FACTOR, SPARE_RETENTION_BLOCKS, SPARE_VECTORS, ReplicaService
from offchain.storage.store import BlobStore, CorruptBlob, Slot, StoreFailed, StoreFull
from optfl.certificates import verify_receipt
from optfl.keys import SigningKey
from optfl.tasks import MAX_RESTARTS
from optfl.vectors import ChunkedVector, Shape, verify_opening
from optfl.wire import state_pb2, transaction_pb2
from support import storage
from support.storage import (
    AGGREGATING,
    AGGREGATORS,
    CHAIN_ID,
    CLIENTS,
    CREATED,
    HEIGHT,
    INITIAL_MODEL,
    MAX_ATTEMPTS,
    OPEN,
    REPLICAS,
    REQUESTER,
    RETENTION_BLOCKS,
    STRANGER,
    TASK_ID,
    TRAINING,
    VALIDATORS,
    FakeNode,
    make_attempt,
    make_model,
    make_put,
    make_update,
    make_view,
)

UPDATE = make_update()
MODEL = make_model()
QUOTA = len(AGGREGATORS) + MAX_ATTEMPTS + MAX_RESTARTS + SPARE_VECTORS


class Replica:
    """A replica in memory with its node, asked as peers ask it."""

    def __init__(
        self, view: state_pb2.TaskView | None, store: BlobStore | None = None, key: SigningKey = REPLICAS[0]
    ) -> None:
        self.node = FakeNode(view)
        self.store: BlobStore = MemoryStore() if store is None else store
        self.service = ReplicaService(CHAIN_ID, key, self.store, self.node)

    def put(self, request: PutRequest) -> bytes:
        """The receipt's signature; raises the Refusal."""
        return protocol.decode_receipt_reply(self.service.handle_put(protocol.encode_put(request)))

    def get(self, vector: ChunkedVector, task_id: int = TASK_ID) -> bytes:
        answer = self.service.handle_get(protocol.encode_get(GetRequest(task_id, vector.id)))
        return protocol.decode_vector_reply(answer)


def refused(code: str) -> Any:
    return pytest.raises(Refusal, match=f"^{code}: ")


# Puts that are taken.


def test_a_stored_update_gets_a_receipt_for_exactly_its_statement() -> None:
    replica = Replica(make_view((3, TRAINING)))
    request = make_put(CLIENTS[0], UPDATE, 3)
    signature = replica.put(request)
    assert verify_receipt(REPLICAS[0].public_key, request.statement, signature)
    record = replica.store.get_record(UPDATE.id)
    assert record is not None
    assert record.retain_until == {
        Slot(TASK_ID, 3, CLIENTS[0].address, "update"): HEIGHT + RETENTION_BLOCKS + 10,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", "another"),
        ("task_id", 8),
        ("round", 4),
        ("owner", CLIENTS[1].address),
        ("vector_id", bytes(32)),
        ("size_bytes", 1),
        ("retain_until_height", 10**6),
    ],
)
def test_a_receipt_certifies_nothing_else(field: str, value: object) -> None:
    """Red team I4: last round's receipt, or another client's, is worth nothing."""
    replica = Replica(make_view((3, TRAINING)))
    request = make_put(CLIENTS[0], UPDATE, 3)
    signature = replica.put(request)
    other: dict[str, Any] = {field: value}
    assert not verify_receipt(REPLICAS[0].public_key, replace(request.statement, **other), signature)


def test_the_same_put_again_gets_the_same_receipt_and_a_longer_one_extends() -> None:
    replica = Replica(make_view((3, TRAINING)))
    first = make_put(CLIENTS[0], UPDATE, 3, retain_until=HEIGHT + 60)
    longer = make_put(CLIENTS[0], UPDATE, 3, retain_until=HEIGHT + 90)
    signature = replica.put(first)
    assert replica.put(first) == signature
    assert verify_receipt(REPLICAS[0].public_key, longer.statement, replica.put(longer))
    replica.store.prune(HEIGHT + 90)
    assert replica.store.read(UPDATE.id).data == UPDATE.data
    replica.store.prune(HEIGHT + 91)
    with refused("not-stored"):
        replica.get(UPDATE)


def test_an_aggregators_model_is_taken_while_its_round_aggregates() -> None:
    request = make_put(AGGREGATORS[1], MODEL, 3)
    signature = Replica(make_view((2, OPEN), (3, AGGREGATING))).put(request)
    assert verify_receipt(REPLICAS[0].public_key, request.statement, signature)


def test_the_requesters_initial_model_is_taken_before_the_task_starts() -> None:
    request = make_put(REQUESTER, INITIAL_MODEL, 0)
    assert verify_receipt(REPLICAS[0].public_key, request.statement, Replica(CREATED).put(request))


def test_equal_content_of_two_owners_is_tolerated() -> None:
    """Red team I4 (c): whoever copies first must not evict the victim."""
    replica = Replica(make_view((3, TRAINING)))
    replica.put(make_put(CLIENTS[0], UPDATE, 3))
    replica.put(make_put(CLIENTS[1], UPDATE, 3))
    record = replica.store.get_record(UPDATE.id)
    assert record is not None
    assert len(record.retain_until) == 2


# Puts that are refused.


def test_bytes_that_are_not_those_of_the_id_are_refused() -> None:
    replica = Replica(make_view((3, TRAINING)))
    wrong = replace(make_put(CLIENTS[0], UPDATE, 3), data=make_update(1).data)
    with refused("wrong-bytes"):
        replica.put(wrong)
    assert replica.store.get_record(UPDATE.id) is None


@pytest.mark.parametrize(
    "shape",
    [Shape("int16", storage.LENGTH // 2, 64), Shape("int16", storage.LENGTH + 1, 64), Shape("int32", 1001, 64)],
    ids=["half", "one-more", "int32"],
)
def test_a_vector_of_another_length_or_type_is_refused(shape: Shape) -> None:
    """Red team I3: the shape comes from the task, never from whoever stores."""
    vector = ChunkedVector(shape, bytes(shape.size_bytes))
    with refused("wrong-length"):
        Replica(make_view((3, TRAINING))).put(make_put(CLIENTS[0], vector, 3, kind="update"))


def test_a_vector_chunked_otherwise_is_refused() -> None:
    """Red team I3: an id over one leaf hides that no chunk can be opened."""
    vector = ChunkedVector(Shape("int16", storage.LENGTH, 1024), UPDATE.data)
    with refused("wrong-bytes"):
        Replica(make_view((3, TRAINING))).put(make_put(CLIENTS[0], vector, 3))


def test_a_put_that_its_owner_did_not_sign_is_refused() -> None:
    replica = Replica(make_view((3, TRAINING)))
    request = make_put(CLIENTS[0], UPDATE, 3)
    for forged in (
        replace(request, public_key=CLIENTS[1].public_key),
        replace(request, round=4),
        replace(request, task_id=8),
        replace(request, retain_until_height=request.retain_until_height + 1),
        replace(request, signature=bytes(64)),
    ):
        with refused("bad-signature"):
            replica.put(forged)


def test_a_put_for_another_chain_is_refused() -> None:
    """Red team L8."""
    with refused("wrong-chain"):
        Replica(make_view((3, TRAINING))).put(make_put(CLIENTS[0], UPDATE, 3, chain_id="another"))


@pytest.mark.parametrize(
    ("owner", "vector", "view", "code"),
    [
        (CLIENTS[4], UPDATE, make_view((3, TRAINING)), "not-entitled"),  # a client of the task, not of the round
        (STRANGER, UPDATE, make_view((3, TRAINING)), "not-entitled"),
        (AGGREGATORS[0], UPDATE, make_view((3, TRAINING)), "not-entitled"),
        (CLIENTS[0], MODEL, make_view((3, AGGREGATING)), "not-entitled"),
        (STRANGER, MODEL, make_view((3, AGGREGATING)), "not-entitled"),
        (REQUESTER, MODEL, make_view((3, AGGREGATING)), "not-entitled"),
        (CLIENTS[0], UPDATE, make_view((3, AGGREGATING)), "wrong-phase"),
        (CLIENTS[0], UPDATE, make_view((3, OPEN), (4, TRAINING)), "wrong-phase"),
        (AGGREGATORS[0], MODEL, make_view((3, TRAINING)), "wrong-phase"),
        (AGGREGATORS[0], MODEL, make_view((3, OPEN), (4, TRAINING)), "wrong-phase"),
        (CLIENTS[0], UPDATE, make_view((4, TRAINING), settled_round=3), "wrong-round"),
        (CLIENTS[0], UPDATE, make_view((2, TRAINING)), "wrong-round"),
        (CLIENTS[0], UPDATE, CREATED, "wrong-round"),
        (REQUESTER, MODEL, CREATED, "wrong-round"),
        (CLIENTS[0], UPDATE, make_view(status=state_pb2.TASK_STATUS_COMPLETED, settled_round=3), "task-over"),
        (CLIENTS[0], UPDATE, make_view(status=state_pb2.TASK_STATUS_ABORTED), "task-over"),
        (CLIENTS[0], UPDATE, make_view((3, TRAINING), replicas=REPLICAS[1:]), "not-a-replica"),
    ],
)
def test_only_who_the_ledger_entitles_stores_only_in_its_phase(
    owner: SigningKey, vector: ChunkedVector, view: state_pb2.TaskView, code: str
) -> None:
    replica = Replica(view)
    with refused(code):
        replica.put(make_put(owner, vector, 3))
    assert replica.store.get_record(vector.id) is None


@pytest.mark.parametrize(
    ("mode", "members", "entitled", "others"),
    [
        (transaction_pb2.MODE_OPTIMISTIC, [], AGGREGATORS, [*VALIDATORS, STRANGER]),
        (transaction_pb2.MODE_QUORUM, AGGREGATORS, AGGREGATORS, [*VALIDATORS, STRANGER]),
        (transaction_pb2.MODE_PBFT, VALIDATORS, VALIDATORS, [*AGGREGATORS, STRANGER]),
    ],
    ids=["optimistic", "quorum", "pbft"],
)
def test_a_rounds_model_is_stored_by_those_who_may_submit_it(
    mode: transaction_pb2.Mode, members: list[SigningKey], entitled: list[SigningKey], others: list[SigningKey]
) -> None:
    replica = Replica(make_view((3, AGGREGATING), mode=mode, members=members))
    for key in entitled:
        replica.put(make_put(key, MODEL, 3))
    for key in others:
        with refused("not-entitled"):
            replica.put(make_put(key, MODEL, 3))


@pytest.mark.parametrize(
    ("owner", "vector", "code"),
    [
        (AGGREGATORS[0], INITIAL_MODEL, "not-entitled"),
        (REQUESTER, MODEL, "wrong-model"),
    ],
)
def test_before_the_start_only_the_requesters_own_initial_model_is_stored(
    owner: SigningKey, vector: ChunkedVector, code: str
) -> None:
    with refused(code):
        Replica(CREATED).put(make_put(owner, vector, 0))


def test_retention_has_a_lower_and_an_upper_bound() -> None:
    """Red team I5: a blob outlasts every height at which it can be evidence; and nobody stores for ever."""
    replica = Replica(make_view((3, TRAINING)))
    least = HEIGHT + RETENTION_BLOCKS
    most = HEIGHT + MAX_RETENTION_FACTOR * RETENTION_BLOCKS + SPARE_RETENTION_BLOCKS
    with refused("retention-too-short"):
        replica.put(make_put(CLIENTS[0], UPDATE, 3, retain_until=least - 1))
    with refused("retention-too-long"):
        replica.put(make_put(CLIENTS[0], UPDATE, 3, retain_until=most + 1))
    for height in (least, most):
        replica.put(make_put(CLIENTS[0], UPDATE, 3, retain_until=height))


def test_an_owner_stores_so_many_distinct_vectors_a_round_and_no_more() -> None:
    replica = Replica(make_view((3, TRAINING), (4, TRAINING)))
    for seed in range(QUOTA):
        replica.put(make_put(CLIENTS[0], make_update(seed), 3))
    with refused("quota"):
        replica.put(make_put(CLIENTS[0], make_update(QUOTA), 3))
    replica.put(make_put(CLIENTS[0], make_update(0), 3))  # one of those it has
    replica.put(make_put(CLIENTS[1], make_update(QUOTA), 3))
    replica.put(make_put(CLIENTS[0], make_update(QUOTA), 4))


def test_the_quota_holds_for_puts_at_the_same_time() -> None:
    class SlowStore(MemoryStore):
        """Every put that gets here waits until all requests have been decided."""

        def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
            arrived.release()
            decided.wait()
            with lock:
                super().put(vector, slot, retain_until_height)

    arrived, decided, lock = threading.Semaphore(0), threading.Event(), threading.Lock()
    replica = Replica(make_view((3, TRAINING)), SlowStore())
    refusals: list[str] = []

    def put(seed: int) -> None:
        try:
            replica.put(make_put(CLIENTS[0], make_update(seed), 3))
        except Refusal as refusal:
            refusals.append(refusal.code)
            arrived.release()

    threads = [threading.Thread(target=put, args=(seed,)) for seed in range(QUOTA + 2)]
    for thread in threads:
        thread.start()
    for _ in threads:
        arrived.acquire()
    decided.set()
    for thread in threads:
        thread.join()
    assert refusals == ["quota", "quota"]
    assert len(replica.store.get_ids(Slot(TASK_ID, 3, CLIENTS[0].address, "update"))) == QUOTA


@pytest.mark.parametrize(("error", "code"), [(StoreFull(), "no-space"), (StoreFailed(), "storage-failed")])
def test_without_durability_there_is_no_receipt(error: Exception, code: str) -> None:
    class BadStore(MemoryStore):
        def put(self, vector: ChunkedVector, slot: Slot, retain_until_height: int) -> None:
            raise error

    with refused(code):
        Replica(make_view((3, TRAINING)), BadStore()).put(make_put(CLIENTS[0], UPDATE, 3))


# A replica whose node is behind.


def test_a_round_that_the_node_has_not_seen_is_refused_for_now_after_one_fresh_look() -> None:
    replica = Replica(make_view((3, AGGREGATING)))
    with refused("not-yet") as raised:
        replica.put(make_put(CLIENTS[0], UPDATE, 4, seen_height=HEIGHT + 1, retain_until=HEIGHT + 70))
    assert raised.value.retriable
    assert replica.node.fresh_lookups == 1


def test_a_fresh_look_is_enough_when_the_node_has_caught_up() -> None:
    replica = Replica(make_view((4, TRAINING), height=HEIGHT + 1))
    replica.node.cached = make_view((3, AGGREGATING))
    replica.put(make_put(CLIENTS[0], UPDATE, 4, seen_height=HEIGHT + 1, retain_until=HEIGHT + 70))
    assert replica.node.fresh_lookups == 1


def test_who_has_seen_no_more_than_the_replica_costs_its_node_nothing() -> None:
    """Strangers cannot make replicas flood their nodes."""
    replica = Replica(make_view((3, TRAINING)))
    replica.node.cached = replica.node.view
    with refused("not-entitled"):
        replica.put(make_put(STRANGER, UPDATE, 3))
    assert replica.node.fresh_lookups == 0


def test_an_unknown_task_may_be_one_that_the_node_has_not_seen() -> None:
    replica = Replica(None)
    with refused("not-yet"):
        replica.put(make_put(CLIENTS[0], UPDATE, 3))


def test_a_node_that_is_down_is_said() -> None:
    replica = Replica(make_view((3, TRAINING)))
    replica.node.available = False
    with refused("node-unavailable") as raised:
        replica.put(make_put(CLIENTS[0], UPDATE, 3))
    assert raised.value.retriable


# Gets.


def store_update(view: state_pb2.TaskView, update: ChunkedVector = UPDATE, owner: SigningKey = CLIENTS[0]) -> Replica:
    """A replica that stored an update of round 3, and whose node now has `view`."""
    replica = Replica(make_view((3, TRAINING)))
    replica.put(make_put(owner, update, 3))
    replica.node.view = view
    return replica


def test_no_update_is_read_before_its_round_is_frozen() -> None:
    """Red team I4 (b): nobody can copy one in time."""
    with refused("not-frozen"):
        store_update(make_view((2, OPEN), (3, TRAINING))).get(UPDATE)


@pytest.mark.parametrize(
    "view",
    [
        make_view((3, AGGREGATING)),
        make_view((3, OPEN), (4, TRAINING)),
        make_view((4, TRAINING), settled_round=3),
        make_view(status=state_pb2.TASK_STATUS_COMPLETED, settled_round=12),
        make_view(status=state_pb2.TASK_STATUS_ABORTED),
        make_view((3, AGGREGATING), status=state_pb2.TASK_STATUS_PAUSED),
    ],
    ids=["aggregating", "open", "settled", "completed", "aborted", "paused"],
)
def test_an_update_of_a_frozen_round_is_read_by_everyone(view: state_pb2.TaskView) -> None:
    assert store_update(view).get(UPDATE) == UPDATE.data


def test_an_update_that_is_evidence_stays_readable_while_its_round_trains_anew() -> None:
    """Red team R3: a void attempt is still convictable, on its own inputs. A later update of the round is not read."""
    view = make_view((2, OPEN), (3, TRAINING), attempts=[make_attempt(3, (CLIENTS[0], UPDATE))])
    assert store_update(view).get(UPDATE) == UPDATE.data
    for owner, update in ((CLIENTS[0], make_update(1)), (CLIENTS[1], UPDATE)):
        with refused("not-frozen"):
            store_update(view, update, owner).get(update)


def test_a_fresh_look_shows_that_the_round_was_frozen_just_now() -> None:
    replica = store_update(make_view((3, AGGREGATING), height=HEIGHT + 1))
    replica.node.cached = make_view((3, TRAINING))
    assert replica.get(UPDATE) == UPDATE.data
    assert replica.node.fresh_lookups == 1


def test_models_are_read_at_any_time_even_without_a_node() -> None:
    replica = Replica(make_view((3, AGGREGATING)))
    replica.put(make_put(AGGREGATORS[0], MODEL, 3))
    replica.node.available = False
    assert replica.get(MODEL) == MODEL.data


class CountingStore(MemoryStore):
    """Counts reads."""

    reads = 0

    def read(self, vector_id: bytes) -> ChunkedVector:
        self.reads += 1
        return super().read(vector_id)


def test_a_model_is_read_and_hashed_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones asked for are kept, within a bound, and only as long as the replica stores them at all."""
    answer_bytes = len(protocol.encode_vector_reply(MODEL.data))
    monkeypatch.setattr(service_module, "MAX_KEPT_BYTES", 2 * answer_bytes)
    store = CountingStore()
    replica = Replica(make_view((3, AGGREGATING)), store)
    models = [MODEL, make_model(1), make_model(2)]
    for aggregator, model in zip(AGGREGATORS, models, strict=True):
        replica.put(make_put(aggregator, model, 3))
    for vector in (models[0], models[0], models[1], models[0]):
        assert replica.get(vector) == vector.data
    assert store.reads == 2
    replica.get(models[2])
    replica.get(models[0])
    assert store.reads == 3
    replica.get(models[1])
    assert store.reads == 4
    store.prune(1 << 40)
    with refused("not-stored"):
        replica.get(models[1])


def test_the_same_bytes_may_be_public_in_one_round_and_are_then_public() -> None:
    replica = store_update(make_view((3, OPEN), (4, TRAINING)))
    replica.put(make_put(CLIENTS[1], UPDATE, 4))
    assert replica.get(UPDATE) == UPDATE.data


def test_a_vector_is_served_for_its_own_task_only() -> None:
    with refused("not-stored"):
        store_update(make_view((3, OPEN))).get(UPDATE, task_id=TASK_ID + 1)
    with refused("not-stored"):
        Replica(make_view((3, OPEN))).get(UPDATE)


def test_single_chunks_come_with_their_paths() -> None:
    """All of them, the short last one too."""
    replica = store_update(make_view((3, OPEN)))
    chunks = []
    for chunk in range(UPDATE.shape.chunks):
        answer = replica.service.handle_get(protocol.encode_get(GetRequest(TASK_ID, UPDATE.id, chunk)))
        opening = protocol.decode_opening_reply(answer)
        verify_opening(UPDATE.shape, UPDATE.root, chunk, opening)
        chunks.append(opening.data)
    assert b"".join(chunks) == UPDATE.data


def test_a_chunk_beyond_the_last_is_refused() -> None:
    answer = store_update(make_view((3, OPEN))).service.handle_get(
        protocol.encode_get(GetRequest(TASK_ID, UPDATE.id, UPDATE.shape.chunks))
    )
    with refused("no-such-chunk"):
        protocol.decode_opening_reply(answer)


@pytest.mark.parametrize(("error", "code"), [(CorruptBlob(), "not-stored"), (StoreFailed(), "storage-failed")])
def test_what_the_disk_lost_is_refused_and_not_served(error: Exception, code: str) -> None:
    class RottenStore(MemoryStore):
        def read(self, vector_id: bytes) -> ChunkedVector:
            raise error

    replica = Replica(make_view((3, AGGREGATING)), RottenStore())
    replica.put(make_put(AGGREGATORS[0], MODEL, 3))
    with refused(code):
        replica.get(MODEL)


# Anything else.


@given(message=st.binary(max_size=200))
def test_any_bytes_get_a_refusal(message: bytes) -> None:
    replica = Replica(make_view((3, TRAINING)))
    handlers: list[Callable[[bytes], bytes]] = [replica.service.handle_put, replica.service.handle_get]
    for handle in handlers:
        with refused("malformed"):
            protocol.decode_vector_reply(handle(message))


def test_answers_are_the_same_in_every_run() -> None:
    messages = [protocol.encode_put(make_put(CLIENTS[i], make_update(i), 3)) for i in range(3)]
    replicas = [Replica(make_view((3, TRAINING))) for _ in range(2)]
    answers = [[replica.service.handle_put(message) for message in messages] for replica in replicas]
    assert answers[0] == answers[1]
