"""SubmitFraudProof: anyone shows one step of an attempt that was done wrong: in its totals, its decision or its model.

The proof is judged at once; what a conviction does is done at this block's end, for all of the block's together (A2).
It needs no announcement; what is paid for it does.
"""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import attempt_key
from abci_app.transitions.call import Call, Conviction, Reporter
from abci_app.transitions.fields import check_attempt, check_balance, check_task
from optfl import errors
from optfl.announcements import COUNTED_BLOCKS, PAID_BLOCKS, compute_announcement, hash_proof
from optfl.fraud import ProofError, is_fraud, unwrap_proof
from optfl.keys import ADDRESS_BYTES
from optfl.tasks import authors_of
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.SubmitFraudProof) -> None:
    if message.WhichOneof("proof") is None:
        raise errors.MalformedProof("the transaction carries no proof; send one of the kinds of transaction.proto")


def check(state: State, call: Call, message: transaction_pb2.SubmitFraudProof) -> Conviction | None:
    """Return the conviction to be carried out, or None if the attempt is not shown to be wrong."""
    task = check_task(state, message.task_id)
    check_provable(task)
    attempt = check_attempt(state, task, message.attempt_id)
    check_convictable(attempt, call.height)
    # Each proof may re-execute a chunk of K updates; a block must not (red team F6).
    if call.block.proofs >= state.params.max_proofs_per_block:
        raise errors.TooManyProofs("this block has as many fraud proofs as it may; send it again")
    check_balance(state, call.sender, state.params.proof_bond)
    kind, proposer = message.WhichOneof("proof"), call.block.paid_proposer
    if _is_moot(call, attempt):
        return Conviction(attempt, call.sender, kind)
    try:
        proven = is_fraud(task.parameters, attempt, unwrap_proof(message))
    except ProofError as error:
        raise errors.MalformedProof(str(error)) from None
    return Conviction(attempt, call.sender, kind, find_reporters(state, call, message), proposer) if proven else None


def check_provable(task: state_pb2.Task) -> None:
    if task.parameters.arithmetic == transaction_pb2.ARITHMETIC_FLOAT:
        raise errors.NotProvable(f"task {task.task_id} aggregates in floating point; open a challenge instead")


def check_convictable(attempt: state_pb2.Attempt, height: int) -> None:
    if not authors_of(attempt):
        raise errors.NotConvictable(f"attempt {attempt.attempt_id} is a round dropped without fault")
    # What is open can be proven wrong until it settles, however late that is: behind a longer window of an earlier
    # round, or because too few had proposed since it opened (A8). What is void or convicted, until its evidence height.
    if attempt.status != state_pb2.ATTEMPT_STATUS_OPEN and height > attempt.evidence_height:
        raise errors.NotConvictable(f"attempt {attempt.attempt_id} is past its evidence height")


def find_reporters(state: State, call: Call, message: transaction_pb2.SubmitFraudProof) -> tuple[Reporter, ...]:
    """Who announced this proof before anybody could have seen it, whoever shows it now (F7, A10).

    Each validator is paid by its part of all power, whatever others do. Accounts without power cost nothing: of these
    one is paid, the sender or else the first, and only where no validator has announced a proof.
    """
    announced = {
        key[-ADDRESS_BYTES:]: announcement
        for key, announcement in state.announcements.items(attempt_key(message.task_id, message.attempt_id))
        if announcement.height < call.height
    }
    proof_hash, chain_id = hash_proof(message), state.params.chain_id
    found = {who: a for who, a in announced.items() if a.commitment == compute_announcement(chain_id, who, proof_hash)}
    if min((a.height for a in found.values()), default=call.height) + PAID_BLOCKS > call.height:
        return ()
    counted = {who: a for who, a in found.items() if a.height + COUNTED_BLOCKS <= call.height}
    powers = {operator: validator.power for operator, validator in state.validators.items() if validator.power > 0}
    if not powers.keys().isdisjoint(announced):
        total = sum(powers.values())
        return tuple(Reporter(who, a.proposer, powers[who], total) for who, a in counted.items() if who in powers)
    first = min(counted, key=lambda who: (who != call.sender, counted[who].height, who))
    return (Reporter(first, counted[first].proposer, 1, 1),)


def _is_moot(call: Call, attempt: state_pb2.Attempt) -> bool:
    """Convicted already: nothing is left to prove, and no honest late prover loses its bond for it (red team F7)."""
    in_this_block = any(
        (c.attempt.task_id, c.attempt.attempt_id) == (attempt.task_id, attempt.attempt_id)
        for c in call.block.convictions
    )
    return in_this_block or attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED


def apply(state: State, call: Call, message: transaction_pb2.SubmitFraudProof, found: Conviction | None) -> None:
    call.block.proofs += 1
    if found is None:
        bond = state.params.proof_bond
        tokens.debit(state, call.sender, bond)
        tokens.burn(state, bond)
        state.emit("proof_failed", task=message.task_id, attempt=message.attempt_id, prover=call.sender, bond=bond)
    elif _is_moot(call, found.attempt):
        state.emit("proof_moot", task=message.task_id, attempt=message.attempt_id, prover=call.sender)
    else:
        call.block.convictions.append(found)
        state.emit("fraud_proven", task=message.task_id, attempt=message.attempt_id, prover=call.sender)
