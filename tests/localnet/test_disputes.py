"""Disputes on a real net: whoever is wrong is found out, nobody else is hurt, and training goes on meanwhile.

One net serves all tests of this file. Two tasks run on it side by side, one exact and one in float arithmetic, and the
tests follow them; some kill processes on the way. The last one prints the figures of docs/experiments.md.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from optfl import tasks
from optfl.vectors import compute_vector_id
from optfl.wire import state_pb2
from optfl_cli.demo.outcome import ask_nodes, compute_outcome
from optfl_cli.main import main
from support.dispute_net import EXACT, FLOAT, LONELY_NODE, DisputeNet, Moment
from support.players import Part
from support.processes import find_processes

pytestmark = [pytest.mark.localnet, pytest.mark.timeout(400)]

ROUNDS = {EXACT: 12, FLOAT: 5}
SILENT, WITHHELD, WRONG, FLOAT_LIE = 2, 4, 5, 2  # the rounds in which it happens; the turns are in the accounts' order
LOST_REPLICA = 3

DEVIATIONS = {
    ("exact1", EXACT): Part(EXACT, "silent-once", SILENT),
    ("client3", EXACT): Part(EXACT, "unstored-once", WITHHELD, ["replica0", "replica1", "replica2"]),
    ("exact0", EXACT): Part(EXACT, "coordinate", WRONG),
    ("float1", FLOAT): Part(FLOAT, "poison", FLOAT_LIE),
    ("validator3", FLOAT): Part(FLOAT, "delaying", 1, ["float1"]),
}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DisputeNet]:
    home = tmp_path_factory.mktemp("net")
    net = DisputeNet(home, ROUNDS, DEVIATIONS)
    with net.group:
        try:
            net.start()
            yield net
        finally:
            net.chronicle.close()  # while its node makes blocks
    assert not find_processes(str(home))


def find_attempt(moment: Moment, task: int, number: int) -> state_pb2.Attempt | None:
    """The newest attempt of a round that is neither void nor convicted."""
    gone = (state_pb2.ATTEMPT_STATUS_VOID, state_pb2.ATTEMPT_STATUS_CONVICTED)
    attempts = [a for a in moment.views[task].attempts if a.round == number and a.status not in gone]
    return attempts[-1] if attempts else None


def find_challenge(moment: Moment, task: int, attempt_id: int) -> state_pb2.Challenge | None:
    return next((c for c in moment.views[task].challenges if c.attempt_id == attempt_id), None)


def test_a_silent_aggregator_is_late_and_the_next_one_takes_over(net: DisputeNet) -> None:
    """A little of its stake is burned, and it is excluded for a time."""
    silent = net.addresses["exact1"]
    attempt = net.chronicle.await_moment(lambda m: find_attempt(m, EXACT, SILENT), "the second turn of round 2")
    assert (net.names[attempt.aggregator], attempt.turn) == ("exact2", 1)
    assert len(attempt.inputs) == 4, "the same updates"

    first = net.chronicle.await_moment(lambda m: m.get_stake(silent).amount, "the stake")
    late = net.chronicle.await_moment(lambda m: find_fault(m, silent), "the fault")
    assert late.amount == first * 99 // 100
    assert late.excluded_until_height > attempt.freeze_height
    assert not late.excluded
    net.note("silent aggregator: freeze to the next one's model", EXACT, attempt.freeze_height, attempt.submit_height)


def find_fault(moment: Moment, aggregator: bytes) -> state_pb2.Stake | None:
    """The stake of an aggregator that was late."""
    stake = moment.get_stake(aggregator)
    return stake if stake.faults else None


def test_a_replica_killed_in_mid_round_comes_back_and_pulls_what_it_missed(net: DisputeNet) -> None:
    net.chronicle.await_moment(lambda m: m.views[EXACT].task.head_round >= SILENT, "round 2")
    net.group.kill(f"replica{LOST_REPLICA}")
    blobs = net.get_store(LOST_REPLICA) / "blobs"

    def find_missed(moment: Moment) -> Path | None:
        shape = tasks.model_shape(moment.views[EXACT].task.parameters)
        paths = [blobs / compute_vector_id(shape, a.model_root).hex() for a in moment.views[EXACT].attempts]
        return next((path for path in paths if not path.exists()), None)

    missed = net.chronicle.await_moment(
        find_missed, "a model that the replica missed", after=net.chronicle.get_height()
    )
    net.start_replica(LOST_REPLICA)
    net.chronicle.await_moment(lambda m: missed.exists(), "the missed model")
    assert f"model {missed.name}: pulled" in net.read_log(f"replica{LOST_REPLICA}")


def test_a_withheld_update_is_struck_and_nobody_is_late(net: DisputeNet) -> None:
    """Three of four replicas signed for it, and nobody has it: its certificate is as good as any."""
    attempt = net.chronicle.await_moment(lambda m: find_attempt(m, EXACT, WITHHELD), "round 4's model")
    demand = net.chronicle.await_moment(lambda m: next(iter(m.views[EXACT].demands), None), "the demand")
    assert (demand.round, demand.attempt_id) == (WITHHELD, 0)
    assert len(net.chronicle.find_events("blob_missing", EXACT, round=WITHHELD, blob=demand.blob)) == 1
    assert net.names[attempt.aggregator] == "exact3"
    assert attempt.turn == 0
    assert {net.names[given.client] for given in attempt.inputs} == {"client0", "client1", "client2"}
    assert not any(find_fault(m, attempt.aggregator) for m in net.chronicle.moments), "the aggregator is not late"
    net.note("withheld update: demand to model", EXACT, demand.open_height, attempt.submit_height)


def test_a_wrong_aggregate_is_proven_and_redone(net: DisputeNet) -> None:
    def find_conviction(moment: Moment) -> state_pb2.Conviction | None:
        return next(iter(moment.views[EXACT].convictions), None)

    conviction = net.chronicle.await_moment(find_conviction, "the conviction")
    assert (net.names[conviction.aggregator], conviction.round) == ("exact0", WRONG)
    assert conviction.proof_kind == "output"
    assert conviction.reverted
    assert conviction.voided_rounds >= 1, "training did not wait"
    redone = net.chronicle.await_moment(
        lambda m: find_attempt(m, EXACT, WRONG), "the redo", after=conviction.convicted_height
    )
    assert redone.aggregator != conviction.aggregator
    assert tasks.compute_inputs_hash(redone.inputs) == conviction.inputs_hash
    before = conviction.submit_height - 1  # the next round is opened in the very block of the submission
    figures = net.note("wrong aggregate: submission to proof", EXACT, before, conviction.convicted_height)
    assert figures.rounds_opened >= 1


def test_a_vote_with_f_liars_convicts_a_float_aggregator(net: DisputeNet) -> None:
    """One of four validators waits for training to go on, and votes that its accomplice is right."""

    def find_conviction(moment: Moment) -> state_pb2.Conviction | None:
        return next(iter(moment.views[FLOAT].convictions), None)

    conviction = net.chronicle.await_moment(find_conviction, "the conviction by vote")
    assert (net.names[conviction.aggregator], conviction.proof_kind) == ("float1", "vote")
    decided, verdict, agreed = await_verdict(net, FLOAT, conviction.attempt_id)
    assert (verdict, agreed) == ("upheld", 3)
    challenge = net.chronicle.await_moment(lambda m: find_challenge(m, FLOAT, conviction.attempt_id), "the vote")
    revealed = f"attempt {conviction.attempt_id}: vote revealed (sketch)"
    net.chronicle.await_moment(lambda m: revealed in net.read_log("validators3"), "the liar's vote")
    stake = net.chronicle.moments[-1].get_stake(conviction.aggregator)
    assert (stake.amount, stake.excluded) == (0, True)
    figures = net.note("wrong float aggregate: vote, f liars", FLOAT, challenge.open_height, decided)
    assert figures.rounds_opened >= 1, "training waited for the vote"


def await_verdict(net: DisputeNet, task: int, attempt_id: int) -> tuple[int, str, int]:
    """Height, verdict, and how many agreed: from the event, since the record goes with the attempt."""

    def find_verdict(moment: Moment) -> tuple[int, dict[str, str]] | None:
        return next(iter(net.chronicle.find_events("challenge_decided", task, attempt=attempt_id)), None)

    height, verdict = net.chronicle.await_moment(find_verdict, "the verdict")
    return height, verdict["verdict"], int(verdict["agreed"])


def test_a_vote_decides_while_a_validators_node_is_killed_and_comes_back(net: DisputeNet) -> None:
    """Anyone challenges an honest model by a command; nobody answers for the dead node until training has gone on."""
    after = net.chronicle.await_moment(
        lambda m: m.height if m.views[EXACT].convictions and m.views[EXACT].task.head_round > WRONG else None,
        "a round after the fraud",
    )
    net.kill_node(LONELY_NODE)

    def find_fresh(moment: Moment) -> state_pb2.Attempt | None:
        attempts = [a for a in moment.views[EXACT].attempts if a.status == state_pb2.ATTEMPT_STATUS_OPEN]
        return next((a for a in attempts if a.submit_height + 5 >= net.chronicle.get_height()), None)

    attempt = net.chronicle.await_moment(find_fresh, "an honest model", after=max(after, net.chronicle.get_height()))
    arguments = [str(EXACT), str(attempt.attempt_id), "--key", str(net.key("requester"))]
    assert main(["challenge", *arguments, "--node", net.net.nodes[0].rpc_url]) == 0

    challenge = net.chronicle.await_moment(lambda m: find_challenge(m, EXACT, attempt.attempt_id), "the challenge")

    def has_moved_on(moment: Moment) -> bool:
        kinds = {"round_started": {}, "challenge_decided": {"attempt": attempt.attempt_id}}
        after = challenge.open_height
        return any(net.chronicle.find_events(kind, EXACT, after=after, **named) for kind, named in kinds.items())

    net.chronicle.await_moment(has_moved_on, "a round after the challenge")
    net.start_node(LONELY_NODE)
    decided, verdict, agreed = await_verdict(net, EXACT, attempt.attempt_id)
    assert verdict == "rejected"
    assert agreed >= 3
    figures = net.note("right aggregate: vote, a node down", EXACT, challenge.open_height, decided)
    assert figures.rounds_opened >= 1, "training waited for the vote"


def test_the_silent_aggregator_comes_back(net: DisputeNet) -> None:
    silent = net.addresses["exact1"]

    late = net.chronicle.await_moment(lambda m: m.height if find_fault(m, silent) else None, "the fault")
    net.chronicle.await_moment(lambda m: not m.get_stake(silent).excluded_until_height, "its return", after=late)
    net.chronicle.await_moment(lambda m: "back after an exclusion" in net.read_log("aggregators1"), "its word")


def test_both_tasks_end_and_all_nodes_agree(net: DisputeNet) -> None:
    urls = {node.name: node.rpc_url for node in net.net.nodes}
    for task in (EXACT, FLOAT):
        net.chronicle.await_moment(lambda m, task=task: m.views[task].task.ended_height > 0, f"the end of task {task}")
        outcome = compute_outcome(asyncio.run(ask_nodes(urls, task)), net.names)
        assert outcome["nodes"] == 4, "the killed node has caught up"
        assert outcome["task_status"] == "completed"
        assert outcome["rounds_settled"] == ROUNDS[task]
        assert outcome["frauds_proven"] == 1
        assert outcome["excluded"] == ["exact0", "float1"], "nobody honest is excluded"
        assert outcome["redone_from_same_updates"]
        assert outcome["tokens_conserved"]
        assert outcome["app_hash_agreement"]
        assert outcome["state_agreement"]
    for figures in net.figures:
        print(json.dumps(dataclasses.asdict(figures)))
