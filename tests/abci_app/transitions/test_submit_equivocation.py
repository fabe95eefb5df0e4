"""SubmitEquivocation: two ballots with two answers to one question cost their signer, once; nothing else does."""

from __future__ import annotations

from typing import Any

import pytest

from optfl import errors
from optfl.ballots import sign_ballot
from optfl.keys import SigningKey
from optfl.votes import build_ballot
from optfl.wire.transaction_pb2 import (
    BALLOT_KIND_AGGREGATE,
    BALLOT_KIND_COMMITMENT,
    MODE_PBFT,
    MODE_QUORUM,
    AddStake,
    Ballot,
    SubmitEquivocation,
    Unbond,
    Vote,
)
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    BALANCE,
    CHAIN_ID,
    CLIENTS,
    FEE,
    NOBODY,
    STRANGER,
    VALIDATOR,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
)
from support.votes import ABSTAIN, challenge, commit_vote, get_attempt

LIAR = VALIDATORS[3]
PERCENT, REPORTER_PERCENT = 50, 9


def with_attempt(**overrides: Any) -> TaskHarness:
    task = TaskHarness.start(LedgerHarness({"min_validators": 1}), min_window_blocks=30, **overrides)
    task.run_round(1)
    return task


def ballot(digest: int = 1, **overrides: Any) -> Ballot:
    fields: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "task_id": 1,
        "round": 1,
        "kind": BALLOT_KIND_COMMITMENT,
        "digest": bytes([digest]) * 32,
    }
    return Ballot(**{**fields, **overrides})


def evidence(first: Ballot, second: Ballot, signer: SigningKey = LIAR, **overrides: Any) -> SubmitEquivocation:
    fields = {
        "member": signer.address,
        "first": first,
        "first_signature": sign_ballot(signer, first),
        "second": second,
        "second_signature": sign_ballot(signer, second),
    }
    return SubmitEquivocation(**{**fields, **overrides})


def stake_of(task: TaskHarness, member: SigningKey = LIAR, role: int = VALIDATOR) -> int:
    return task.ledger.must_stake(role, member).amount


def test_V3_two_signed_votes_cost_a_part_of_the_stake() -> None:
    """As they come: one commitment is on the ledger, another one went to somebody else."""
    task = with_attempt()
    challenge(task, 1)
    messages = [commit_vote(task, 1, LIAR, vote) for vote in (Vote(root=bytes(32)), ABSTAIN)]
    task.ledger.accept(LIAR, messages[0])
    ballots = [build_ballot(CHAIN_ID, get_attempt(task, 1), message.commitment) for message in messages]
    signatures = {"first_signature": messages[0].signature, "second_signature": messages[1].signature}
    result = task.ledger.accept(STRANGER, evidence(*ballots, **signatures))
    assert [event.kind for event in result.events] == ["member_equivocated"]
    assert stake_of(task) == VALIDATOR_STAKE // 2


def test_the_slash_is_split_between_reporter_and_fire() -> None:
    task = with_attempt()
    burned, balance = task.ledger.state.supply.burned, task.ledger.balance(STRANGER)
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    slashed = VALIDATOR_STAKE * PERCENT // 100
    reward = slashed * REPORTER_PERCENT // 100
    assert task.ledger.balance(STRANGER) == balance - FEE + reward
    assert task.ledger.state.supply.burned == burned + slashed - reward
    record = next(e for _, e in task.ledger.state.equivocations.items())
    assert (record.member, record.height, record.slashed) == (LIAR.address, task.ledger.height, slashed)


def test_what_is_unbonding_is_slashed_too() -> None:
    task = with_attempt()
    task.ledger.accept(LIAR, Unbond(role=VALIDATOR, amount=VALIDATOR_STAKE))
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    assert [entry.amount for entry in task.ledger.unbonding(VALIDATOR, LIAR)] == [VALIDATOR_STAKE // 2]


def test_voting_power_goes_with_the_stake() -> None:
    task = with_attempt()
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    found = task.ledger.validator(LIAR)
    assert found is not None
    assert (found.power, found.tombstoned) == (50, False)


@pytest.mark.parametrize("sender", [STRANGER, VALIDATORS[0], CLIENTS[0], LIAR])
def test_anyone_may_report(sender: SigningKey) -> None:
    task = with_attempt()
    task.ledger.accept(sender, evidence(ballot(1), ballot(2)))
    assert stake_of(task) == VALIDATOR_STAKE // 2


def test_it_needs_neither_the_attempt_nor_its_vote() -> None:
    """Evidence outlives the records that it is about."""
    task = with_attempt()
    task.ledger.accept(STRANGER, evidence(ballot(1, round=77, turn=5), ballot(2, round=77, turn=5)))


# Once.


def test_L7_one_offence_one_slash() -> None:
    task = with_attempt()
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    for first, second in [(1, 2), (2, 1), (1, 3), (3, 4)]:
        task.ledger.reject(errors.AlreadyPunished, CLIENTS[0], evidence(ballot(first), ballot(second)))
    assert stake_of(task) == VALIDATOR_STAKE // 2


def test_L7_nor_twice_in_one_block() -> None:
    task = with_attempt()
    txs = [task.ledger.sign(sender, evidence(ballot(1), ballot(2))) for sender in (STRANGER, CLIENTS[0])]
    assert [result.code for result in task.ledger.block(*txs).results] == [0, errors.AlreadyPunished.code]


@pytest.mark.parametrize("question", [{"round": 2}, {"turn": 1}, {"parent_attempt": 1}])
def test_another_question_is_another_offence(question: dict[str, Any]) -> None:
    task = with_attempt()
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    task.ledger.accept(STRANGER, evidence(ballot(1, **question), ballot(2, **question)))
    assert stake_of(task) == VALIDATOR_STAKE // 4


def test_another_members_is_another_offence() -> None:
    task = with_attempt()
    for member in VALIDATORS[:2]:
        task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2), member))
        assert stake_of(task, member) == VALIDATOR_STAKE // 2


