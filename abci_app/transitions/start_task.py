"""StartTask: G_0 is stored; freeze who takes part, and let round 1 begin (at this block's end)."""

from __future__ import annotations

from collections.abc import Iterable

from abci_app.state import State
from abci_app.state.keyspace import stake_key, task_key
from abci_app.state.participants import change_open_tasks, get_registered, is_eligible
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
    _take_joined(state, task)
    if not parameters.clients:
        task.draw_by_stake = True
        parameters.clients.extend(get_registered(state, transaction_pb2.ROLE_CLIENT))
        # Accounts are free: drawn by stake, or one owner's many accounts would fill every round (E2).
        task.client_weights.extend(_get_client_stakes(state, parameters.clients))
    _check_registered(state, transaction_pb2.ROLE_CLIENT, parameters.clients)
    if not parameters.aggregators and parameters.mode != transaction_pb2.MODE_PBFT:  # there validators aggregate
        raise errors.TooFewParticipants(f"nobody eligible has joined; an aggregator must send JoinTask({task.task_id})")
    if len(parameters.clients) < parameters.clients_per_round:
        raise errors.TooFewParticipants(
            f"{len(parameters.clients)} clients are registered; a round takes {parameters.clients_per_round}"
        )
    return task


def _take_joined(state: State, task: state_pb2.Task) -> None:
    """Freeze the order of turns: those who joined, as the task lists them, or ascending where it lists nobody."""
    role, minimum = transaction_pb2.ROLE_AGGREGATOR, state.params.min_aggregator_stake
    joined = [a for a in task.joined if is_eligible(state, role, a, minimum)]
    listed = list(task.parameters.aggregators)
    del task.parameters.aggregators[:]
    task.parameters.aggregators.extend([a for a in listed if a in joined] if listed else joined)


def _get_client_stakes(state: State, clients: Iterable[bytes]) -> list[int]:
    return [state.stakes[stake_key(transaction_pb2.ROLE_CLIENT, client)].amount for client in clients]


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
    change_open_tasks(state, transaction_pb2.ROLE_REPLICA, found.parameters.replicas, +1)
    state.emit("task_started", task=found.task_id)
