"""SubmitCertifiedAggregate: a model counts with enough members' signatures over exactly this question, and no fewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optfl import errors
from optfl.ballots import sign_ballot
from optfl.keys import SigningKey
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import (
    BALLOT_KIND_COMMITMENT,
    MODE_OPTIMISTIC,
    MODE_PBFT,
    MODE_QUORUM,
    BallotSignature,
    SubmitAggregate,
    SubmitCertifiedAggregate,
    SubmitFraudProof,
    Unbond,
)
from support.demands import demand
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    FEE,
    NOBODY,
    REPLICAS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    consensus_key,
)
from support.votes import challenge, run_vote, votes_for

MODES = {MODE_QUORUM: AGGREGATORS[:2], MODE_PBFT: VALIDATORS[:3]}  # f+1 of 2f+1; more than 2/3 of four equal powers


def frozen(mode: int, **overrides: Any) -> TaskHarness:
    """A task in `mode` whose first round waits for a certified model."""
    task = TaskHarness.start(mode=mode, **overrides)
    task.commit_all(1)
    return task


@pytest.fixture(params=MODES, ids=["quorum", "pbft"])
def task(request: pytest.FixtureRequest) -> TaskHarness:
    return frozen(request.param)


def enough(task: TaskHarness) -> list[SigningKey]:
    return MODES[task.parameters.mode]


def test_a_certified_model_opens_an_attempt_of_its_signers(task: TaskHarness) -> None:
    assert task.round(1).aggregator == b""
    message = task.submit_certified(1, enough(task))
    task.ledger.accept(enough(task)[0], message)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert list(attempt.signers) == sorted(k.address for k in enough(task))
    assert (attempt.aggregator, attempt.model_root) == (b"", message.model_root)
    assert attempt.certificate == message.certificate
    assert attempt.model_retain_until_height == message.certificate.retain_until_height
    assert attempt.window_close_height == attempt.submit_height == task.ledger.height
    assert len(attempt.inputs) == len(CLIENTS)
    assert task.round(1).status == state_pb2.ROUND_STATUS_OPEN
    assert task.round(2).parent_attempt == 1


def test_it_settles_once_a_third_of_the_power_has_proposed(task: TaskHarness) -> None:
    task.certify_round(1, enough(task))
    task.ledger.block()
    assert task.task.settled_round == 0
    task.ledger.block()
    assert task.task.settled_round == 1
    assert task.ledger.state.digests[(1).to_bytes(8, "big") + (1).to_bytes(4, "big")].aggregator == b""


def test_a_whole_task(task: TaskHarness) -> None:
    for number in range(1, 5):
        if number > 1:
            task.commit_all(number)
        task.certify_round(number, enough(task))
    task.ledger.blocks(4)
    assert task.task.status == state_pb2.TASK_STATUS_COMPLETED
    assert task.ledger.state.supply.burned < 100  # remainders of divisions


def test_the_reward_is_split_evenly_among_the_signers(task: TaskHarness) -> None:
    """1000 tokens: 500 each for two, 333 each for three and one burned."""
    signers = enough(task)
    task.certify_round(1, signers)
    task.ledger.block()
    before = {k.address: task.ledger.balance(k) for k in [*AGGREGATORS, *VALIDATORS]}
    paid = {
        (dict(e.attributes)["account"], int(dict(e.attributes)["amount"]))
        for e in task.ledger.block().events
        if e.kind == "reward_paid" and dict(e.attributes)["role"] == "aggregator"
    }
    assert paid == {(k.address.hex(), 1000 // len(signers)) for k in signers}
    if task.parameters.mode == MODE_QUORUM:
        assert [task.ledger.balance(k) - before[k.address] for k in AGGREGATORS] == [500, 500, 0]


def test_anyone_may_carry_it(task: TaskHarness) -> None:
    """The signatures make the model, not the sender; storing it takes a replica that lets the sender."""
    task.ledger.accept(STRANGER, task.submit_certified(1, enough(task), owner=STRANGER))


def test_the_first_one_counts(task: TaskHarness) -> None:
    everybody = AGGREGATORS if task.parameters.mode == MODE_QUORUM else VALIDATORS
    first, second = task.submit_certified(1, enough(task)), task.submit_certified(1, everybody)
    results = task.ledger.block(
        task.ledger.sign(enough(task)[0], first), task.ledger.sign(enough(task)[0], second)
    ).results
    assert [result.code for result in results] == [0, errors.WrongRoundStatus.code]
    task.ledger.reject(errors.WrongRoundStatus, enough(task)[0], first)


@pytest.mark.parametrize("mode", MODES)
def test_one_signature_fewer_is_not_enough(mode: int) -> None:
    task = frozen(mode)
    task.ledger.reject(errors.BadBallots, MODES[mode][0], task.submit_certified(1, MODES[mode][:-1]))


def test_no_signature_is_not_enough(task: TaskHarness) -> None:
    message = task.submit_certified(1, enough(task))
    del message.signatures[:]
    task.ledger.reject(errors.BadBallots, enough(task)[0], message)


@pytest.mark.parametrize(
    ("aggregators", "needed"), [(1, 1), (2, 2), (3, 2)], ids=["f=0 of 1", "one of three has not joined", "f=1 of 3"]
)
def test_quorum_is_more_than_half_of_those_who_joined(aggregators: int, needed: int) -> None:
    ledger = LedgerHarness()
    ledger.register_participants()
    task = TaskHarness(ledger)
    task.create(mode=MODE_QUORUM, aggregators=[])
    join = task.join()
    for account in AGGREGATORS[:aggregators]:
        ledger.accept(account, join)
    ledger.accept(REQUESTER, task.start_task())
    task.commit_all(1)
    if needed > 1:
        ledger.reject(errors.BadBallots, AGGREGATORS[0], task.submit_certified(1, AGGREGATORS[: needed - 1]))
    ledger.accept(AGGREGATORS[0], task.submit_certified(1, AGGREGATORS[:needed]))


def test_pbft_is_more_than_two_thirds_of_power_not_of_heads() -> None:
    """Powers 300, 100, 100, 100: two heads with 400 of 600 are exactly two thirds, and too few; 500 are enough."""
    ledger = LedgerHarness(stakes=[3 * VALIDATOR_STAKE, *[VALIDATOR_STAKE] * 3])
    task = TaskHarness.start(ledger, mode=MODE_PBFT)
    task.commit_all(1)
    ledger.reject(errors.BadBallots, VALIDATORS[1], task.submit_certified(1, VALIDATORS[1:]))
    ledger.reject(errors.BadBallots, VALIDATORS[0], task.submit_certified(1, VALIDATORS[:2]))
    ledger.accept(VALIDATORS[0], task.submit_certified(1, VALIDATORS[:3]))


def test_pbft_counts_the_power_of_its_own_block() -> None:
    """A validator that equivocated is out at once; of the other three, all are needed, and enough."""
    task = frozen(MODE_PBFT)
    task.ledger.block(misbehavior=[task.ledger.equivocation(0)])
    assert consensus_key("validator-0").public_key not in task.ledger.validators
    task.ledger.reject(errors.BadBallots, VALIDATORS[1], task.submit_certified(1, VALIDATORS[:3], owner=VALIDATORS[1]))
    task.ledger.reject(errors.BadBallots, VALIDATORS[1], task.submit_certified(1, VALIDATORS[1:3]))
    task.ledger.accept(VALIDATORS[1], task.submit_certified(1, VALIDATORS[1:]))


def test_pbft_who_equivocates_in_the_very_block_signs_nothing() -> None:
    task = frozen(MODE_PBFT)
    message = task.ledger.sign(VALIDATORS[1], task.submit_certified(1, VALIDATORS[:3], owner=VALIDATORS[1]))
    [result] = task.ledger.block(message, misbehavior=[task.ledger.equivocation(0)]).results
    assert result.code == errors.BadBallots.code


def test_quorum_an_excluded_aggregator_signs_nothing() -> None:
    """Convicted in one task, it has no stake that could answer for what it signs in another."""
    ledger = LedgerHarness()
    liar = TaskHarness.start(ledger)
    liar.commit_all(1)
    culprit = liar.due_aggregator(1)
    task = TaskHarness(ledger)
    task.create(mode=MODE_QUORUM)
    task.join_all()
    ledger.accept(REQUESTER, task.start_task())
    task.commit_all(1)
    lie = liar.aggregate(1, liar.poisoned_model(1))
    ledger.accept(STRANGER, liar.prove(lie))
    others = [a for a in AGGREGATORS if a is not culprit]
    ledger.reject(errors.BadBallots, others[0], task.submit_certified(1, [others[0], culprit]))
    ledger.accept(others[0], task.submit_certified(1, others))


def test_quorum_who_has_taken_its_stake_out_signs_nothing() -> None:
    task = frozen(MODE_QUORUM)
    task.ledger.accept(AGGREGATORS[0], Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE))
    task.ledger.reject(
        errors.BadBallots, AGGREGATORS[1], task.submit_certified(1, AGGREGATORS[:2], owner=AGGREGATORS[1])
    )


@pytest.mark.parametrize("outsider", [STRANGER, NOBODY, CLIENTS[0], REPLICAS[0]], ids=lambda k: k.address.hex()[:8])
def test_who_is_no_member_signs_nothing(task: TaskHarness, outsider: SigningKey) -> None:
    task.ledger.reject(errors.BadBallots, enough(task)[0], task.submit_certified(1, [*enough(task), outsider]))


def test_members_of_the_other_mode_sign_nothing(task: TaskHarness) -> None:
    other = MODES[MODE_PBFT if task.parameters.mode == MODE_QUORUM else MODE_QUORUM]
    task.ledger.reject(errors.BadBallots, enough(task)[0], task.submit_certified(1, other, owner=enough(task)[0]))


OTHER_QUESTIONS: dict[str, dict[str, Any]] = {
    "chain": {"chain_id": "another-chain"},
    "task": {"task_id": 2},
    "round": {"round": 2},
    "parent": {"parent_attempt": 1},
    "turn": {"turn": 1},
    "restarts": {"restarts": 1},
    "kind": {"kind": BALLOT_KIND_COMMITMENT},
    "root": {"digest": bytes(32)},
}


@pytest.mark.parametrize("overrides", OTHER_QUESTIONS.values(), ids=OTHER_QUESTIONS)
def test_L8_a_signature_over_another_question_does_not_count(task: TaskHarness, overrides: dict[str, Any]) -> None:
    message = task.submit_certified(1, enough(task))
    last = message.signatures[-1]
    signer = next(k for k in enough(task) if k.address == last.member)
    last.signature = sign_ballot(signer, task.ballot(1, message.model_root, **overrides))
    task.ledger.reject(errors.BadBallots, enough(task)[0], message)


def swap(message: SubmitCertifiedAggregate) -> None:
    """Each signature under the other's name."""
    first, second = message.signatures[0], message.signatures[1]
    first.signature, second.signature = second.signature, first.signature


