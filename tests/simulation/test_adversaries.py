"""Every adversary alone, with what becomes of it; then some together; then what happens beyond the assumptions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optfl.wire import state_pb2
from optfl_sim.adversaries import (
    ADVERSARIES,
    TABLES,
    CastError,
    Outcome,
    Sizes,
    find_broken_assumptions,
    parse_arguments,
    parse_cast,
)
from optfl_sim.drawing import FLOAT_RULE, TOLERANCES, compute_float_mean, draw_scenario
from optfl_sim.federation import Result, Scenario, run_and_report, run_federation

ROOT = Path(__file__).parents[2]
SIZES = Sizes(aggregators=4, clients=8, replicas=4, validators=4)
ROUNDS = 5
UPDATES = 6  # a round
CLIENT_REWARD, AGGREGATOR_REWARD = 1_000, 10_000


def play(adversaries: dict[str, str], **other: object) -> Result:
    """A small federation in which nothing goes wrong but what `adversaries` do."""
    plain: dict[str, object] = {
        "seed": 3,
        "clients": SIZES.clients,
        "aggregators": SIZES.aggregators,
        "rounds": ROUNDS,
        "clients_per_round": UPDATES,
        "rule": "trimmed_mean(f=1)",
        "mean_seconds_between_crashes": 0.0,
        "loss_rate": 0.0,
    }
    return run_and_report(Scenario(**{**plain, **other}, adversaries=adversaries))  # type: ignore[arg-type]


def play_float(adversaries: dict[str, str]) -> Result:
    return play(adversaries, rule=FLOAT_RULE, floats={"mean": compute_float_mean}, parameters=TOLERANCES)


def check_nobody_is_hurt(result: Result, *, rounds: int = ROUNDS) -> None:
    """What holds whoever deviates, as long as the assumptions do."""
    assert result.report.broken_assumptions == ()
    assert result.report.violations == ()
    assert result.report.honest_loss == 0
    assert result.report.rounds == rounds


def party_of(name: str) -> str:
    kind = ADVERSARIES[name].kind
    return kind if kind == "requester" else f"{kind}1"


def names_with(outcome: Outcome) -> list[str]:
    return [name for name, adversary in ADVERSARIES.items() if adversary.outcome is outcome]


# Alone.


@pytest.mark.parametrize("name", sorted({*names_with(Outcome.CONVICTED)} - {"equivocating"}))
def test_who_lies_is_convicted(name: str) -> None:
    result = play({"aggregator1": f"{name}@2"})
    check_nobody_is_hurt(result)
    report = result.report
    assert report.lies == 1
    assert report.unpunished == 0
    assert report.convicted == report.slashed == ("aggregator1",)
    assert report.excluded == ()
    assert report.gains["aggregator1"] + report.gains["sybil"] < -19_000_000
    assert report.rounds_during_disputes > 0
    (conviction,) = result.task.convictions
    assert (conviction.round, conviction.reverted) == (2, True)


def test_of_two_models_in_one_turn_the_ledger_takes_one() -> None:
    """The lie came first, or it was refused: both happen."""
    convicted = []
    for seed in range(4):
        result = play({"aggregator1": "equivocating@2"}, seed=seed, rounds=4)
        check_nobody_is_hurt(result, rounds=4)
        assert result.report.lies == len(result.report.convicted)
        convicted.append(result.report.convicted)
    assert set(convicted) == {(), ("aggregator1",)}


TOTALS_RULES = ["krum(f=1)", "nnm(f=1) | trimmed_mean(f=1)", "norm_clipped_mean(norm=0)", "arc(f=1) | median()"]
COLLUDING = {f"replica{i}": "selective-replica@1000" for i in range(3)}  # sign for what they never saw


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.parametrize(
    ("name", "kind"), [("garbage-trace", "step"), ("trace-entry", "step"), ("wrong-weights", "weights")]
)
def test_F1_who_lies_about_totals_is_convicted_by_the_step_where_it_lied(name: str, kind: str, rule: str) -> None:
    result = play({"aggregator1": f"{name}@2"}, rule=rule)
    check_nobody_is_hurt(result)
    assert result.report.convicted == ("aggregator1",)
    (conviction,) = result.task.convictions
    assert (conviction.round, conviction.proof_kind, conviction.reverted) == (2, kind, True)


@pytest.mark.parametrize("rule", TOTALS_RULES)
@pytest.mark.parametrize("name", ["coordinate", "wrong-chunk", "wrong-rule", "dropped-client", "stale-base"])
def test_a_wrong_model_of_a_rule_with_totals_is_convicted_by_its_output(name: str, rule: str) -> None:
    result = play({"aggregator1": f"{name}@2"}, rule=rule)
    check_nobody_is_hurt(result)
    (conviction,) = result.task.convictions
    assert (conviction.round, conviction.proof_kind) == (2, "output")


@pytest.mark.parametrize("name", ["unstored-trace", "unstored-model"])
def test_F1_totals_that_nobody_can_read_make_their_author_silent(name: str) -> None:
    result = play({"aggregator1": f"{name}@2", **COLLUDING}, rule="krum(f=1)")
    assert result.report.lies > 0
    assert result.report.events["blob_missing"] >= 1
    assert result.report.events["attempt_voided"] >= 1
    assert "aggregator1" in result.report.excluded
    assert not any("settled with a wrong model" in violation for violation in result.report.violations)


@pytest.mark.parametrize("name", names_with(Outcome.MISREDUCED))
def test_where_a_rule_has_no_totals_a_claim_of_some_is_refused(name: str) -> None:
    result = play({"aggregator1": f"{name}@2"})
    check_nobody_is_hurt(result)
    assert (result.report.lies, result.report.convicted, result.report.excluded) == (0, (), ("aggregator1",))


@pytest.mark.parametrize("mode", ["quorum", "pbft"])
def test_members_sign_totals_and_models_together(mode: str) -> None:
    result = play({}, mode=mode, rule="multi_krum(f=1)", aggregators=3)
    check_nobody_is_hurt(result)


@pytest.mark.parametrize("name", names_with(Outcome.LATE))
def test_who_is_late_pays_a_little_and_is_excluded_for_a_time(name: str) -> None:
    result = play({"aggregator1": f"{name}@2"})
    check_nobody_is_hurt(result)
    report = result.report
    assert report.lies == 0
    assert report.convicted == ()
    assert report.excluded == report.slashed == ("aggregator1",)
    assert -1_000_000 < report.gains["aggregator1"] < 0
    assert report.events["turn_missed"] == 1


def test_demands_buy_time_three_times_and_no_more() -> None:
    report = play({"aggregator1": "demanding@2"}).report
    assert report.events["turn_restarted"] == 3
    assert report.gains["aggregator1"] < -200_000 - 3 * 10_000 + 2 * AGGREGATOR_REWARD  # late, and three bonds


def test_demands_prolong_windows_and_hold_up_no_training() -> None:
    """What two thirds of the power serve was there for everybody: the bond is lost."""
    quiet, demanded = play({}), play({"challenger1": "serial-demands@1", "validator1": "false-holder"})
    check_nobody_is_hurt(demanded)
    assert demanded.report.events["window_prolonged"] == ROUNDS
    started = [[e for e in r.chain.trace if any(x.kind == "round_started" for x in e[2])] for r in (quiet, demanded)]
    assert abs(started[0][-1][0] - started[1][-1][0]) <= 2  # the last round began at about the same height


@pytest.mark.parametrize("name", names_with(Outcome.HARMLESS))
def test_what_has_no_effect(name: str) -> None:
    result = play({party_of(name): f"{name}@2"})
    check_nobody_is_hurt(result, rounds=2 if name == "free-training" else ROUNDS)
    report = result.report
    assert (report.lies, report.convicted, report.excluded, report.slashed) == (0, (), (), ())


def test_a_commitment_to_an_old_base_is_refused() -> None:
    result = play({"client1": "stale-update@2"})
    check_nobody_is_hurt(result)
    assert result.report.gains["client1"] <= CLIENT_REWARD  # for round 1, if it was drawn
    assert result.report.gains["client1"] < min(
        result.report.gains[f"client{i}"] for i in range(SIZES.clients) if i != 1
    )


def test_a_copied_commitment_is_refused_and_so_is_a_copied_update() -> None:
    honest, copied = play({}), play({"client1": "copied-update@2"})
    check_nobody_is_hurt(copied)
    assert copied.report.gains["client1"] < CLIENT_REWARD  # it may have been drawn for the first round
    assert copied.report.gains["client1"] < honest.report.gains["client1"]
    commits = [
        dict(e.attributes) for _, _, events in copied.chain.trace for e in events if e.kind == "update_committed"
    ]
    thief = next(address.hex() for address, name in copied.names.items() if name == "client1")
    assert not [event for event in commits if event["client"] == thief and int(event["round"]) > 1]


def test_a_weight_above_the_most_is_refused() -> None:
    result = play({"client1": "extreme-weight@1"}, rule="fedavg()")
    check_nobody_is_hurt(result)


@pytest.mark.parametrize("name", names_with(Outcome.PAYS))
def test_who_disputes_what_is_right_pays_for_it(name: str) -> None:
    result = play({"challenger1": f"{name}@2"})
    check_nobody_is_hurt(result)
    assert result.report.gains["challenger1"] < -200_000  # a bond for a proof or a vote is 100,000, for a blob 10,000
    assert result.report.lies == 0


def test_a_challenge_that_fails_pays_the_voters_and_no_training_waits_for_it() -> None:
    quiet, serial = play({}), play({"challenger1": "serial-challenges@1"})
    assert serial.report.events["challenge_decided"] == ROUNDS
    assert serial.report.rounds_during_disputes > 0
    assert all(serial.report.gains[f"validator{i}"] > quiet.report.gains[f"validator{i}"] for i in range(4))


def test_two_votes_on_one_question_are_slashed_when_somebody_shows_both() -> None:
    """Half of the stake for each question; the ledger counts the first of the two votes."""
    result = play({"challenger1": "serial-challenges@2", "validator1": "double-voter"})
    check_nobody_is_hurt(result)
    assert result.report.slashed == ("validator1",)
    assert result.report.events["member_equivocated"] >= 1
    assert result.report.gains["reporter"] > 0


def test_a_minority_vote_costs_the_round_s_pay_and_no_stake() -> None:
    result = play({"challenger1": "serial-challenges@2", "validator1": "minority-voter"})
    check_nobody_is_hurt(result)
    gains = result.report.gains
    assert result.report.slashed == ()
    assert gains["validator1"] < min(gains[f"validator{i}"] for i in (0, 2, 3)) - 50_000


def test_a_copied_proof_gains_less_than_the_fees() -> None:
    result = play({"aggregator1": "poison@2", "challenger1": "copied-proofs"})
    check_nobody_is_hurt(result)
    assert result.report.convicted == ("aggregator1",)
    assert result.report.gains["challenger1"] <= 0


def find_rewards(result: Result) -> dict[str, int]:
    """What provers got, by the names of their accounts."""
    paid = [dict(e.attributes) for _, _, events in result.chain.trace for e in events if e.kind == "prover_rewarded"]
    return {result.names[bytes.fromhex(event["prover"])]: int(event["amount"]) for event in paid}


def test_F7_a_proposer_that_copies_a_proof_gets_nothing_for_it() -> None:
    """In some runs its block comes after the proof: the copy convicts, and pays those whom it copies."""
    copied = False
    for seed in range(30):
        bad = {"aggregator1": "poison@2", "proposer1": "copying-proposer"}
        result = play(bad, watching={"validator1": "idle"}, seed=seed, rounds=3)
        check_nobody_is_hurt(result, rounds=3)
        assert result.report.convicted == ("aggregator1",)
        (conviction,) = result.task.convictions
        rewards = find_rewards(result)
        assert set(rewards.values()) == {20_000_000 * 9 // 100 // SIZES.validators}
        assert "validator1" not in rewards
        if result.names[conviction.prover] == "validator1":
            copied = True
            break
    assert copied


def test_free_training_is_paid_for() -> None:
    """The round whose updates the requester took settles all the same; its clients are paid."""
    result = play({"requester": "free-training@2"})
    assert result.task.task.status == state_pb2.TASK_STATUS_ABORTED
    rewards = sum(max(result.report.gains[f"client{i}"], 0) for i in range(SIZES.clients))
    assert rewards > 2 * UPDATES * CLIENT_REWARD * 0.9
    assert result.report.gains["requester"] < -2 * (UPDATES * CLIENT_REWARD + AGGREGATOR_REWARD)


@pytest.mark.parametrize("name", [name for name, a in ADVERSARIES.items() if a.kind == "replica"])
def test_a_bad_replica_is_not_paid(name: str) -> None:
    """Who has forgotten cannot answer its audits, and who does not serve what it has is told of by its readers (E3)."""
    gains = play({"replica1": f"{name}@1"}).report.gains
    assert gains["replica1"] <= 0 < gains["replica0"]


def test_E1_who_watches_is_paid_and_who_does_not_is_not() -> None:
    """Two of four re-execute everything, one looks at samples and one at nothing. And all of it is paid to the two."""
    result = play({}, watching={"validator2": "sample(0.5)", "validator3": "idle"})
    check_nobody_is_hurt(result)
    gains = result.report.gains
    assert result.report.events["watch_opened"] == 2 * ROUNDS
    rewards = [
        (event["account"], int(event["amount"]))
        for event in (dict(e.attributes) for _, _, events in result.chain.trace for e in events)
        if event.get("role") == "validator" and "amount" in event
    ]
    assert {result.names[bytes.fromhex(account)] for account, _ in rewards} == {"validator0", "validator1"}
    assert sum(amount for _, amount in rewards) == 4_000 * ROUNDS
    assert min(gains["validator0"], gains["validator1"]) > max(gains["validator2"], gains["validator3"]) + 5_000


def test_E1_who_says_that_it_has_read_what_it_has_not_is_not_paid() -> None:
    result = play({"validator1": "false-watcher@1"})
    check_nobody_is_hurt(result)
    assert result.report.gains["validator1"] < min(result.report.gains[f"validator{i}"] for i in (0, 2, 3)) - 5_000
    assert result.report.events["watch_opened"] == 3 * ROUNDS


def test_crashes_cost_replicas_and_watchers_little_of_their_pay() -> None:
    """Who is away for seconds answers when it is asked again, and reads an attempt again after a crash."""
    result = play({}, mean_seconds_between_crashes=60.0, mean_seconds_down=2.0, rounds=10, loss_rate=0.01)
    check_nobody_is_hurt(result, rounds=10)
    assert result.crashes > 10
    assert result.report.events["watch_opened"] >= 0.8 * 4 * 10
    assert sum(result.report.gains[f"replica{i}"] for i in range(4)) > 0.7 * 10 * 1000


# In other modes, and with float arithmetic.


@pytest.mark.parametrize("name", ["poison", "silent", "equivocating"])
def test_a_minority_of_a_quorum_certifies_nothing(name: str) -> None:
    liars = ("aggregator1", "aggregator3")
    result = play(dict.fromkeys(liars, f"{name}@2"), mode="quorum", aggregators=5)
    check_nobody_is_hurt(result)
    assert result.report.lies == 0
    assert result.report.slashed == (liars if name == "equivocating" else ())


@pytest.mark.parametrize("name", [name for name, a in ADVERSARIES.items() if a.kind == "validator"])
def test_less_than_a_third_of_the_power_certifies_nothing(name: str) -> None:
    result = play({"validator1": f"{name}@2"}, mode="pbft")
    check_nobody_is_hurt(result)
    assert result.report.lies == 0
    assert result.report.slashed == (("validator1",) if name == "double-voter" else ())


@pytest.mark.parametrize(
    ("name", "validator"),
    [
        ("poison", "colluding-validator"),
        ("poison", "minority-voter"),
        ("wrong-chunk", "silent-validator"),
        ("wrong-chunk", "double-voter"),
    ],
)
def test_a_vote_convicts_who_lies_in_a_float_task(name: str, validator: str) -> None:
    result = play_float({"aggregator1": f"{name}@2", "validator1": validator})
    check_nobody_is_hurt(result)
    assert result.report.convicted == ("aggregator1",)
    assert result.report.unpunished == 0
    assert {conviction.proof_kind for conviction in result.task.convictions} == {"vote"}


def test_what_is_within_the_tolerance_is_no_lie_in_a_float_task() -> None:
    result = play_float({"aggregator1": "coordinate@2", "challenger1": "serial-challenges"})
    check_nobody_is_hurt(result)
    assert (result.report.lies, result.report.convicted) == (0, ())


# Together.


def test_a_liar_with_all_the_help_that_the_assumptions_leave_it() -> None:
    """A replica that lies, a validator that covers it up and censors, challengers that flood, a sybil that copies."""
    result = play(
        {
            "aggregator1": "self-convicting@2",
            "aggregator2": "unstored-model@3",
            "replica2": "lying-replica",
            "validator3": "colluding-validator",
            "proposer3": "censoring-proposer",
            "challenger0": "spam-proofs",
            "challenger1": "copied-proofs",
            "challenger2": "serial-challenges",
            "client5": "copied-update",
        },
        mean_seconds_between_crashes=500.0,
        mean_seconds_down=2.0,
        max_seconds_down=4.0,
        loss_rate=0.02,
    )
    check_nobody_is_hurt(result)
    assert result.report.convicted == ("aggregator1", "aggregator2")


def test_random_combinations() -> None:
    """A sample; `optfl simulate --runs 1000` takes more."""
    rounds = lies = 0
    for seed in range(12):
        report = run_federation(draw_scenario(seed, rounds=6)).report
        assert report.honest_loss == 0
        rounds += report.rounds
        lies += report.lies
    assert rounds > 40
    assert lies > 5


# Beyond the assumptions: the checkers find what then goes wrong, and the report says why.


def test_a_model_that_nobody_can_read_does_not_settle() -> None:
    """More than f_s replicas sign for it: what is left is the demand, after which its author is late (I2)."""
    liars = {f"replica{i}": "forgetful-replica" for i in range(3)}
    result = play({"aggregator1": "unstored-model@2", **liars})
    assert result.report.broken_assumptions == ("3 of 4 replicas are bad, where at most 1 may be",)
    assert result.report.violations == ()
    assert result.report.events["blob_missing"] == 1
    assert result.report.excluded == ("aggregator1",)
    assert result.report.rounds == ROUNDS


def test_an_update_that_nobody_can_read_is_struck() -> None:
    """I1: the aggregator that could not fetch it is not late."""
    liars = {f"replica{i}": "forgetful-replica@2" for i in range(3)}
    result = play({"client1": "unstored-update@2", **liars}, rounds=4)
    assert result.report.events["update_struck"] >= 1
    assert result.report.violations == ()
    assert result.report.honest_loss == 0


def test_if_nobody_watches_a_lie_settles_and_the_checker_finds_it() -> None:
    blind = {f"validator{i}": "colluding-validator" for i in range(4)}
    result = play({"aggregator1": "coordinate@2", **blind}, rounds=4)
    assert result.report.broken_assumptions == (
        "4 of 4 validators are bad, where less than 1/3 may be",
        "nobody honest re-executes attempts in full",
    )
    assert any("round 2 settled with a wrong model (aggregator1)" in said for said in result.report.violations)


def test_if_nobody_else_watches_whoever_builds_on_a_lie_does() -> None:
    blind = {f"validator{i}": "colluding-validator" for i in range(4)}
    result = play({"aggregator1": "coordinate@2", **blind}, verify_parents=True)
    assert result.report.violations == ()
    assert result.report.convicted == ("aggregator1",)


def test_a_liar_that_nobody_watches_gains_nothing_by_convicting_itself() -> None:
    """R5: its sybil gets 9 % of the slash; who worked on the void rounds is compensated out of it."""
    blind = {f"validator{i}": "silent-validator" for i in range(4)}
    report = play({"aggregator1": "self-convicting@2", **blind}).report
    assert report.violations == ()
    assert report.convicted == ("aggregator1",)
    assert report.gains["sybil"] > 1_700_000
    assert report.gains["aggregator1"] + report.gains["sybil"] < -17_000_000
    assert report.events["compensated"] > 6


def test_two_thirds_of_the_power_can_vote_against_what_is_right() -> None:
    """What the assumption is for: in a float task there is no proof of innocence."""
    liars = {f"validator{i}": "minority-voter" for i in range(3)}
    result = play_float({"challenger1": "serial-challenges", **liars})
    assert any("is right, and convicted" in said for said in result.report.violations)
    assert result.report.broken_assumptions == ("3 of 4 validators are bad, where less than 1/3 may be",)


def test_in_an_exact_task_no_vote_can_hurt_who_is_right() -> None:
    """V4: a vote may void, only a proof slashes; and three who do not agree are no quorum."""
    liars = {f"validator{i}": "minority-voter" for i in range(3)}
    report = play({"challenger1": "serial-challenges", **liars}).report
    assert report.violations == ()
    assert report.honest_loss == 0


def test_if_every_proposer_censors_a_lie_settles() -> None:
    censors = {f"proposer{i}": "censoring-proposer" for i in range(4)}
    result = play({"aggregator1": "coordinate@2", **censors}, rounds=4)
    assert any("wrong model" in said for said in result.report.violations)


def test_a_majority_of_a_quorum_certifies_what_it_likes() -> None:
    liars = {f"aggregator{i}": "poison@2" for i in range(3)}
    result = play(liars, mode="quorum", aggregators=5, rounds=4)
    assert result.report.broken_assumptions == ("3 of 5 aggregators are bad, where at most 2 may be",)
    assert any("wrong model" in said for said in result.report.violations)


# The registry.


def test_the_registry_has_what_the_modules_have() -> None:
    for kind, table in TABLES.items():
        assert {name for name, a in ADVERSARIES.items() if a.kind == kind} == set(table), kind


def test_the_documentation_has_the_registry() -> None:
    text = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(name, a.kind, a.does, a.outcome.value) for name, a in ADVERSARIES.items()]


@pytest.mark.parametrize(
    ("adversaries", "message"),
    [
        ({"aggregator1": "nonsense"}, "no adversary 'nonsense'"),
        ({"aggregator4": "poison"}, "poison is played by aggregator0 to aggregator3, not by 'aggregator4'"),
        ({"client1": "poison"}, "not by 'client1'"),
        ({"requester": "poison@1"}, "not by 'requester'"),
        ({"aggregator1": "poison@0"}, "behind the @ stands the round"),
        ({"aggregator1": "poison@"}, "behind the @ stands the round"),
        ({"replica1": "free-training"}, "free-training is played by requester, not by 'replica1'"),
    ],
)
def test_a_cast_that_cannot_be(adversaries: dict[str, str], message: str) -> None:
    with pytest.raises(CastError, match=re.escape(message)):
        parse_cast(adversaries, SIZES)


def test_arguments_of_the_command() -> None:
    assert parse_arguments(["poison", "poison@3", "silent:aggregator0@2", "free-training"], SIZES) == {
        "aggregator0": "silent@2",
        "aggregator1": "poison@1",
        "aggregator2": "poison@3",
        "requester": "free-training@1",
    }
    with pytest.raises(CastError, match="no requester is left to play free-training"):
        parse_arguments(["free-training", "free-training"], SIZES)
    with pytest.raises(CastError, match="aggregator1 plays poison@1 already"):
        parse_arguments(["poison:aggregator1", "silent:aggregator1"], SIZES)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_scenarios_are_within_the_assumptions_unless_asked(seed: int) -> None:
    for beyond in (False, True):
        scenario = draw_scenario(seed, beyond=beyond)
        cast = parse_cast(scenario.adversaries, scenario.sizes)
        assert bool(find_broken_assumptions(cast, scenario.sizes, scenario.mode)) == beyond
        assert scenario == draw_scenario(seed, beyond=beyond)
