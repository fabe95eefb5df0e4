"""Steps of a round's life that more than one step of the block's end takes: windows, models, drops."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abci_app.state import State
from abci_app.state.rounds import get_commitments, get_model, is_window_over, was_window_over
from optfl.wire import state_pb2
from support.ledger import CLIENTS, STRANGER, TaskHarness


def with_validators(validators: list[tuple[int, int]]) -> State:
    """(power, last proposed height) of each."""
    state = State({})
    for i, (power, proposed) in enumerate(validators):
        operator = bytes([i]) * 20
        state.validators.put(
            operator, state_pb2.Validator(operator=operator, power=power, last_proposed_height=proposed)
        )
    return state


@pytest.mark.parametrize(
    ("validators", "height", "is_over"),
    [
        ([(1, 11), (1, 12), (1, 0)], 20, True),
        ([(1, 11), (1, 12), (1, 0)], 19, False),  # not before its height
        ([(1, 11), (1, 10), (1, 0)], 20, False),  # exactly a third
        ([(1, 10), (1, 10), (1, 10)], 99, False),  # the opening block does not count
        ([(1, 11), (2, 0)], 99, False),
        ([(2, 11), (3, 0)], 99, True),
        ([(0, 11), (3, 0)], 99, False),  # whose power is gone
        ([(2**60, 11), (2**60, 0), (2**60, 0)], 99, False),
        ([(2**60 + 1, 11), (2**60, 0), (2**60, 0)], 99, True),  # a float would not tell
        ([], 99, False),
    ],
)
def test_L1_a_window_closes_at_its_height_when_more_than_a_third_has_proposed_since_it_opened(
    validators: list[tuple[int, int]], height: int, is_over: bool
) -> None:
    assert is_window_over(with_validators(validators), 10, 20, height) == is_over


@given(st.lists(st.tuples(st.integers(0, 2**59), st.integers(0, 30)), max_size=6), st.integers(0, 40))
def test_a_closed_window_stays_closed(validators: list[tuple[int, int]], height: int) -> None:
    state = with_validators(validators)
    if is_window_over(state, 10, 20, height):
        assert is_window_over(state, 10, 20, height + 1)


def before_this_block(validators: list[tuple[int, int]], proposer: int, height: int) -> State:
    """The state within the block at `height`, whose proposer is validator `proposer`."""
    state = with_validators(validators)
    within = State({"validators": {k: v for k, v in state.validators.changes.items() if v is not None}})
    operator = bytes([proposer]) * 20
    found = within.validators[operator]
    found.last_proposed_height = height
    within.validators.put(operator, found)
    return within


@pytest.mark.parametrize(
    ("validators", "proposer", "height", "was_over"),
    [
        ([(1, 11), (1, 12), (1, 0)], 2, 20, False),  # this is the block that closes it
        ([(1, 11), (1, 12), (1, 0)], 2, 21, True),
        ([(1, 11), (1, 12), (1, 0)], 0, 21, True),  # its proposer counts for what it proposed before
        ([(1, 11), (1, 0), (1, 0)], 1, 25, False),  # this block closes it, late
        ([(1, 11), (1, 0), (1, 0)], 0, 25, False),
        ([(1, 15)], 0, 21, True),  # a chain of one validator has windows too
    ],
)
def test_A8_a_window_was_over_once_the_block_that_closes_it_is_past(
    validators: list[tuple[int, int]], proposer: int, height: int, was_over: bool
) -> None:
    assert was_window_over(before_this_block(validators, proposer, height), 10, 20, height) == was_over


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 24)), min_size=1, max_size=5),
    st.integers(0, 4),
    st.integers(15, 30),
)
def test_it_was_over_if_it_is_over_at_the_end_of_the_block_before(
    validators: list[tuple[int, int]], proposer: int, height: int
) -> None:
    validators = [(power, min(proposed, height - 1)) for power, proposed in validators]
    is_over = is_window_over(with_validators(validators), 10, 20, height - 1)
    state = before_this_block(validators, proposer % len(validators), height)
    assert was_window_over(state, 10, 20, height) == is_over


def test_the_model_of_an_attempt_outlives_its_record() -> None:
    """A settled attempt leaves its digest, and 0 stands for G_0."""
    task = TaskHarness.start(training_blocks=50)
    task.run_round(1)
    state = task.ledger.state
    assert get_model(state, task.task, 0) == task.models[0].root
    assert get_model(state, task.task, 1) == task.models[1].root
    task.ledger.blocks(6)
    assert task.ledger.attempt(1) is None
    assert get_model(task.ledger.state, task.task, 1) == task.models[1].root


def test_commitments_come_in_selection_order() -> None:
    task = TaskHarness.start(training_blocks=50)
    for client in (CLIENTS[3], CLIENTS[0], CLIENTS[4]):
        task.ledger.accept(client, task.commit_update(client, 1))
    order = [c.client for c in get_commitments(task.ledger.state, task.round(1))]
    assert order == [a for a in task.round(1).selected if a in order]
    assert len(order) == 3


def test_a_dropped_rounds_model_is_its_base_and_training_goes_on_from_it() -> None:
    """Rounds 1 and 3 are aggregated, 2 is dropped: nothing is lost but its updates."""
    task = TaskHarness.start()
    task.run_round(1)
    task.ledger.blocks(5)
    dropped = task.ledger.attempt(2)
    assert dropped is not None
    assert dropped.model_root == dropped.base_root == task.models[1].root
    task.models[2] = task.models[1]
    task.run_round(3)
    assert task.round(4).base_root == task.models[3].root


def test_a_void_dropped_round_does_not_come_back() -> None:
    task = TaskHarness.start(min_window_blocks=30)
    task.commit_all(1)
    bad = task.aggregate(1, task.poisoned_model(1))
    task.ledger.blocks(5)  # round 2 is dropped
    assert task.task.head_round == 3
    task.ledger.accept(STRANGER, task.prove(bad))
    assert task.task.head_round == 1
    assert task.ledger.attempt(2).status == state_pb2.ATTEMPT_STATUS_VOID  # type: ignore[union-attr]
