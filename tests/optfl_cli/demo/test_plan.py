"""What a demo's options come to: who is Byzantine, what is refused, and what is only warned of."""

from __future__ import annotations

from typing import Any

import pytest

from optfl.rules import parse_rule
from optfl_cli.demo.plan import Plan, count_tolerated, draw_plan, find_weakness
from optfl_cli.errors import UserError

ATTACK = "sign_flip(factor=5)"


def draw(seed: int = 1, **options: Any) -> Plan:
    return draw_plan(**{"seed": seed, "rounds": 12, "clients": 8, "rule": "median()", "fraud": None, **options})


def test_without_an_attack_every_client_is_honest() -> None:
    plan = draw()
    assert (plan.attack, plan.byzantine_clients) == (None, ())


def test_the_seed_draws_the_byzantine_clients() -> None:
    plans = [draw(seed, attack=ATTACK, byzantine_clients=3) for seed in range(30)]
    assert all(len(set(plan.byzantine_clients)) == 3 for plan in plans)
    assert {i for plan in plans for i in plan.byzantine_clients} == set(range(8))
    assert draw(4, attack=ATTACK, byzantine_clients=3) == plans[4]


def test_an_attack_alone_is_one_clients() -> None:
    assert len(draw(attack=ATTACK).byzantine_clients) == 1


def test_an_attack_changes_nothing_else_of_a_plan() -> None:
    plain, attacked = draw(fraud="poison"), draw(fraud="poison", attack=ATTACK)
    assert (plain.fraud_round, plain.culprit) == (attacked.fraud_round, attacked.culprit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "backdoor()"}, "--attack backdoor.*no attack"),
        ({"attack": "sign_flip(factor=x)"}, "--attack .*no attack"),
        ({"byzantine_clients": 2}, "say what they do, with --attack"),
        ({"attack": ATTACK, "byzantine_clients": 0}, "use 1 to 7 of 8"),
        ({"attack": ATTACK, "byzantine_clients": 8}, "use 1 to 7 of 8"),
        ({"attack": "mimic(member=2)", "byzantine_clients": 2}, "add --byzantine-clients 3"),
        ({"attack": "mimic(member=2)"}, "add --byzantine-clients 3"),
        ({"rule": "mode()"}, "--rule mode"),
        ({"rounds": 0}, "--rounds is 0"),
    ],
)
def test_a_mistake_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        draw(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "tolerated"),
    [
        ("fedavg()", 0),
        ("norm_clipped_mean(norm=0)", 0),
        ("median()", 4),
        ("geometric_median(steps=8)", 4),
        ("trimmed_mean(f=1)", 1),
        ("bulyan(f=1)", 1),
        ("krum(f=0)", 0),
        ("nnm(f=2) | median()", 2),
        ("nnm(f=2) | trimmed_mean(f=1)", 1),
        ("arc(f=1) | nnm(f=2) | median()", 1),
        ("bucketing(s=2) | median()", 2),
        ("bucketing(s=3) | trimmed_mean(f=1)", 1),
        ("nnm(f=2) | fedavg()", 0),
        ("clipping(norm=0) | median()", 4),
    ],
)
def test_how_many_a_rule_is_made_to_bear(rule: str, tolerated: int) -> None:
    assert count_tolerated(parse_rule(rule), 10) == tolerated


def test_too_many_for_the_rule_are_warned_of() -> None:
    """Whoever wants to see FedAvg fall must be able to."""
    assert find_weakness(draw()) is None
    assert find_weakness(draw(attack=ATTACK, byzantine_clients=3)) is None
    assert find_weakness(draw(attack=ATTACK, byzantine_clients=4)) == (
        "median() of 8 is made to bear 3 Byzantine clients at most; here are 4"
    )
    assert find_weakness(draw(attack=ATTACK, rule="fedavg()")) is not None
