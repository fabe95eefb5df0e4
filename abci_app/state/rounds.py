"""A round's life on the ledger, step by step.

    TRAINING ──▶ AGGREGATING ──▶ OPEN ──▶ settled (a digest is left)
                  ▲    │ late: next turn  │
                  └────┴──────────────────┘ convicted: reverted, next turn, same updates

The block's end (`abci_app.block_end`) says when; this module says what each step does to the state.
"""

from __future__ import annotations

from abci_app.state import participants
from abci_app.state.demands import release_demands
from abci_app.state.keyspace import (
    attempt_key,
    commitment_key,
    commitment_prefix,
    demand_key,
    demand_prefix,
    round_key,
    task_key,
)
from abci_app.state.members import has_enough_members
from abci_app.state.state import State
from optfl import tasks
from optfl.wire import state_pb2, transaction_pb2

MAX_UNDECIDED_VOTES = 2  # on a round's attempts: where validators cannot agree twice, another attempt is of no use (V5)


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


def was_window_over(state: State, opened_height: int, close_height: int, height: int) -> bool:
    """Whether the window was over before the block at `height`: what is sent in the block that closes it counts (A8).

    This block's proposer is not counted, but for where it proposed before.
    """
    if height <= close_height:
        return False
    stored = (state.get_base_bytes("validators", key) for key in state.validators.all_keys())
    validators = [state_pb2.Validator.FromString(value) for value in stored if value is not None]
    proposed = sum(v.power for v in validators if v.last_proposed_height > opened_height)
    return 3 * proposed > sum(v.power for v in validators)


def has_open_challenge(state: State, current: state_pb2.Round) -> bool:
    """Whether validators are voting on the round's open attempt."""
    challenge = state.challenges.get(attempt_key(current.task_id, current.attempt_id))
    return challenge is not None and challenge.status != state_pb2.CHALLENGE_STATUS_DECIDED


def has_open_demands(state: State, current: state_pb2.Round) -> bool:
    """Whether a blob of the round is being looked for."""
    demands = state.demands.items(demand_prefix(current.task_id, current.round))
    return any(demand.status == state_pb2.DEMAND_STATUS_OPEN for _, demand in demands)


def is_base_demanded(state: State, current: state_pb2.Round) -> bool:
    """Whether the round's base is being looked for, as the model of the attempt that made it."""
    base = get_base_attempt(state, current)
    if base is None:
        return False
    key = demand_key(base.task_id, base.round, base.parent_attempt, base.attempt_id, base.turn, tasks.MODEL_BLOB)
    demand = state.demands.get(key)
    return demand is not None and demand.status == state_pb2.DEMAND_STATUS_OPEN


def get_base_attempt(state: State, current: state_pb2.Round) -> state_pb2.Attempt | None:
    """The open attempt whose model the round's base is, behind rounds that were dropped; None once it has settled."""
    attempt = state.attempts.get(attempt_key(current.task_id, current.parent_attempt))
    while attempt is not None and not tasks.authors_of(attempt):
        attempt = state.attempts.get(attempt_key(current.task_id, attempt.parent_attempt))
    return attempt


def is_disputed(state: State, current: state_pb2.Round) -> bool:
    """Whether something is open that may still void the round's attempt: it does not settle meanwhile."""
    return has_open_challenge(state, current) or has_open_demands(state, current)


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
    task.head_start_height = height
    state.tasks.put(task_key(task.task_id), task)
    state.emit("round_started", task=task.task_id, round=number, parent_attempt=parent_attempt)


def freeze_round(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes) -> None:
    """End training: the input set is now fixed and becomes readable. Too few updates drop the round without fault."""
    current.freeze_height = height
    state.emit("round_frozen", task=task.task_id, round=current.round, updates=current.committed)
    start_turn(state, task, current, turn=0, height=height, beacon=beacon)


def start_turn(
    state: State, task: state_pb2.Task, current: state_pb2.Round, turn: int, height: int, beacon: bytes
) -> None:
    """Give the round to the next aggregator; pause the task if none is eligible, drop the round after A_max turns."""
    release_demands(state, task.task_id, current.round)
    current.turn = turn
    current.attempt_id = current.restarts = 0
    current.window_open_height = current.window_close_height = 0
    current.watches = current.watch_start_height = current.watch_deadline_height = 0
    current.watch_beacon = b""
    # A turn that outlives its evidence would let a lie settle that nobody can prove: after a long pause, say (I5).
    evidence_height = compute_last_evidence_height(state, task, height)
    kept = min((c.certificate.retain_until_height for c in get_commitments(state, current)), default=0)
    if current.base_retain_until_height < evidence_height:
        task.cancelled = True  # nothing can be built on this base any more
        state.emit("task_cancelled", task=task.task_id)
    is_hopeless = turn >= task.parameters.max_attempts or current.undecided_votes >= MAX_UNDECIDED_VOTES
    is_hopeless |= current.committed < task.parameters.min_updates  # at the freeze, or since updates were struck
    if is_hopeless or min(kept, current.base_retain_until_height) < evidence_height:
        drop_round(state, task, current, height, beacon)
        return
    current.status = state_pb2.ROUND_STATUS_AGGREGATING
    current.turn_start_height = height
    current.aggregation_deadline_height = height + task.parameters.aggregation_blocks
    current.aggregator = _get_due(state, task, current.round, turn) or b""
    state.rounds.put(round_key(task.task_id, current.round), current)
    if not is_turn_possible(state, task, current.round, turn):
        task.status = state_pb2.TASK_STATUS_PAUSED
        task.paused_height = height
        state.tasks.put(task_key(task.task_id), task)
        state.emit("task_paused", task=task.task_id, round=current.round)
        return
    state.emit("turn_started", task=task.task_id, round=current.round, turn=turn, aggregator=current.aggregator)


