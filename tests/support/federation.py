"""A real federation on loopback whose clients need no torch: nodes, replicas, roles and a requester as processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from offchain.adapters.gateway import Gateway
from offchain.interfaces import LedgerUnavailable
from optfl.wire import state_pb2
from optfl_cli.demo import setup as demo_setup
from optfl_cli.demo.outcome import ask_nodes, compute_outcome
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.setup import Setup, write_setup
from optfl_cli.localnet import get_height
from optfl_cli.processes import ProcessDied, ProcessGroup
from support import trainer

TESTS = Path(__file__).parents[1]
TASK_ID = 1
_RETRY_SECONDS = 0.2


@dataclass
class Federation:
    """The processes of `plan` in folder `home`, under `python`. `parameters` replace those of the demo's task."""

    plan: Plan
    home: Path
    python: str = sys.executable
    parameters: dict[str, int] = field(default_factory=dict)
    group: ProcessGroup = field(default_factory=ProcessGroup)
    setup: Setup = field(init=False)

    def __post_init__(self) -> None:
        with (
            mock.patch.object(demo_setup, "FRACTION_BITS", trainer.FRACTION_BITS),
            mock.patch.object(demo_setup, "CHUNK_VALUES", 16),
            mock.patch.dict(demo_setup.PARAMETERS, self.parameters),
        ):
            self.setup = write_setup(self.home, self.plan)
        for config in self.setup.configs.values():
            text = config.read_text(encoding="utf-8")
            text = text.replace("offchain.learning.digits:make_trainer", "support.trainer:make_trainer")
            text = text.replace("offchain.learning.digits:compute_initial_model", "support.trainer:make_model")
            config.write_text(text, encoding="utf-8")

    def start_net(self) -> None:
        """All nodes, each process on its own in `group`."""
        self.setup.net.start(self.group)

    def start_net_command(self) -> None:
        """All nodes by `optfl localnet start`."""
        command = [self.python, "-m", "optfl_cli", "localnet", "start", "--home", self.home]
        self.group.start("net", command, self.home / "logs" / "net.log")
        urls = [node.rpc_url for node in self.setup.net.nodes]
        self.group.wait_until(lambda: all(get_height(url) for url in urls), "the first block")

    def start_roles(self) -> None:
        for name in self.setup.configs:
            self.start_role(name)

    def start_role(self, name: str) -> None:
        role = name.rstrip("0123456789")
        command = [self.python, "-m", "optfl_cli", *(["task", "create"] if role == "requester" else [role])]
        environment = {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
        log = self.home / "logs" / f"{name}.log"
        self.group.start(name, [*command, "--config", self.setup.configs[name]], log, tier=2, env=environment)

    def run_until(self, condition: Callable[[state_pb2.TaskView], bool], node: int = 0) -> state_pb2.TaskView:
        """The first view of the task, as `node` has it, that satisfies `condition`."""
        return asyncio.run(self._run_until(condition, node))

    async def _run_until(self, condition: Callable[[state_pb2.TaskView], bool], node: int) -> state_pb2.TaskView:
        async with Gateway(self.setup.net.nodes[node].rpc_url) as gateway:
            height = 0
            while True:
                self._check()
                try:
                    height = await gateway.wait_for_block(height)
                    view = await gateway.get_task(TASK_ID)
                except LedgerUnavailable:
                    await asyncio.sleep(_RETRY_SECONDS)  # the node is starting
                    continue
                if view is not None and condition(view):
                    return view

    def _check(self) -> None:
        try:
            self.group.check()
        except ProcessDied as death:
            if death.returncode != 0:
                raise  # roles are done when the task is over, the requester when it has begun; others must not end

    def compute_outcome(self) -> dict[str, Any]:
        """What all nodes say of the task once it has ended."""
        urls = {node.name: node.rpc_url for node in self.setup.net.nodes}
        return compute_outcome(asyncio.run(ask_nodes(urls, TASK_ID)), self.setup.names)


def has_ended(view: state_pb2.TaskView) -> bool:
    return view.task.ended_height > 0
