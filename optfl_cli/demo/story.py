"""What a run comes to, in words and figures: what the summary in the terminal and the report both tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.demo.history import AttemptRecord, History, count, format_tokens
from optfl_cli.demo.plan import Plan, find_weakness

REQUESTER = "requester"
OTHER = "other"
ROLES = {
    transaction_pb2.ROLE_AGGREGATOR: "aggregator",
    transaction_pb2.ROLE_VALIDATOR: "validator",
    transaction_pb2.ROLE_REPLICA: "replica",
    transaction_pb2.ROLE_CLIENT: "client",
}
ROLE_ORDER = (REQUESTER, *ROLES.values(), OTHER)

_INVISIBLE = 0.02  # difference of accuracies that could be chance

_LIES = {
    "poison": "a destroyed model",
    "coordinate": "a model with a single value changed by one",
}


@dataclass(frozen=True)
class Check:
    """Something that must hold at the end, and whether it does."""

    text: str
    is_passed: bool


@dataclass(frozen=True)
class Payment:
    """What an account has gained or lost since the first observation, in tokens.

    `change` is of all it has: balance, stake, what is unbonding, and the escrow of the task if it is the requester.
    """

    role: str
    name: str
    first_stake: int
    stake: int
    change: int
    slashed: int
    prover_reward: int
    is_excluded: bool


def tell_story(history: History, outcome: Mapping[str, Any], plan: Plan) -> list[str]:
    """A few sentences for somebody who did not watch."""
    seconds = f", {outcome['seconds']:.0f} s" if "seconds" in outcome else ""
    height = history.view.task.ended_height or history.view.height if history.view is not None else 0
    settled = f"{outcome['rounds_settled']} of {count(outcome['rounds'], 'round')} settled"
    story = [f"Task {outcome['task_status']} at height {height}{seconds}: {settled}.", *_tell_attack(plan)]
    for conviction in history.convictions.values():
        story += _tell_conviction(history, conviction, plan, is_same=outcome["redone_from_same_updates"])
    if not history.convictions:
        if plan.fraud:
            story.append(f"The fraud that was planned for round {plan.fraud_round} was not proven.")
        else:
            who = "All aggregators were" if plan.byzantine_clients else "Everybody was"
            story.append(f"{who} honest: nobody was convicted, and nothing was rolled back.")
    return story


def _tell_attack(plan: Plan) -> list[str]:
    """Who of the clients is Byzantine, and what the rule has to say to it."""
    if not plan.byzantine_clients:
        return []
    names = [f"client{i}" for i in plan.byzantine_clients]
    who = f"{', '.join(names[:-1])} and {names[-1]} were" if len(names) > 1 else f"{names[0]} was"
    played = f"{who} Byzantine in each round: {plan.attack} in place of what was learned."
    borne = f"Nobody is convicted for an update, any vector is a valid one: it is for {plan.rule} to bear them."
    weakness = find_weakness(plan)
    return [played, borne] if weakness is None else [played, borne, f"{weakness}."]


def _tell_conviction(history: History, conviction: state_pb2.Conviction, plan: Plan, *, is_same: bool) -> list[str]:
    number, culprit, prover = conviction.round, history.name(conviction.aggregator), history.name(conviction.prover)
    is_planned = get_culprit(history, plan) == culprit
    lie = _LIES.get(plan.fraud or "", "a wrong model") if is_planned else "a wrong model"
    blocks = count(conviction.convicted_height - conviction.submit_height, "block")
    height = conviction.convicted_height
    proof = f"proved the lie {blocks} later. The ledger checked the proof in that very block (height {height})"
    punished = f"slashed {format_tokens(conviction.slashed)} tokens and excluded {culprit} for good"
    story = [
        f"{culprit} lied in round {number}: it stored, certified and submitted {lie}.",
        f"{prover} re-executed the aggregation and {proof}, {punished}.",
    ]
    if not conviction.reverted:
        return [*story, f"Its round {number} was void already: nothing more was rolled back."]
    void = count(conviction.voided_rounds, "later round")
    redo = get_redo(history, conviction)
    if redo is None:
        story.append(f"{void} became void with it; round {number} was not settled again.")
    elif redo.status == "dropped":
        story.append(f"{void} became void with it; no aggregator redid round {number}, so it was dropped.")
    else:
        same = " from the same updates" if is_same else ""
        story.append(f"{void} became void with it, and {redo.aggregator} redid round {number}{same}.")
    return story


def get_culprit(history: History, plan: Plan) -> str | None:
    """Name of the aggregator that the plan has lie."""
    if plan.culprit is None or history.view is None:
        return None
    aggregators = history.view.task.parameters.aggregators
    return history.name(aggregators[plan.culprit]) if plan.culprit < len(aggregators) else None


def get_redo(history: History, conviction: state_pb2.Conviction) -> AttemptRecord | None:
    """The attempt that stands in place of a convicted one, if there is one already."""
    later = [a for a in history.attempts.values() if a.round == conviction.round]
    later = [a for a in later if a.attempt_id > conviction.attempt_id and a.status not in ("void", "convicted")]
    return later[-1] if later else None


def get_undone(history: History, conviction: state_pb2.Conviction) -> list[AttemptRecord]:
    """The convicted attempt and those that were void with it, oldest first; none if nothing was rolled back."""
    if not conviction.reverted:
        return []
    known = history.attempts.values()
    since = [a for a in known if a.attempt_id >= conviction.attempt_id and a.round >= conviction.round]
    return [a for a in since if a.submit_height <= conviction.convicted_height and a.status in ("convicted", "void")]


def get_final_accuracy(history: History) -> float | None:
    """Of the last settled round's model."""
    settled = history.view.task.settled_attempt if history.view is not None else 0
    return history.attempts[settled].accuracy if settled in history.attempts else None


