"""Watches at the block's end: drawn once the window is over, waited for, and paid for what was shown."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.state_machine import BlockResults
from optfl.wire.transaction_pb2 import AddStake, Unbond
from support.demands import answer_audits, demand
from support.ledger import REPLICAS, STRANGER, VALIDATOR, VALIDATORS, TaskHarness
from support.votes import challenge
from support.watches import attest, attest_all, await_draw, open_watch, send_all, show_all

REWARD = 50


def open_task(**overrides: Any) -> TaskHarness:
    task = TaskHarness.start(**{"training_blocks": 100, "rounds": 8, **overrides})
    task.run_round(1)
    return task


def paid(results: BlockResults, role: str) -> dict[str, int]:
    events = [dict(e.attributes) for e in results.events if e.kind == "reward_paid"]
    return {e["account"]: int(e["amount"]) for e in events if e["role"] == role}


def settle(task: TaskHarness, *shown: Any) -> BlockResults:
    """The block that settles round 1, with what is opened by `shown` in it."""
    messages = [task.ledger.sign(operator, open_watch(task, 1, operator)) for operator in shown]
    results = task.ledger.block(*messages)
    assert [r.code for r in results.results] == [0] * len(shown)
    while task.task.settled_round == 0:
        results = task.ledger.block()
    return results


def test_without_watches_a_round_settles_as_its_window_closes_and_the_reward_is_burned() -> None:
    task = open_task()
    close, burned, escrow = task.round(1).window_close_height, task.ledger.state.supply.burned, task.task.escrow
    results = settle(task)
    assert task.ledger.height == close
    assert paid(results, "validator") == {}
    assert task.ledger.state.supply.burned == burned + REWARD
    assert escrow - task.task.escrow == 1000 + 5 * 100 + REWARD  # what an audit would have earned stays there


def test_the_beacon_of_the_closing_block_draws() -> None:
    task = open_task()
    attest_all(task, 1)
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    assert not task.round(1).watch_beacon
    results = task.ledger.block()
    current = task.round(1)
    assert current.watch_beacon == task.ledger.state.chain.beacon
    assert (current.watch_start_height, current.watch_deadline_height) == (close, close + 3)
    assert [e.kind for e in results.events if "watch" in e.kind] == ["watches_drawn"]


def test_a_round_waits_for_what_is_to_be_shown_and_no_longer() -> None:
    task = open_task()
    attest_all(task, 1, VALIDATORS[:2])
    await_draw(task, 1)
    task.ledger.accept(VALIDATORS[0], open_watch(task, 1, VALIDATORS[0]))
    assert task.task.settled_round == 0
    task.ledger.accept(VALIDATORS[1], open_watch(task, 1, VALIDATORS[1]))
    assert task.task.settled_round == 1
    assert not task.ledger.state.watches.all_keys()


def test_who_shows_nothing_holds_it_up_to_the_deadline_and_is_not_paid() -> None:
    task = open_task()
    attest_all(task, 1, VALIDATORS[:2])
    await_draw(task, 1)
    deadline = task.round(1).watch_deadline_height
    results = settle(task, VALIDATORS[0])
    assert task.ledger.height == deadline
    assert paid(results, "validator") == {VALIDATORS[0].address.hex(): REWARD}


def test_A8_the_time_to_show_ends_once_a_third_has_proposed() -> None:
    task = open_task()
    attest_all(task, 1, VALIDATORS[:1])
    await_draw(task, 1)
    for _ in range(10):
        task.ledger.block(proposer=2)
    assert task.task.settled_round == 0
    task.ledger.block(proposer=3)
    assert task.task.settled_round == 1


def test_E1_who_has_read_it_is_paid_by_power_and_nobody_else() -> None:
    """Of powers 100, 100, 100 and 200, the first and the last have; the reward is 61."""
    task = open_task(validator_reward=61)
    task.ledger.accept(VALIDATORS[3], AddStake(role=VALIDATOR, amount=100_000))
    attest_all(task, 1, [VALIDATORS[0], VALIDATORS[3]])
    await_draw(task, 1)
    burned = task.ledger.state.supply.burned
    results = settle(task, VALIDATORS[0], VALIDATORS[3])
    assert paid(results, "validator") == {VALIDATORS[0].address.hex(): 20, VALIDATORS[3].address.hex(): 40}
    assert task.ledger.state.supply.burned == burned + 1


def test_nobody_who_shows_it_and_the_reward_is_burned() -> None:
    """The requester's own replicas could keep everybody from reading: it must not save the reward by that."""
    task = open_task()
    attest_all(task, 1)
    await_draw(task, 1)
    burned, escrow = task.ledger.state.supply.burned, task.task.escrow
    assert paid(settle(task), "validator") == {}
    assert task.ledger.state.supply.burned == burned + REWARD
    assert escrow - task.task.escrow == 1000 + 5 * 100 + REWARD


