"""Carry out what this block found of attempts: slash, exclude, revert to the lowest.  # seed 001, Alg. 4

A *conviction* is guilt that is shown: the author is slashed and out for good. A *voiding* is an attempt that cannot
stand, though nobody is shown to have lied: its round is redone, and at most somebody counts as late.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from abci_app.state import State, tokens
from abci_app.state.faults import punish_lateness
from abci_app.state.keyspace import attempt_key, round_key, stake_key, task_key
from abci_app.state.members import get_author_role
from abci_app.state.participants import change_committed, change_open_tasks
from abci_app.state.rounds import get_commitments, remove_round, set_attempt_status, start_turn
from abci_app.state.safety import record_outcome
from abci_app.transitions.call import BlockContext, Conviction, Voiding
from optfl.tasks import authors_of, compute_inputs_hash, compute_round_cost
from optfl.wire import state_pb2, transaction_pb2

UNREADABLE = frozenset({"model", "update"})  # why an attempt is void of which something is stored nowhere


def process_convictions(state: State, block: BlockContext) -> None:
    records: dict[tuple[int, int], state_pb2.Conviction] = {}
    first: dict[tuple[int, int], Conviction] = {}  # one of an attempt (L7)
    for conviction in block.convictions:
        if _name(conviction.attempt) not in records:
            records[_name(conviction.attempt)] = _convict(state, block, conviction)
            first[_name(conviction.attempt)] = conviction
    for voiding in sorted(block.voidings, key=lambda v: not v.silent):  # of two reasons the graver one counts
        _void(state, block, voiding)
    found = [c.attempt for c in block.convictions] + [v.attempt for v in block.voidings]
    lowest: dict[int, state_pb2.Attempt] = {}  # by task, of the lowest live round
    for attempt in found:
        current = state.rounds.get(round_key(attempt.task_id, attempt.round))
        if current is None or current.attempt_id != attempt.attempt_id:
            continue  # void already
        if attempt.task_id not in lowest or attempt.round < lowest[attempt.task_id].round:
            lowest[attempt.task_id] = attempt
    lost: dict[tuple[int, int], list[_Loss]] = {}
    voided: dict[tuple[int, int], int] = {}
    for attempt in lowest.values():
        voided[_name(attempt)], lost[_name(attempt)] = _revert(state, block, attempt.task_id, attempt.round)
    for name, record in records.items():
        # Whose work is lost is compensated once, out of the slash of the one whose fault it is.
        record.reverted = name in lost
        record.voided_rounds = voided.get(name, 0)
        _distribute(state, record, lost.get(name, []), first[name])
        state.disputes.put(attempt_key(record.task_id, record.attempt_id), record)
    for voiding in block.voidings:
        name = _name(voiding.attempt)
        if voiding.reason in UNREADABLE and name not in records and name in lost:
            _pay_from_escrow(state, voiding, lost.pop(name))
    for attempt in _get_moot_submissions(state, block):
        _void(state, block, Voiding(attempt, "author", silent=False))
        _revert(state, block, attempt.task_id, attempt.round)


class _Loss(NamedTuple):
    """A reward that is not earned because an earlier round was reverted."""

    account: bytes
    reward: int


def _name(attempt: state_pb2.Attempt) -> tuple[int, int]:
    return attempt.task_id, attempt.attempt_id


def _get_moot_submissions(state: State, block: BlockContext) -> list[state_pb2.Attempt]:
    """What somebody submitted in the very block that convicts it: no stake would answer for it any more."""
    culprits = {author for conviction in block.convictions for author in authors_of(conviction.attempt)}
    if not culprits:
        return []
    live = [a for _, a in state.attempts.items() if a.status == state_pb2.ATTEMPT_STATUS_OPEN]
    return [a for a in live if a.submit_height == block.height and not culprits.isdisjoint(authors_of(a))]


def _void(state: State, block: BlockContext, voiding: Voiding) -> None:
    """Nobody is shown to have lied; a proof may still do so until the evidence height."""
    attempt = state.attempts[attempt_key(*_name(voiding.attempt))]
    if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN:
        return  # convicted in this block, or void for another reason
    set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_VOID, block.height)
    state.emit("attempt_voided", task=attempt.task_id, attempt=attempt.attempt_id, reason=voiding.reason)
    if voiding.silent and attempt.aggregator:  # what many have signed was there once, and no single one's to store
        punish_lateness(state, attempt.aggregator, block.height)
        _record_fault(state, attempt.task_id)


def _record_fault(state: State, task_id: int) -> None:
    task = state.tasks[task_key(task_id)]
    if task_id in state.chain.live_tasks:
        record_outcome(task, faulty=True)
        state.tasks.put(task_key(task_id), task)


def _leave_task(state: State, task: state_pb2.Task, author: bytes) -> None:
    """The task has no more claim on its stake, which stays until the evidence height of its attempts."""
    if task.task_id not in state.chain.live_tasks or author not in task.joined:
        return
    task.joined.remove(author)
    state.tasks.put(task_key(task.task_id), task)
    change_open_tasks(state, transaction_pb2.ROLE_AGGREGATOR, [author], -1)
    change_committed(state, [author], -task.required_stake)


def _punish_author(state: State, task: state_pb2.Task, author: bytes) -> int:
    """Slash an author of a lie and exclude it for good; a validator keeps its place, with the power that is left to it.

    More than 2/3 of the power signed what is wrong: excluding all of them would leave a chain that decides nothing.
    """
    role = get_author_role(task)
    if role == transaction_pb2.ROLE_VALIDATOR:
        return tokens.slash(state, role, author, state.params.equivocation_slash_percent)
    _leave_task(state, task, author)
    stake = state.stakes[stake_key(role, author)]  # it outlives the evidence height, see unbonding.py
    stake.excluded = True
    state.stakes.put(stake_key(role, author), stake)
    # What other tasks require is left to them: it has to pay for the lies told there (R5).
    return tokens.slash(state, role, author, state.params.fraud_slash_percent, keep=stake.committed)


def _convict(state: State, block: BlockContext, conviction: Conviction) -> state_pb2.Conviction:
    """Alg. 4, steps 2 and 3: exclude for good and slash."""
    attempt = conviction.attempt
    attempt.prover = conviction.prover
    set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_CONVICTED, block.height)
    task = state.tasks[task_key(attempt.task_id)]
    slashed = sum(_punish_author(state, task, author) for author in authors_of(attempt))
    _record_fault(state, attempt.task_id)
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
        signers=attempt.signers,
        prover=conviction.prover,
        proof_kind=conviction.proof_kind,
        submit_height=attempt.submit_height,
        convicted_height=block.height,
        slashed=slashed,
        inputs_hash=compute_inputs_hash(attempt.inputs),
    )


def _revert(state: State, block: BlockContext, task_id: int, round_number: int) -> tuple[int, list[_Loss]]:
    """Alg. 4, steps 1, 4 and 5: later rounds are void; the next aggregator redoes this one from the same updates.

    Returns the number of void rounds, and what those who worked on them lose.
    """
    task = state.tasks[task_key(task_id)]
    current = state.rounds[round_key(task_id, round_number)]
    lost: list[_Loss] = []
    for number in range(current.round + 1, task.head_round + 1):
        later = state.rounds[round_key(task_id, number)]
        clients = [commitment.client for commitment in get_commitments(state, later)]
        lost += [_Loss(client, task.parameters.client_reward) for client in clients]
        # Convictable until its evidence height: one early fault must not shield later ones (R3).
        attempt = state.attempts.get(attempt_key(task_id, later.attempt_id))
        if attempt is not None and attempt.status == state_pb2.ATTEMPT_STATUS_OPEN:
            set_attempt_status(state, attempt, state_pb2.ATTEMPT_STATUS_VOID, block.height)
            authors = authors_of(attempt)
            lost += [_Loss(author, task.parameters.aggregator_reward // len(authors)) for author in authors]
        remove_round(state, later)
    voided = task.head_round - current.round
    task.head_round, task.head_start_height = current.round, current.start_height
    task.status = state_pb2.TASK_STATUS_RUNNING  # a paused head is void now; start_turn pauses again if it must
    state.tasks.put(task_key(task_id), task)
    state.emit("rounds_reverted", task=task_id, round=current.round, voided=voided)
    start_turn(state, task, current, current.turn + 1, block.height, block.beacon)
    return voided, lost


def _distribute(state: State, record: state_pb2.Conviction, lost: list[_Loss], conviction: Conviction) -> None:
    """A10: small rewards to provers and proposers, compensation to who worked on void rounds, the rest is burned."""
    params = state.params
    budget = record.slashed * params.compensation_percent // 100
    record.compensation = _compensate(state, record.task_id, lost, {record.aggregator, *record.signers}, budget)
    share = record.slashed * params.reporter_percent // 100
    # Half for the announcements' blocks, half for the proof's. Paid once: who leaves one of these out of its own block
    # loses it to another proposer.
    half = record.slashed * params.inclusion_percent // 200
    included = Counter({conviction.proposer: half})
    for reporter in conviction.reporters:
        amount = share * reporter.weight // reporter.total
        tokens.credit(state, reporter.account, amount)
        record.rewards.add(account=reporter.account, amount=amount)
        record.reporter_reward += amount
        state.emit("prover_rewarded", task=record.task_id, prover=reporter.account, amount=amount)
        included[reporter.proposer] += half * reporter.weight // reporter.total
    del included[b""]  # nobody's
    for operator, amount in included.items():
        tokens.credit(state, operator, amount)
        record.inclusion_reward += amount
        state.emit("inclusion_paid", task=record.task_id, operator=operator, amount=amount)
    record.burned = record.slashed - record.reporter_reward - record.inclusion_reward - record.compensation
    tokens.burn(state, record.burned)


def _pay_from_escrow(state: State, voiding: Voiding, lost: list[_Loss]) -> None:
    """Who chose the replicas answers for what they have lost: or its own could end rounds, for the updates (R6).

    What the live rounds will cost is left; a task that cannot pay for another round opens none (`new_rounds`).
    """
    task = state.tasks[task_key(voiding.attempt.task_id)]
    kept = (task.head_round - task.settled_round) * compute_round_cost(task.parameters)
    culprits = set(authors_of(voiding.attempt)) if voiding.silent else set()
    task.escrow -= _compensate(state, task.task_id, lost, culprits, max(task.escrow - kept, 0))
    state.tasks.put(task_key(task.task_id), task)


def _compensate(state: State, task_id: int, lost: list[_Loss], culprits: set[bytes], budget: int) -> int:
    """Make losses good, in proportion where the budget does not reach; return what was paid."""
    owed = Counter[bytes]()  # added up: an event for each loss of many rounds could outgrow what a block's results hold
    for loss in lost:
        if loss.account not in culprits:  # not what they built on their own lie
            owed[loss.account] += loss.reward
    total = owed.total()
    paid = 0
    for account, reward in owed.items():
        amount = reward * min(budget, total) // total if total else 0
        tokens.credit(state, account, amount)
        paid += amount
        state.emit("compensated", task=task_id, account=account, amount=amount)
    return paid
