"""Running a demo: start every process, watch the chain, compute the outcome, end every process."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from offchain.adapters.blobs import ZenohBlobs
from offchain.adapters.gateway import Gateway, GatewayError
from offchain.adapters.ledger import CometLedger
from offchain.adapters.session import open_session
from offchain.interfaces import Blobs, BlobUnavailable, Int32Vector, LedgerUnavailable, Trainer
from offchain.roles.views import fetch_model
from optfl.wire import state_pb2
from optfl_cli.demo.history import History
from optfl_cli.demo.outcome import ask_nodes, compute_outcome, get_final_root
from optfl_cli.demo.plan import AGGREGATORS, NODES, REPLICAS, Plan
from optfl_cli.demo.setup import FRACTION_BITS, Setup, write_setup
from optfl_cli.errors import UserError
from optfl_cli.options import load_key
from optfl_cli.processes import ProcessDied, ProcessGroup
from optfl_cli.roles import load_function

Evaluate = Callable[[Int32Vector], float]
"""Accuracy of a model, in 0..1."""

TASK_ID = 1
MIN_ACCURACY = 0.93  # of the default plan and larger ones; what an attack leaves of it depends on the rule
TRAINER = "offchain.learning.digits:make_trainer"
_STALL_SECONDS = 90.0  # without a block, or without a change of the task
_POLL_SECONDS = 0.2
# One thread a process: there are far more processes than cores.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


class Interrupted(UserError):
    """The user ended the demo. All processes have been ended too."""


class Demo:
    """One run of `plan` in the empty folder `home`. `refresh` is called whenever `history` has news."""

    def __init__(self, plan: Plan, home: Path, report: Callable[[str], None]) -> None:
        self.plan = plan
        self.setup: Setup = write_setup(home, plan)
        self.history = History(self.setup.names)
        self.outcome: dict[str, Any] = {}
        self._report = report
        self._started = time.monotonic()
        self._last_news = time.monotonic()
        self._known: tuple[bytes, int] = (b"", 0)
        self._evaluate: Evaluate | None = None

    def run(self, refresh: Callable[[], None]) -> dict[str, Any]:
        """Run to the end of the task and return the outcome; ends every process whatever happens. Raises UserError."""
        with ProcessGroup() as group, group.handle_signals():
            self._report(f"starting {NODES} nodes")
            self.setup.net.start(group)
            if group.stop_signal is None:
                self._report(
                    f"starting {REPLICAS} replicas, {AGGREGATORS} aggregators, {NODES} validators, "
                    f"{self.plan.clients} clients and a requester"
                )
                self._start_roles(group)
            try:
                asyncio.run(self._follow(group, refresh))
            except (LedgerUnavailable, GatewayError, BlobUnavailable) as error:
                raise UserError(f"{error}; read the logs in {self.setup.net.home}") from None
        self.outcome["seconds"] = round(time.monotonic() - self._started, 1)
        return self.outcome

    def _start_roles(self, group: ProcessGroup) -> None:
        for name, config in self.setup.configs.items():
            role = name.rstrip("0123456789")
            command = ["task", "create"] if role == "requester" else [role]
            group.start(
                name,
                [sys.executable, "-m", "optfl_cli", *command, "--config", config],
                self.setup.net.home / "logs" / f"{name}.log",
                tier=2,
                env=_ENVIRONMENT,
            )

    async def _follow(self, group: ProcessGroup, refresh: Callable[[], None]) -> None:
        key = load_key(self.setup.net.key_path("requester"))
        loading = _load_evaluator()
        node = self.setup.net.nodes[0]
        async with (
            await CometLedger.connect(node.rpc_url, key) as ledger,
            open_session(self.setup.replica_endpoints) as session,
        ):
            blobs = ZenohBlobs(session, key, ledger)
            try:
                await self._watch(group, refresh, blobs, loading)
                await self._conclude(blobs)
                refresh()
            finally:
                await blobs.close()

    async def _watch(
        self,
        group: ProcessGroup,
        refresh: Callable[[], None],
        blobs: Blobs,
        loading: Future[Evaluate],
    ) -> None:
        """Observe the task until it has ended, through the first node that answers."""
        gateways = [Gateway(node.rpc_url) for node in self.setup.net.nodes]
        try:
            while True:
                self._check_processes(group)
                try:
                    view = await gateways[0].get_task(TASK_ID)
                    tokens = await gateways[0].query_view("/tokens", state_pb2.TokenView)
                except LedgerUnavailable:
                    gateways.append(gateways.pop(0))
                    await asyncio.sleep(_POLL_SECONDS)
                    continue
                if view is not None and tokens is not None:
                    self._note_news(view, tokens)
                    self.history.observe(view, tokens)
                    if loading.done():
                        self._evaluate = loading.result()
                        await self._evaluate_new(view.task, blobs)
                    refresh()
                    if view.task.ended_height:
                        self._evaluate = await asyncio.wrap_future(loading)
                        await self._evaluate_new(view.task, blobs)
                        return
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            for gateway in gateways:
                await gateway.close()

    def _note_news(self, view: state_pb2.TaskView, tokens: state_pb2.TokenView) -> None:
        """Empty blocks are no news: what counts is that the task, or who is registered for it, has changed."""
        content = state_pb2.TaskView()
        content.CopyFrom(view)
        content.height = 0
        news = (content.SerializeToString(deterministic=True), len(tokens.stakes))
        if news != self._known:
            self._known, self._last_news = news, time.monotonic()

    def _check_processes(self, group: ProcessGroup) -> None:
        """Note who died; the run goes on while quorums hold. Raises UserError at a stop signal or a standstill."""
        while True:
            try:
                group.check()
                break
            except ProcessDied as death:
                if death.returncode == 0:
                    continue  # done: the requester once the task runs, the others at its end
                view = self.history.view
                if view is None or view.task.status == state_pb2.TASK_STATUS_CREATED:
                    raise  # everybody is needed to begin
                self._report(f"{death}; the others go on")
        if group.stop_signal is not None:
            raise Interrupted("interrupted; all processes have ended")
        if time.monotonic() - self._last_news > _STALL_SECONDS:
            raise UserError(
                f"nothing has happened for {_STALL_SECONDS:.0f} s; read the logs in {self.setup.net.home}/logs, "
                "and try again on a less busy machine"
            )

    async def _evaluate_new(self, task: state_pb2.Task, blobs: Blobs) -> None:
        """Accuracy on held-out data of each model that has none yet: for people; the ledger knows nothing of it."""
        for attempt in list(self.history.attempts.values()):
            if attempt.accuracy is None:
                attempt.accuracy = await self._get_accuracy(task, blobs, attempt.model_root)

    async def _get_accuracy(self, task: state_pb2.Task, blobs: Blobs, root: bytes) -> float | None:
        if self._evaluate is None:
            return None
        try:
            model = await fetch_model(blobs, task, root)
        except BlobUnavailable:
            return None
        return await asyncio.to_thread(self._evaluate, model.values)

    async def _conclude(self, blobs: Blobs) -> None:
        """Compute the outcome from the nodes' own answers, and the accuracy of the model that *they* name."""
        try:
            async with asyncio.timeout(_STALL_SECONDS):
                answers = await ask_nodes({node.name: node.rpc_url for node in self.setup.net.nodes}, TASK_ID)
        except TimeoutError:
            raise UserError(f"a node has not seen the task end; read the logs in {self.setup.net.home}") from None
        self.outcome = compute_outcome(answers, self.setup.names)
        root = get_final_root(answers)
        accuracy = None if root is None else await self._get_accuracy(answers[0].task.task, blobs, root)
        self.outcome["attack"] = self.plan.attack
        self.outcome["byzantine_clients"] = [f"client{i}" for i in self.plan.byzantine_clients]
        self.outcome["final_accuracy"] = None if accuracy is None else round(accuracy, 4)


