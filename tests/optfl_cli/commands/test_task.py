"""`optfl task` on a real chain: a task that could not be started, its start, and its model. One replica certifies."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from optfl_cli.localnet import Localnet
from optfl_cli.main import main
from optfl_cli.ports import find_free_ports
from optfl_cli.processes import ProcessGroup

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(120)]

MODULE = """
import numpy as np
def make(first): return np.arange(first, first + 40, dtype=np.int32)
def make_floats(): return np.zeros(40)
"""
PARAMETERS = """
name = "t"
rule = "median()"
rounds = 1
clients_per_round = 1
min_updates = 1
max_weight = 1
chunk_values = 16
fraction_bits = 3
training_blocks = 10000
aggregation_blocks = 100
min_window_blocks = 10
window_factor_percent = 100
max_attempts = 1
pause_blocks = 100
bandwidth_bytes_per_second = 1_000_000
aggregator_reward = 50_000
client_reward = 1
validator_reward = 1
replica_reward = 1
"""


class Desk:
    """A requester's folder, with the accounts of the shared net: erin aggregates, frank trains, grace keeps vectors."""

    def __init__(self, net: Localnet, folder: Path) -> None:
        self.folder = folder
        self._net = net
        self._port = find_free_ports(1)[0]
        (folder / "desk_models.py").write_text(MODULE)
        self.task = self.write_task()

    def account(self, name: str) -> str:
        return f'key = "{self._net.key_path(name)}"\nnode = "{self._net.nodes[0].rpc_url}"\n'

    def write_task(self, model: str = "desk_models:make", options: str = "{ first = 8 }", extra: str = "") -> Path:
        participants = {"aggregators": "erin", "clients": "frank", "replicas": "grace"}
        listed = [f'{role} = ["{self._net.key_path(name)}"]\n' for role, name in participants.items()]
        path = self.folder / "task.toml"
        path.write_text(
            f'{self.account("heidi")}replicas = ["tcp/127.0.0.1:{self._port}"]\nmodel = "{model}"\n'
            f"model_options = {options}\n[parameters]{PARAMETERS}{''.join(listed)}{extra}"
        )
        return path

    def register(self, name: str, role: str, stake: int) -> None:
        to = ["--key", str(self._net.key_path(name)), "--node", self._net.nodes[0].rpc_url]
        assert main(["tx", "register-role", "--role", role, "--stake", str(stake), *to]) == 0

    def join(self, name: str, task: int) -> None:
        to = ["--key", str(self._net.key_path(name)), "--node", self._net.nodes[0].rpc_url]
        assert main(["tx", "join-task", "--task", str(task), *to]) == 0

    def start_replica(self, group: ProcessGroup) -> None:
        config = self.folder / "replica.toml"
        config.write_text(f'{self.account("grace")}listen = "tcp/127.0.0.1:{self._port}"\nstore = "store"\n')
        log = self.folder / "replica.log"
        command: list[str | Path] = [sys.executable, "-m", "optfl_cli", "replica", "--config", config]
        group.start("replica", command, log, ready=lambda: "is serving" in log.read_text())
        group.wait_ready()


@pytest.fixture(scope="module")
def desk(net: Localnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(net, tmp_path_factory.mktemp("desk"))
    desk.register("erin", "aggregator", 10_000_000)
    desk.register("frank", "client", 100_000)
    desk.register("grace", "replica", 1_000_000)
    return desk


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["task", *arguments])
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    return code, captured.out, "\n".join(errors)


def test_from_a_replica_that_is_down_to_the_model(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    config = ["--config", str(desk.task)]
    code, out, error = run(capsys, "create", "--no-wait", *config)
    assert (code, out) == (1, "task 1: created, with an escrow of 50003\n")
    assert "error: task 1 is not started yet: 0 of 1 replicas signed for" in error
    assert f"Then run `optfl task start 1 --config {desk.task}`, or get the escrow back" in error
    with ProcessGroup() as group:
        desk.start_replica(group)
        desk.write_task(options="{ first = 9 }")
        code, _, error = run(capsys, "start", "1", *config)
        assert (code, error) == (
            1,
            f"error: {desk.task} makes another first model than task 1 was created with; restore it",
        )
        desk.write_task()
        code, _, error = run(capsys, "start", "1", "--no-wait", *config)
        assert code == 1
        assert "TooFewParticipants: nobody eligible has joined" in error
        desk.join("erin", 1)
        capsys.readouterr()
        assert run(capsys, "start", "1", *config) == (0, "task 1: started\n", "")
        assert run(capsys, "start", "1", *config)[2] == "error: task 1 does not wait for its start"
        output = desk.folder / "model.npy"
        code, out, _ = run(capsys, "fetch", "1", *config, "--output", str(output))
        assert code == 0
        assert out.startswith(f"{output}: 40 values, the model of round 0, root ")
        values = np.load(output)
        assert values.dtype == np.float32
        assert values.tolist() == [(8 + i) / 8 for i in range(40)]
        code, _, error = run(capsys, "fetch", "1", *config, "--output", str(desk.folder / "no" / "model.npy"))
        assert (code, error.count("\n")) == (1, 0)
        assert "No such file or directory; check the folder" in error
    assert run(capsys, "fetch", "2", *config, "--output", str(output))[2] == (
        "error: no task 2; `optfl task list` shows those that exist"
    )


@pytest.mark.parametrize(
    ("model", "options", "extra", "message"),
    [
        ("desk_models:make_floats", "{}", "", "desk_models:make_floats made no int32 vector"),
        ("desk_models:make", "{}", "", "model_options do not fit desk_models:make: missing a required argument"),
        ("desk_models:make", "{ first = 8 }", "length = 5\n", "parameters.length is 5, but the model has 40 values"),
        ("desk_models:make", "{ first = 8 }", "roundz = 5\n", "unknown field parameters.roundz; use one of: name"),
        ("desk_models:make", "{ first = 8 }", 'length = "x"\n', "parameters.length is 'x'; it must be an integer"),
    ],
)
def test_a_task_file_that_is_wrong_is_one_clear_line(
    desk: Desk, capsys: pytest.CaptureFixture[str], model: str, options: str, extra: str, message: str
) -> None:
    path = desk.write_task(model, options, extra)
    code, out, error = run(capsys, "create", "--config", str(path))
    assert (code, out) == (1, "")
    assert message in error


def test_chunks_that_are_no_power_of_two_are_one_clear_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    path = desk.write_task()
    path.write_text(path.read_text().replace("chunk_values = 16\n", "chunk_values = 17\n"))
    code, _, error = run(capsys, "create", "--config", str(path))
    assert (code, error) == (
        1,
        f"error: {path}: parameters: chunk_values 17; use a power of two from 1 to 2^31",
    )


def test_a_key_file_that_is_not_there_is_one_clear_line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    path = desk.write_task()
    path.write_text(path.read_text().replace('clients = ["', 'clients = ["no-'))
    code, _, error = run(capsys, "create", "--config", str(path))
    assert code == 1
    assert "there is no key file no-" in error
