"""The virtual clock: jumps over waiting, keeps order, and says when nothing can happen any more."""

from __future__ import annotations

import asyncio

import pytest

from optfl_sim.clock import SimulationStalled, run_virtually


def test_waiting_costs_no_real_time_and_keeps_its_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        woken: list[tuple[str, float]] = []

        async def sleeper(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append((name, round(loop.time(), 6)))

        await asyncio.gather(sleeper("late", 86_400.0), sleeper("early", 1.5), sleeper("tie", 1.5))
        return woken

    assert run_virtually(main()) == [("early", 1.5), ("tie", 1.5), ("late", 86_400.0)]


def test_timeouts_are_virtual() -> None:
    async def main() -> None:
        async with asyncio.timeout(3600.0):
            await asyncio.sleep(7200.0)

    with pytest.raises(TimeoutError):
        run_virtually(main())


def test_a_standstill_is_an_error_and_no_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(SimulationStalled):
        run_virtually(main())