def test_who_has_left_since_is_not_paid() -> None:
    task = open_task()
    attest_all(task, 1, VALIDATORS[:2])
    task.ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=100_000))
    await_draw(task, 1)
    results = settle(task, VALIDATORS[0], VALIDATORS[1])
    assert paid(results, "validator") == {VALIDATORS[1].address.hex(): REWARD}


@pytest.mark.parametrize("dispute", ["vote", "demand"])
def test_nothing_is_drawn_while_something_may_void_it(dispute: str) -> None:
    task = open_task(vote_commit_blocks=12, demand_blocks=12)
    attest_all(task, 1)
    if dispute == "vote":
        challenge(task, 1)
    else:
        task.ledger.accept(STRANGER, demand(task, 1, attempt_id=1, model=True))
    task.ledger.blocks(8)
    assert task.round(1).window_close_height <= task.ledger.height
    assert not task.round(1).watch_beacon


def test_a_redone_round_is_watched_anew() -> None:
    task = TaskHarness.start(min_window_blocks=8, training_blocks=100)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    attest_all(task, 1)
    assert task.round(1).watches == 4
    task.ledger.accept(STRANGER, task.prove(1))
    assert task.round(1).watches == 0
    second = task.aggregate(1)
    attest_all(task, second, VALIDATORS[1:2])
    show_all(task, second, VALIDATORS[1:2])
    assert task.task.settled_round == 1


def test_rounds_behind_one_another_are_drawn_together() -> None:
    """Hundreds may have waited for a vote: each in turn would take blocks."""
    task = TaskHarness.start(rounds=8, min_window_blocks=30, training_blocks=100)
    for number in range(1, 7):
        attempt = task.run_round(number)
        attest_all(task, attempt, VALIDATORS[:1])
    task.ledger.blocks(task.round(6).window_close_height - task.ledger.height)
    while task.task.settled_round < 6:
        first = task.task.settled_round + 1
        drawn = [n for n in range(first, 7) if task.round(n).watch_beacon]
        attempts = [task.round(n).attempt_id for n in drawn]
        assert len(drawn) <= 4
        send_all(task, [(VALIDATORS[0], open_watch(task, a, VALIDATORS[0])) for a in attempts])
    assert task.task.settled_round == 6


# Replicas.


def flags(task: TaskHarness, *flagged: tuple[int, ...]) -> None:
    """The first validators attest, each with the replicas that failed it."""
    send_all(task, [(v, attest(task, 1, v, *failed)) for v, failed in zip(VALIDATORS, flagged, strict=False)])


@pytest.mark.parametrize(
    ("flagged", "expected"),
    [
        ([(), (), ()], {0, 1, 2}),
        ([(0,), (), ()], {0, 1, 2}),  # exactly a third
        ([(0,), (0,), ()], {1, 2}),
        ([(0, 1), (1, 0), (2,)], {2}),
        ([(1,)], {0, 2}),  # alone, it is all of the power that has read
        ([(3,), (3,), (3,), (3,)], {0, 1, 2}),  # it has not answered its audit either
    ],
)
def test_E3_a_replica_that_more_than_a_third_could_not_read_from_is_not_paid(
    flagged: list[tuple[int, ...]], expected: set[int]
) -> None:
    """Shares of 10 each. That of a replica that was flagged is burned, that of one that did not answer stays."""
    task = open_task(validator_reward=0)
    answer_audits(task, 1, 3)
    flags(task, *flagged)
    await_draw(task, 1)
    burned, escrow = task.ledger.state.supply.burned, task.task.escrow
    results = settle(task, *VALIDATORS[: len(flagged)])
    assert paid(results, "replica") == {REPLICAS[i].address.hex(): 10 for i in expected}
    assert task.ledger.state.supply.burned == burned + 10 * (3 - len(expected))
    assert escrow - task.task.escrow == 1000 + 5 * 100 + 3 * 10


def test_who_has_shown_nothing_says_nothing_of_replicas() -> None:
    task = open_task()
    answer_audits(task, 1)
    flags(task, (0, 1, 2, 3), (0, 1, 2, 3), ())
    await_draw(task, 1)
    results = settle(task, VALIDATORS[2])
    assert len(paid(results, "replica")) == 4


@pytest.mark.parametrize("overrides", [{"update_bits": 8}, {"rule": "krum(f=1)"}], ids=str)
def test_small_updates_and_rules_with_totals_are_watched_alike(overrides: dict[str, Any]) -> None:
    """The inputs as they are stored, and the model; a trace follows from these."""
    task = open_task(**overrides)
    attest_all(task, 1)
    show_all(task, 1)
    assert task.task.settled_round == 1
