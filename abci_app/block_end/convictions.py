"""Carry out the block's convictions: slash, exclude, revert.  # seed 001, Alg. 4"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from abci_app.state.rounds import get_commitments, remove_round, set_attempt_status, start_turn
from abci_app.transitions.call import BlockContext, Conviction
from optfl.tasks import compute_inputs_hash
from optfl.wire import state_pb2, transaction_pb2


def process_convictions(state: State, block: BlockContext) -> None:
    records = [_convict(state, block, conviction) for conviction in block.convictions]
    reverts: dict[int, state_pb2.Conviction] = {}  # by task, that of its lowest convicted live round
    for record in records:
        current = state.rounds.get(round_key(record.task_id, record.round))
        if current is None or current.attempt_id != record.attempt_id:
            continue  # void already
        if record.task_id not in reverts or record.round < reverts[record.task_id].round:
            reverts[record.task_id] = record
    lost: dict[int, list[bytes]] = {}
    for task_id, record in reverts.items():
        record.reverted = True
        record.voided_rounds, lost[task_id] = _revert(state, block, task_id, record.round)
    for record in records:
        # Whose work is lost is compensated once, out of the slash of the one whose fault it is.
        _distribute(state, record, lost[record.task_id] if record.reverted else [])
        state.disputes.put(attempt_key(record.task_id, record.attempt_id), record)


def _convict(state: State, block: BlockContext, conviction: Conviction) -> state_pb2.Conviction:
    """Alg. 4, steps 2 and 3: exclude for good and slash."""
    attempt = conviction.attempt
    attempt.prover = conviction.prover
    set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_CONVICTED, block.height)
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
    return state_pb2.Conviction(
        task_id=attempt.task_id,
        attempt_id=attempt.attempt_id,
        round=attempt.round,
        aggregator=attempt.aggregator,
        prover=conviction.prover,
        proof_kind=conviction.proof_kind,
        submit_height=attempt.submit_height,
        convicted_height=block.height,
        slashed=slashed,
        inputs_hash=compute_inputs_hash(attempt.inputs),
    )


def _revert(state: State, block: BlockContext, task_id: int, round_number: int) -> tuple[int, list[bytes]]:
    """Alg. 4, steps 1, 4 and 5: later rounds are void; the next aggregator redoes this one from the same updates.

    Returns the number of void rounds and the clients whose committed work is lost with them.
    """
    task = state.tasks[task_key(task_id)]
    current = state.rounds[round_key(task_id, round_number)]
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


def _distribute(state: State, record: state_pb2.Conviction, lost: list[bytes]) -> None:
    """A10: a small reward to the prover, compensation to the clients of void rounds, the rest is burned."""
    params = state.params
    task = state.tasks[task_key(record.task_id)]
    record.reporter_reward = record.slashed * params.reporter_percent // 100
    if lost:
        budget = record.slashed * params.compensation_percent // 100
        each = min(task.parameters.client_reward, budget // len(lost))
        for client in lost:
            tokens.credit(state, client, each)
            state.emit("compensated", task=record.task_id, client=client, amount=each)
        record.compensation = each * len(lost)
    tokens.credit(state, record.prover, record.reporter_reward)
    state.emit("prover_rewarded", task=record.task_id, prover=record.prover, amount=record.reporter_reward)
    record.burned = record.slashed - record.reporter_reward - record.compensation
    tokens.burn(state, record.burned)
