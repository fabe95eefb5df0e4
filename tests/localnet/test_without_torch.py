"""Nodes, replicas, aggregators, validators, clients and a requester where torch is not installed and protobuf is new.

One net serves all tests of this file: it runs a task with a fraud of a single value, and is then asked about it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from optfl_cli.cometbft import find_cometbft
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.run import find_deviations
from optfl_cli.ports import find_free_ports
from support.federation import Federation, has_ended
from support.node import call, wait_until
from support.processes import find_processes

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def light_python() -> str:
    """Python of an environment with the project's own dependencies only; `make test` makes it and sets the variable."""
    python = os.environ.get("OPTFL_LIGHT_PYTHON")
    if python is None:
        pytest.fail("OPTFL_LIGHT_PYTHON is not set; run the tests with `make test`")
    return python


@pytest.fixture(scope="module")
def federation(light_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A task of four rounds, in the second of which an aggregator changes one value by one; it has ended."""
    home = tmp_path_factory.mktemp("net")
    plan = Plan(seed=1, rounds=4, clients=5, rule="median()", fraud="coordinate", fraud_round=2)
    federation = Federation(plan, home, light_python)
    with federation.group:
        federation.start_net_command()
        federation.start_roles()
        federation.run_until(has_ended)
        yield federation
    assert not find_processes(str(home))


def test_the_environment_is_what_this_file_is_about(light_python: str) -> None:
    script = (
        "import importlib.util as u, google.protobuf as p;"
        "print(u.find_spec('torch') is None, u.find_spec('sklearn') is None, int(p.__version__.split('.')[0]) >= 7)"
    )
    printed = subprocess.run([light_python, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["True", "True", "True"]


def test_a_single_wrong_value_is_convicted_and_the_task_ends_as_planned(federation: Federation) -> None:
    outcome = federation.compute_outcome()
    assert find_deviations(federation.plan, outcome) == []
    assert outcome["proof_kinds"] == ["output"]
    assert outcome["rounds_voided"] >= 1, "training did not go on between the lie and its conviction"


@pytest.mark.parametrize(
    "arguments",
    [
        ("task", "show", "1"),
        ("task", "list"),
        ("query", "supply", "--prove"),
        ("query", "validators"),
        ("query", "status"),
    ],
)
def test_an_operator_reads_the_ledger_by_commands(
    federation: Federation, light_python: str, arguments: tuple[str, ...]
) -> None:
    command = [light_python, "-m", "optfl_cli", *arguments, "--node", federation.setup.net.nodes[1].rpc_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_role_worked_without_a_traceback(federation: Federation) -> None:
    for log in sorted((federation.setup.net.home / "logs").glob("*.log")):
        assert "Traceback" not in log.read_text(), log.name


def test_a_stock_light_client_verifies_the_ledgers_state(federation: Federation, light_python: str) -> None:
    """`cometbft light` checks headers and proofs itself; what the ledger does not have, it cannot show."""
    node, other = federation.setup.net.nodes[:2]
    port = find_free_ports(1)[0]
    header = call(node.rpc_port, "commit", height="1")["signed_header"]
    command = [find_cometbft(), "light", federation.setup.net.chain_id, "--laddr", f"tcp://127.0.0.1:{port}"]
    command += ["--primary", node.rpc_url.replace("http", "tcp")]
    command += ["--witnesses", other.rpc_url.replace("http", "tcp")]
    command += ["--height", "1", "--hash", header["commit"]["block_id"]["hash"]]
    command += ["--home-dir", federation.home / "light"]
    federation.group.start("light", command, federation.home / "logs" / "light.log", tier=2)
    wait_until(lambda: call(port, "status"))
    address = next(address for address, name in federation.setup.names.items() if name == "requester")
    for query in (("supply",), ("account", address.hex()), ("store", "tasks", (1).to_bytes(8, "big").hex())):
        asked = [light_python, "-m", "optfl_cli", "query", *query, "--prove", "--node", f"http://127.0.0.1:{port}"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    asked = [light_python, "-m", "optfl_cli", "query", "account", "00" * 20, "--prove"]
    done = subprocess.run([*asked, "--node", f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
