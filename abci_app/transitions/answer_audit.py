"""AnswerAudit: a replica shows the chunk that the beacon drew for it, and so earns its share of the round (E3)."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.keyspace import audit_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_attempt, check_task
from optfl import errors, tasks
from optfl.audits import draw_audit
from optfl.vectors import Opening, VectorError, verify_opening
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.AnswerAudit) -> None:
    pass  # an opening: it is judged against the attempt's record


def check(state: State, call: Call, message: transaction_pb2.AnswerAudit) -> int:
    """Return the sender's index among the task's replicas."""
    task = check_task(state, message.task_id)
    attempt = check_attempt(state, task, message.attempt_id)
    replicas = list(task.parameters.replicas)
    if call.sender not in replicas:
        raise errors.NotRegistered(f"{call.sender.hex()} is not a replica of task {task.task_id}")
    if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN or not attempt.aggregator:
        raise errors.BadAudit(f"attempt {attempt.attempt_id} is void, dropped or certified: no audit of it is paid")
    replica = replicas.index(call.sender)
    if audit_key(task.task_id, attempt.attempt_id, replica) in state.audits:
        raise errors.AlreadyAnswered(f"the audit of attempt {attempt.attempt_id} is answered; save the fee")
    _check_opening(task, attempt, replica, message.opening)
    return replica


def _check_opening(
    task: state_pb2.Task, attempt: state_pb2.Attempt, replica: int, opening: transaction_pb2.Opening
) -> None:
    audit = draw_audit(task.parameters, attempt, replica)
    shape, root = tasks.find_blob(task.parameters, attempt, audit.blob)
    try:
        verify_opening(shape, root, audit.chunk, Opening(opening.data, tuple(opening.path)))
    except VectorError as error:
        names = {tasks.MODEL_BLOB: "the model", tasks.TRACE_BLOB: "the trace"}
        what = names.get(audit.blob, f"input {audit.blob}")
        raise errors.BadAudit(f"chunk {audit.chunk} of {what} was drawn for this replica: {error}") from None


def apply(state: State, call: Call, message: transaction_pb2.AnswerAudit, found: int) -> None:
    state.audits.put(audit_key(message.task_id, message.attempt_id, found), state_pb2.Audit(height=call.height))
    state.emit("audit_answered", task=message.task_id, attempt=message.attempt_id, replica=call.sender)
