"""Scenarios by chance: a federation of some size, its task and its adversaries, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from optfl.rules import parse_rule
from optfl_sim.adversaries import ADVERSARIES, Kind, Outcome, Sizes, find_broken_assumptions, list_parties, parse_cast
from optfl_sim.federation import Scenario

RULES = (
    "median()",
    "trimmed_mean(f=1)",
    "fedavg()",
    "krum(f=1)",
    "multi_krum(f=2)",
    "nnm(f=1) | trimmed_mean(f=2)",
    "norm_clipped_mean(norm=0)",
)
FLOAT_RULE = "float(mean)"
TURN_BLOCKS = 30  # for f replicas that keep a reader waiting, one after the other, before the others are asked
SMALL_UPDATES = {"update_bits": 8, "update_shift": 6}  # the largest values of a `SyntheticTrainer` just fit
TOLERANCES = {"vote_epsilon": 16, "vote_theta": 64}  # in units of the last place; float sums here differ by none


def compute_float_mean(updates: Sequence[npt.NDArray[np.float32]], weights: Sequence[int]) -> npt.NDArray[np.float64]:
    """A float aggregator as somebody may bring it: the weighted mean."""
    mean: npt.NDArray[np.float64] = np.average(np.stack(updates), axis=0, weights=np.asarray(weights, dtype=np.float64))
    return mean


def draw_scenario(seed: int, *, rounds: int = 12, mode: str | None = None, beyond: bool = False) -> Scenario:
    """A federation in which several parties deviate. Within the design's assumptions, or else `beyond` some of them."""
    draw = random.Random(f"optfl/scenario/{seed}/{beyond}")
    drawn_mode = draw.choice(("optimistic", "optimistic", "optimistic", "quorum", "pbft"))
    mode = mode or drawn_mode
    sizes = Sizes(
        aggregators=draw.choice((3, 5, 7)) if mode == "quorum" else draw.randint(3, 7),
        clients=draw.randint(8, 12),
        replicas=draw.choice((4, 4, 7)),
        validators=draw.choice((4, 4, 5, 7)),
    )
    rule = draw.choice((*RULES, FLOAT_RULE) if mode == "optimistic" else RULES)
    names = _list_adversaries(rule)
    adversaries = _draw_adversaries(draw, sizes, mode, rounds, names, beyond=beyond)
    while beyond and not find_broken_assumptions(parse_cast(adversaries, sizes), sizes, mode):
        adversaries = _draw_adversaries(draw, sizes, mode, rounds, names, beyond=True)
    scenario = Scenario(
        seed=seed,
        aggregators=sizes.aggregators,
        clients=sizes.clients,
        replicas=sizes.replicas,
        validators=sizes.validators,
        rounds=rounds,
        clients_per_round=draw.randint(6, 8),
        rule=rule,
        mode=mode,
        floats={"mean": compute_float_mean},
        verify_parents=draw.random() < 0.5,
        parameters={
            **(TOLERANCES if rule == FLOAT_RULE else {}),
            "aggregation_blocks": TURN_BLOCKS,
            "rotation": draw.choice((0, 0, 1)),
            "min_safety_percent": draw.choice((0, 0, 10, 30)),
        },
        length=draw.choice((16, 40, 64)),
        adversaries=adversaries,
        mean_seconds_between_crashes=draw.choice((0.0, 300.0, 1000.0)),
        mean_seconds_down=2.0,
        max_seconds_down=4.0,
        loss_rate=draw.choice((0.0, 0.01, 0.03)),
    )
    # Drawn last: what a seed draws of all else is what it always was.
    if draw.random() < 0.25:
        return replace(scenario, parameters={**scenario.parameters, **SMALL_UPDATES})
    return scenario


def _list_adversaries(rule: str) -> list[str]:
    """Those that can do something in a task with this rule: about totals nobody lies where there are none."""
    has_totals = rule != FLOAT_RULE and bool(parse_rule(rule).totals)
    return [name for name, a in ADVERSARIES.items() if has_totals or a.outcome is not Outcome.MISREDUCED]


def _draw_adversaries(
    draw: random.Random, sizes: Sizes, mode: str, rounds: int, names: Sequence[str], *, beyond: bool
) -> dict[str, str]:
    """Parts for some of the parties. One aggregator stays honest, so that there is somebody to redo what is void."""
    bad_replicas = (sizes.replicas - 1) // 3
    bad_validators = (sizes.validators - 1) // 3
    bad_aggregators = sizes.aggregators - 1
    if mode == "quorum" and not beyond:
        bad_aggregators //= 2
    bad = {
        "aggregator": draw.randint(0, bad_aggregators),
        "client": draw.randint(0, 2),
        "replica": draw.randint(0, sizes.replicas if beyond else bad_replicas),
        "challenger": draw.choice((0, 0, 1, 2)),
        "requester": draw.choice((0, 0, 0, 0, 0, 0, 0, 1)),
    }
    adversaries: dict[str, str] = {}
    kinds: tuple[Kind, ...] = ("aggregator", "client", "replica", "challenger", "requester")
    for kind in kinds:
        for who in draw.sample(list_parties(kind, sizes), bad[kind]):
            adversaries[who] = _draw_part(draw, kind, rounds, names)
    # A bad validator may lie as a watcher, as a proposer, or as both.
    for i in draw.sample(range(sizes.validators), draw.randint(0, sizes.validators if beyond else bad_validators)):
        plays: tuple[Kind, ...] = draw.choice((("validator",), ("proposer",), ("validator", "proposer")))
        for kind in plays:
            adversaries[f"{kind}{i}"] = _draw_part(draw, kind, rounds, names)
    return adversaries


def _draw_part(draw: random.Random, kind: Kind, rounds: int, names: Sequence[str]) -> str:
    name = draw.choice([name for name in names if ADVERSARIES[name].kind == kind])
    return f"{name}@{draw.randint(1, max(rounds // 2, 1))}"