# What is none.


def test_one_answer_is_none() -> None:
    task = with_attempt()
    task.ledger.reject(errors.NotEquivocation, STRANGER, evidence(ballot(1), ballot(1)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", "other"),
        ("task_id", 2),
        ("round", 2),
        ("parent_attempt", 1),
        ("turn", 1),
        ("restarts", 1),
        ("kind", BALLOT_KIND_AGGREGATE),
    ],
)
def test_L8_answers_to_two_questions_are_none(field: str, value: Any) -> None:
    task = with_attempt()
    task.ledger.reject(errors.NotEquivocation, STRANGER, evidence(ballot(1), ballot(2, **{field: value})))


def test_L8_nor_are_ballots_of_another_chain() -> None:
    task = with_attempt()
    message = evidence(ballot(1, chain_id="other"), ballot(2, chain_id="other"))
    task.ledger.reject(errors.NotEquivocation, STRANGER, message)


@pytest.mark.parametrize("kind", [0, 3, 99])
def test_nor_are_ballots_of_no_kind(kind: int) -> None:
    task = with_attempt()
    message = evidence(ballot(1, kind=kind), ballot(2, kind=kind))
    task.ledger.reject(errors.NotEquivocation, STRANGER, message)


def test_nobody_is_slashed_for_what_another_signed() -> None:
    task = with_attempt()
    first, second = ballot(1), ballot(2)
    for overrides in (
        {"member": VALIDATORS[0].address},
        {"first_signature": sign_ballot(VALIDATORS[0], first)},
        {"second_signature": sign_ballot(VALIDATORS[0], second)},
        {"first_signature": b""},
        {"second_signature": bytes(64)},
        {"second_signature": sign_ballot(LIAR, first)},
    ):
        task.ledger.reject(errors.NotEquivocation, STRANGER, evidence(first, second, **overrides))
    assert stake_of(task) == VALIDATOR_STAKE


@pytest.mark.parametrize("field", ["first", "second"])
def test_a_digest_has_32_bytes(field: str) -> None:
    task = with_attempt()
    ballots = {"first": ballot(1), "second": ballot(2), field: ballot(digest=3)}
    ballots[field].digest = b"short"
    task.ledger.reject(errors.InvalidField, STRANGER, evidence(ballots["first"], ballots["second"]))


def test_a_member_has_an_address() -> None:
    task = with_attempt()
    task.ledger.reject(errors.InvalidField, STRANGER, evidence(ballot(1), ballot(2), member=bytes(19)))


def test_the_task_must_exist() -> None:
    task = with_attempt()
    task.ledger.reject(errors.UnknownTask, STRANGER, evidence(ballot(1, task_id=2), ballot(2, task_id=2)))


@pytest.mark.parametrize("signer", [STRANGER, NOBODY, AGGREGATORS[0]])
def test_who_is_no_validator_has_no_vote_to_double(signer: SigningKey) -> None:
    task = with_attempt()
    task.ledger.reject(errors.NotRegistered, STRANGER, evidence(ballot(1), ballot(2), signer))


# Models signed by ballot.


def created(**overrides: Any) -> TaskHarness:
    """A task in another mode; it need not run for its ballots to be evidence."""
    ledger = LedgerHarness({"min_validators": 1})
    ledger.register_participants()
    task = TaskHarness(ledger)
    task.create(**overrides)
    return task


def aggregate_ballots() -> tuple[Ballot, Ballot]:
    return ballot(1, kind=BALLOT_KIND_AGGREGATE), ballot(2, kind=BALLOT_KIND_AGGREGATE)


def test_in_mode_quorum_an_aggregators_stake_answers() -> None:
    task = created(mode=MODE_QUORUM)
    task.ledger.accept(STRANGER, evidence(*aggregate_ballots(), AGGREGATORS[1]))
    assert stake_of(task, AGGREGATORS[1], AGGREGATOR) == AGGREGATOR_STAKE // 2
    assert task.ledger.balance(STRANGER) == BALANCE - FEE + AGGREGATOR_STAKE * 9 // 200


def test_in_mode_pbft_a_validators() -> None:
    task = created(mode=MODE_PBFT)
    task.ledger.accept(STRANGER, evidence(*aggregate_ballots()))
    assert stake_of(task) == VALIDATOR_STAKE // 2


def test_in_mode_optimistic_nobody_signs_models() -> None:
    task = created()
    task.ledger.reject(errors.WrongMode, STRANGER, evidence(*aggregate_ballots(), AGGREGATORS[0]))


def test_in_mode_quorum_only_the_tasks_aggregators_do() -> None:
    task = created(mode=MODE_QUORUM, aggregators=[a.address for a in AGGREGATORS[:1]])
    task.ledger.reject(errors.NotEquivocation, STRANGER, evidence(*aggregate_ballots(), AGGREGATORS[1]))
    task.ledger.reject(errors.NotEquivocation, STRANGER, evidence(*aggregate_ballots()))


def test_a_stake_that_is_raised_later_does_not_count_again() -> None:
    task = with_attempt()
    task.ledger.accept(STRANGER, evidence(ballot(1), ballot(2)))
    task.ledger.accept(LIAR, AddStake(role=VALIDATOR, amount=50_000))
    task.ledger.reject(errors.AlreadyPunished, STRANGER, evidence(ballot(1), ballot(2)))
