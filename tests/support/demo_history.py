"""Runs of a whole federation on the real ledger, in one process, observed as the demo observes its nodes.

Only accuracies are made up: everything else that a History or a NodeAnswer holds is what the ledger answered.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from abci_app.queries import query
from optfl.announcements import PAID_BLOCKS
from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.demo.history import History
from optfl_cli.demo.outcome import NodeAnswer, compute_outcome
from optfl_cli.demo.plan import Plan
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    REPLICAS,
    REQUESTER,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)

NODES = 4
RULE = "median()"
STAKE = 50_000_000  # of an aggregator, enough for tasks of a hundred rounds
PARAMETERS: Mapping[str, int | str] = {
    "name": "digits",
    "length": 16,
    "chunk_values": 16,
    "min_window_blocks": 9,
    "aggregator_reward": 200_000,
    "client_reward": 80_000,
    "validator_reward": 20_000,
    "replica_reward": 8_000,
}
PROVEN_AFTER_BLOCKS = 5  # within this, the clients train on: two rounds are void
NAMES: Mapping[bytes, str] = {
    **{key.address: f"validator{i}" for i, key in enumerate(VALIDATORS)},
    **{key.address: f"aggregator{i}" for i, key in enumerate(AGGREGATORS)},
    **{key.address: f"replica{i}" for i, key in enumerate(REPLICAS)},
    **{key.address: f"client{i}" for i, key in enumerate(CLIENTS)},
    REQUESTER.address: "requester",
}


@dataclass
class DemoRun:
    """A task that is run block by block; `history` has seen every block."""

    plan: Plan
    task: TaskHarness
    history: History = field(default_factory=lambda: History(NAMES))

    @property
    def ledger(self) -> LedgerHarness:
        return self.task.ledger

    def get_views(self) -> tuple[state_pb2.TaskView, state_pb2.TokenView]:
        """What a node answers at this height."""
        stores, height = self.ledger.stores, self.ledger.height
        _, task = query(stores, "/task", self.task.task_id.to_bytes(8, "big"), height)
        _, tokens = query(stores, "/tokens", b"", height)
        return state_pb2.TaskView.FromString(task), state_pb2.TokenView.FromString(tokens)

    def observe(self) -> None:
        self.history.observe(*self.get_views())
        for attempt in self.history.attempts.values():
            if attempt.accuracy is None and attempt.aggregator != "nobody":
                attempt.accuracy = self._make_up_accuracy(attempt.attempt_id, attempt.round)

    def step(self) -> None:
        """One block, in which everybody does what is due; commits and aggregates take a block each."""
        task = self.task.task
        current = self.ledger.round(task.head_round, task.task_id)
        if current is None or current.status == state_pb2.ROUND_STATUS_OPEN:
            self.ledger.block()
        elif current.status == state_pb2.ROUND_STATUS_TRAINING:
            self.task.commit_all(current.round)
        else:
            is_fraud = self.plan.fraud and current.round == self.plan.fraud_round and current.turn == 0
            model = self.task.poisoned_model(current.round) if is_fraud else None
            self.task.aggregate(current.round, model)
        self.observe()

    def prove(self, prover: int = 2) -> None:
        """A block in which a validator proves the fraud of the attempt that is planned to be one."""
        self.ledger.accept(VALIDATORS[prover], self._make_proof())
        self.observe()

    def announce(self, prover: int = 2) -> None:
        """The next block begins with the announcement of that proof."""
        validator = VALIDATORS[prover]
        self.ledger.waiting.append(self.ledger.sign(validator, self.task.announce(validator, self._make_proof())))

    def _make_proof(self) -> transaction_pb2.SubmitFraudProof:
        attempt = next(a for a in self.history.attempts.values() if a.round == self.plan.fraud_round)
        return self.task.prove(attempt.attempt_id)

    def run(self) -> None:
        """To the end of the task; the fraud is proven PROVEN_AFTER_BLOCKS after it was submitted."""
        while not self.task.task.ended_height:
            lie = next((a for a in self.history.attempts.values() if a.round == self.plan.fraud_round), None)
            is_due = lie is not None and lie.status == "open" and not self.history.convictions
            proof_height = lie.submit_height + PROVEN_AFTER_BLOCKS if is_due and lie is not None else None
            if proof_height is not None and self.ledger.height + 1 >= proof_height:
                self.prove()
                continue
            if proof_height is not None and self.ledger.height + 1 == proof_height - PAID_BLOCKS:
                self.announce()
            self.step()

    def get_answers(self) -> list[NodeAnswer]:
        """What the four nodes would answer, each with messages of its own."""
        height = self.ledger.height - 1
        app_hash = hashlib.sha256(height.to_bytes(8, "big")).digest()
        reveals = (False, True, True)
        return [NodeAnswer(f"node{i}", height, app_hash, *self.get_views(), reveals) for i in range(NODES)]

    def compute_outcome(self) -> dict[str, Any]:
        """As `optfl demo --json` has it."""
        settled = self.task.task.settled_attempt
        final = self.history.attempts[settled].accuracy if settled else None
        return {**compute_outcome(self.get_answers(), NAMES), "final_accuracy": final, "seconds": 61.4}

    def _make_up_accuracy(self, attempt_id: int, round_number: int) -> float:
        noise = random.Random(attempt_id).uniform(-0.012, 0.012)
        is_poisoned = self.plan.fraud == "poison" and not self.history.convictions
        if is_poisoned and round_number >= self.plan.fraud_round:
            return 0.1 + 0.06 * (round_number - self.plan.fraud_round) + noise
        return 0.955 - 0.62 * math.exp(-round_number / 2.2) + noise


def start_run(*, rounds: int = 12, fraud: str | None = "poison", fraud_round: int = 5, **parameters: Any) -> DemoRun:
    """A started task that nobody has worked on yet; `parameters` replace the task's."""
    plan = Plan(7, rounds, len(CLIENTS), RULE, fraud, fraud_round if fraud else 0)
    defaults = {"rounds": rounds, "rule": RULE, **PARAMETERS}
    task = TaskHarness(LedgerHarness({"evidence_blocks": 10_000}))
    task.ledger.register_participants()
    more = transaction_pb2.AddStake(role=AGGREGATOR, amount=STAKE - AGGREGATOR_STAKE)
    task.ledger.block(*(task.ledger.sign(aggregator, more) for aggregator in AGGREGATORS))
    task.launch(**{**defaults, **parameters})
    run = DemoRun(plan, task)
    run.observe()
    return run


def finish_run(**options: Any) -> DemoRun:
    """A task that has ended."""
    run = start_run(**options)
    run.run()
    return run
