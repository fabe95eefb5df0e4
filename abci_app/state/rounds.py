"""A round's life on the ledger, step by step.

    TRAINING ──▶ AGGREGATING ──▶ OPEN ──▶ settled (a digest is left)
                  ▲    │ late: next turn  │
                  └────┴──────────────────┘ convicted: reverted, next turn, same updates

The block's end (`abci_app.block_end`) says when; this module says what each step does to the state.
"""

from __future__ import annotations

from abci_app.state import participants
from abci_app.state.keyspace import attempt_key, commitment_prefix, round_key, task_key
from abci_app.state.state import State
from optfl import tasks
from optfl.wire import state_pb2


def get_commitments(state: State, current: state_pb2.Round) -> list[state_pb2.Commitment]:
    """The round's commitments, in selection order."""
    prefix = commitment_prefix(current.task_id, current.round, current.parent_attempt)
    return [commitment for _, commitment in state.commitments.items(prefix)]


def get_model(state: State, task: state_pb2.Task, attempt_id: int) -> bytes:
    """Root of the model that an attempt made; 0 is G_0."""
    if attempt_id == 0:
        return task.initial_model_root
    attempt = state.attempts.get(attempt_key(task.task_id, attempt_id))
    if attempt is not None:
        return attempt.model_root
    return state.digests[round_key(task.task_id, task.settled_round)].model_root


def get_model_retention(state: State, task: state_pb2.Task, attempt_id: int) -> int:
    """Height to which replicas promised to keep the model that an attempt made; 0 is G_0."""
    if attempt_id == 0:
        return task.initial_model_certificate.retain_until_height
    attempt = state.attempts.get(attempt_key(task.task_id, attempt_id))
    return task.settled_retain_until_height if attempt is None else attempt.model_retain_until_height


def is_window_over(state: State, opened_height: int, close_height: int, height: int) -> bool:
    """A8: at or after its height, a window closes once more than 1/3 of voting power has proposed since it opened.

    So at least one honest validator had a block of its own in it: a minority cannot censor a proof to the end.
    """
    if height < close_height:
        return False
    validators = [v for _, v in state.validators.items()]
    proposed = sum(v.power for v in validators if v.last_proposed_height > opened_height)
    return 3 * proposed > sum(v.power for v in validators)


def open_round(state: State, task: state_pb2.Task, height: int, beacon: bytes) -> None:
    """Begin the round after the head; its clients train from the head's model, settled or not."""
    head = state.rounds.get(round_key(task.task_id, task.head_round))
    parent_attempt = task.settled_attempt if head is None else head.attempt_id
    number = task.head_round + 1
    current = state_pb2.Round(
        task_id=task.task_id,
        round=number,
        status=state_pb2.ROUND_STATUS_TRAINING,
        parent_attempt=parent_attempt,
        base_root=get_model(state, task, parent_attempt),
        beacon=beacon,
        selected=participants.select_clients(state, task, number, beacon),
        start_height=height,
        training_deadline_height=height + task.parameters.training_blocks,
        base_retain_until_height=get_model_retention(state, task, parent_attempt),
    )
    state.rounds.put(round_key(task.task_id, number), current)
    task.head_round = number
    state.tasks.put(task_key(task.task_id), task)
    state.emit("round_started", task=task.task_id, round=number, parent_attempt=parent_attempt)


def freeze_round(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes) -> None:
    """End training: the input set is now fixed and becomes readable. Too few updates drop the round without fault."""
    current.freeze_height = height
    state.emit("round_frozen", task=task.task_id, round=current.round, updates=current.committed)
    if current.committed < task.parameters.min_updates:
        drop_round(state, task, current, height, beacon)
        return
    start_turn(state, task, current, turn=0, height=height, beacon=beacon)