def get_milestones(history: History) -> list[tuple[str, float | None]]:
    """What to know of the accuracy: (when, accuracy)."""
    last = ("at the end", get_final_accuracy(history))
    attempts = list(history.attempts.values())
    conviction = next((c for c in history.convictions.values() if c.reverted), None)
    if conviction is None:
        first = next((a for a in attempts if a.round == 1 and a.status == "settled"), None)
        return [("after round 1", first.accuracy), last] if first is not None and len(attempts) > 1 else [last]
    before = [a for a in attempts if a.round == conviction.round - 1 and a.attempt_id < conviction.attempt_id]
    lie, redo = history.attempts.get(conviction.attempt_id), get_redo(history, conviction)
    return [
        ("before", before[-1].accuracy if before else None),
        ("with the fraud", lie.accuracy if lie is not None else None),
        ("redone", redo.accuracy if redo is not None else None),
        last,
    ]


def is_lie_invisible(history: History) -> bool:
    """Whether there was a fraud that nobody could have told from the accuracy of its model."""
    lies = [(history.attempts.get(c.attempt_id), get_redo(history, c)) for c in history.convictions.values()]
    pairs = [(lie.accuracy, redo.accuracy) for lie, redo in lies if lie is not None and redo is not None]
    return any(a is not None and b is not None and abs(a - b) <= _INVISIBLE for a, b in pairs)


def list_checks(history: History, outcome: Mapping[str, Any], plan: Plan) -> list[Check]:
    """What must hold of any run of `plan`, by the nodes' own answers."""
    rounds, settled, frauds = plan.rounds, outcome["rounds_settled"], outcome["frauds_proven"]
    is_completed = settled == rounds and outcome["task_status"] == "completed"
    checks = [
        Check(f"task {outcome['task_status']}, {settled}/{rounds} rounds settled", is_completed),
        Check("tokens conserved", outcome["tokens_conserved"]),
        Check(f"app hashes of {count(outcome['nodes'], 'node')} agree", outcome["app_hash_agreement"]),
        Check("nodes agree on every round", outcome["state_agreement"]),
    ]
    if not plan.fraud:
        return [*checks, Check("nobody was convicted" if not frauds else f"{frauds} convicted", frauds == 0)]
    culprit = get_culprit(history, plan)
    return [
        *checks,
        Check("fraud proven on the ledger", frauds >= 1),
        Check("redone from the same updates", _is_redone(outcome)),
        Check(f"only {culprit} excluded", outcome["excluded"] == [culprit]),
    ]


def _is_redone(outcome: Mapping[str, Any]) -> bool:
    return bool(outcome["rollbacks"] >= 1 and outcome["redone_from_same_updates"])


def count_audits(history: History) -> tuple[int, int]:
    """How many audits replicas answered of the settled models whose submission was seen, and how many there were."""
    if history.view is None:
        return 0, 0
    settled = [a for a in history.attempts.values() if a.status == "settled" and a.submit_height]
    return sum(a.audits for a in settled), len(settled) * len(history.view.task.parameters.replicas)


def compute_payments(history: History) -> list[Payment]:
    """Every account with a role, and any other whose tokens have changed; by role, then by name."""
    if history.view is None or history.tokens is None or history.first_tokens is None:
        return []
    task = history.view.task
    before, now = _count_holdings(history.first_tokens, task), _count_holdings(history.tokens, task)
    first_stakes, stakes = _get_stakes(history.first_tokens), _get_stakes(history.tokens)
    roles = {address: ROLES.get(stake.role, OTHER) for address, stake in {**first_stakes, **stakes}.items()}
    roles[task.requester] = REQUESTER
    convictions = history.convictions.values()
    none = state_pb2.Stake()
    payments = [
        Payment(
            role=roles.get(address, OTHER),
            name=history.name(address),
            first_stake=first_stakes.get(address, none).amount,
            stake=stakes.get(address, none).amount,
            change=now.get(address, 0) - before.get(address, 0),
            slashed=sum(c.slashed for c in convictions if c.aggregator == address),
            prover_reward=sum(r.amount for c in convictions for r in c.rewards if r.account == address),
            is_excluded=stakes.get(address, none).excluded,
        )
        for address in {**before, **now}
        if address in roles or before.get(address, 0) != now.get(address, 0)
    ]
    return sorted(payments, key=lambda p: (ROLE_ORDER.index(p.role), len(p.name), p.name))


def is_byzantine(payment: Payment, plan: Plan) -> bool:
    """Whether the plan has this client attack."""
    return payment.name in [f"client{i}" for i in plan.byzantine_clients]


def compute_burned(history: History) -> int:
    """Tokens that were burned, and fees that wait for the next proposer: what the payments lack to zero."""
    if history.tokens is None or history.first_tokens is None:
        return 0
    before, now = history.first_tokens.supply, history.tokens.supply
    return now.burned - before.burned + now.fee_pot - before.fee_pot


def _count_holdings(tokens: state_pb2.TokenView, task: state_pb2.Task) -> dict[bytes, int]:
    holdings: dict[bytes, int] = {}
    held = [(balance.address, balance.amount) for balance in tokens.balances]
    held += [(stake.address, stake.amount) for stake in tokens.stakes]
    held += [(entry.address, entry.amount) for entry in tokens.unbonding]
    held += [(task.requester, escrow.amount) for escrow in tokens.escrows if escrow.task_id == task.task_id]
    for address, amount in held:
        holdings[address] = holdings.get(address, 0) + amount
    return holdings


def _get_stakes(tokens: state_pb2.TokenView) -> dict[bytes, state_pb2.Stake]:
    return {stake.address: stake for stake in tokens.stakes}