def double(message: SubmitCertifiedAggregate) -> None:
    """One signature twice, for two."""
    message.signatures[1].CopyFrom(message.signatures[0])


def reverse(message: SubmitCertifiedAggregate) -> None:
    signatures = list(message.signatures)[::-1]
    del message.signatures[:]
    message.signatures.extend(signatures)


def cut(message: SubmitCertifiedAggregate) -> None:
    message.signatures[0].signature = message.signatures[0].signature[:63]


def invalid_one_more(message: SubmitCertifiedAggregate) -> None:
    """Enough without it, and still refused: whoever is named is paid."""
    member = next(k for k in [*AGGREGATORS, *VALIDATORS] if is_missing(message, k))
    signatures = [*message.signatures, BallotSignature(member=member.address, signature=bytes(64))]
    del message.signatures[:]
    message.signatures.extend(sorted(signatures, key=lambda s: s.member))


def is_missing(message: SubmitCertifiedAggregate, account: SigningKey) -> bool:
    signers = {s.member for s in message.signatures}
    group = AGGREGATORS if AGGREGATORS[0].address in signers else VALIDATORS
    return account in group and account.address not in signers


@pytest.mark.parametrize("spoil", [swap, double, reverse, cut, invalid_one_more], ids=lambda f: f.__name__)
def test_signatures_that_are_not_in_order_or_not_valid(
    task: TaskHarness, spoil: Callable[[SubmitCertifiedAggregate], None]
) -> None:
    message = task.submit_certified(1, enough(task))
    spoil(message)
    task.ledger.reject(errors.BadBallots, enough(task)[0], message)


