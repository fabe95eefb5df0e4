"""Settle rounds whose window is over, strictly in order, and pay for them; end tasks that are done."""

from __future__ import annotations

import hashlib

from abci_app.state import State, tokens
from abci_app.state.copies import KNOWN_ROUNDS, forget_updates
from abci_app.state.faults import forgive_one
from abci_app.state.keyspace import attempt_key, audit_key, round_key, task_key
from abci_app.state.rounds import forget_attempt, is_disputed, is_window_over, remove_round
from abci_app.state.safety import record_outcome
from abci_app.state.task_end import end_task
from abci_app.state.watches import are_watches_over, get_failed_replicas, get_shown_power
from abci_app.transitions.call import BlockContext
from optfl.tasks import authors_of, compute_inputs_hash
from optfl.wire import state_pb2

# Of a task in one block. Hundreds can wait for one vote: settled together, what they pay would make the results of the
# block larger than CometBFT takes (100 MiB), and every node would stop at it.
MAX_SETTLED_ROUNDS = 4


def process_settlements(state: State, block: BlockContext) -> None:
    for task_id in state.chain.live_tasks:
        task = state.tasks[task_key(task_id)]
        # Round r only after r-1, however short its own window: otherwise a revert could reach a settled round (R2).
        for _ in range(MAX_SETTLED_ROUNDS):
            if (current := _get_settleable(state, task, block)) is None:
                break
            _settle(state, task, current, block)
        done = task.settled_round == task.parameters.rounds
        if done or (task.cancelled and task.settled_round == task.head_round):
            status = state_pb2.TASK_STATUS_COMPLETED if done else state_pb2.TASK_STATUS_ABORTED
            end_task(state, task, status, block.height)


def _get_settleable(state: State, task: state_pb2.Task, block: BlockContext) -> state_pb2.Round | None:
    current = state.rounds.get(round_key(task.task_id, task.settled_round + 1))
    if current is None or current.status != state_pb2.ROUND_STATUS_OPEN:
        return None
    if is_disputed(state, current):
        return None
    is_over = is_window_over(state, current.window_open_height, current.window_close_height, block.height)
    return current if is_over and are_watches_over(state, current, block.height) else None


def _settle(state: State, task: state_pb2.Task, current: state_pb2.Round, block: BlockContext) -> None:
    key = attempt_key(task.task_id, current.attempt_id)
    attempt = state.attempts[key]
    attempt.status = state_pb2.ATTEMPT_STATUS_SETTLED
    attempt.status_height = block.height
    _pay(state, task, current, attempt)
    if authors_of(attempt):
        record_outcome(task, faulty=False)
    if attempt.aggregator:
        forgive_one(state, attempt.aggregator)
    task.settled_round = current.round
    task.settled_attempt = attempt.attempt_id
    task.settled_retain_until_height = attempt.model_retain_until_height
    state.tasks.put(task_key(task.task_id), task)
    state.digests.put(
        round_key(task.task_id, current.round),
        state_pb2.Digest(
            round=current.round,
            attempt_id=attempt.attempt_id,
            model_root=attempt.model_root,
            aggregator=attempt.aggregator,
            updates=len(attempt.inputs),
            settled_height=block.height,
            record_hash=hashlib.sha256(attempt.SerializeToString(deterministic=True)).digest(),
            inputs_hash=compute_inputs_hash(attempt.inputs),
        ),
    )
    forget_attempt(state, attempt)  # nothing can convict it any more: the digest is all that stays
    remove_round(state, current)
    if current.round > KNOWN_ROUNDS:
        forget_updates(state, task.task_id, current.round - KNOWN_ROUNDS)
    state.emit(
        "round_settled",
        task=task.task_id,
        round=current.round,
        attempt=attempt.attempt_id,
        aggregator=attempt.aggregator,
        model_root=attempt.model_root,
    )


def _pay(state: State, task: state_pb2.Task, current: state_pb2.Round, attempt: state_pb2.Attempt) -> None:
    """Pay a settled round out of the escrow. What a division leaves over is burned (L9).

    Of a dropped round only the clients who committed are paid: a task that nobody works on must not drain its escrow.
    """
    parameters = task.parameters
    clients = [(given.client, 1) for given in attempt.inputs]
    task.escrow -= _split(state, attempt, "client", parameters.client_reward * len(clients), clients)
    authors = [(author, 1) for author in authors_of(attempt)]
    if not authors:
        return
    task.escrow -= _split(state, attempt, "aggregator", parameters.aggregator_reward, authors)
    task.escrow -= _pay_replicas(state, task, attempt)
    task.escrow -= _pay_validators(state, task, current, attempt)


def _pay_validators(state: State, task: state_pb2.Task, current: state_pb2.Round, attempt: state_pb2.Attempt) -> int:
    """Pay those for watching who have shown that they read the attempt: the fewer they are, the more it is (E1).

    What nobody earns is burned: a requester whose replicas let nobody read must not save it.
    """
    if attempt.signers:  # no window in which to watch
        shares = [(v.operator, v.power) for _, v in state.validators.items()]
    else:
        shares = [(operator, power) for operator, power, _ in get_shown_power(state, attempt)]
    reward = task.parameters.validator_reward
    paid = _split(state, attempt, "validator", reward, [s for s in shares if s[0] not in current.unpaid_validators])
    tokens.burn(state, reward - paid)
    return reward


def _pay_replicas(state: State, task: state_pb2.Task, attempt: state_pb2.Attempt) -> int:
    """Pay for storage that was shown and could be read: an unanswered audit's share stays in the escrow (E3)."""
    paid = list(task.parameters.replicas)
    each, remainder = divmod(task.parameters.replica_reward, len(paid))
    lost = remainder
    if not attempt.signers:  # with signers there is no window in which to answer
        answered = [i for i in range(len(paid)) if audit_key(task.task_id, attempt.attempt_id, i) in state.audits]
        failed = get_failed_replicas(state, attempt)
        lost += each * len(failed.intersection(answered))  # burned: nobody gains by calling a replica bad
        paid = [paid[i] for i in answered if i not in failed]
    tokens.burn(state, lost)
    return lost + _split(state, attempt, "replica", each * len(paid), [(r, 1) for r in paid])


def _split(state: State, attempt: state_pb2.Attempt, role: str, amount: int, shares: list[tuple[bytes, int]]) -> int:
    """Credit `amount` in proportion to `shares`, burn the remainder; return what left the escrow."""
    total = sum(share for _, share in shares)
    if total == 0:
        return 0
    paid = 0
    for address, share in shares:
        part = amount * share // total
        tokens.credit(state, address, part)
        paid += part
        if part:
            state.emit(
                "reward_paid", task=attempt.task_id, round=attempt.round, role=role, account=address, amount=part
            )
    tokens.burn(state, amount - paid)
    return amount
