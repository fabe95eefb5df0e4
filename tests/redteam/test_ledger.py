"""Red team, part 5: time, proposers, validators, stakes, replays and what the state keeps (L1–L10, F7, F9, E2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from abci_app import block_begin, proposals
from abci_app import ledger as ledger_module
from abci_app.block_end import settlement, unbonding
from abci_app.state import State, participants, tokens
from abci_app.state.keyspace import attempt_key, stake_key
from abci_app.state_machine import compute_block_bytes, find_nothing
from abci_app.transitions import announce_proof, submit_fraud_proof
from abci_app.transitions import register_validator as register_validator_module
from optfl import errors, keys
from optfl.keys import SigningKey
from optfl.wire import state_pb2
from optfl.wire.transaction_pb2 import Transfer, Unbond
from optfl_cli.errors import UserError
from optfl_cli.node import load_node
from support.ledger import (
    AGGREGATOR,
    AGGREGATOR_STAKE,
    AGGREGATORS,
    CLIENTS,
    FEE,
    STRANGER,
    VALIDATOR_STAKE,
    VALIDATORS,
    LedgerHarness,
    TaskHarness,
    consensus_key,
    key,
    register_validator,
)


def lie(**overrides: Any) -> TaskHarness:
    """Round 1 is open, and wrong."""
    task = TaskHarness.start(**overrides)
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    return task


def test_F7_a_copier_lands_first_and_the_honest_prover_loses_its_bond(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof is copied out of the mempool. The bond is the prover's, whoever comes first."""
    if not guarded:  # what is proven already is a false proof
        monkeypatch.setattr(submit_fraud_proof, "check", _late_is_false(submit_fraud_proof.check))
    task = lie()
    copier, prover = STRANGER, CLIENTS[0]
    before = task.ledger.balance(prover)
    proof = task.prove(1)
    task.ledger.block(task.ledger.sign(copier, proof), task.ledger.sign(prover, proof))
    bond_lost = before - task.ledger.balance(prover) > FEE
    assert bond_lost != guarded


