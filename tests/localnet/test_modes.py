"""Votes and certified models over CometBFT and Zenoh: the paths that one lying aggregator in the demo does not take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optfl.wire import state_pb2
from optfl_cli.demo.plan import Plan
from support.federation import Federation, has_ended

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(280)]

FLOAT: dict[str, Any] = {
    "rule": "float(trimmed)",
    "arithmetic": "float",
    "vote_epsilon": 16,
    "vote_theta": 64,
    "challenge_bond": 10_000,
}


class Run:
    """A federation's task, seen to its end. Attempts are forgotten with it, so their signers are noted on the way."""

    def __init__(self, home: Path, fraud: str | None, parameters: dict[str, Any]) -> None:
        plan = Plan(seed=1, rounds=4, clients=4, rule="median()", fraud=fraud, fraud_round=2 if fraud else 0)
        self.federation = Federation(plan, home, parameters=parameters)
        self.signers: dict[int, list[str]] = {}
        with self.federation.group:
            self.federation.start_net()
            self.federation.start_roles()
            self.view = self.federation.run_until(self._note)

    def _note(self, view: state_pb2.TaskView) -> bool:
        for attempt in view.attempts:
            self.signers[attempt.attempt_id] = [self.federation.setup.names[signer] for signer in attempt.signers]
        return has_ended(view)


@pytest.mark.parametrize(("mode", "kind", "needed"), [("quorum", "aggregator", 2), ("pbft", "validator", 3)])
def test_enough_equal_signatures_make_every_model(tmp_path: Path, mode: str, kind: str, needed: int) -> None:
    run = Run(tmp_path, None, {"mode": mode})
    assert run.view.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert run.view.task.settled_round == 4
    assert run.signers
    for signers in run.signers.values():
        assert len(signers) >= needed
        assert all(name.startswith(kind) for name in signers)


def test_a_lying_aggregator_of_a_float_task_is_convicted_by_vote(tmp_path: Path) -> None:
    run = Run(tmp_path, "poison", FLOAT)
    assert run.view.task.status == state_pb2.TASK_STATUS_COMPLETED
    (conviction,) = run.view.convictions
    assert run.federation.setup.names[conviction.aggregator] == "aggregator1"
    assert conviction.proof_kind == "vote"
