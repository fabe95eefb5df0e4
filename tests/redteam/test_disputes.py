"""Red team, part 6: votes, demands and settlements turned against the chain, and against who only works on it."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.block_end import convictions, settlement, unbonding
from abci_app.block_end import votes as votes_step
from abci_app.state import State
from abci_app.transitions import create_task
from optfl import errors, tasks
from optfl.beacon import compute_beacon
from optfl.fees import compute_fee
from optfl.sketch import MAX_VALUE, _draw_places
from optfl.transactions import decode_reveal
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import MODE_QUORUM, CreateTask, OpenChallenge, Sketch, Unbond, Vote
from support.ledger import (
    AGGREGATORS,
    CLIENTS,
    PARAMS,
    REQUESTER,
    STRANGER,
    VALIDATOR,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    task_parameters,
)
from support.votes import (
    FLOAT_TASK,
    await_seed,
    challenge,
    commit_vote,
    get_challenge,
    make_model,
    reveal_vote,
    run_vote,
    sketch_of,
    start_float_task,
    votes_for,
)

UNBONDING, EVIDENCE = PARAMS["unbonding_blocks"], PARAMS["evidence_blocks"]


def test_hundreds_of_rounds_wait_for_one_vote_and_settle_in_one_block(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 256 rounds with 1000 clients each, what four tasks pay is more than CometBFT takes as a block's results."""
    if not guarded:
        monkeypatch.setattr(settlement, "MAX_SETTLED_ROUNDS", 256)
    task = TaskHarness.start(rounds=12, vote_commit_blocks=60)
    task.run_round(1)
    challenge(task, 1)
    for number in range(2, 13):
        task.run_round(number)
    task.ledger.blocks(20)
    assert task.task.settled_round == 0
    root = task.models[1].root
    results = run_vote(task, 1, votes_for(root, root, root, root))
    settled = [sum(e.kind == "round_settled" for e in results.events)]
    while task.task.status == state_pb2.TASK_STATUS_RUNNING:
        settled.append(sum(e.kind == "round_settled" for e in task.ledger.block().events))
    assert settled == ([4, 4, 4] if guarded else [12])


def test_a_deep_revert_says_of_each_lost_reward_who_was_compensated(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As above, with the events of what four lies in one block have voided."""
    if not guarded:
        monkeypatch.setattr(convictions, "_compensate", _compensate_each)
    task = TaskHarness.start(rounds=12, min_window_blocks=60)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    for number in range(2, 9):
        task.run_round(number)
    results = task.ledger.block(task.ledger.sign(STRANGER, task.prove(1)))
    told = [e for e in results.events if e.kind == "compensated"]
    assert len(told) == (len(CLIENTS) + 2 if guarded else 7 * len(CLIENTS) + 5)


def _compensate_each(state: State, task_id: int, lost: Any, culprits: set[bytes], budget: int) -> int:
    for loss in lost:
        if loss.account not in culprits:
            state.emit("compensated", task=task_id, account=loss.account, amount=0)
    return 0


def test_a_requester_holds_every_validators_stake_for_years(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vote that may take two million blocks, on a model of its own, for half a bond; then the next one."""
    if not guarded:
        monkeypatch.setattr(unbonding, "_compute_last_held", lambda state, entry: unbonding.MAX_HEIGHT)
    task = TaskHarness.start(vote_commit_blocks=1_000_000, vote_reveal_blocks=1_000_000)
    task.run_round(1)
    task.ledger.accept(VALIDATORS[0], Unbond(role=VALIDATOR, amount=1_000))
    challenge(task, 1)
    assert task.ledger.must_stake(VALIDATOR, VALIDATORS[0]).evidence_height > 2_000_000
    task.ledger.blocks(UNBONDING + EVIDENCE)
    assert bool(task.ledger.unbonding(VALIDATOR, VALIDATORS[0])) != guarded


def test_a_proposer_claims_a_model_that_the_projection_does_not_see(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows its own reveal, so the beacon of its block: its aggregator submits there, and its friend challenges.

    There is one vote on an attempt, and a float task has no proofs: whom this vote acquits is out of reach.
    """
    if not guarded:  # the seed is the beacon of the block that opens the vote
        monkeypatch.setattr(votes_step, "_is_seed_due", lambda state, block, attempt: True)
    task = TaskHarness.start(LedgerHarness(beacons=True), **FLOAT_TASK)
    task.commit_all(1)
    ledger = task.ledger
    reveal = decode_reveal(ledger.next_block().transactions[0])
    assert reveal is not None
    places = _draw_places(compute_beacon(ledger.state.chain.beacon, reveal.preimage), 0)[: task.parameters.length]
    first, second = next(
        (i, j) for i, place in enumerate(places) for j in range(i + 1, len(places)) if places[j] == place
    )
    honest = make_model(task, 1)
    values = honest.values.copy()
    values[first], values[second] = 1_000_000, -1_000_000
    lie = ChunkedVector(honest.shape, values)
    opening = OpenChallenge(task_id=task.task_id, attempt_id=1)
    results = ledger.block(
        ledger.sign(task.due_aggregator(1), task.submit_aggregate(1, lie)), ledger.sign(STRANGER, opening)
    ).results
    assert [result.code for result in results[1:]] == [0, 0]
    await_seed(task, 1)
    run_vote(task, 1, {v: sketch_of(task, 1, honest) for v in VALIDATORS})
    verdict = get_challenge(task, 1).verdict
    assert verdict == (state_pb2.VERDICT_UPHELD if guarded else state_pb2.VERDICT_REJECTED)


def test_a_requester_has_all_validators_vote_and_pay_for_it(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of its own, with a bond of one token: each challenge costs it that, and every validator two fees."""
    if not guarded:
        monkeypatch.setattr(create_task, "VOTE_BYTES", ())
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    create = CreateTask(parameters=task_parameters(challenge_bond=1), initial_model_root=bytes(32))
    assert task.ledger.send(REQUESTER, create).code == (errors.InvalidTaskParameters.code if guarded else 0)


def test_half_a_bond_pays_the_fees_of_those_who_voted() -> None:
    params = LedgerHarness().state.params
    sketch = Vote(sketch=Sketch(values=[-MAX_VALUE] * 256))
    task = start_float_task()
    challenge(task, 1)
    await_seed(task, 1)
    messages = (commit_vote(task, 1, VALIDATORS[0], sketch), reveal_vote(task, 1, VALIDATORS[0], sketch))
    sizes = [len(task.ledger.sign(VALIDATORS[0], message)) for message in messages]
    assert all(size <= most for size, most in zip(sizes, create_task.VOTE_BYTES, strict=True))
    assert sum(compute_fee(params, size) for size in sizes) * 4 <= task_parameters().challenge_bond // 2


def test_one_of_two_aggregators_that_joined_makes_models_alone(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three were named so that two have to agree; one did not join. There is no window in which to object."""
    if not guarded:  # f+1 with f = ⌊(n − 1) / 2⌋
        monkeypatch.setattr(tasks, "compute_signers_needed", lambda aggregators: (aggregators - 1) // 2 + 1)
    task = TaskHarness(LedgerHarness())
    task.ledger.register_participants()
    task.create(mode=MODE_QUORUM)
    for aggregator in AGGREGATORS[:2]:
        task.ledger.accept(aggregator, task.join())
    task.ledger.accept(REQUESTER, task.start_task())
    task.commit_all(1)
    lie = task.submit_certified(1, AGGREGATORS[:1], task.poisoned_model(1))
    assert task.ledger.send(AGGREGATORS[0], lie).code == (errors.BadBallots.code if guarded else 0)
