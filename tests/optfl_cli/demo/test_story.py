"""What a run comes to: the sentences, the checks, and who was paid."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from optfl_cli.demo.history import History
from optfl_cli.demo.plan import Plan
from optfl_cli.demo.story import (
    compute_burned,
    compute_payments,
    get_final_accuracy,
    get_milestones,
    get_undone,
    is_byzantine,
    is_lie_invisible,
    list_checks,
    tell_story,
)
from support.demo_history import STAKE, DemoRun, finish_run, start_run


@pytest.fixture(scope="module")
def run() -> DemoRun:
    return finish_run()


def test_story_of_a_fraud(run: DemoRun) -> None:
    first, lie, proof, redo = tell_story(run.history, run.compute_outcome(), run.plan)
    assert first == "Task completed at height 44, 61 s: 12 of 12 rounds settled."
    assert lie == "aggregator1 lied in round 5: it stored, certified and submitted a destroyed model."
    assert proof == (
        "validator2 re-executed the aggregation and proved the lie 5 blocks later. The ledger checked the proof "
        "in that very block (height 20), slashed 50 000 000 tokens and excluded aggregator1 for good."
    )
    assert redo == "3 later rounds became void with it, and aggregator2 redid round 5 from the same updates."


def test_story_of_a_lie_about_one_value() -> None:
    run = finish_run(rounds=3, fraud="coordinate", fraud_round=2)
    assert "a model with a single value changed by one" in tell_story(run.history, run.compute_outcome(), run.plan)[1]


def test_story_of_an_honest_run() -> None:
    run = finish_run(rounds=1, fraud=None)
    story = tell_story(run.history, run.compute_outcome(), run.plan)
    assert story[1:] == ["Everybody was honest: nobody was convicted, and nothing was rolled back."]


def test_story_of_a_fraud_that_nobody_proved() -> None:
    run = finish_run(rounds=2, fraud=None)
    plan = dataclasses.replace(run.plan, fraud="poison", fraud_round=2)
    assert tell_story(run.history, run.compute_outcome(), plan)[-1] == (
        "The fraud that was planned for round 2 was not proven."
    )


def test_story_says_no_more_than_the_nodes_do(run: DemoRun) -> None:
    outcome = run.compute_outcome() | {"redone_from_same_updates": False}
    assert tell_story(run.history, outcome, run.plan)[-1].endswith("and aggregator2 redid round 5.")


def test_story_while_the_redo_is_still_missing() -> None:
    run = start_run(rounds=3, fraud_round=1)
    for _ in range(4):
        run.step()
    run.prove()
    ended = tell_story(run.history, run.compute_outcome(), run.plan)
    assert ended[-1] == "2 later rounds became void with it; round 1 was not settled again."


ATTACKED = {"attack": "sign_flip(factor=5)", "byzantine_clients": (1, 2, 3)}


def test_story_tells_who_of_the_clients_was_byzantine(run: DemoRun) -> None:
    plan = dataclasses.replace(run.plan, **ATTACKED)
    _, played, borne, weakness, lie, *_ = tell_story(run.history, run.compute_outcome(), plan)
    assert played == (
        "client1, client2 and client3 were Byzantine in each round: sign_flip(factor=5) in place of what was learned."
    )
    assert borne == ("Nobody is convicted for an update, any vector is a valid one: it is for median() to bear them.")
    assert weakness == "median() of 5 is made to bear 2 Byzantine clients at most; here are 3."
    assert lie.startswith("aggregator1 lied")


def test_story_of_honest_aggregators_and_a_byzantine_client() -> None:
    run = finish_run(rounds=1, fraud=None)
    plan = dataclasses.replace(run.plan, attack="mimic()", byzantine_clients=(4,))
    story = tell_story(run.history, run.compute_outcome(), plan)
    assert story[1] == "client4 was Byzantine in each round: mimic() in place of what was learned."
    assert story[3:] == ["All aggregators were honest: nobody was convicted, and nothing was rolled back."]


def test_byzantine_clients_are_known_by_their_names(run: DemoRun) -> None:
    plan = dataclasses.replace(run.plan, **ATTACKED)
    payments = compute_payments(run.history)
    assert [p.name for p in payments if is_byzantine(p, plan)] == ["client1", "client2", "client3"]
    assert not any(is_byzantine(p, run.plan) for p in payments)


def test_milestones(run: DemoRun) -> None:
    attempts = run.history.attempts
    assert get_milestones(run.history) == [
        ("before", attempts[4].accuracy),
        ("with the fraud", attempts[5].accuracy),
        ("redone", attempts[8].accuracy),
        ("at the end", attempts[15].accuracy),
    ]


def test_milestones_of_a_lie_in_the_first_round() -> None:
    run = finish_run(rounds=2, fraud_round=1)
    assert get_milestones(run.history)[0] == ("before", None)


def test_milestones_of_honest_runs() -> None:
    history = finish_run(rounds=2, fraud=None).history
    assert [when for when, _ in get_milestones(history)] == ["after round 1", "at the end"]
    assert [when for when, _ in get_milestones(finish_run(rounds=1, fraud=None).history)] == ["at the end"]
    assert get_final_accuracy(history) == history.attempts[2].accuracy


def test_lie_that_accuracy_does_not_show(run: DemoRun) -> None:
    assert not is_lie_invisible(run.history)
    assert is_lie_invisible(finish_run(fraud="coordinate").history)


def test_undone_are_the_lie_and_what_was_built_on_it(run: DemoRun) -> None:
    (conviction,) = run.history.convictions.values()
    assert [a.attempt_id for a in get_undone(run.history, conviction)] == [5, 6, 7]


@pytest.mark.parametrize(
    "options", [{}, {"fraud": None}, {"rounds": 1, "fraud": None}, {"rounds": 3, "fraud_round": 1}]
)
def test_payments_add_up_to_zero(options: dict[str, Any]) -> None:
    run = finish_run(**options)
    assert sum(p.change for p in compute_payments(run.history)) + compute_burned(run.history) == 0


def test_payments_while_the_task_runs_add_up_to_zero() -> None:
    run = start_run()
    for _ in range(15):
        run.step()
        assert sum(p.change for p in compute_payments(run.history)) + compute_burned(run.history) == 0


def test_who_was_paid_and_slashed(run: DemoRun) -> None:
    payments = {p.name: p for p in compute_payments(run.history)}
    assert list(payments)[:5] == ["requester", "aggregator0", "aggregator1", "aggregator2", "validator0"]
    assert len(payments) == 1 + 3 + 4 + 4 + 5
    culprit, prover = payments["aggregator1"], payments["validator2"]
    assert (culprit.first_stake, culprit.stake, culprit.slashed, culprit.is_excluded) == (STAKE, 0, STAKE, True)
    assert prover.prover_reward == STAKE * 9 // 100 // 4  # its part of the power
    assert payments["requester"].change == -12 * (200_000 + 5 * 80_000 + 20_000)  # no replica answered an audit here
    assert payments["aggregator0"].change == 6 * 200_000 - 6 * 50_000  # rewards, a compensation, fees
    assert [p.slashed for p in payments.values() if p is not culprit] == [0] * 16


def test_nothing_was_seen() -> None:
    assert compute_payments(History({})) == []
    assert get_final_accuracy(History({})) is None


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("rounds_settled", 11, "task completed, 11/12 rounds settled"),
        ("task_status", "aborted", "task aborted, 12/12 rounds settled"),
        ("tokens_conserved", False, "tokens conserved"),
        ("app_hash_agreement", False, "app hashes of 4 nodes agree"),
        ("state_agreement", False, "nodes agree on every round"),
        ("frauds_proven", 0, "fraud proven on the ledger"),
        ("rollbacks", 0, "redone from the same updates"),
        ("redone_from_same_updates", False, "redone from the same updates"),
        ("excluded", [], "only aggregator1 excluded"),
        ("excluded", ["aggregator0", "aggregator1"], "only aggregator1 excluded"),
    ],
)
def test_each_figure_fails_its_check(run: DemoRun, figure: str, value: object, text: str) -> None:
    outcome = run.compute_outcome()
    assert all(check.is_passed for check in list_checks(run.history, outcome, run.plan))
    checks = list_checks(run.history, outcome | {figure: value}, run.plan)
    assert [check.text for check in checks if not check.is_passed] == [text]


def test_conviction_in_an_honest_run_fails(run: DemoRun) -> None:
    plan = Plan(7, 12, 5, "median()", None, 0)
    checks = list_checks(run.history, run.compute_outcome(), plan)
    assert [check.text for check in checks if not check.is_passed] == ["1 convicted"]
