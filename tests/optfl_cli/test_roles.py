"""What the commands of the roles share, and what a user hears who gets it wrong."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from offchain.adapters.keystore import write_key
from offchain.adapters.session import EndpointTaken
from offchain.interfaces import JournalError
from optfl.keys import SigningKey
from optfl_cli.commands.client import CheckedTrainer
from optfl_cli.config import load_config
from optfl_cli.errors import UserError
from optfl_cli.main import main
from optfl_cli.ports import find_free_ports
from optfl_cli.roles import (
    AggregatorConfig,
    ClientConfig,
    RoleConnections,
    ValidatorConfig,
    call_function,
    connect,
    load_floats,
    load_role,
)
from support.rpc import FakeNode

ROOT = Path(__file__).parents[2]
REPLICAS = 'replicas = ["tcp/127.0.0.1:7440"]\n'

Model = npt.NDArray[np.int32]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_key(tmp_path / "key.json", SigningKey.from_seed(b"\x07" * 32))
    return tmp_path


def write_config(folder: Path, text: str) -> Path:
    path = folder / "role.toml"
    path.write_text(f'key = "key.json"\n{REPLICAS}{text}', encoding="utf-8")
    return path


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """`optfl ARGUMENTS`, which must end with exit code 1 and one line; returns that."""
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stake = -1", "stake is -1; use 0 to 18446744073709551615"),
        ("stake = 18446744073709551616", "stake is 18446744073709551616; use 0 to"),
        ("task = 0", "task is 0; use 1 to"),
        ("threads = 0", "threads is 0; use 1 to 1024"),
        ('fraud = "sloth"', "fraud is 'sloth'; it must be one of 'poison', 'coordinate'"),
    ],
)
def test_numbers_that_make_no_sense_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load_config(write_config(folder, text), AggregatorConfig)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('policy = "sometimes"', "no watching policy 'sometimes'; use \"full\""),
        ('policy = "idle, accuracy(0.1)"', "there is no trainer whose data accuracy is measured on"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load_config(write_config(folder, text), ValidatorConfig)


def test_float_aggregators_are_found_beside_the_config_file(folder: Path) -> None:
    (folder / "float_beside.py").write_text("def mine(updates, weights): return updates[0]\n")
    floats = load_floats({"mine": "float_beside:mine"}, folder)
    assert floats["mine"]([np.ones(2, dtype=np.float32)], [1]).tolist() == [1, 1]
    assert {"weighted_mean", "trimmed", "geometric_median"} <= set(floats)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ({"Mine": "a:b"}, "float_aggregators.Mine is 'a:b'; write name ="),
        ({"mine": 5}, "float_aggregators.mine is 5; write name ="),
        ({"mine": "no_such_module:f"}, "cannot load float_aggregators.mine"),
    ],
)
def test_a_float_aggregator_that_is_not_there_is_named(
    folder: Path, references: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        load_floats(references, folder)


def test_the_task_on_the_command_line_goes_before_the_file(folder: Path) -> None:
    path = write_config(folder, "task = 3")
    assert load_role(path, ValidatorConfig, None).task == 3
    assert load_role(path, ValidatorConfig, 4).task == 4


@pytest.mark.parametrize("role", ["validator", "aggregator", "replica"])
def test_a_node_that_is_not_there_is_one_clear_line(
    folder: Path, capsys: pytest.CaptureFixture[str], role: str
) -> None:
    (port, listen) = find_free_ports(2)
    path = write_config(folder, f'node = "127.0.0.1:{port}"\n')
    if role == "replica":
        text = path.read_text().replace(REPLICAS, f'listen = "tcp/127.0.0.1:{listen}"\nstore = "store"\n')
        path.write_text(text, encoding="utf-8")
    message = fail(capsys, role, "--config", str(path))
    assert message.startswith(f"no answer from the node at http://127.0.0.1:{port} (Connection refused); check that")


def test_an_address_that_is_none_is_one_clear_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fail(capsys, "validator", "--config", str(write_config(folder, 'node = "127.0.0.1:99999"')))
    assert message == "'127.0.0.1:99999' is no address of a node; give one like http://127.0.0.1:26657"


def test_a_key_that_others_can_read_is_one_clear_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "key.json").chmod(0o644)
    message = fail(capsys, "validator", "--config", str(write_config(folder, "")))
    assert message.endswith(f"can be read by others than its owner; run: chmod 600 {folder / 'key.json'}")


MODULE = """
import numpy as np
def make(size): return np.zeros(size, dtype=np.int32)
def break_it(size): return {}[size]
number = 5
"""


def test_a_function_may_stand_beside_its_config_file(folder: Path) -> None:
    (folder / "beside_the_config.py").write_text(MODULE)
    made = call_function("beside_the_config:make", "model", {"size": 3}, folder)
    assert (made.dtype, made.size) == (np.int32, 3)


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        (
            "broken_beside:make",
            {},
            "trainer_options do not fit broken_beside:make: missing a required argument: 'size'",
        ),
        ("broken_beside:make", {"size": 1, "x": 2}, "got an unexpected keyword argument 'x'; correct them"),
        ("broken_beside:make", {"size": -1}, "cannot work with its trainer_options: ValueError: negative dimensions"),
        ("broken_beside:break_it", {"size": 1}, "trainer_options: KeyError: 1 (broken_beside.py, line 4)"),
        ("broken_beside:nothing", {}, 'cannot load trainer = "broken_beside:nothing" (a "module:function"): module'),
        ("broken_beside:number", {}, "trainer is 'broken_beside:number', which is no function"),
        ("no_such_module:make", {}, "No module named 'no_such_module'"),
        ("no colon", {}, "cannot load trainer"),
    ],
)
def test_a_function_that_cannot_be_called_is_one_clear_line(
    folder: Path, reference: str, options: dict[str, object], message: str
) -> None:
    (folder / "broken_beside.py").write_text(MODULE)
    sys.modules.pop("broken_beside", None)
    with pytest.raises(UserError) as caught:
        call_function(reference, "trainer", options, folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


class Trainer:
    """Trains as it is told to."""

    def __init__(self, train: Callable[[Model], object]) -> None:
        self._train = train

    def train(self, model: Model, seed: int) -> object:
        return self._train(model)

    def evaluate(self, model: Model) -> float:
        return 0.5


def divide(model: Model) -> object:
    raise RuntimeError("mat1 and mat2 shapes\ncannot be multiplied")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (divide, r"RuntimeError: mat1 and mat2 shapes cannot be multiplied \(test_roles.py, line \d+\)"),
        (lambda model: (model, 1), r"the trainer returned int32\[4\]; an update of this task is int16\[4\]"),
        (lambda model: (model[:2].astype(np.int16), 1), r"the trainer returned int16\[2\]; an update"),
    ],
)
def test_a_trainer_that_does_not_fit_the_task_is_one_clear_line(train: Callable[[Model], object], message: str) -> None:
    trainer = CheckedTrainer(Trainer(train))  # type: ignore[arg-type]  # it is wrong on purpose
    with pytest.raises(UserError, match=message):
        trainer.train(np.zeros(4, dtype=np.int32), 1)


def test_a_trainer_that_fits_is_let_through() -> None:
    update = np.ones(4, dtype=np.int16)
    trainer = CheckedTrainer(Trainer(lambda model: (update, 7)))  # type: ignore[arg-type]
    assert trainer.train(np.zeros(4, dtype=np.int32), 1) == (update, 7)
    assert trainer.evaluate(np.zeros(4, dtype=np.int32)) == 0.5


def test_without_a_folder_for_compiled_code_is_one_clear_line(folder: Path) -> None:
    """As for a service user without a home, on a package that it cannot write."""
    script = (
        "import numba, sys\n"
        "def njit(**options):\n"
        "    raise RuntimeError('cannot cache function: no locator available')\n"
        "numba.njit = njit\n"
        "from optfl_cli.main import main\n"
        "sys.exit(main(['validator', '--config', sys.argv[1]]))\n"
    )
    command = [sys.executable, "-c", script, str(write_config(folder, ""))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    expected = "numba has no folder for its compiled code; set NUMBA_CACHE_DIR to one that this user can write"
    assert done.stderr == f"error: {expected}\n"


def run_connected(folder: Path, text: str, use: Callable[[RoleConnections], None]) -> None:
    """`use` what a validator whose file has `text` is connected to."""

    async def main() -> None:
        async with FakeNode().serve() as node:
            config = load_config(write_config(folder, f'node = "{node.url}"\n{text}'), ValidatorConfig)
            async with connect(config) as world:
                use(world)

    asyncio.run(main())


def test_what_was_journalled_is_there_in_a_roles_next_life_wherever_it_is_started(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_connected(folder, "", lambda world: world.journal.put("vote/1/5", b"yes"))
    monkeypatch.chdir("/")
    run_connected(folder, "", lambda world: use_journal(world, b"yes"))
    run_connected(folder, 'journal = "elsewhere"', lambda world: use_journal(world, None))


def use_journal(world: RoleConnections, expected: bytes | None) -> None:
    assert world.journal.get("vote/1/5") == expected


def test_a_damaged_journal_keeps_a_role_from_starting(folder: Path) -> None:
    run_connected(folder, "", lambda world: world.journal.put("vote/1/5", b"yes"))
    (path,) = (folder / "journal").glob("*.journal")
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="is damaged; restore it from a backup"):
        run_connected(folder, "", lambda world: None)


def test_a_port_that_a_role_cannot_listen_on_is_said(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp/127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(EndpointTaken, match=f"{listen} is taken"):
            run_connected(folder, f'listen = "{listen}"', lambda world: None)


BYZANTINE = """
trainer_options = { client = 1 }
attack = "mimic(member=1)"
[[colluders]]
client = 0
[[colluders]]
client = 1
"""


def test_a_byzantine_client_names_its_attack_and_who_colludes(folder: Path) -> None:
    config = load_config(write_config(folder, BYZANTINE), ClientConfig)
    assert (config.attack, config.colluders) == ("mimic(member=1)", [{"client": 0}, {"client": 1}])
    assert load_config(write_config(folder, 'attack = "alie()"'), ClientConfig).colluders == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('attack = "backdoor()"', "attack: no attack 'backdoor()'"),
        (BYZANTINE.replace("member=1", "member=2"), "needs 3 colluders"),
        ('attack = "mimic(member=1)"', "needs 2 colluders"),
        (BYZANTINE.replace("client = 1 }", "client = 2 }"), "this client's trainer_options too"),
        (BYZANTINE.replace('attack = "mimic(member=1)"', ""), "colluders are all who play one attack"),
    ],
)
def test_a_mistaken_attack_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    assert message in fail(capsys, "client", "--config", str(write_config(folder, text)))
