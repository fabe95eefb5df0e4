"""Views in parts: what an asker has and what it is sent are the whole view."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.views import UnknownPart, build_parts, join_parts
from optfl.wire import state_pb2

NUMBERS = st.lists(st.integers(0, 3), max_size=5)


def make_view(
    height: int, escrow: int, rounds: list[int], attempts: list[int], audits: list[int]
) -> state_pb2.TaskView:
    """Parts may be equal, or empty."""
    return state_pb2.TaskView(
        height=height,
        task=state_pb2.Task(task_id=1, escrow=escrow),
        rounds=[state_pb2.Round(round=number) for number in rounds],
        commitments=[
            state_pb2.RoundCommitments(commitments=[state_pb2.IndexedCommitment(index=i) for i in range(number)])
            for number in rounds
        ],
        attempts=[state_pb2.Attempt(attempt_id=number) for number in attempts],
        audits=[state_pb2.AnsweredAudit(attempt_id=number) for number in audits],
        replica_keys=[b""],
    )


VIEWS = st.builds(make_view, st.integers(0, 9), st.integers(0, 2), NUMBERS, NUMBERS, NUMBERS)


@given(VIEWS, VIEWS)
def test_what_is_had_and_what_is_sent_are_the_view(earlier: state_pb2.TaskView, later: state_pb2.TaskView) -> None:
    view, had = join_parts(build_parts(earlier, ()), {})
    assert view == earlier
    answer = build_parts(later, had)
    assert all(part.digest in had for part in answer.parts if not part.HasField("content"))
    assert not any(part.content in had.values() for part in answer.parts if part.HasField("content"))
    view, parts = join_parts(answer, had)
    assert view == later
    assert join_parts(build_parts(later, parts), parts) == (later, parts)


def test_a_part_that_nobody_named_cannot_be_left_out() -> None:
    answer = build_parts(make_view(1, 1, [1], [], []), ())
    _, parts = join_parts(answer, {})
    with pytest.raises(UnknownPart):
        join_parts(build_parts(make_view(1, 1, [1], [], []), parts), {})
