"""A replica and a node die in the middle of a run: it goes on, because quorums hold; both come back and catch up."""

from __future__ import annotations

from pathlib import Path

import pytest

from optfl_cli.cometbft import find_cometbft
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.run import find_deviations
from support.federation import Federation, has_ended
from support.processes import find_processes

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(240)]


def test_a_replica_and_a_node_die_and_come_back(tmp_path: Path) -> None:
    """With SIGKILL, in the middle of a round, and a fraud while they are away. The replica is the one at that node."""
    plan = Plan(seed=1, rounds=6, clients=8, rule="trimmed_mean(f=1)", fraud="poison", fraud_round=3)
    federation = Federation(plan, tmp_path, parameters={"training_blocks": 12, "aggregation_blocks": 12})
    lost = federation.setup.net.nodes[3]
    with federation.group:
        federation.start_net()
        federation.start_roles()
        federation.run_until(lambda view: view.task.head_round >= 2)
        federation.group.kill("replica3")
        federation.group.kill(lost.app_name)
        federation.group.stop(lost.cometbft_name)
        view = federation.run_until(lambda view: len(view.convictions) > 0 and view.task.head_round >= 4)
        assert view.convictions[0].reverted

        address = lost.choose_app_address()
        lost.start_app(federation.group, address)
        federation.group.wait_ready(lost.app_name)
        lost.start_cometbft(federation.group, address, find_cometbft())
        federation.group.wait_ready(lost.cometbft_name)  # a role ends if its node is not there at its start
        federation.start_role("replica3")
        federation.run_until(has_ended)
        federation.run_until(has_ended, node=3)
        assert find_deviations(plan, federation.compute_outcome()) == []
    assert not find_processes(str(tmp_path))
