"""StartTask: G_0 is stored; freeze who takes part, and let round 1 begin (at this block's end)."""

from __future__ import annotations

from collections.abc import Iterable

from abci_app.state import State
from abci_app.state.keyspace import stake_key, task_key
from abci_app.state.participants import PARTICIPANT_ROLES, change_open_tasks, get_registered
from abci_app.transitions.call import Call
from abci_app.transitions.fields import ROLE_NAMES, check_stored, check_task
from optfl import errors, tasks
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.StartTask) -> None:
    pass  # a task id and a certificate: both are judged against the state


def check(state: State, call: Call, message: transaction_pb2.StartTask) -> state_pb2.Task:
    """Return the task with its participants filled in."""
    task = check_task(state, message.task_id)
    if task.requester != call.sender:
        raise errors.NotRequester(f"task {task.task_id} was created by {task.requester.hex()}")
    if task.status != state_pb2.TASK_STATUS_CREATED:
        raise errors.WrongTaskStatus(f"task {task.task_id} was started already")
    parameters = task.parameters
    _check_registered(state, transaction_pb2.ROLE_REPLICA, parameters.replicas)
    check_stored(
        state,
        task,
        call.height,
        round_number=0,
        owner=call.sender,
        shape=tasks.model_shape(parameters),
        root=task.initial_model_root,
        certificate=message.certificate,
    )
    if not parameters.aggregators:
        parameters.aggregators.extend(get_registered(state, transaction_pb2.ROLE_AGGREGATOR))
    if not parameters.clients:
        task.draw_by_stake = True
        parameters.clients.extend(get_registered(state, transaction_pb2.ROLE_CLIENT))
    _check_registered(state, transaction_pb2.ROLE_AGGREGATOR, parameters.aggregators)
    _check_registered(state, transaction_pb2.ROLE_CLIENT, parameters.clients)
    if not parameters.aggregators:
        raise errors.TooFewParticipants("no aggregator is registered; one must stake first")
    if len(parameters.clients) < parameters.clients_per_round:
        raise errors.TooFewParticipants(
            f"{len(parameters.clients)} clients are registered; a round takes {parameters.clients_per_round}"
        )
    return task


def _check_registered(state: State, role: int, addresses: Iterable[bytes]) -> None:
    for address in addresses:
        stake = state.stakes.get(stake_key(role, address))
        if stake is None or stake.excluded:
            raise errors.UnknownParticipant(
                f"{address.hex()} is listed as {ROLE_NAMES[role]}, but not registered as one or excluded"
            )


def apply(state: State, call: Call, message: transaction_pb2.StartTask, found: state_pb2.Task) -> None:
    found.status = state_pb2.TASK_STATUS_RUNNING
    found.initial_model_certificate.CopyFrom(message.certificate)
    state.tasks.put(task_key(found.task_id), found)
    for field, role in PARTICIPANT_ROLES.items():
        change_open_tasks(state, role, list(getattr(found.parameters, field)), +1)
    state.emit("task_started", task=found.task_id)
