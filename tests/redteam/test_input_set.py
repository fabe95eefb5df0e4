"""Red team, part 1: which updates an aggregate is made of, and who may say so (I3–I10, E2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from abci_app import ledger as ledger_module
from abci_app.block_end import deadlines
from abci_app.state import State, rounds
from abci_app.state.keyspace import round_key, seen_update_key
from abci_app.transitions import commit_update, fields
from optfl import errors, tasks
from optfl.certificates import Statement, build_certificate, sign_receipt
from optfl.vectors import ChunkedVector, Shape
from optfl.wire import receipt_pb2, state_pb2
from support.ledger import CHAIN_ID, CLIENTS, REPLICAS, STRANGER, TaskHarness


def certify(task: TaskHarness, **fields_: Any) -> receipt_pb2.Certificate:
    """A quorum's receipts for any statement: replicas that sign what they are asked to."""
    retain = fields_.setdefault("retain_until_height", task.ledger.height + task.task.retention_blocks + 5)
    statement = Statement(chain_id=CHAIN_ID, task_id=task.task_id, **fields_)
    return build_certificate(retain, [(i, sign_receipt(key, statement)) for i, key in enumerate(REPLICAS[:3])])


def test_I3_a_vector_of_the_wrong_shape_hides_behind_its_id(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of half the length: stored and certified under its own id. No proof about it would ever open."""
    task = TaskHarness.start()
    task.commit_all(1)
    half = ChunkedVector(Shape("int32", 50, 32), np.zeros(50, dtype=np.int32))
    if not guarded:  # the sender says which id its root has
        monkeypatch.setattr(fields, "compute_vector_id", lambda shape, root: half.id)
    due = task.due_aggregator(1)
    size_bytes = tasks.model_shape(task.parameters).size_bytes
    certificate = certify(task, round=1, owner=due.address, vector_id=half.id, size_bytes=size_bytes)
    result = task.ledger.send(due, task.submit_aggregate(1, half, certificate=certificate))
    if guarded:
        assert result.code == errors.BadCertificate.code
        return
    assert result.code == 0
    proof = task.ledger.send(STRANGER, task.prove(1))
    assert proof.code == errors.MalformedProof.code, "nobody can convict a model that opens as nothing"


def test_I4_last_rounds_certificate_is_used_again(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Yesterday's update, stored yesterday: paid for ever without training."""
    task = TaskHarness.start()
    lazy = CLIENTS[0]
    long_kept = task.ledger.height + task.task.retention_blocks + 50
    yesterday = task.certify(lazy, 1, task.update(lazy, 1), retain_until_height=long_kept)
    task.commit_all(1)
    task.aggregate(1)
    if not guarded:  # receipts do not say for which round they are
        monkeypatch.setattr(fields, "Statement", lambda **kw: Statement(**{**kw, "round": 1}))
    again = task.commit_update(lazy, 2, update_root=task.update(lazy, 1).root, certificate=yesterday)
    assert task.ledger.send(lazy, again).code == (errors.BadCertificate.code if guarded else 0)


def test_I4_anothers_certificate_is_copied_out_of_the_mempool(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paid without training, and a duplicate that pulls the median."""
    task = TaskHarness.start()
    victim, thief = CLIENTS[0], CLIENTS[1]
    honest = task.commit_update(victim, 1)
    if not guarded:  # receipts do not say whose the blob is
        monkeypatch.setattr(fields, "Statement", lambda **kw: Statement(**{**kw, "owner": victim.address}))
    assert task.ledger.send(thief, honest).code == (errors.BadCertificate.code if guarded else 0)


def test_I4_anothers_update_is_stored_and_committed_again(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readable since its round was frozen, with receipts of the thief's own: paid for ever without training."""
    if not guarded:
        monkeypatch.setattr(commit_update, "is_copy", lambda state, task, current, client, root: False)
    task = TaskHarness.start()
    victim, thief = CLIENTS[0], CLIENTS[1]
    task.run_round(1)
    copy = task.update(victim, 1)
    commit = task.commit_update(thief, 2, update_root=copy.root, certificate=task.certify(thief, 2, copy))
    assert task.ledger.send(thief, commit).code == (errors.CopiedUpdate.code if guarded else 0)


def test_I4_a_thief_has_the_author_refused(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad replica leaks an update in its round, and the thief is in the block first. The author is no copier."""
    if not guarded:  # whoever comes first owns it, even within a round
        monkeypatch.setattr(commit_update, "is_copy", _is_first_come(commit_update.is_copy))
    task = TaskHarness.start()
    author, thief = CLIENTS[0], CLIENTS[1]
    leaked = task.update(author, 1)
    stolen = task.commit_update(thief, 1, update_root=leaked.root, certificate=task.certify(thief, 1, leaked))
    task.ledger.accept(thief, stolen)
    code = task.ledger.send(author, task.commit_update(author, 1)).code
    assert code == (0 if guarded else errors.CopiedUpdate.code)


def _is_first_come(original: Any) -> Any:
    def is_copy(state: State, task: Any, current: Any, client: bytes, root: bytes) -> bool:
        seen = state.seen_updates.get(seen_update_key(task.task_id, current.round, root))
        return (seen is not None and client not in seen.clients) or original(state, task, current, client, root)

    return is_copy


def test_I5_evidence_is_forgotten_before_the_dispute_is_over(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receipts that end while the attempt can still be proven wrong: then nobody can fetch the updates."""
    if not guarded:
        monkeypatch.setattr(tasks, "compute_retention_blocks", lambda parameters, evidence_blocks: 1)
        monkeypatch.setattr(rounds, "compute_last_evidence_height", lambda state, task, turn_start_height: 0)
    task = TaskHarness.start()
    client, others = CLIENTS[0], CLIENTS[1:]
    short = task.certify(client, 1, task.update(client, 1), retain_until_height=task.ledger.height + 8)
    commits = [task.ledger.sign(c, task.commit_update(c, 1)) for c in others]
    short_commit = task.ledger.sign(client, task.commit_update(client, 1, certificate=short))
    code = task.ledger.block(*commits, short_commit).results[-1].code
    if guarded:
        assert code == errors.RetentionTooShort.code
        return
    attempt = task.ledger.attempt(task.aggregate(1))
    assert attempt is not None
    assert attempt.evidence_height > short.retain_until_height, "convictable, and nobody has the evidence"


def test_I6_a_round_without_inputs_halts_the_chain(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody commits; the aggregate of nothing is not defined, and the ledger is asked to re-execute it."""
    if not guarded:
        monkeypatch.setattr(deadlines, "freeze_round", _aggregate_anyway)
    task = TaskHarness.start()
    task.ledger.blocks(5)
    if guarded:
        attempt = task.ledger.attempt(1)
        assert attempt is not None
        assert attempt.aggregator == b"", "dropped without fault"
        return
    task.aggregate(1, task.models[0])
    with pytest.raises(
        ValueError, match="at least one array"
    ):  # inside apply_block: the node stops, and every other node with it
        task.ledger.send(STRANGER, task.prove(1))


def _aggregate_anyway(state: State, task: state_pb2.Task, current: state_pb2.Round, height: int, beacon: bytes) -> None:
    current.freeze_height = current.turn_start_height = height
    current.aggregation_deadline_height = height + task.parameters.aggregation_blocks
    current.status = state_pb2.ROUND_STATUS_AGGREGATING
    current.aggregator = task.parameters.aggregators[0]
    state.rounds.put(round_key(task.task_id, current.round), current)


def test_I7_one_client_declares_its_own_weight(guarded: bool) -> None:
    """Against honest weights of 600, 2^20 is more than 99 % of a weighted mean."""
    claimed = 1 << 20
    task = TaskHarness.start(rule="fedavg()", max_weight=600 if guarded else claimed)
    greedy = CLIENTS[0]
    current = task.round(1)
    order = [c for c in CLIENTS if c.address in current.selected]
    txs = [task.ledger.sign(c, task.commit_update(c, 1, weight=claimed if c is greedy else 600)) for c in order]
    results = dict(zip([c.address for c in order], task.ledger.block(*txs).results, strict=True))
    if guarded:
        assert results[greedy.address].code == errors.InvalidWeight.code
        return
    values = task.honest_model(1).values - task.models[0].values
    theirs = task.update(greedy, 1).values
    assert np.abs(values - theirs).max() <= 2, "the mean of five is the update of one"


def test_I8_the_proposer_decides_the_order_of_the_inputs(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ties break by the inputs' order: whoever orders the commits must not order the inputs."""
    if not guarded:  # inputs in the order of their commits
        original = rounds.get_commitments
        by_height = lambda state, current: sorted(original(state, current), key=lambda c: c.height)  # noqa: E731
        monkeypatch.setattr(rounds, "get_commitments", by_height)
    task = TaskHarness.start()
    selected = [next(c for c in CLIENTS if c.address == a) for a in task.round(1).selected]
    for client in reversed(selected):
        task.ledger.accept(client, task.commit_update(client, 1))
    task.aggregate(1)
    attempt = task.ledger.attempt(1)
    assert attempt is not None
    in_order = [given.client for given in attempt.inputs] == [c.address for c in selected]
    assert in_order == guarded


def test_I9_a_commit_in_the_deadlines_own_block(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An honest client that commits in the last block must not find the round frozen before it."""
    task = TaskHarness.start()
    if not guarded:  # the round freezes before the block's transactions
        original = ledger_module.process_block_begin

        def freeze_first(state: State, block: Any) -> Any:
            context = original(state, block)
            deadlines.process_deadlines(state, context)
            return context

        monkeypatch.setattr(ledger_module, "process_block_begin", freeze_first)
    current = task.round(1)
    on_time, last = CLIENTS[:4], CLIENTS[4]
    task.ledger.block(*(task.ledger.sign(c, task.commit_update(c, 1)) for c in on_time))
    task.ledger.blocks(current.training_deadline_height - task.ledger.height - 1)
    result = task.ledger.send(last, task.commit_update(last, 1))
    assert result.code == (0 if guarded else errors.WrongRoundStatus.code)


def test_I10_a_commit_of_a_lineage_that_was_reverted(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Round 2 begins again after round 1 was redone. A commit made for the old round 2 counts in the new one, under
    the old lineage: the round freezes with an update that no aggregator finds."""
    task = TaskHarness.start(min_window_blocks=20)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.ledger.accept(STRANGER, task.prove(1))
    task.aggregate(1)
    if not guarded:
        monkeypatch.setattr(commit_update, "check_round", _ignore_lineage)
    client = next(c for c in CLIENTS if c.address in task.round(2).selected)
    old_lineage = task.ledger.sign(client, task.commit_update(client, 2, parent_attempt=1))
    if guarded:
        assert task.ledger.block(old_lineage).results[0].code == errors.StaleBase.code
        return
    with pytest.raises(AssertionError, match="count of commitments"):  # the tests' own audit of the state
        task.ledger.block(old_lineage)


def _ignore_lineage(state: State, task_id: int, number: int, parent_attempt: int, status: int) -> state_pb2.Round:
    return state.rounds[round_key(task_id, number)]