def test_optimistic_tasks_take_no_certified_model() -> None:
    task = frozen(MODE_OPTIMISTIC)
    task.ledger.reject(errors.WrongMode, AGGREGATORS[0], task.submit_certified(1, AGGREGATORS[:2]))


def test_certified_tasks_take_no_single_aggregators_model(task: TaskHarness) -> None:
    signer = enough(task)[0]
    certified = task.submit_certified(1, enough(task))
    alone = SubmitAggregate(
        task_id=1, round=1, turn=0, model_root=certified.model_root, certificate=certified.certificate
    )
    task.ledger.reject(errors.WrongMode, signer, alone)


REJECTED: list[tuple[type[errors.Rejection], dict[str, Any]]] = [
    (errors.UnknownTask, {"task_id": 2}),
    (errors.UnknownRound, {"round": 2}),
    (errors.UnknownRound, {"round": 0}),
    (errors.StaleBase, {"parent_attempt": 1}),
    (errors.NotYourTurn, {"turn": 1}),
    (errors.InvalidField, {"model_root": bytes(31)}),
    (errors.BadBallots, {"model_root": bytes(32)}),  # before the certificate: a claim takes longer to check
]


@pytest.mark.parametrize(("rejection", "overrides"), REJECTED)
def test_another_place_than_this_turn(
    task: TaskHarness, rejection: type[errors.Rejection], overrides: dict[str, Any]
) -> None:
    task.ledger.reject(rejection, enough(task)[0], task.submit_certified(1, enough(task), **overrides))


