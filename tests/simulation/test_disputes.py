"""Every kind of dispute from its beginning to its end, by the roles as they are, on the ledger as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offchain.learning.float_aggregators import BUILT_IN
from offchain.roles import voting
from optfl.wire import state_pb2
from optfl_sim.federation import Result, Scenario, run_federation

QUIET = Scenario(
    seed=1,
    clients=8,
    aggregators=4,
    rounds=6,
    clients_per_round=6,
    rule="median()",
    mean_seconds_between_crashes=0.0,
    max_seconds=4000.0,
)
FLOAT = replace(QUIET, rule="float(trimmed)", floats=BUILT_IN, parameters={"vote_epsilon": 8, "vote_theta": 64})
BAD_REPLICAS = {f"replica{i}": "forgetful-replica" for i in range(3)}


def watch_all(scenario: Scenario, policy: str) -> Scenario:
    return replace(scenario, watching={f"validator{i}": policy for i in range(scenario.validators)})


def check_completed(result: Result, rounds: int = 6) -> None:
    assert result.task.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert result.task.task.settled_round == rounds


def find_events(result: Result, kind: str) -> list[dict[str, str]]:
    return [dict(event.attributes) for _, _, events in result.chain.trace for event in events if event.kind == kind]


def sum_validators(result: Result, field: str) -> int:
    return sum(getattr(life, field) for name, lives in result.costs.items() for life in lives if "validator" in name)


# Votes.


@pytest.mark.parametrize("liar", [None, "minority-voter", "silent-validator", "colluding-validator"])
def test_a_lying_aggregator_of_a_float_task_is_convicted_by_vote(liar: str | None) -> None:
    """With f = 1 of four validators on its side, silent, or voting for something else."""
    cast = {"aggregator1": "poison@2"} | ({} if liar is None else {"validator0": liar})
    result = run_federation(replace(FLOAT, adversaries=cast))
    check_completed(result)
    assert result.report.convicted == ("aggregator1",)
    convictions = result.task.convictions  # it may lie again while the first verdict is on its way
    assert {conviction.proof_kind for conviction in convictions} == {"vote"}
    assert convictions[0].reverted
    verdicts = [event["verdict"] for event in find_events(result, "challenge_decided")]
    assert verdicts == ["upheld"] * len(convictions)


def test_an_honest_float_task_is_never_put_to_a_vote() -> None:
    result = run_federation(FLOAT)
    check_completed(result)
    assert "challenge_opened" not in result.report.events
    assert not result.report.slashed


@pytest.mark.parametrize("scenario", [QUIET, FLOAT], ids=["exact", "float"])
def test_serial_challenges_are_rejected_and_slow_nothing_down(scenario: Scenario) -> None:
    """V6: each costs its bond; rounds are opened while votes go on, and all settle."""
    result = run_federation(replace(scenario, adversaries={"challenger0": "serial-challenges"}))
    check_completed(result)
    verdicts = [event["verdict"] for event in find_events(result, "challenge_decided")]
    assert verdicts == ["rejected"] * 6
    assert not result.report.slashed
    assert result.virtual_seconds < 2 * run_federation(scenario).virtual_seconds


def test_two_liars_of_four_keep_a_vote_undecided_and_nobody_is_hurt() -> None:
    """Beyond the assumption: the round is redone, then dropped without fault (V5); the task still ends."""
    cast = {"aggregator1": "poison@2", "validator0": "minority-voter", "validator1": "minority-voter"}
    result = run_federation(replace(FLOAT, adversaries=cast))
    check_completed(result)
    assert "no_quorum" in {event["verdict"] for event in find_events(result, "challenge_decided")}
    assert not result.report.slashed


@pytest.mark.parametrize("seed", range(3))
def test_validators_that_crash_between_commit_and_reveal_reveal_what_they_committed(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Votes on every attempt while everybody crashes all the time; some reveal what an earlier life committed."""
    committed: set[int] = set()
    crossed: list[int] = []
    commit, reveal = voting.Voter._commit, voting.Voter._reveal

    async def note_commit(voter: voting.Voter, attempt: state_pb2.Attempt) -> None:
        committed.add(id(voter))
        kept.append(voter)
        await commit(voter, attempt)

    async def note_reveal(voter: voting.Voter, attempt: state_pb2.Attempt) -> None:
        if id(voter) not in committed:
            crossed.append(attempt.attempt_id)
        await reveal(voter, attempt)

    kept: list[voting.Voter] = []  # so that no id is used twice
    monkeypatch.setattr(voting.Voter, "_commit", note_commit)
    monkeypatch.setattr(voting.Voter, "_reveal", note_reveal)
    scenario = replace(
        FLOAT,
        seed=seed,
        rounds=12,
        adversaries={"challenger0": "serial-challenges"},
        parameters={**FLOAT.parameters, "aggregation_blocks": 60},
        mean_seconds_between_crashes=25.0,
        mean_seconds_down=2.0,
        max_seconds_down=6.0,
    )
    result = run_federation(scenario)
    check_completed(result, rounds=12)
    assert crossed, "nobody crashed in between: the scenario tests too little"
    assert not result.report.slashed
    assert {event["verdict"] for event in find_events(result, "challenge_decided")} == {"rejected"}