def start_turn(
    state: State, task: state_pb2.Task, current: state_pb2.Round, turn: int, height: int, beacon: bytes
) -> None:
    """Give the round to the next aggregator; pause the task if none is eligible, drop the round after A_max turns."""
    current.turn = turn
    current.attempt_id = 0
    current.window_open_height = current.window_close_height = 0
    # A turn that outlives its evidence would let a lie settle that nobody can prove: after a long pause, say (I5).
    evidence_height = compute_last_evidence_height(state, task, height)
    kept = min((c.certificate.retain_until_height for c in get_commitments(state, current)), default=0)
    if current.base_retain_until_height < evidence_height:
        task.cancelled = True  # nothing can be built on this base any more
        state.emit("task_cancelled", task=task.task_id)
    if turn >= task.parameters.max_attempts or min(kept, current.base_retain_until_height) < evidence_height:
        drop_round(state, task, current, height, beacon)
        return
    current.status = state_pb2.ROUND_STATUS_AGGREGATING
    current.turn_start_height = height
    current.aggregation_deadline_height = height + task.parameters.aggregation_blocks
    due = participants.get_due_aggregator(state, task, current.round, turn)
    current.aggregator = due or b""
    state.rounds.put(round_key(task.task_id, current.round), current)
    if due is None:
        task.status = state_pb2.TASK_STATUS_PAUSED
        task.paused_height = height
        state.tasks.put(task_key(task.task_id), task)
        state.emit("task_paused", task=task.task_id, round=current.round)
        return
    state.emit("turn_started", task=task.task_id, round=current.round, turn=turn, aggregator=due)


def compute_last_evidence_height(state: State, task: state_pb2.Task, turn_start_height: int) -> int:
    """The last height at which an attempt of a turn that starts now may have to be proven wrong."""
    parameters = task.parameters
    window_blocks = tasks.compute_window_blocks(parameters, parameters.aggregation_blocks)
    return turn_start_height + parameters.aggregation_blocks + window_blocks + state.params.evidence_blocks


def drop_round(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes) -> None:
    """G_r = G_{r-1}, nobody at fault: an attempt without an aggregator, whose window is over at once."""
    attempt = build_attempt(state, task, current, height, beacon)
    attempt.model_root = current.base_root
    attempt.model_retain_until_height = current.base_retain_until_height
    current.aggregator = b""
    state.emit("round_dropped", task=task.task_id, round=current.round, updates=current.committed)
    open_window(state, task, current, attempt, window_blocks=0)


def build_attempt(
    state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes
) -> state_pb2.Attempt:
    """The record that proofs are judged on, with all that the ledger itself knows (A1)."""
    return state_pb2.Attempt(
        task_id=task.task_id,
        attempt_id=task.next_attempt_id,
        round=current.round,
        parent_attempt=current.parent_attempt,
        turn=current.turn,
        base_root=current.base_root,
        inputs=[
            state_pb2.Input(client=c.client, update_root=c.update_root, weight=c.weight)
            for c in get_commitments(state, current)
        ],
        rule=task.parameters.rule,
        beacon=beacon,
        freeze_height=current.freeze_height,
        submit_height=height,
        status=state_pb2.ATTEMPT_STATUS_OPEN,
        status_height=height,
    )


def open_window(
    state: State, task: state_pb2.Task, current: state_pb2.Round, attempt: state_pb2.Attempt, window_blocks: int
) -> None:
    """Record `attempt`, open its challenge window. The next round starts at this block's end: training never waits."""
    attempt.window_close_height = attempt.submit_height + window_blocks
    attempt.evidence_height = attempt.window_close_height + state.params.evidence_blocks
    state.attempts.put(attempt_key(task.task_id, attempt.attempt_id), attempt)
    task.next_attempt_id += 1
    state.tasks.put(task_key(task.task_id), task)
    current.status = state_pb2.ROUND_STATUS_OPEN
    current.attempt_id = attempt.attempt_id
    current.window_open_height = attempt.submit_height
    current.window_close_height = attempt.window_close_height
    state.rounds.put(round_key(task.task_id, current.round), current)
    state.emit(
        "aggregate_submitted",
        task=task.task_id,
        round=current.round,
        attempt=attempt.attempt_id,
        aggregator=attempt.aggregator,
        model_root=attempt.model_root,
        window_close_height=attempt.window_close_height,
    )


def set_attempt_status(state: State, attempt: state_pb2.Attempt, status: state_pb2.AttemptStatus, height: int) -> None:
    attempt.status = status
    attempt.status_height = height
    state.attempts.put(attempt_key(attempt.task_id, attempt.attempt_id), attempt)


def remove_round(state: State, current: state_pb2.Round) -> None:
    """Forget a round that is void or settled, with its commitments; its attempts' records stay while they matter."""
    prefix = commitment_prefix(current.task_id, current.round, current.parent_attempt)
    for key in state.commitments.all_keys(prefix):
        state.commitments.delete(key)
    state.rounds.delete(round_key(current.task_id, current.round))