def test_F7_a_proposer_puts_its_copy_in_the_place_of_the_proof(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot have is an announcement from before it saw the proof: the copy convicts, and costs its fee."""
    if not guarded:
        monkeypatch.setattr(submit_fraud_proof, "is_announced", lambda state, call, message: True)
    task = lie()
    copier, prover, proof = STRANGER, CLIENTS[0], task.prove(1)
    task.ledger.accept(prover, task.announce(prover, proof))
    before = task.ledger.balance(copier)
    announcement = task.ledger.sign(copier, task.announce(copier, proof))  # now that it has seen it
    results = task.ledger.block(announcement, task.ledger.sign(copier, proof)).results
    assert [result.code for result in results] == [0, 0]
    gained = task.ledger.balance(copier) - before + 2 * FEE
    assert gained == (0 if guarded else AGGREGATOR_STAKE // 10)
    record = task.ledger.state.disputes[attempt_key(1, 1)]
    assert record.slashed == AGGREGATOR_STAKE


def test_F7_an_honest_proposer_has_a_copy_and_the_proof_before_it(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy came into its mempool first; only one proof against an attempt has a place in a block."""
    if not guarded:
        monkeypatch.setattr(proposals, "_find_announced", lambda state, proofs: {})
    task = lie()
    copier, prover, proof = STRANGER, CLIENTS[0], task.prove(1)
    task.ledger.accept(prover, task.announce(prover, proof))
    waiting = [task.ledger.sign(copier, proof), task.ledger.sign(prover, proof)]
    chosen = ledger_module.prepare_proposal(task.ledger.stores, waiting, 1 << 22, b"", find_nothing)
    assert chosen == [waiting[1 if guarded else 0]]
    task.ledger.block(*chosen)
    reward = task.ledger.state.disputes[attempt_key(1, 1)].reporter_reward
    assert reward == (AGGREGATOR_STAKE // 10 if guarded else 0)


@pytest.mark.parametrize("sender", [VALIDATORS[0], CLIENTS[0]])
def test_F7_a_liar_fills_the_places_for_announcements(
    guarded: bool, monkeypatch: pytest.MonkeyPatch, sender: SigningKey
) -> None:
    """With accounts of its own, in the block of its lie: for fees, nobody honest would be paid for proving it."""
    monkeypatch.setattr(announce_proof, "MAX_ANNOUNCEMENTS", 2)
    if not guarded:  # validators have no places of their own
        monkeypatch.setattr(announce_proof, "_is_validator", lambda state, sender: False)
    task = lie()
    for sybil in (STRANGER, CLIENTS[1]):
        task.ledger.accept(sybil, task.announce(sybil, task.prove(1), commitment=bytes(32)))
    code = task.ledger.send(sender, task.announce(sender, task.prove(1))).code
    is_taken = guarded and sender is VALIDATORS[0]
    assert code == (0 if is_taken else errors.TooManyAnnouncements.code)


def _late_is_false(original: Any) -> Any:
    def check(state: State, call: Any, message: Any) -> Any:
        return None if call.block.convictions else original(state, call, message)

    return check


def test_F9_the_base_is_what_the_prover_says_it_is(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the base's root in the record, any base that makes the result wrong would convict."""
    task = TaskHarness.start()
    task.commit_all(1)
    task.aggregate(1)
    proof = task.prove(1)
    other = task.poisoned_model(1).opening(0)
    proof.output.base.data = bytes(other.data)
    del proof.output.base.path[:]
    proof.output.base.path.extend(other.path)
    if not guarded:
        original = submit_fraud_proof.is_fraud
        root = task.poisoned_model(1).root

        def believe(parameters: Any, attempt: state_pb2.Attempt, given: Any) -> bool:
            attempt.base_root = root
            return original(parameters, attempt, given)

        monkeypatch.setattr(submit_fraud_proof, "is_fraud", believe)
    result = task.ledger.send(STRANGER, proof) if guarded else None
    if result is not None:
        assert result.code == errors.MalformedProof.code
        return
    with pytest.raises(AssertionError):  # an honest aggregator is convicted; the audit sees a record that changed
        task.ledger.send(STRANGER, proof)


def test_L1_a_minority_of_proposers_sits_the_window_out(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One validator of four proposes every block of the window, and leaves the proof out."""
    if not guarded:  # time alone closes a window
        by_height = lambda state, opened, close, height: height >= close  # noqa: E731
        monkeypatch.setattr(settlement, "is_window_over", by_height)
    task = lie(min_window_blocks=6)
    for _ in range(12):
        task.ledger.block(proposer=0)
    assert (task.task.settled_round == 0) == guarded
    result = task.ledger.send(STRANGER, task.prove(1)) if guarded else None
    assert result is None or result.code == 0, "the honest proposer's own block still has room for the proof"


def test_L2_paid_junk_crowds_the_proof_out(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block is full of transfers that came first and pay."""
    if not guarded:
        in_order = lambda state, txs: [(tx, proposals.decode_transaction(tx)) for tx in txs]  # noqa: E731
        monkeypatch.setattr(proposals, "_order_disputes_first", in_order)
    task = lie()
    junk = [task.ledger.sign(c, Transfer(recipient=STRANGER.address, amount=1)) for c in CLIENTS for _ in range(20)]
    proof = task.ledger.sign(STRANGER, task.prove(1))
    room = sum(compute_block_bytes(tx) for tx in junk)
    chosen = ledger_module.prepare_proposal(task.ledger.stores, [*junk, proof], room, b"", lambda _: None)
    assert (proof in chosen) == guarded


def test_L5_one_consensus_key_of_two_operators(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two validator updates of one key in a block: CometBFT panics, and with it the chain."""
    ledger = LedgerHarness()
    stolen = consensus_key("validator-0")
    if not guarded:
        monkeypatch.setattr(register_validator_module, "check", lambda state, call, message: None)
    tx = ledger.sign(STRANGER, register_validator(STRANGER, stolen, stake=2 * VALIDATOR_STAKE))
    if guarded:
        assert ledger.block(tx).results[0].code == errors.ConsensusKeyTaken.code
        return
    with pytest.raises(AssertionError, match=r"validator|consensus key"):  # what CometBFT would stop at
        ledger.block(tx)


def test_L5_a_victims_key_is_registered_by_a_thief(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thief does not hold the key; its owner could never register it afterwards."""
    ledger = LedgerHarness()
    claim = register_validator(STRANGER, key("consensus of a newcomer"))
    claim.proof_of_possession = bytes(64)
    if not guarded:
        monkeypatch.setattr(keys, "verify", lambda *args: True)
    assert ledger.send(STRANGER, claim).code == (errors.NoProofOfPossession.code if guarded else 0)


def test_L6_stake_leaves_before_the_dispute_is_over(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It unbonds, lies, and is gone when the proof comes."""
    if not guarded:  # time alone releases
        monkeypatch.setattr(unbonding, "process_unbonding", _release_by_time)
        steps = [s for s in ledger_module.STEPS if s.__name__ != "process_unbonding"]
        monkeypatch.setattr(ledger_module, "STEPS", (*steps, _release_by_time))
    ledger = LedgerHarness(params={"unbonding_blocks": 5})
    task = TaskHarness.start(ledger, min_window_blocks=30)
    culprit = AGGREGATORS[0]
    task.ledger.accept(culprit, Unbond(role=AGGREGATOR, amount=AGGREGATOR_STAKE // 2))
    task.commit_all(1)
    task.aggregate(1, task.poisoned_model(1))
    task.ledger.blocks(8)
    task.ledger.accept(STRANGER, task.prove(1))
    record = task.ledger.state.disputes[attempt_key(task.task_id, 1)]
    assert record.slashed == (AGGREGATOR_STAKE if guarded else AGGREGATOR_STAKE // 2)


def _release_by_time(state: State, block: Any) -> None:
    for entry_key, entry in state.unbonding.items():
        if entry.release_height <= block.height:
            tokens.credit(state, entry.address, entry.amount)
            state.unbonding.delete(entry_key)
            stake = state.stakes[stake_key(entry.role, entry.address)]
            stake.unbondings -= 1
            state.stakes.put(stake_key(entry.role, entry.address), stake)


def test_L7_two_pieces_of_evidence_slash_twice(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equivocation at two heights of one incident."""
    ledger = LedgerHarness()
    if not guarded:  # nothing remembers the first
        monkeypatch.setattr(block_begin, "_punish", _punish_again(block_begin._punish))
    ledger.block(misbehavior=[ledger.equivocation(1)])
    ledger.block(misbehavior=[ledger.equivocation(1, height=1)])
    stake = ledger.must_stake(1, VALIDATORS[1]).amount
    assert stake == (VALIDATOR_STAKE // 2 if guarded else VALIDATOR_STAKE // 4)


def _punish_again(original: Any) -> Any:
    def punish(state: State, validator: Any, misbehavior: Any) -> None:
        if validator is not None:
            validator.tombstoned = False
        original(state, validator, misbehavior)

    return punish


def test_L8_a_transaction_is_sent_again(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipient of a transfer repeats it."""
    ledger = LedgerHarness()
    transfer = ledger.sign(STRANGER, Transfer(recipient=CLIENTS[0].address, amount=1000))
    ledger.block(transfer)
    if not guarded:
        monkeypatch.setattr(ledger_module, "check_envelope", lambda state, signed, height: None)
    before = ledger.balance(CLIENTS[0])
    code = ledger.block(transfer).results[0].code
    assert code == (errors.WrongSequence.code if guarded else 0)
    assert ledger.balance(CLIENTS[0]) == before + (0 if guarded else 1000)


def test_L9_a_division_creates_or_loses_tokens(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a split leaves over belongs somewhere."""
    if not guarded:
        monkeypatch.setattr(settlement.tokens, "burn", lambda state, amount: None)
    task = TaskHarness.start(validator_reward=53, min_window_blocks=6)
    task.run_round(1)
    if guarded:
        task.ledger.blocks(8)
        assert task.task.settled_round >= 1
        return
    with pytest.raises(tokens.InvariantViolation, match="tokens"):
        task.ledger.blocks(8)


def test_L10_settled_rounds_pile_up(guarded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `simple` tree rehashes a whole store: what is settled must not stay in the stores of what is live."""
    if not guarded:
        monkeypatch.setattr(settlement, "remove_round", lambda state, current: None)
    task = TaskHarness.start(min_window_blocks=6)
    task.run_round(1)
    if guarded:
        task.ledger.blocks(8)
        left = task.ledger.state
        assert not [r for _, r in left.rounds.items() if r.round == 1]
        assert not [a for _, a in left.attempts.items() if a.round == 1]
        return
    with pytest.raises((tokens.InvariantViolation, AssertionError)):
        task.ledger.blocks(8)


def test_E2_accounts_are_free_and_fill_the_round(guarded: bool) -> None:
    """Without an allow-list, one owner splits a stake as large as that of five honest clients over fifty accounts."""
    honest = [(bytes([1, i]), 1000) for i in range(5)]
    sybils = [(bytes([2, i]), 100) for i in range(50)]
    # The guard is the weight of a draw: stake, not heads.
    weighted = [(address, stake if guarded else 1) for address, stake in [*honest, *sybils]]
    drawn = [participants.draw_clients(bytes(32), 1, number, weighted, 1)[0] for number in range(200)]
    share = sum(address in dict(sybils) for address in drawn) / 200
    assert (share < 0.6) == guarded


def test_L3_deadlines_stand_still_without_blocks(guarded: bool, tmp_path: Path) -> None:
    """A chain that makes no block while nothing is sent never finds a silent aggregator late."""
    if guarded:  # such a node does not start
        (tmp_path / "config").mkdir()
        (tmp_path / "config" / "config.toml").write_text(
            '[rpc]\nladdr = "tcp://127.0.0.1:1"\n[p2p]\nladdr = "tcp://127.0.0.1:2"\n'
            "[consensus]\ncreate_empty_blocks = false\n"
        )
        with pytest.raises(UserError, match="deadlines and windows never end"):
            load_node(tmp_path)
        return
    task = TaskHarness.start()
    task.commit_all(1)
    silent = task.due_aggregator(1)
    for _ in range(50):  # seconds pass, and nobody sends anything: no block, no height
        assert task.due_aggregator(1) is silent
