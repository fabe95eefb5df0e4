"""What can be seen of a task from outside while it runs: one node's views, put in order for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from optfl.wire import state_pb2

_STATUSES = {
    state_pb2.ATTEMPT_STATUS_OPEN: "open",
    state_pb2.ATTEMPT_STATUS_SETTLED: "settled",
    state_pb2.ATTEMPT_STATUS_VOID: "void",
    state_pb2.ATTEMPT_STATUS_CONVICTED: "convicted",
}


@dataclass
class AttemptRecord:
    """One submitted model. `status`: open, settled, void, convicted, or dropped (a round that got none of its own).

    `submit_height` and `window_close_height` are 0 if it came and settled between two observations.
    """

    attempt_id: int
    round: int
    turn: int
    aggregator: str
    updates: int
    submit_height: int
    window_close_height: int
    model_root: bytes
    status: str
    status_height: int
    accuracy: float | None = None  # on held-out data, 0..1; None until it was evaluated
    audits: int = 0  # that replicas have answered, as far as was seen


@dataclass(frozen=True)
class HistoryEvent:
    """Something worth a line.

    `kind` is one of started, fraud, slashed, reverted, settled, missed, paused, resumed, ended.
    """

    height: int
    kind: str
    text: str


@dataclass
class History:
    """All that was observed, oldest first. `names` are what people call the accounts."""

    names: Mapping[bytes, str]
    view: state_pb2.TaskView | None = None
    tokens: state_pb2.TokenView | None = None
    first_tokens: state_pb2.TokenView | None = None
    attempts: dict[int, AttemptRecord] = field(default_factory=dict)
    convictions: dict[int, state_pb2.Conviction] = field(default_factory=dict)
    events: list[HistoryEvent] = field(default_factory=list)

    def name(self, address: bytes) -> str:
        return self.names.get(address, address.hex()[:8]) if address else "nobody"

    def observe(self, view: state_pb2.TaskView, tokens: state_pb2.TokenView) -> None:
        """Take in the views of one node at one time; what is older than what was seen already is left out."""
        before = self.view
        if before is not None and view.height < before.height:
            return  # of another node, which is behind
        if self.view is None or self.view.task.status == state_pb2.TASK_STATUS_CREATED:
            self.first_tokens = tokens  # until it runs, participants still register: their stakes are no gain or loss
        self.view, self.tokens = view, tokens
        news: list[HistoryEvent] = []
        if before is None:
            task = view.task
            name = f"task {task.task_id} ({task.parameters.name})" if task.parameters.name else f"task {task.task_id}"
            text = f"{name}: {count(task.parameters.rounds, 'round')}"
            news.append(HistoryEvent(task.created_height, "started", text))
        for attempt in view.attempts:
            self._observe_attempt(attempt)
        for attempt_id, answered in Counter(audit.attempt_id for audit in view.audits).items():
            self.attempts[attempt_id].audits = answered
        news += [event for conviction in view.convictions for event in self._observe_conviction(conviction)]
        settled_before = before.task.settled_round if before is not None else 0
        news += [self._observe_digest(digest) for digest in view.digests if digest.round > settled_before]
        news += self._compare(before or state_pb2.TaskView(), view)
        news.sort(key=lambda event: event.height)  # stable: of one height, in the order of the block's end
        self.events += news

    def _observe_attempt(self, attempt: state_pb2.Attempt) -> None:
        status = _STATUSES[attempt.status]
        if status == "open" and not attempt.aggregator:
            status = "dropped"
        known = self.attempts.get(attempt.attempt_id)
        if known is not None:
            known.status, known.status_height = status, attempt.status_height
            return
        self.attempts[attempt.attempt_id] = AttemptRecord(
            attempt_id=attempt.attempt_id,
            round=attempt.round,
            turn=attempt.turn,
            aggregator=self.name(attempt.aggregator),
            updates=len(attempt.inputs),
            submit_height=attempt.submit_height,
            window_close_height=attempt.window_close_height,
            model_root=attempt.model_root,
            status=status,
            status_height=attempt.status_height,
        )

    def _observe_conviction(self, conviction: state_pb2.Conviction) -> list[HistoryEvent]:
        if conviction.attempt_id in self.convictions:
            return []
        self.convictions[conviction.attempt_id] = conviction
        height, number = conviction.convicted_height, conviction.round
        culprit, prover = self.name(conviction.aggregator), self.name(conviction.prover)
        text = f"{prover} proved that {culprit} lied in round {number}"
        loss = f"{culprit} loses {format_tokens(conviction.slashed)} tokens and is excluded for good"
        events = [HistoryEvent(height, "fraud", text), HistoryEvent(height, "slashed", loss)]
        if conviction.reverted:
            voided = count(conviction.voided_rounds, "later round")
            events.append(HistoryEvent(height, "reverted", f"back to round {number}; {voided} void"))
        return events

    def _observe_digest(self, digest: state_pb2.Digest) -> HistoryEvent:
        known = self.attempts.get(digest.attempt_id)
        if known is None:
            known = self.attempts[digest.attempt_id] = AttemptRecord(
                attempt_id=digest.attempt_id,
                round=digest.round,
                turn=0,
                aggregator=self.name(digest.aggregator),
                updates=digest.updates,
                submit_height=0,
                window_close_height=0,
                model_root=digest.model_root,
                status="open",
                status_height=0,
            )
        known.status, known.status_height = "settled" if digest.aggregator else "dropped", digest.settled_height
        text = f"round {digest.round} by {known.aggregator}"
        if not digest.aggregator:
            text = f"round {digest.round} without a model of its own: it was dropped"
        return HistoryEvent(digest.settled_height, "settled", text)

    def _compare(self, before: state_pb2.TaskView, view: state_pb2.TaskView) -> list[HistoryEvent]:
        """What only the difference of two observations tells."""
        events = []
        submitted = {(attempt.round, attempt.parent_attempt, attempt.turn) for attempt in view.attempts}
        now = {(current.round, current.parent_attempt): current for current in view.rounds}
        for then in before.rounds:
            later = now.get((then.round, then.parent_attempt))
            if later is None or then.status != state_pb2.ROUND_STATUS_AGGREGATING or later.turn == then.turn:
                continue
            if (then.round, then.parent_attempt, then.turn) not in submitted and then.aggregator:
                text = f"{self.name(then.aggregator)} was late in round {then.round}: its turn is over"
                events.append(HistoryEvent(view.height, "missed", text))
        if before.task.status != view.task.status:
            paused = state_pb2.TASK_STATUS_PAUSED
            if view.task.status == paused:
                text = "no aggregator is eligible: the task waits for one"
                events.append(HistoryEvent(view.task.paused_height, "paused", text))
            elif before.task.status == paused and not view.task.ended_height:
                events.append(HistoryEvent(view.height, "resumed", "the task goes on"))
        if view.task.ended_height and not before.task.ended_height:
            status = state_pb2.TaskStatus.Name(view.task.status).removeprefix("TASK_STATUS_").lower()
            text = f"task {status}: {count(view.task.settled_round, 'round')} settled"
            events.append(HistoryEvent(view.task.ended_height, "ended", text))
        return events


def format_tokens(amount: int) -> str:
    """With a space after each three digits, as all of the command's tables have them."""
    return f"{amount:,}".replace(",", " ")


def count(number: int, noun: str) -> str:
    """For instance "1 round" and "2 rounds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