# Availability.


def test_a_withheld_update_is_struck_and_nobody_is_late() -> None:
    """A client commits to what it stored nowhere, and colluding replicas have signed for it (I1)."""
    result = run_federation(replace(QUIET, adversaries={"client2": "unstored-update@2", **BAD_REPLICAS}))
    check_completed(result)
    struck = find_events(result, "update_struck")
    assert {event["client"] for event in struck} == {_address(result, "client2")}
    assert not result.report.excluded
    assert not result.report.slashed


def test_a_model_that_nobody_can_read_is_void_and_its_author_silent() -> None:
    """I2: the lie is certified by colluding replicas, and no chunk of it is there to prove it with."""
    result = run_federation(replace(QUIET, adversaries={"aggregator2": "unstored-model@2", **BAD_REPLICAS}))
    check_completed(result)
    assert result.report.excluded == ("aggregator2",)
    assert [event["reason"] for event in find_events(result, "attempt_voided")] == ["model"]
    assert not result.report.convicted


def test_what_replicas_forget_is_found_with_its_authors() -> None:
    """Updates of honest clients are demanded, served by their clients and then by validators, and not struck (I2)."""
    cast = {f"replica{i}": "forgetful-replica@2" for i in range(4)}
    result = run_federation(replace(QUIET, adversaries=cast, rounds=2))
    check_completed(result, rounds=2)
    assert result.report.events["demand_answered"] >= 3
    assert "update_struck" not in result.report.events
    assert not result.report.slashed


def _address(result: Result, name: str) -> str:
    return next(address.hex() for address, known in result.names.items() if known == name)


# Watching.


def test_samples_convict_at_a_fraction_of_the_cost() -> None:
    lying = replace(QUIET, adversaries={"aggregator1": "poison@2"})
    full, sampled = run_federation(watch_all(lying, "full")), run_federation(watch_all(lying, "sample(0.5)"))
    for result in (full, sampled):
        check_completed(result)
        assert result.report.convicted == ("aggregator1",)
    assert sum_validators(sampled, "aggregations") == 0
    assert 0 < sum_validators(sampled, "chunks") < 4 * sum_validators(full, "aggregations")


@pytest.mark.parametrize("seed", range(3))
def test_the_next_aggregator_proves_what_it_would_build_on(seed: int) -> None:
    """No validator looks; each aggregator re-executes the attempt before its own turn, and no lie settles."""
    idle = watch_all(replace(QUIET, seed=seed, adversaries={"aggregator1": "coordinate@2"}), "idle")
    result = run_federation(replace(idle, verify_parents=True))
    check_completed(result)
    assert result.report.convicted == ("aggregator1",)
    assert sum_validators(result, "aggregations") == 0


def test_a_fall_in_accuracy_makes_idle_validators_look() -> None:
    cast = {"aggregator1": "poison@4"}
    result = run_federation(watch_all(replace(QUIET, adversaries=cast), "idle, accuracy(0.05)"))
    check_completed(result)
    assert result.report.convicted == ("aggregator1",)
    assert 4 <= sum_validators(result, "triggered") <= 8


# Modes.


@pytest.mark.parametrize(("mode", "members"), [("quorum", "aggregator"), ("pbft", "validator")])
def test_a_mode_of_many_signers_runs_to_its_end(mode: str, members: str) -> None:
    result = run_federation(replace(QUIET, mode=mode, aggregators=5))
    check_completed(result)
    executed = {name: sum(life.aggregations for life in lives) for name, lives in result.costs.items()}
    assert all(count == 6 for name, count in executed.items() if members in name)
    assert not any(count for name, count in executed.items() if members not in name)
    assert not result.report.slashed


@pytest.mark.parametrize(
    ("mode", "cast"),
    [
        ("quorum", {"aggregator0": "poison@2", "aggregator3": "silent@2"}),
        ("pbft", {"validator1": "minority-voter"}),
        ("pbft", {"validator1": "silent-validator"}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value.values()),
)
def test_f_bad_members_change_no_model(mode: str, cast: dict[str, str]) -> None:
    result = run_federation(replace(QUIET, mode=mode, aggregators=5, adversaries=cast))
    check_completed(result)
    assert result.report.lies == 0


@pytest.mark.parametrize("mode", ["quorum", "pbft"])
def test_members_that_crash_hold_up_no_round_for_good(mode: str) -> None:
    scenario = replace(QUIET, mode=mode, aggregators=5, mean_seconds_between_crashes=40.0, mean_seconds_down=5.0)
    result = run_federation(scenario)
    check_completed(result)
    assert result.crashes > 0
    assert not result.report.slashed
