"""`optfl query`: disputes of a task, for people and for programs."""

from __future__ import annotations

import asyncio
import json

import pytest

from optfl.tasks import MODEL_BLOB
from optfl.wire import state_pb2, transaction_pb2
from optfl_cli.main import main
from support.rpc import FakeNode

ADDRESSES = [bytes([i]) * 20 for i in range(4)]


def build_view() -> state_pb2.TaskView:
    """Two votes, one of them decided; a demanded model and a demanded update; three of eight audits answered."""
    view = state_pb2.TaskView(height=90, task=state_pb2.Task(task_id=1), validators=ADDRESSES)
    view.task.parameters.replicas.extend(ADDRESSES)
    view.attempts.add(attempt_id=7, round=3, aggregator=ADDRESSES[0], status=state_pb2.ATTEMPT_STATUS_OPEN)
    view.attempts.add(attempt_id=8, round=4, aggregator=ADDRESSES[1], status=state_pb2.ATTEMPT_STATUS_VOID)
    view.attempts.add(attempt_id=9, round=5)  # dropped
    view.audits.extend([state_pb2.AnsweredAudit(attempt_id=7, replica=i) for i in (0, 2, 3)])
    running = view.challenges.add(attempt_id=7, round=3, status=state_pb2.CHALLENGE_STATUS_COMMITTING, open_height=80)
    running.commit_deadline_height = 92
    running.bonds.add(address=ADDRESSES[3], amount=5)
    decided = view.challenges.add(attempt_id=8, round=4, status=state_pb2.CHALLENGE_STATUS_DECIDED, open_height=70)
    decided.verdict, decided.decided_height = state_pb2.VERDICT_NO_QUORUM, 75
    for i, address in enumerate(ADDRESSES):
        running.voters.add(operator=address, commitment=b"c" if i else b"")
        decided.voters.add(operator=address, agreed=i < 2)
    vote = transaction_pb2.Vote(root=bytes(32))
    running.voters[1].vote.CopyFrom(vote)
    model = view.demands.add(round=3, attempt_id=7, blob=MODEL_BLOB, status=state_pb2.DEMAND_STATUS_OPEN)
    model.holders.add(operator=ADDRESSES[2])
    view.demands.add(round=6, turn=1, blob=5, status=state_pb2.DEMAND_STATUS_MISSING)
    return view


def ask(capsys: pytest.CaptureFixture[str], *arguments: str, view: state_pb2.TaskView | None = None) -> str:
    """What `optfl query ARGUMENTS` prints, or its error."""
    node = FakeNode()
    if view is not None:
        node.views["/task"] = view

    async def serve() -> None:
        async with node.serve():
            await asyncio.to_thread(main, ["query", *arguments, "--node", node.url])

    asyncio.run(serve())
    captured = capsys.readouterr()
    return captured.err or captured.out


def find_row(text: str, beginning: str) -> str:
    """The one line that begins so, with single spaces."""
    (row,) = (row for row in (" ".join(line.split()) for line in text.splitlines()) if row.startswith(beginning))
    return row


def test_votes(capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "challenges", "1", view=build_view())
    assert text.startswith("Votes of task 1 at height 90")
    assert find_row(text, "7 3 ") == f"7 3 committing – 80 92 0 3 of 4 1 of 4 – {ADDRESSES[3].hex()}"
    assert find_row(text, "8 4 ") == "8 4 decided no_quorum 70 0 75 0 of 4 – 2 of 4 the ledger"
    nothing = state_pb2.TaskView(task=state_pb2.Task(task_id=1))
    assert "Votes of task 1 at height 0: none" in ask(capsys, "challenges", "1", view=nothing)


def test_demands(capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "demands", "1", view=build_view())
    assert find_row(text, "3 ") == "3 attempt 7 model open 0 0 1 of 4 validators –"
    assert find_row(text, "6 ") == "6 turn 1 update 5 missing 0 0 0 of 4 validators –"


def test_audits(capsys: pytest.CaptureFixture[str]) -> None:
    text = ask(capsys, "audits", "1", view=build_view())
    assert find_row(text, "7 3 ") == f"7 3 open 3 of 4 {ADDRESSES[1].hex()}"
    assert find_row(text, "8 4 ").startswith("8 4 void 0 of 4 ")
    assert not any(line.split()[:1] == ["9"] for line in text.splitlines()), "nobody submitted it"


@pytest.mark.parametrize("what", ["challenges", "demands", "audits"])
def test_programs_get_json(capsys: pytest.CaptureFixture[str], what: str) -> None:
    answer = json.loads(ask(capsys, what, "1", "--json", view=build_view()))
    assert (answer["height"], len(answer[what])) == (90, 2)


@pytest.mark.parametrize("what", ["task", "challenges", "demands", "audits"])
def test_a_task_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], what: str) -> None:
    assert ask(capsys, what, "5") == "error: no task 5; `optfl query tasks` lists them\n"