def test_another_tasks_certificate_and_ballots(task: TaskHarness) -> None:
    """A second task that is the same but for its id: nothing of the first serves it."""
    other = TaskHarness(task.ledger)
    other.create(mode=task.parameters.mode)
    other.join_all()
    task.ledger.accept(REQUESTER, other.start_task())
    other.commit_all(1)
    message = task.submit_certified(1, enough(task))
    message.task_id = other.task_id
    task.ledger.reject(errors.BadBallots, enough(task)[0], message)
    del message.signatures[:]
    message.signatures.extend(other.submit_certified(1, enough(task)).signatures)
    task.ledger.reject(errors.BadCertificate, enough(task)[0], message)


def test_I4_the_model_has_to_be_stored_by_its_sender(task: TaskHarness) -> None:
    signers = enough(task)
    task.ledger.reject(errors.BadCertificate, signers[0], task.submit_certified(1, signers, owner=signers[1]))
    few = task.certify(signers[0], 1, task.honest_model(1), signers=REPLICAS[:2])
    task.ledger.reject(errors.BadCertificate, signers[0], task.submit_certified(1, signers, certificate=few))
    short = task.certify(
        signers[0], 1, task.honest_model(1), retain_until_height=task.ledger.height + task.task.retention_blocks
    )
    task.ledger.reject(errors.RetentionTooShort, signers[0], task.submit_certified(1, signers, certificate=short))


def test_while_training_there_is_nothing_to_certify() -> None:
    task = TaskHarness.start(mode=MODE_QUORUM)
    model = task.models[0]
    message = task.submit_certified(1, AGGREGATORS[:2], model)
    task.ledger.reject(errors.WrongRoundStatus, AGGREGATORS[0], message)


def test_after_its_deadline_a_turns_ballots_do_not_count(task: TaskHarness) -> None:
    """In the next turn they are signed again: each answer is to a question of its own."""
    signer = enough(task)[0]
    lasting = task.certify(signer, 1, task.honest_model(1), retain_until_height=10_000)
    late = task.submit_certified(1, enough(task), certificate=lasting)
    task.ledger.blocks(task.round(1).aggregation_deadline_height - task.ledger.height)
    assert task.round(1).turn == 1
    task.ledger.reject(errors.NotYourTurn, signer, late)
    late.turn = 1
    task.ledger.reject(errors.BadBallots, signer, late)
    task.ledger.accept(signer, task.submit_certified(1, enough(task)))


def test_in_the_block_of_its_deadline_it_counts(task: TaskHarness) -> None:
    deadline = task.round(1).aggregation_deadline_height
    task.ledger.blocks(deadline - task.ledger.height - 1)
    task.certify_round(1, enough(task))
    assert task.ledger.height == deadline
    assert (task.round(1).status, task.round(1).turn) == (state_pb2.ROUND_STATUS_OPEN, 0)


def test_nobody_is_late_and_at_last_the_round_is_dropped(task: TaskHarness) -> None:
    task.ledger.blocks(3 * 5)  # three turns of five blocks
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    assert (attempt.aggregator, list(attempt.signers), attempt.model_root) == (b"", [], task.models[0].root)
    assert [task.ledger.must_stake(AGGREGATOR, a).amount for a in AGGREGATORS] == [AGGREGATOR_STAKE] * 3
    assert [task.ledger.must_stake(AGGREGATOR, a).excluded_until_height for a in AGGREGATORS] == [0] * 3
    assert [task.ledger.must_stake(VALIDATOR, v).amount for v in VALIDATORS] == [VALIDATOR_STAKE] * 4
    assert task.ledger.state.supply.burned == 0