def is_turn_possible(state: State, task: state_pb2.Task, round_number: int, turn: int) -> bool:
    """Whether somebody could make the round's model; the task is paused until somebody can (A11)."""
    if task.parameters.mode == transaction_pb2.MODE_OPTIMISTIC:
        return _get_due(state, task, round_number, turn) is not None
    return has_enough_members(state, task)


def _get_due(state: State, task: state_pb2.Task, round_number: int, turn: int) -> bytes | None:
    """Whose turn it is; nobody's in the modes where the first certified model counts."""
    if task.parameters.mode != transaction_pb2.MODE_OPTIMISTIC:
        return None
    return participants.get_due_aggregator(state, task, round_number, turn)


def compute_last_evidence_height(state: State, task: state_pb2.Task, turn_start_height: int) -> int:
    """The last height at which an attempt of a turn that starts now may have to be proven wrong."""
    return turn_start_height + tasks.compute_turn_blocks(task.parameters) + state.params.evidence_blocks


def strike_update(state: State, current: state_pb2.Round, index: int) -> None:
    """Take an update that nobody can open out of the round's inputs; its client is not at fault, nor paid (A4)."""
    key = commitment_key(current.task_id, current.round, current.parent_attempt, index)
    struck = state.commitments.get(key)
    if struck is None:
        return  # earlier in this turn
    state.commitments.delete(key)
    current.committed -= 1
    state.rounds.put(round_key(current.task_id, current.round), current)
    state.emit("update_struck", task=current.task_id, round=current.round, client=struck.client, index=index)


def restart_turn(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes) -> None:
    """Give a turn its full time again: what was missing is served by validators now, or struck. Nobody is late (I1)."""
    if current.committed < task.parameters.min_updates:
        drop_round(state, task, current, height, beacon)
        return
    current.restarts += 1
    restart_clock(state, task, current, height)


def restart_clock(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int) -> None:
    current.turn_start_height = height
    current.aggregation_deadline_height = height + task.parameters.aggregation_blocks
    state.rounds.put(round_key(task.task_id, current.round), current)
    state.emit("turn_restarted", task=task.task_id, round=current.round, turn=current.turn, restarts=current.restarts)


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
        round_beacon=current.beacon,
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
    disputed_until = attempt.window_close_height + tasks.compute_dispute_blocks(task.parameters)
    attempt.evidence_height = disputed_until + state.params.evidence_blocks
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


def prolong_window(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int) -> None:
    """Leave watchers the least window from now on: they could not read the attempt's blobs before."""
    close_height = height + task.parameters.min_window_blocks
    if close_height <= current.window_close_height:
        return
    current.window_open_height, current.window_close_height = height, close_height
    state.rounds.put(round_key(task.task_id, current.round), current)
    state.emit("window_prolonged", task=task.task_id, round=current.round, window_close_height=close_height)


def forget_attempt(state: State, attempt: state_pb2.Attempt) -> None:
    """Nothing can come of it any more: nor of its vote, nor of what was announced against it or shown of its blobs."""
    key = attempt_key(attempt.task_id, attempt.attempt_id)
    for audit in state.audits.all_keys(key):
        state.audits.delete(audit)
    for announcement in state.announcements.all_keys(key):
        state.announcements.delete(announcement)
    for watch in state.watches.all_keys(key):
        state.watches.delete(watch)
    state.challenges.delete(key)
    state.attempts.delete(key)


def set_attempt_status(state: State, attempt: state_pb2.Attempt, status: state_pb2.AttemptStatus, height: int) -> None:
    attempt.status = status
    attempt.status_height = height
    state.attempts.put(attempt_key(attempt.task_id, attempt.attempt_id), attempt)


def remove_round(state: State, current: state_pb2.Round) -> None:
    """Forget a round that is void or settled, with its commitments; its attempts' records stay while they matter."""
    release_demands(state, current.task_id, current.round)
    prefix = commitment_prefix(current.task_id, current.round, current.parent_attempt)
    for key in state.commitments.all_keys(prefix):
        state.commitments.delete(key)
    state.rounds.delete(round_key(current.task_id, current.round))
