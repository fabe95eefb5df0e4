"""JoinTask: an aggregator agrees to a task's deadlines. Only who did can be late, and only its stake is held."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import task_key
from abci_app.state.participants import MAX_AGGREGATORS, change_committed, change_open_tasks
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_stake, check_task
from optfl import errors
from optfl.wire import state_pb2, transaction_pb2

ROLE = transaction_pb2.ROLE_AGGREGATOR


def validate(message: transaction_pb2.JoinTask) -> None:
    pass  # a task id only


def check(state: State, call: Call, message: transaction_pb2.JoinTask) -> state_pb2.Task:
    task = check_task(state, message.task_id)
    if task.status != state_pb2.TASK_STATUS_CREATED:
        raise errors.WrongTaskStatus(f"task {task.task_id} was started already; its aggregators are fixed")
    stake = check_stake(state, ROLE, call.sender)
    if stake.excluded:
        raise errors.ExcludedAccount("this account is excluded as aggregator for good")
    if stake.excluded_until_height > 0:
        raise errors.ExcludedAccount(f"excluded until height {stake.excluded_until_height}; then send Readmit first")
    invited = task.parameters.aggregators
    if invited and call.sender not in invited:
        raise errors.NotInvited(f"task {task.task_id} names its aggregators, and {call.sender.hex()} is not one")
    if call.sender in task.joined:
        raise errors.AlreadyJoined(f"task {task.task_id} is joined already")
    if len(task.joined) >= MAX_AGGREGATORS:
        raise errors.TaskFull(f"task {task.task_id} has {MAX_AGGREGATORS} aggregators; join another")
    needed = stake.committed + task.required_stake
    if stake.amount < needed:
        raise errors.StakeTooLow(f"with this task a stake of {needed} is needed, it is {stake.amount}; use AddStake")
    return task


def apply(state: State, call: Call, message: transaction_pb2.JoinTask, found: state_pb2.Task) -> None:
    joined = sorted([*found.joined, call.sender])
    del found.joined[:]
    found.joined.extend(joined)
    state.tasks.put(task_key(found.task_id), found)
    change_open_tasks(state, ROLE, [call.sender], +1)
    change_committed(state, [call.sender], found.required_stake)
    state.emit("task_joined", task=found.task_id, aggregator=call.sender)