def test_the_signers_stakes_are_held_as_evidence(task: TaskHarness) -> None:
    role = AGGREGATOR if task.parameters.mode == MODE_QUORUM else VALIDATOR
    task.certify_round(1, enough(task))
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    for signer in enough(task):
        assert task.ledger.must_stake(role, signer).evidence_height == attempt.evidence_height
    left_out = (AGGREGATORS if role == AGGREGATOR else VALIDATORS)[-1]
    assert task.ledger.must_stake(role, left_out).evidence_height == 0


def test_quorum_a_proof_convicts_every_signer() -> None:
    """More than f lied together, against the assumption. Each of them signed it, so each answers for it."""
    task = frozen(MODE_QUORUM)
    lie = task.certify_round(1, AGGREGATORS[:2], task.poisoned_model(1))
    balance = task.ledger.balance(STRANGER)
    task.ledger.accept(STRANGER, task.prove(lie))
    for culprit in AGGREGATORS[:2]:
        assert task.ledger.must_stake(AGGREGATOR, culprit).amount == 0
        assert task.ledger.must_stake(AGGREGATOR, culprit).excluded
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[2]).amount == AGGREGATOR_STAKE
    [record] = [c for _, c in task.ledger.state.disputes.items()]
    assert list(record.signers) == sorted(a.address for a in AGGREGATORS[:2])
    assert (record.aggregator, record.slashed, record.reverted) == (b"", 2 * AGGREGATOR_STAKE, True)
    assert task.ledger.balance(STRANGER) == balance - FEE  # no time to announce it
    assert task.ledger.must_attempt(lie).status == state_pb2.ATTEMPT_STATUS_CONVICTED


def test_quorum_with_too_few_left_the_task_waits_and_ends_with_a_refund() -> None:
    """A11: of three aggregators one is left, and two would have to sign."""
    task = frozen(MODE_QUORUM)
    lie = task.certify_round(1, AGGREGATORS[:2], task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(lie))
    assert task.task.status == state_pb2.TASK_STATUS_PAUSED
    task.ledger.reject(errors.WrongTaskStatus, AGGREGATORS[2], task.submit_certified(1, [AGGREGATORS[2]]))
    task.ledger.blocks(13)  # the round is dropped, and settles
    assert task.task.status == state_pb2.TASK_STATUS_ABORTED
    assert task.task.escrow == 0


def test_pbft_a_proof_slashes_every_signer_and_takes_no_place_away() -> None:
    """More than 2/3 of the power lied: without them the chain would stand still, so they stay, with what is left."""
    task = frozen(MODE_PBFT)
    lie = task.certify_round(1, VALIDATORS[:3], task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(lie))
    for culprit in VALIDATORS[:3]:
        stake = task.ledger.must_stake(VALIDATOR, culprit)
        assert (stake.amount, stake.excluded) == (VALIDATOR_STAKE // 2, False)
        assert not task.ledger.state.validators[culprit.address].tombstoned
    assert task.ledger.must_stake(VALIDATOR, VALIDATORS[3]).amount == VALIDATOR_STAKE
    assert sorted(task.ledger.validators.values()) == [50, 50, 50, 100]
    assert task.round(1).turn == 1
    task.ledger.accept(VALIDATORS[0], task.submit_certified(1, VALIDATORS))


def test_a_right_model_is_never_convicted(task: TaskHarness) -> None:
    right = task.certify_round(1, enough(task))
    task.ledger.accept(STRANGER, task.prove(right))
    assert task.ledger.must_attempt(right).status == state_pb2.ATTEMPT_STATUS_OPEN
    assert not task.ledger.state.disputes.all_keys()


def test_once_settled_it_cannot_be_convicted(task: TaskHarness) -> None:
    lie = task.certify_round(1, enough(task), task.poisoned_model(1))
    proof: SubmitFraudProof = task.prove(lie)
    task.ledger.blocks(2)
    assert task.task.settled_round == 1
    task.ledger.reject(errors.UnknownAttempt, STRANGER, proof)


def test_what_is_built_on_a_lie_is_void_and_compensated() -> None:
    """Round 2 is open when round 1 is proven wrong: compensated is who worked on it, and had no part in the lie."""
    task = frozen(MODE_QUORUM)
    lie = task.certify_round(1, AGGREGATORS[:2], task.poisoned_model(1))
    proof = task.prove(lie)
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 2)) for c in CLIENTS), proposer=0)
    later = task.ledger.sign(AGGREGATORS[1], task.submit_certified(2, AGGREGATORS[1:], owner=AGGREGATORS[1]))
    results = task.ledger.block(later, task.ledger.sign(STRANGER, proof), proposer=0)
    assert [r.code for r in results.results] == [0, 0]
    compensated = {
        dict(e.attributes)["account"]: int(dict(e.attributes)["amount"])
        for e in results.events
        if e.kind == "compensated"
    }
    assert compensated == {c.address.hex(): 100 for c in CLIENTS} | {AGGREGATORS[2].address.hex(): 500}


