"""Errands: one of a name at a time, none in another's way; what is transient is over at the next block."""

from __future__ import annotations

import asyncio

import pytest

from offchain.interfaces import BlobUnavailable
from offchain.roles.errands import Errands


def test_one_of_a_name_at_a_time_and_none_in_anothers_way() -> None:
    done: list[str] = []

    async def run() -> None:
        gate = asyncio.Event()

        async def wait(name: str) -> None:
            await gate.wait()
            done.append(name)

        async def note(name: str) -> None:
            done.append(name)

        async with asyncio.TaskGroup() as group:
            errands = Errands(group)
            errands.start("slow", lambda: wait("slow"))
            errands.start("slow", lambda: wait("slow again"))
            errands.start("quick", lambda: note("quick"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert done == ["quick"]
            gate.set()
        async with asyncio.TaskGroup() as group:
            Errands(group).start("slow", lambda: note("slow later"))

    asyncio.run(run())
    assert done == ["quick", "slow", "slow later"]


def test_what_is_transient_is_tried_again_and_a_bug_is_not_hidden() -> None:
    tries: list[int] = []

    async def lack() -> None:
        tries.append(1)
        raise BlobUnavailable("not yet")

    async def fail() -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            errands = Errands(group)
            for _ in range(2):
                errands.start("lack", lack)
                await asyncio.sleep(0)
            errands.start("fail", fail)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(run())
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
    assert len(tries) == 2
