"""The demo's figures: true of four honest nodes, and each turned by the fault that it is there to show."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from optfl.tasks import compute_inputs_hash
from optfl.wire import state_pb2
from optfl_cli.demo.outcome import (
    NodeAnswer,
    compute_outcome,
    get_final_root,
    is_conserved,
    is_redone_from_same_updates,
)
from support.demo_history import NAMES, DemoRun, finish_run
from support.ledger import AGGREGATORS

HONEST: dict[str, Any] = {
    "task_status": "completed",
    "rounds": 12,
    "rounds_settled": 12,
    "frauds_proven": 1,
    "blocks_to_conviction": 5,
    "proof_kinds": ["output"],
    "rollbacks": 1,
    "rounds_voided": 3,
    "redone_from_same_updates": True,
    "excluded": ["aggregator1"],
    "slashed": 50_000_000,
    "burned": 47_602_500,
    "settled_by": {"aggregator0": 5, "aggregator1": 1, "aggregator2": 6},
    "beacon_blocks": 3,
    "beacon_reveals": 2,
    "tokens_conserved": True,
    "app_hash_agreement": True,
    "state_agreement": True,
    "height": 44,
    "nodes": 4,
}


@pytest.fixture(scope="module")
def run() -> DemoRun:
    """A run in which aggregator1 lied in round 5."""
    return finish_run()


@pytest.fixture
def answers(run: DemoRun) -> list[NodeAnswer]:
    """What four nodes say of it: messages of this test's own."""
    return run.get_answers()


def test_figures_of_honest_nodes(answers: list[NodeAnswer]) -> None:
    assert compute_outcome(answers, NAMES) == HONEST


