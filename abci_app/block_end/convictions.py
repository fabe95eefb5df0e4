"""Carry out the block's convictions: slash, exclude, revert.  # seed 001, Alg. 4"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from abci_app.state.rounds import get_commitments, remove_round, set_attempt_status, start_turn
from abci_app.transitions.call import BlockContext, Conviction
from optfl.wire import state_pb2, transaction_pb2


def process_convictions(state: State, block: BlockContext) -> None:
    reverts: dict[int, state_pb2.Round] = {}  # the lowest convicted live round of each task
    slashes: list[tuple[state_pb2.Conviction, int]] = []  # what each culprit lost
    for conviction in block.convictions:
        attempt = conviction.attempt
        current = state.rounds.get(round_key(attempt.task_id, attempt.round))
        is_live = current is not None and current.attempt_id == attempt.attempt_id
        if is_live and current is not None:
            lowest = reverts.get(attempt.task_id)
            if lowest is None or current.round < lowest.round:
                reverts[attempt.task_id] = current
        attempt.prover = conviction.prover
        set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_CONVICTED, block.height)
        slashes.append(_convict(state, block, conviction, reverted=is_live))
    void_clients: dict[int, list[bytes]] = {}
    void_rounds: dict[int, int] = {}
    for task_id, current in reverts.items():
        void_rounds[task_id], void_clients[task_id] = _revert(state, block, task_id, current)
    for record, slashed in slashes:
        _distribute(state, record, slashed, void_clients.get(record.task_id, []) if record.reverted else [])
        record.voided_rounds = void_rounds.get(record.task_id, 0) if record.reverted else 0
        state.disputes.put(attempt_key(record.task_id, record.attempt_id), record)


def _convict(
    state: State, block: BlockContext, conviction: Conviction, *, reverted: bool
) -> tuple[state_pb2.Conviction, int]:
    """Alg. 4, steps 2 and 3: exclude for good and slash; return the record and the tokens taken."""
    attempt = conviction.attempt
    role = transaction_pb2.ROLE_AGGREGATOR
    slashed = tokens.slash(state, role, attempt.aggregator, state.params.fraud_slash_percent)
    key = stake_key(role, attempt.aggregator)
    stake = state.stakes[key]  # it outlives the evidence height, see unbonding.py
    stake.excluded = True
    state.stakes.put(key, stake)
    state.emit(
        "aggregator_convicted",
        task=attempt.task_id,
        round=attempt.round,
        attempt=attempt.attempt_id,
        aggregator=attempt.aggregator,
        prover=conviction.prover,
        slashed=slashed,
    )
    record = state_pb2.Conviction(
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        round=attempt.round,
        aggregator=attempt.aggregator,
        prover=conviction.prover,
        proof_kind=conviction.proof_kind,
        submit_height=attempt.submit_height,
        convicted_height=block.height,
        slashed=slashed,
        reverted=reverted,
    )
    return record, slashed


def _revert(state: State, block: BlockContext, task_id: int, current: state_pb2.Round) -> tuple[int, list[bytes]]:
    """Alg. 4, steps 1, 4 and 5: later rounds are void; the next aggregator redoes this one from the same updates.

    Returns the number of void rounds and the clients whose committed work is lost with them.
    """
    task = state.tasks[task_key(task_id)]
    lost: list[bytes] = []
    voided = 0
    for number in range(current.round + 1, task.head_round + 1):
        later = state.rounds[round_key(task_id, number)]
        lost += [commitment.client for commitment in get_commitments(state, later)]
        # Convictable until its evidence height: one early fault must not shield later ones (R3).
        attempt = state.attempts.get(attempt_key(task_id, later.attempt_id))
        if attempt is not None and attempt.status == state_pb2.ATTEMPT_STATUS_OPEN:
            set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_VOID, block.height)
        remove_round(state, later)
        voided += 1
    task.head_round = current.round
    task.status = state_pb2.TASK_STATUS_RUNNING  # a paused head is void now; start_turn pauses again if it must
    state.tasks.put(task_key(task_id), task)
    state.emit("rounds_reverted", task=task_id, round=current.round, voided=voided)
    start_turn(state, task, current, current.turn + 1, block.height, block.beacon)
    return voided, lost


def _distribute(state: State, record: state_pb2.Conviction, slashed: int, lost: list[bytes]) -> None:
    """A10: a small reward to the prover, compensation to the clients of void rounds, the rest is burned."""
    params = state.params
    task = state.tasks[task_key(record.task_id)]
    record.reporter_reward = slashed * params.reporter_percent // 100
    if lost:
        budget = slashed * params.compensation_percent // 100
        each = min(task.parameters.client_reward, budget // len(lost))
        for client in lost:
            tokens.credit(state, client, each)
        record.compensation = each * len(lost)
    tokens.credit(state, record.prover, record.reporter_reward)
    record.slashed = slashed
    record.burned = slashed - record.reporter_reward - record.compensation
    tokens.burn(state, record.burned)
