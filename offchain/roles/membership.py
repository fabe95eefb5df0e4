"""An aggregator's membership: it joins tasks whose terms it accepts, and comes back after an exclusion for a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from offchain.interfaces import Ledger
from offchain.roles.views import submit
from optfl.wire import state_pb2, transaction_pb2

log = logging.getLogger(__name__)

ROLE = transaction_pb2.ROLE_AGGREGATOR

_CHECK_BLOCKS = 10  # between looks at the own stake: an exclusion lasts longer than that
_READMITTING = (state_pb2.TASK_STATUS_RUNNING, state_pb2.TASK_STATUS_PAUSED)


@dataclass(frozen=True)
class Terms:
    """What an aggregator asks of a task before it joins: it answers for the task's deadlines with its stake."""

    min_aggregation_blocks: int = 1
    min_reward: int = 0  # for a round
    max_required_stake: int | None = None  # by default all that its other tasks leave of its stake
    readmit: bool = True  # comes back when an exclusion for a time is over


class Membership:
    """One aggregator's place in one task. `can_compute` says of a task's parameters why it cannot, or None."""

    def __init__(
        self, ledger: Ledger, terms: Terms, can_compute: Callable[[transaction_pb2.TaskParameters], str | None]
    ) -> None:
        self._ledger = ledger
        self._terms = terms
        self._can_compute = can_compute
        self._refused = ""
        self._checked_height = -_CHECK_BLOCKS

    async def join(self, view: state_pb2.TaskView) -> None:
        """Join a task that waits for its start, if it invites us and we accept it. Raises LedgerUnavailable."""
        task = view.task
        if self._ledger.address in task.joined or not is_invited(task, self._ledger.address):
            return
        objection = self._can_compute(task.parameters)
        if objection is None:
            objection = find_objection(task, await self._get_stake(), self._terms)
        if objection is None:
            join = transaction_pb2.JoinTask(task_id=task.task_id)
            await submit(self._ledger, transaction_pb2.Body(join_task=join), f"task {task.task_id} joined")
        elif objection != self._refused:
            self._refused = objection  # once: the task may wait for others for long
            log.warning("task %d is not joined: %s", task.task_id, objection)

    async def come_back(self, view: state_pb2.TaskView) -> None:
        """Send Readmit once an exclusion for a time is over, if that is wanted. Raises LedgerUnavailable."""
        if not self._terms.readmit or view.task.status not in _READMITTING:
            return
        if self._ledger.address not in view.task.parameters.aggregators:
            return
        if view.height < self._checked_height + _CHECK_BLOCKS:
            return
        self._checked_height = view.height
        stake = await self._get_stake()
        if stake is None or stake.excluded or not 0 < stake.excluded_until_height <= view.height:
            return
        body = transaction_pb2.Body(readmit=transaction_pb2.Readmit(role=ROLE))
        await submit(self._ledger, body, "back after an exclusion")

    async def _get_stake(self) -> state_pb2.Stake | None:
        stakes = await self._ledger.get_stakes(self._ledger.address)
        return next((stake for stake in stakes if stake.role == ROLE), None)


def is_invited(task: state_pb2.Task, address: bytes) -> bool:
    """A task that names no aggregators is open to all."""
    return not task.parameters.aggregators or address in task.parameters.aggregators


def find_objection(task: state_pb2.Task, stake: state_pb2.Stake | None, terms: Terms) -> str | None:
    """Why an aggregator with this stake does not join, for its operator; None if it does."""
    if stake is None:
        return "the account is not registered as an aggregator; set stake, or send register-role"
    if stake.excluded:
        return "the account is excluded for good"
    parameters = task.parameters
    if parameters.aggregation_blocks < terms.min_aggregation_blocks:
        return f"{parameters.aggregation_blocks} blocks for a turn; min_aggregation_blocks asks for more"
    if parameters.aggregator_reward < terms.min_reward:
        return f"a reward of {parameters.aggregator_reward}; min_reward asks for more"
    if terms.max_required_stake is not None and task.required_stake > terms.max_required_stake:
        return f"it requires a stake of {task.required_stake}; max_required_stake allows {terms.max_required_stake}"
    free = stake.amount - stake.committed
    if task.required_stake > free:
        return f"it requires a stake of {task.required_stake}, of which {free} is free; `optfl tx add-stake` adds some"
    return None
