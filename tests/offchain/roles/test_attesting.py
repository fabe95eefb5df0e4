"""Attesting: what was read is committed to in time and shown when drawn; replicas that fail twice are told of."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from offchain.interfaces import BlobUnavailable
from offchain.roles import attesting
from offchain.roles.attesting import PROBES, Attester
from offchain.roles.computing import inline
from optfl import tasks
from optfl.merkle import MerkleTree
from optfl.vectors import Opening, Shape
from optfl.watches import check_watch, compute_leaves, compute_watch_key, draw_chunk
from optfl.wire import state_pb2
from support.roles import CHAIN_ID, FakeBlobs, FakeLedger, World, make_key

ME = make_key("validator0").address
REPLICAS = [make_key(f"replica{i}").address for i in range(4)]
BEACON = bytes(range(32))


@dataclass
class PatchyBlobs(FakeBlobs):
    """Replicas that fail as often as `failures` says, then serve; those in `slow` take their time."""

    failures: dict[bytes, int] = field(default_factory=dict)
    slow: set[bytes] = field(default_factory=set)
    asked: list[bytes] = field(default_factory=list)

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        for replica in replicas[:1]:
            self.asked.append(replica)
            if replica in self.slow:
                await asyncio.sleep(3600)
            if self.failures.get(replica, 0) > 0:
                self.failures[replica] -= 1
                raise BlobUnavailable("not now")
        return await super().get_chunk(task_id, shape, root, chunk, replicas)


class Scene:
    """An attempt that is open to 30, and an attester that has read it."""

    def __init__(self) -> None:
        self.world = World()
        self.blobs = PatchyBlobs()
        self.world.parameters.replicas[:] = REPLICAS
        self.ledger = FakeLedger(ME)
        self.claimed = self.world.add_model(self.world.compute_model())
        self.blobs.vectors = self.world.blobs.vectors
        self.attempt = self.world.make_attempt(self.claimed, window_close_height=30)
        self.attester = Attester(self.ledger, self.blobs, inline, b"private")

    def note(self) -> None:
        asyncio.run(self.attester.note(self.attempt, self.world.updates, self.claimed))

    def view(self, height: int = 12, **fields: object) -> state_pb2.TaskView:
        view = self.world.make_view(height, attempt=self.attempt)
        view.rounds[0].window_close_height = 30
        for name, value in fields.items():
            setattr(view.rounds[0], name, value)
        return view

    def run(self, view: state_pb2.TaskView) -> None:
        for work in self.attester.find_work(view).values():
            asyncio.run(work())  # type: ignore[arg-type]

    def attested(self, view: state_pb2.TaskView, *, opened: bool = False) -> state_pb2.TaskView:
        view.watches.add(attempt_id=1, operator=ME, watch=state_pb2.Watch(digest=self.tree.root, opened=opened))
        return view

    @property
    def tree(self) -> MerkleTree:
        key = compute_watch_key(CHAIN_ID, ME, 1, 1)
        return MerkleTree(compute_leaves(key, [*self.world.updates, self.claimed]))


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.note()
    return made


def test_what_was_read_is_attested(scene: Scene) -> None:
    scene.run(scene.view())
    (body,) = scene.ledger.submitted
    message = body.attest_watch
    assert (message.task_id, message.attempt_id, message.failed_replicas) == (1, 1, 0)
    assert message.digest == scene.tree.root
    assert sorted(scene.blobs.asked) == sorted(REPLICAS * PROBES)


def test_what_was_not_read_is_not() -> None:
    scene = Scene()
    scene.run(scene.view())
    assert not scene.ledger.submitted


@pytest.mark.parametrize(("height", "is_due"), [(28, True), (29, False), (40, False)])
def test_not_when_it_would_come_too_late(scene: Scene, height: int, is_due: bool) -> None:
    """The window may close in block 30: it is taken in block 29 at last."""
    assert bool(scene.attester.find_work(scene.view(height))) == is_due


def test_once(scene: Scene) -> None:
    assert not scene.attester.find_work(scene.attested(scene.view()))
    assert scene.attester.find_work(scene.attested(scene.view(31, watch_beacon=BEACON)))
    assert not scene.attester.find_work(scene.attested(scene.view(31, watch_beacon=BEACON), opened=True))


@pytest.mark.parametrize("status", [state_pb2.ATTEMPT_STATUS_VOID, state_pb2.ATTEMPT_STATUS_CONVICTED])
def test_of_what_is_void_nothing_is_attested_or_shown(scene: Scene, status: int) -> None:
    scene.attempt.status = status  # type: ignore[assignment]
    assert not scene.attester.find_work(scene.view())


def test_what_was_drawn_is_shown(scene: Scene) -> None:
    view = scene.attested(scene.view(31, watch_beacon=BEACON))
    scene.run(view)
    (body,) = scene.ledger.submitted
    message = body.open_watch
    drawn = draw_chunk(BEACON, 1, 1, ME, 3, 4)
    opening = Opening(message.opening.data, tuple(message.opening.path))
    key = compute_watch_key(CHAIN_ID, ME, 1, 1)
    path = list(message.watch_path)
    check_watch(scene.world.parameters, scene.attempt, key, scene.tree.root, drawn, opening, path)


def test_all_of_it_can_be_shown(scene: Scene) -> None:
    """Every blob and chunk, the last and shorter ones too."""
    seen = set()
    for number in range(200):
        beacon = number.to_bytes(32, "big")
        scene.ledger.submitted.clear()
        scene.run(scene.attested(scene.view(31, watch_beacon=beacon)))
        drawn = draw_chunk(beacon, 1, 1, ME, 3, 4)
        message = scene.ledger.submitted[0].open_watch
        opening = Opening(message.opening.data, tuple(message.opening.path))
        check_watch(
            scene.world.parameters,
            scene.attempt,
            compute_watch_key(CHAIN_ID, ME, 1, 1),
            scene.tree.root,
            drawn,
            opening,
            list(message.watch_path),
        )
        seen.add(drawn)
    assert len(seen) == 4 * 4


def test_what_is_forgotten_on_the_ledger_is_forgotten_here(scene: Scene) -> None:
    view = scene.view(40)
    del view.attempts[:]
    assert not scene.attester.find_work(view)
    assert not scene.attester.find_work(scene.view()), "and it is not read again by itself"


@pytest.mark.parametrize(("failures", "flagged"), [(1, False), (PROBES, False), (100, True)])
def test_a_replica_that_fails_is_asked_again_and_then_told_of(scene: Scene, failures: int, flagged: bool) -> None:
    """One that was restarted is back; a second time it is asked for other chunks."""
    scene.blobs.failures = {REPLICAS[2]: failures}
    scene.run(scene.view())
    assert scene.ledger.submitted[0].attest_watch.failed_replicas == (0b100 if flagged else 0)
    assert scene.blobs.asked.count(REPLICAS[1]) == PROBES
    assert scene.blobs.asked.count(REPLICAS[2]) == 2 * PROBES


def test_a_replica_that_takes_too_long_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attesting, "PROBE_SECONDS", 0.01)
    scene.blobs.slow = {REPLICAS[0]}
    scene.run(scene.view())
    assert scene.ledger.submitted[0].attest_watch.failed_replicas == 0b1


def test_where_time_is_short_it_is_asked_once(scene: Scene) -> None:
    scene.blobs.failures = {REPLICAS[2]: 100}
    scene.run(scene.view(27))
    assert scene.blobs.asked.count(REPLICAS[2]) == PROBES
    assert scene.ledger.submitted[0].attest_watch.failed_replicas == 0b100


def test_what_is_asked_for_is_nobodys_to_foresee(scene: Scene) -> None:
    """Another validator asks for other chunks, and so does a second look."""
    fetched = []
    for seed in (b"private", b"private", b"other"):
        scene.blobs.fetched.clear()
        attester = Attester(FakeLedger(ME), scene.blobs, inline, seed)
        asyncio.run(attester.find_failed(scene.view(), scene.attempt, 27))
        fetched.append(list(scene.blobs.fetched))
    assert fetched[0] == fetched[1] != fetched[2]


def test_a_replica_that_watches_itself_does_not_ask_itself(scene: Scene) -> None:
    scene.world.parameters.replicas[0] = ME
    scene.run(scene.view())
    assert ME not in scene.blobs.asked
    assert scene.ledger.submitted[0].attest_watch.failed_replicas == 0


def test_the_model_is_read_too() -> None:
    """The tree has a leaf for each chunk of it, behind those of the inputs."""
    scene = Scene()
    scene.note()
    assert scene.tree.size == (3 + 1) * tasks.model_shape(scene.world.parameters).chunks