# With what other kinds do


def test_a_member_demands_an_update_that_cannot_be_had_and_ballots_are_signed_again(task: TaskHarness) -> None:
    """It is struck, so that there is another model to sign: a ballot of before the restart counts no more."""
    signers = enough(task)
    task.ledger.accept(signers[1], demand(task, 1, 0))
    task.ledger.blocks(5)
    assert (task.round(1).restarts, task.round(1).committed) == (1, 4)
    message = task.submit_certified(1, signers)
    first = message.signatures[0]
    signer = next(k for k in signers if k.address == first.member)
    first.signature = sign_ballot(signer, task.ballot(1, message.model_root, restarts=0))
    task.ledger.reject(errors.BadBallots, signers[0], message)
    attempt_id = task.certify_round(1, signers)
    assert len(task.ledger.must_attempt(attempt_id).inputs) == 4


def test_who_is_no_member_demands_nothing(task: TaskHarness) -> None:
    outsider = VALIDATORS[0] if task.parameters.mode == MODE_QUORUM else AGGREGATORS[0]
    task.ledger.reject(errors.BadDemand, outsider, demand(task, 1, 0))


def test_a_model_that_nobody_can_read_is_redone_and_nobody_is_late(task: TaskHarness) -> None:
    """Enough members have had it in their hands; which of them should have kept it nobody can say."""
    attempt_id = task.certify_round(1, enough(task))
    task.ledger.accept(STRANGER, demand(task, 1, attempt_id=attempt_id, model=True))
    task.ledger.blocks(6)
    assert task.ledger.must_attempt(attempt_id).status == state_pb2.ATTEMPT_STATUS_VOID
    assert (task.round(1).turn, task.round(1).status) == (1, state_pb2.ROUND_STATUS_AGGREGATING)
    for role, accounts in ((AGGREGATOR, AGGREGATORS), (VALIDATOR, VALIDATORS)):
        assert all(task.ledger.must_stake(role, a).excluded_until_height == 0 for a in accounts)
    assert task.ledger.must_stake(AGGREGATOR, AGGREGATORS[0]).amount == AGGREGATOR_STAKE
    task.ledger.accept(enough(task)[0], task.submit_certified(1, enough(task)))


def test_a_vote_can_void_it_and_a_proof_still_convict(task: TaskHarness) -> None:
    right = task.honest_model(1).root
    lie = task.certify_round(1, enough(task), task.poisoned_model(1))
    challenge(task, lie)
    run_vote(task, lie, votes_for(right, right, right))
    assert task.ledger.must_attempt(lie).status == state_pb2.ATTEMPT_STATUS_VOID
    assert task.round(1).turn == 1
    assert not task.ledger.state.disputes.all_keys()
    task.ledger.accept(STRANGER, task.prove(lie))
    assert task.ledger.must_attempt(lie).status == state_pb2.ATTEMPT_STATUS_CONVICTED
    [record] = [c for _, c in task.ledger.state.disputes.items()]
    assert (record.reverted, list(record.signers)) == (False, sorted(k.address for k in enough(task)))


def test_replicas_are_paid_for_certified_rounds_without_an_audit(task: TaskHarness) -> None:
    """There is no window in which to answer one."""
    task.certify_round(1, enough(task))
    before = [task.ledger.balance(r) for r in REPLICAS]
    task.ledger.blocks(2)
    assert task.task.settled_round == 1
    assert [task.ledger.balance(r) - b for r, b in zip(REPLICAS, before, strict=True)] == [10] * 4
