"""`optfl tx`: what is refused before anything is sent, and what goes from a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from offchain.adapters.keystore import write_key
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2
from optfl_cli.main import main
from support.rpc import FakeNode


@pytest.mark.parametrize("anchor", ["zz", "0", "0x00"])
def test_A9_an_anchor_is_hexadecimal(tmp_path: Path, capsys: pytest.CaptureFixture[str], anchor: str) -> None:
    key = tmp_path / "operator.json"
    write_key(key, SigningKey.from_seed(bytes(32)))
    assert main(["tx", "register-beacon", "--anchor", anchor, "--key", str(key)]) == 1
    error = capsys.readouterr().err
    assert "is not hexadecimal; `optfl node renew-beacon` told it" in error
    assert error.count("\n") == 1


def test_an_equivocation_is_reported_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages in messages, enums by name: `send` takes every kind of transaction."""
    ballot = {"chain_id": "c", "task_id": 1, "round": 3, "kind": "commitment"}
    report = {
        "member": "07" * 20,
        **{which: {**ballot, "digest": digest * 32} for which, digest in (("first", "aa"), ("second", "bb"))},
        **{f"{which}_signature": "cc" * 64 for which in ("first", "second")},
    }
    path = tmp_path / "equivocation.json"
    path.write_text(json.dumps({"submit_equivocation": report}))
    write_key(tmp_path / "alice.json", SigningKey.from_seed(bytes(32)))
    node = FakeNode()

    async def serve() -> int:
        async with node.serve():
            blocks = asyncio.create_task(node.run())
            arguments = ["tx", "send", str(path), "--key", str(tmp_path / "alice.json"), "--node", node.url]
            code = await asyncio.to_thread(main, arguments)
            blocks.cancel()
            return code

    assert asyncio.run(serve()) == 0
    (body,) = node.accepted
    sent = body.submit_equivocation
    assert (sent.member, sent.first.digest, sent.second.digest) == (b"\x07" * 20, b"\xaa" * 32, b"\xbb" * 32)
    assert sent.first.kind == transaction_pb2.BALLOT_KIND_COMMITMENT
    assert "in block " in capsys.readouterr().out
