"""Who signs a round's model in the modes without turns: seed 002's aggregators, or every validator."""

from __future__ import annotations

from abci_app.state.keyspace import stake_key
from abci_app.state.participants import get_eligible_aggregators, is_eligible
from abci_app.state.state import State
from optfl.tasks import compute_signers_needed
from optfl.wire import state_pb2, transaction_pb2


def get_members(state: State, task: state_pb2.Task) -> list[state_pb2.Member]:
    """A task's members with what their signature counts, ascending by address; nobody in mode optimistic."""
    if task.parameters.mode == transaction_pb2.MODE_QUORUM:
        return [
            _get_member(state, transaction_pb2.ROLE_AGGREGATOR, address, power=1)
            for address in sorted(task.parameters.aggregators)
        ]
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        return [
            _get_member(state, transaction_pb2.ROLE_VALIDATOR, v.operator, v.power)
            for _, v in state.validators.items()
            if v.power > 0
        ]
    return []


def get_author_role(task: state_pb2.Task) -> int:
    """In which role the authors of a task's attempts have their stake."""
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        return transaction_pb2.ROLE_VALIDATOR
    return transaction_pb2.ROLE_AGGREGATOR


def may_sign(state: State, task: state_pb2.Task, member: state_pb2.Member) -> bool:
    """Whether the member has a stake that answers for what it signs."""
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        return not state.validators[member.address].tombstoned
    return is_eligible(state, transaction_pb2.ROLE_AGGREGATOR, member.address, state.params.min_aggregator_stake)


def has_enough_members(state: State, task: state_pb2.Task) -> bool:
    """Whether those who can sign now could make a model; otherwise the task waits for them (A11)."""
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        return True  # the chain itself would stand still without
    return len(get_eligible_aggregators(state, task)) >= compute_signers_needed(len(task.parameters.aggregators))


def _get_member(state: State, role: int, address: bytes, power: int) -> state_pb2.Member:
    stake = state.stakes.get(stake_key(role, address))  # of a task that has ended, it may be gone
    public_key = b"" if stake is None else stake.public_key
    return state_pb2.Member(address=address, public_key=public_key, power=power)