def find_deviations(plan: Plan, outcome: Mapping[str, Any]) -> list[str]:
    """In what the outcome is not what the plan leads to, as lines for people; empty if all is well."""
    frauds = 0 if plan.fraud is None else 1
    expected = {
        "task_status": "completed",
        "rounds_settled": plan.rounds,
        "frauds_proven": frauds,
        "rollbacks": frauds,
        "excluded": [] if plan.culprit is None else [f"aggregator{plan.culprit}"],
        "redone_from_same_updates": True,
        "tokens_conserved": True,
        "app_hash_agreement": True,
        "state_agreement": True,
        "nodes": NODES,
    }
    deviations = [
        f"{name} is {outcome.get(name)!r}, expected {value!r}"
        for name, value in expected.items()
        if outcome.get(name) != value
    ]
    accuracy = outcome.get("final_accuracy")
    is_promised = plan.rounds >= 12 and plan.clients >= 8 and not plan.byzantine_clients
    if is_promised and (accuracy is None or accuracy < MIN_ACCURACY):
        deviations.append(f"final_accuracy is {accuracy!r}, expected at least {MIN_ACCURACY}")
    return deviations


def _load_evaluator() -> Future[Evaluate]:
    """Load torch behind the processes' start. Any client's trainer can evaluate: the test set is the same for all.

    In a daemon thread of its own: an interrupted demo must not wait for an import.
    """
    future: Future[Evaluate] = Future()

    def load() -> None:
        try:
            trainer: Trainer = load_function(TRAINER, "trainer")(
                client=0, clients=1, seed=0, fraction_bits=FRACTION_BITS
            )
            future.set_result(trainer.evaluate)
        except Exception as error:  # noqa: BLE001  # handed to whoever waits for the result
            future.set_exception(error)

    threading.Thread(target=load, name="load evaluator", daemon=True).start()
    return future
