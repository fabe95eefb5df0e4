"""Red team, part 7: being paid for looking without looking (E1), and turning what readers say on replicas (E3)."""

from __future__ import annotations

from typing import Any

import pytest

from abci_app.block_end import settlement
from abci_app.state import watches as watches_module
from abci_app.transitions import attest_watch, open_watch
from optfl import errors
from optfl.watches import compute_leaves, compute_watch_key, draw_chunk
from support import watches
from support.demands import answer_audits
from support.ledger import CHAIN_ID, REPLICAS, VALIDATORS, TaskHarness
from support.watches import attest, await_draw, send_all

LAZY, HONEST = VALIDATORS[0], VALIDATORS[1]


def open_task(**overrides: Any) -> TaskHarness:
    task = TaskHarness.start(**{"training_blocks": 100, **overrides})
    task.run_round(1)
    return task


def gained(task: TaskHarness, accounts: Any, before: list[int]) -> list[int]:
    return [task.ledger.balance(a) - b for a, b in zip(accounts, before, strict=True)]


def test_E1_who_has_read_nothing_fetches_what_was_drawn(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest of nothing; then the one chunk that is asked for, which anybody can read. One read in place of all."""
    if not guarded:  # the chunk is enough
        monkeypatch.setattr(open_watch, "check_watch", lambda *arguments: None)
    task = open_task()
    task.ledger.accept(LAZY, attest(task, 1, LAZY, digest=bytes(32)))
    await_draw(task, 1)
    code = task.ledger.send(LAZY, watches.open_watch(task, 1, LAZY)).code
    assert code == (errors.BadWatch.code if guarded else 0)


def test_E1_everybody_copies_the_one_who_reads(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another's digest, and then another's openings, out of the mempool: as free as copying a vote (V9)."""
    if not guarded:  # trees that are nobody's own
        monkeypatch.setattr(open_watch, "compute_watch_key", lambda *arguments: bytes(32))
        monkeypatch.setattr(watches, "compute_watch_key", lambda *arguments: bytes(32))
        monkeypatch.setattr(open_watch, "draw_chunk", _draw_for_nobody)
        monkeypatch.setattr(watches, "draw_chunk", _draw_for_nobody)
    task = open_task()
    digest = attest(task, 1, HONEST)
    send_all(task, [(HONEST, digest), (LAZY, digest)])
    await_draw(task, 1)
    shown = watches.open_watch(task, 1, HONEST)
    assert task.ledger.send(LAZY, shown).code == (errors.BadWatch.code if guarded else 0)


def _draw_for_nobody(beacon: bytes, task_id: int, attempt_id: int, operator: bytes, *sizes: int) -> Any:
    return draw_chunk(beacon, task_id, attempt_id, b"", *sizes)


def test_E1_a_proposer_commits_when_it_knows_what_is_drawn(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows its own reveal, so the beacon of its block. With that it needs to read a single chunk."""
    if not guarded:  # what stands in the closing block counts, as it does for proofs
        monkeypatch.setattr(attest_watch, "_is_too_late", lambda height, close_height: height > close_height)
    task = open_task()
    close = task.round(1).window_close_height
    task.ledger.blocks(close - 1 - task.ledger.height)
    code = task.ledger.send(LAZY, attest(task, 1, LAZY)).code
    assert task.ledger.height == close
    assert code == (errors.WindowOver.code if guarded else 0)
    if not guarded:
        assert task.round(1).watch_beacon == task.ledger.state.chain.beacon, "it was drawn in that very block"


def test_E1_a_requester_saves_the_reward_by_letting_nobody_read(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """All replicas are its own. What nobody earns is burned, and stays no escrow of its own."""
    if not guarded:
        monkeypatch.setattr(settlement, "_pay_validators", lambda state, task, current, attempt: 0)
    task = open_task()
    before = task.task.escrow
    task.ledger.blocks(8)
    assert task.task.settled_round == 1
    assert before - task.task.escrow == 1000 + 5 * 100 + (50 if guarded else 0)


@pytest.mark.parametrize("liars", [1, 2])
def test_E3_validators_slander_replicas(guarded: bool, monkeypatch: pytest.MonkeyPatch, liars: int) -> None:
    """A quarter of the power says that all replicas failed it. It gains nothing, and takes nothing from them.

    Half of the power takes their pay, and does not get it.
    """
    if not guarded:  # one reader's word
        monkeypatch.setattr(watches_module, "_is_enough", lambda power, total: power > 0)
    task = open_task()
    answer_audits(task, 1)
    flags = [(0, 1, 2, 3) if i < liars else () for i in range(4)]
    send_all(task, [(v, attest(task, 1, v, *failed)) for v, failed in zip(VALIDATORS, flags, strict=True)])
    await_draw(task, 1)
    shown = [task.ledger.sign(v, watches.open_watch(task, 1, v)) for v in VALIDATORS]
    before, burned = [task.ledger.balance(r) for r in REPLICAS], task.ledger.state.supply.burned
    task.ledger.block(*shown)
    is_paid = guarded and liars == 1
    assert gained(task, REPLICAS, before) == [10 if is_paid else 0] * 4
    assert task.ledger.state.supply.burned == burned + (0 if is_paid else 40) + 2  # 50 // 4 leaves 2


def test_E1_part_of_it_is_paid_part_of_the_time() -> None:
    """Who has half of the chunks shows half of the draws: what it saves it loses, and no lie is half a risk."""
    task = open_task()
    attempt = task.ledger.must_attempt(1)
    vectors = watches.get_vectors(task, attempt)
    key = compute_watch_key(CHAIN_ID, LAZY.address, 1, 1)
    leaves = compute_leaves(key, vectors)
    have = set(range(0, len(leaves), 2))
    drawn = [draw_chunk(i.to_bytes(32, "big"), 1, 1, LAZY.address, 5, 4) for i in range(2000)]
    places = [4 * (5 if blob == 2**32 - 1 else blob) + chunk for blob, chunk in drawn]
    assert 900 < sum(place in have for place in places) < 1100