def test_figures_of_a_run_without_a_fraud() -> None:
    outcome = compute_outcome(finish_run(fraud=None).get_answers(), NAMES)
    none = {"frauds_proven": 0, "blocks_to_conviction": None, "proof_kinds": [], "rollbacks": 0, "rounds_voided": 0}
    none |= {"excluded": [], "slashed": 0, "redone_from_same_updates": True, "state_agreement": True}
    none["burned"] = 12 * 20_000  # of each round, the validators' reward: none of them has read it here
    assert {figure: outcome[figure] for figure in none} == none


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault in a node's answer. `everywhere`: the figures that change if all nodes have it; `once`: if one has.

    The task's views being different is what `state_agreement` is for: it changes too when only one node has the fault.
    """

    name: str
    plant: Callable[[NodeAnswer], None]
    everywhere: dict[str, Any]
    once: dict[str, Any]


def in_task(name: str, plant: Callable[[state_pb2.TaskView], None], changes: dict[str, Any], **once: Any) -> Fault:
    """A fault in what a node says of the task; `once` are figures that differ if a single node has the fault."""
    return Fault(name, lambda answer: plant(answer.task), changes, {**changes, **once, "state_agreement": False})


def in_tokens(name: str, plant: Callable[[state_pb2.TokenView], None], changes: dict[str, Any]) -> Fault:
    return Fault(name, lambda answer: plant(answer.tokens), changes, changes)


def set_field(message: Any, field: str, value: Any) -> None:
    setattr(message, field, value)


def add_to(message: Any, field: str, amount: int) -> None:
    setattr(message, field, getattr(message, field) + amount)


def get_lie(view: state_pb2.TaskView) -> state_pb2.Attempt:
    return next(a for a in view.attempts if a.attempt_id == view.convictions[0].attempt_id)


def get_culprit_stake(view: state_pb2.TokenView) -> state_pb2.Stake:
    return next(s for s in view.stakes if s.excluded)


def burn_less(view: state_pb2.TokenView) -> None:
    view.supply.burned -= 1
    view.supply.fee_pot += 1


NO_FRAUD = {"frauds_proven": 0, "blocks_to_conviction": None, "proof_kinds": [], "rollbacks": 0, "slashed": 0}
FAULTS = [
    in_task(
        "the task was aborted",
        lambda v: set_field(v.task, "status", state_pb2.TASK_STATUS_ABORTED),
        {"task_status": "aborted"},
        task_status="nodes differ: aborted, completed",
    ),
    in_task("a shorter task", lambda v: add_to(v.task.parameters, "rounds", -1), {"rounds": 11}),
    in_task("a round is not settled", lambda v: add_to(v.task, "settled_round", -1), {"rounds_settled": 11}),
    in_task(
        "a settled round has no digest",
        lambda v: v.digests.pop(),
        {"rounds_settled": 11, "settled_by": {"aggregator0": 5, "aggregator1": 1, "aggregator2": 5}},
    ),
    in_task("no conviction", lambda v: v.convictions.pop(), {**NO_FRAUD, "rounds_voided": 0}, rounds_voided=3),
    in_task(
        "a late conviction", lambda v: add_to(v.convictions[0], "convicted_height", 7), {"blocks_to_conviction": 12}
    ),
    in_task(
        "another proof",
        lambda v: set_field(v.convictions[0], "proof_kind", "vote"),
        {"proof_kinds": ["vote"]},
        proof_kinds=[],
    ),
    in_task("nothing rolled back", lambda v: set_field(v.convictions[0], "reverted", False), {"rollbacks": 0}),
    in_task("more rounds void", lambda v: add_to(v.convictions[0], "voided_rounds", 5), {"rounds_voided": 8}),
    in_task(
        "redone from other updates",
        lambda v: set_field(v.digests[4], "inputs_hash", bytes(32)),
        {"redone_from_same_updates": False},
    ),
    in_task(
        "convicted of other updates",
        lambda v: set_field(v.convictions[0], "inputs_hash", bytes(32)),
        {"redone_from_same_updates": False},
    ),
    in_task(
        "redone by the culprit",
        lambda v: set_field(v.digests[4], "aggregator", AGGREGATORS[1].address),
        {
            "redone_from_same_updates": False,
            "settled_by": {"aggregator0": 5, "aggregator1": 2, "aggregator2": 5},
        },
        settled_by={"aggregator0": 5, "aggregator1": 1, "aggregator2": 5},
    ),
    in_task("less slashed", lambda v: add_to(v.convictions[0], "slashed", -1), {"slashed": 49_999_999}),
    in_task(
        "settled by another",
        lambda v: set_field(v.digests[0], "aggregator", AGGREGATORS[2].address),
        {"settled_by": {"aggregator0": 4, "aggregator1": 1, "aggregator2": 7}},
        settled_by={"aggregator0": 4, "aggregator1": 1, "aggregator2": 6},
    ),
    in_tokens(
        "the culprit is not excluded", lambda v: set_field(get_culprit_stake(v), "excluded", False), {"excluded": []}
    ),
    in_tokens("less burned", burn_less, {"burned": 47_602_499}),
    in_tokens("a token from nowhere", lambda v: add_to(v.balances[3], "amount", 1), {"tokens_conserved": False}),
    in_tokens("a token of stake lost", lambda v: add_to(v.stakes[0], "amount", -1), {"tokens_conserved": False}),
    in_tokens("unbonding from nowhere", lambda v: add_to(v.unbonding.add(), "amount", 9), {"tokens_conserved": False}),
    in_tokens("an escrow from nowhere", lambda v: add_to(v.escrows.add(), "amount", 9), {"tokens_conserved": False}),
    in_tokens("a bond from nowhere", lambda v: add_to(v, "bonds", 3), {"tokens_conserved": False}),
    in_tokens("a fee counted twice", lambda v: add_to(v.supply, "fee_pot", 5), {"tokens_conserved": False}),
    in_tokens("another genesis", lambda v: add_to(v.supply, "genesis", -1), {"tokens_conserved": False}),
]


def get_changes(answers: list[NodeAnswer]) -> dict[str, Any]:
    outcome = compute_outcome(answers, NAMES)
    return {figure: value for figure, value in outcome.items() if value != HONEST[figure]}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_that_all_nodes_have(answers: list[NodeAnswer], fault: Fault) -> None:
    for answer in answers:
        fault.plant(answer)
    assert get_changes(answers) == fault.everywhere


@pytest.mark.parametrize("node", [0, 3])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_that_one_node_has(answers: list[NodeAnswer], fault: Fault, node: int) -> None:
    """The figure is the worst of what the nodes say, whichever of them says it."""
    fault.plant(answers[node])
    assert get_changes(answers) == {figure: v for figure, v in fault.once.items() if v != HONEST[figure]}


def test_node_at_another_state(answers: list[NodeAnswer]) -> None:
    answers[1] = dataclasses.replace(answers[1], app_hash=bytes(32))
    assert get_changes(answers) == {"app_hash_agreement": False}


def test_node_at_another_height(answers: list[NodeAnswer]) -> None:
    answers[1] = dataclasses.replace(answers[1], app_hash_height=answers[1].app_hash_height - 1)
    assert get_changes(answers) == {"app_hash_agreement": False}


def test_nodes_without_an_app_hash(answers: list[NodeAnswer]) -> None:
    assert get_changes([dataclasses.replace(a, app_hash=b"") for a in answers]) == {"app_hash_agreement": False}


def test_one_node_agrees_with_nobody(answers: list[NodeAnswer]) -> None:
    assert get_changes(answers[:1]) == {"app_hash_agreement": False, "nodes": 1}


def test_missing_node(answers: list[NodeAnswer]) -> None:
    assert get_changes(answers[1:]) == {"nodes": 3}


def test_node_that_is_behind(answers: list[NodeAnswer]) -> None:
    answers[2].task.height -= 5
    assert get_changes(answers) == {"height": 39}


def test_node_that_saw_fewer_reveals(answers: list[NodeAnswer]) -> None:
    answers[1] = dataclasses.replace(answers[1], reveals=(True, False))
    assert get_changes(answers) == {"beacon_blocks": 2, "beacon_reveals": 1}


def test_node_with_another_record(answers: list[NodeAnswer]) -> None:
    answers[2].task.digests[2].record_hash = bytes(32)
    assert get_changes(answers) == {"state_agreement": False}


def test_node_that_has_pruned_more(answers: list[NodeAnswer]) -> None:
    """Nodes may be asked at different heights: what a later one forgets is no disagreement."""
    void = next(a for a in answers[2].task.attempts if a.status == state_pb2.ATTEMPT_STATUS_VOID)
    answers[2].task.attempts.remove(void)
    assert get_changes(answers) == {}


def test_no_tokens_at_all(answers: list[NodeAnswer]) -> None:
    """An empty answer adds up, to nothing."""
    empty = dataclasses.replace(answers[0], tokens=state_pb2.TokenView())
    assert is_conserved(empty.tokens)
    outcome = compute_outcome([empty, *answers[1:]], NAMES)
    assert not outcome["tokens_conserved"]
    assert outcome["excluded"] == []


def test_every_figure_has_a_fault() -> None:
    """A figure that nothing turns would be worth nothing."""
    tested = {figure for fault in FAULTS for figure in fault.everywhere}
    beside = {"app_hash_agreement", "state_agreement", "nodes", "height", "beacon_blocks", "beacon_reveals"}
    assert tested | beside == set(HONEST)


def test_redone_after_an_earlier_round_was_reverted_too(answers: list[NodeAnswer]) -> None:
    """Clients of a void round train again: its redo has other updates, and rightly so."""
    view = answers[0].task
    view.digests[4].inputs_hash = bytes(32)
    assert not is_redone_from_same_updates(view)
    earlier = view.convictions.add()
    earlier.CopyFrom(view.convictions[0])
    earlier.round, earlier.attempt_id = 4, 99
    attempt = view.attempts.add()
    attempt.CopyFrom(get_lie(view))
    attempt.attempt_id = 99
    view.digests[3].aggregator = AGGREGATORS[2].address
    view.digests[3].inputs_hash = compute_inputs_hash(attempt.inputs)
    assert is_redone_from_same_updates(view)


def test_unsettled_round_is_not_redone(answers: list[NodeAnswer]) -> None:
    view = answers[0].task
    del view.digests[4:]
    assert not is_redone_from_same_updates(view)


def test_the_final_model_is_the_one_that_all_nodes_name() -> None:
    """Whose accuracy is told: a single node that names another model, or none, leaves it untold."""
    answers = finish_run().get_answers()
    assert get_final_root(answers) == answers[0].task.digests[-1].model_root
    set_field(answers[2].task.digests[-1], "model_root", bytes(32))
    assert get_final_root(answers) is None
    del answers[2].task.digests[:]
    assert get_final_root(answers) is None
    assert get_final_root([]) is None
