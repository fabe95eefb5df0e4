"""What all claims of a round's model share: the model, and for rules with totals how it was decided."""

from __future__ import annotations

from abci_app.state import State
from abci_app.state.rounds import build_attempt, get_commitments
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_stored, validate_root
from optfl import errors
from optfl.rules import RoundFacts, RuleError, parse_rule
from optfl.tasks import model_shape, needs_totals, trace_shape
from optfl.wire import state_pb2, transaction_pb2

MAX_WEIGHTS = 1 << 16  # nearest neighbours of the most clients, a bit each, in a few stages
Claim = transaction_pb2.SubmitAggregate | transaction_pb2.SubmitCertifiedAggregate


def validate_claim(message: Claim) -> None:
    validate_root(message.model_root, "model_root")
    if message.HasField("reduction"):
        validate_root(message.reduction.trace_root, "trace_root")
        if len(message.reduction.weights) > MAX_WEIGHTS:
            raise errors.InvalidField(
                f"{len(message.reduction.weights)} weights; no rule decides by more than {MAX_WEIGHTS}"
            )


def check_totals(message: Claim, task: state_pb2.Task) -> None:
    """Raise unless the claim has a reduction where the task's rule has totals, and none elsewhere."""
    if message.HasField("reduction") != needs_totals(task.parameters):
        verb = "needs" if needs_totals(task.parameters) else "has no"
        raise errors.BadReduction(f"{task.parameters.rule} {verb} trace and weights; look at the task's rule")


def check_claim(
    state: State,
    call: Call,
    message: Claim,
    task: state_pb2.Task,
    current: state_pb2.Round,
) -> None:
    """Raise unless all that could prove a claimed model wrong is stored, and what its totals decide can be executed."""
    claimed = [(model_shape(task.parameters), message.model_root, message.certificate)]
    if message.HasField("reduction"):
        shape = trace_shape(task.parameters, current.committed)
        claimed.append((shape, message.reduction.trace_root, message.reduction.certificate))
    for shape, root, certificate in claimed:
        check_stored(
            state,
            task,
            call.height,
            round_number=message.round,
            owner=call.sender,
            shape=shape,
            root=root,
            certificate=certificate,
        )
    if message.HasField("reduction"):  # last: of all checks it takes longest
        _check_weights(state, task, current, message.reduction)


def _check_weights(
    state: State, task: state_pb2.Task, current: state_pb2.Round, reduction: transaction_pb2.Reduction
) -> None:
    sample_weights = tuple(commitment.weight for commitment in get_commitments(state, current))
    try:
        parse_rule(task.parameters.rule).recipe(reduction.weights, RoundFacts(sample_weights, current.beacon))
    except RuleError as error:
        # Whatever is wrong with them, an output can be computed of what is taken here, and so be proven wrong.
        raise errors.BadReduction(f"weights that no totals can decide on: {error}") from None


def build_claimed_attempt(
    state: State,
    call: Call,
    message: Claim,
    task: state_pb2.Task,
    current: state_pb2.Round,
) -> state_pb2.Attempt:
    """The record of a claim that `check_claim` has let pass."""
    attempt = build_attempt(state, task, current, call.height, call.block.beacon)
    attempt.model_root = message.model_root
    attempt.certificate.CopyFrom(message.certificate)
    attempt.model_retain_until_height = message.certificate.retain_until_height
    if message.HasField("reduction"):
        attempt.reduction.CopyFrom(message.reduction)
    return attempt
