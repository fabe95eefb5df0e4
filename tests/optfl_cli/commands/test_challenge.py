"""`optfl challenge`: what it sends, what it waits for, and what it says of mistakes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from offchain.adapters.keystore import write_key
from optfl import errors
from optfl.keys import SigningKey
from optfl.wire import state_pb2
from optfl_cli.main import main
from support.rpc import FakeNode


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_key(tmp_path / "alice.json", SigningKey.from_seed(b"\x07" * 32))
    return tmp_path / "alice.json"


def run(key: Path, *arguments: str, code: int = 0, decided_after: int = 3) -> tuple[int, FakeNode]:
    """`optfl challenge ARGUMENTS` on a node that makes blocks, and knows task 1 with its attempt 7.

    The ledger answers with `code`. So many blocks after the challenge, attempts 6 and 7 are decided.
    """
    node = FakeNode()
    node.code = code
    node.views["/task"] = state_pb2.TaskView(
        task=state_pb2.Task(next_attempt_id=8), attempts=[state_pb2.Attempt(attempt_id=7)]
    )
    first = node.height + 1

    def get_block_results(height: str) -> dict[str, Any]:
        decided = int(height) == first + decided_after
        events = [describe_verdict(6, "upheld"), describe_verdict(7, "no_quorum")] if decided else None
        return {"finalize_block_events": events}

    node.methods["block_results"] = get_block_results

    async def serve() -> int:
        async with node.serve():
            blocks = asyncio.create_task(node.run())
            code = await asyncio.to_thread(main, ["challenge", *arguments, "--key", str(key), "--node", node.url])
            blocks.cancel()
            return code

    return asyncio.run(serve()), node


def describe_verdict(attempt: int, verdict: str) -> dict[str, Any]:
    attributes = {"task": "1", "round": "3", "attempt": str(attempt), "verdict": verdict, "agreed": "2", "voters": "4"}
    return {"type": "challenge_decided", "attributes": [{"key": k, "value": v} for k, v in attributes.items()]}


def test_a_challenge_is_sent_and_said(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, node = run(key, "1", "7")
    assert code == 0
    assert [(b.open_challenge.task_id, b.open_challenge.attempt_id) for b in node.accepted] == [(1, 7)]
    said = capsys.readouterr().out
    assert said.startswith("attempt 7 is challenged, in block ")
    assert said.endswith(": `optfl query challenges 1`\n")


def test_a_verdict_is_waited_for(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its events: the attempt may settle, and be forgotten, in the block of the verdict."""
    assert run(key, "1", "7", "--wait", decided_after=20)[0] == 0
    said = "attempt 7, at height 31: no quorum, half of the bond is lost; 2 of 4 validators agreed\n"
    assert capsys.readouterr().out == said


def test_programs_get_json(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(key, "1", "7", "--wait", "--json", decided_after=20)[0] == 0
    verdict = {"verdict": "no_quorum", "agreed": "2", "voters": "4"}
    assert json.loads(capsys.readouterr().out) == {"task": 1, "attempt": 7, "height": 31, **verdict}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("1", "6"),
            "attempt 6 of task 1 is over: only an open one can be challenged, and `optfl task show 1` lists them",
        ),
        (("1", "8"), "task 1 has no attempt 8; `optfl task show 1` lists them"),
        (("1", "7"), f"refused with code {errors.WindowOver.code}: done"),
    ],
)
def test_a_mistake_is_one_line(
    key: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(key, *arguments, code=errors.WindowOver.code)[0] == 1
    assert capsys.readouterr().err == f"error: {message}\n"
