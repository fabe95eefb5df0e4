"""Red team, part 5: time, proposers, validators, stakes, replays and what the state keeps (L1–L10, F7, F9, E2)."""

from __future__ import annotations

from collections import Counter
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
from abci_app.transitions.call import Call, Reporter
from optfl import errors, keys, tasks
from optfl.announcements import COUNTED_BLOCKS, PAID_BLOCKS
from optfl.keys import SigningKey
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2
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

SHARE = AGGREGATOR_STAKE * 9 // 100


def get_rewards(task: TaskHarness) -> dict[bytes, int]:
    return {r.account: r.amount for r in task.ledger.state.disputes[attempt_key(1, 1)].rewards}


def lie(ledger: LedgerHarness | None = None, **overrides: Any) -> TaskHarness:
    """Round 1 is open, and wrong."""
    task = TaskHarness.start(ledger, **overrides)
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
    """What it cannot have is an announcement from before it saw the proof: the copy costs a fee and pays the prover."""
    if not guarded:
        monkeypatch.setattr(submit_fraud_proof, "find_reporters", _find_sender)
    task = lie()
    copier, prover, proof = VALIDATORS[1], VALIDATORS[0], task.prove(1)
    task.announce_in_time(prover, proof)
    before = task.ledger.balance(copier)
    announcement = task.ledger.sign(copier, task.announce(copier, proof))  # now that it has seen it
    results = task.ledger.block(announcement, task.ledger.sign(copier, proof), proposer=2).results
    assert [result.code for result in results] == [0, 0]
    gained = task.ledger.balance(copier) - before + 2 * FEE
    assert gained == (0 if guarded else SHARE)
    record = task.ledger.state.disputes[attempt_key(1, 1)]
    assert [r.account for r in record.rewards] == [(prover if guarded else copier).address]
    assert record.slashed == AGGREGATOR_STAKE


def _find_sender(state: State, call: Call, message: transaction_pb2.SubmitFraudProof) -> tuple[Reporter, ...]:
    """Whoever shows it is its prover."""
    return (Reporter(call.sender, b"", 1, 1),)


def test_F7_a_proposer_holds_a_proof_back_for_a_block_and_announces_its_copy(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two blocks old it has to be: all proposers of both would have to be the copier's."""
    if not guarded:
        monkeypatch.setattr(submit_fraud_proof, "COUNTED_BLOCKS", 1)
    task = lie()
    copier, prover, proof = VALIDATORS[1], VALIDATORS[0], task.prove(1)
    task.announce_in_time(prover, proof)
    task.ledger.block(task.ledger.sign(copier, task.announce(copier, proof)), proposer=1)
    task.ledger.block(task.ledger.sign(prover, proof), proposer=2)
    assert (copier.address in get_rewards(task)) != guarded
    assert get_rewards(task)[prover.address] == SHARE // 4


@pytest.mark.parametrize("blocks", [COUNTED_BLOCKS, PAID_BLOCKS])
def test_A10_a_proposer_keeps_others_announcements_out_of_its_block(
    guarded: bool, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """It is paid no more for being the first, and loses what including them pays; shown too early, nobody is paid."""
    if not guarded:
        monkeypatch.setattr(submit_fraud_proof, "find_reporters", _find_first)
    gains = []
    for honest in (True, False):
        task = lie(min_window_blocks=12)
        ledger, proof = task.ledger, task.prove(1)
        jealous = max(VALIDATORS, key=lambda v: v.address)
        place = VALIDATORS.index(jealous)
        before = ledger.balance(jealous)
        own = ledger.sign(jealous, task.announce(jealous, proof))
        others = [ledger.sign(v, task.announce(v, proof)) for v in VALIDATORS if v is not jealous]
        ledger.block(own, *(others if honest else []), proposer=place)
        ledger.block(*([] if honest else others), proposer=(place + 1) % 4)
        for _ in range((PAID_BLOCKS if honest else blocks) - 2):
            ledger.block(proposer=(place + 1) % 4)
        ledger.block(ledger.sign(STRANGER, proof), proposer=(place + 1) % 4)
        gains.append(ledger.balance(jealous) - before - FEE * len(others) * honest)  # it loses their fees as well
    assert (gains[1] < gains[0]) == guarded


def _find_first(state: State, call: Call, message: transaction_pb2.SubmitFraudProof) -> tuple[Reporter, ...]:
    """The first to announce it takes all."""
    found = list(state.announcements.items(attempt_key(message.task_id, message.attempt_id)))
    key, announcement = min(found, key=lambda item: (item[1].height, item[0]))
    return (Reporter(key[-keys.ADDRESS_BYTES :], announcement.proposer, 1, 1),)


@pytest.mark.parametrize("left_out", ["announcement", "proof"])
def test_A10_a_proposer_leaves_a_dispute_out(guarded: bool, left_out: str) -> None:
    """Beside the fee it loses what inclusion pays, for good: one conviction pays each of its two blocks once."""
    gains = []
    for honest in (True, False):
        task = lie(LedgerHarness(params={"inclusion_percent": int(guarded)}), min_window_blocks=12)
        prover, proof = CLIENTS[0], task.prove(1)
        censor, other = 1, 2
        before = task.ledger.balance(VALIDATORS[censor])
        for name, message in (("announcement", task.announce(prover, proof)), ("proof", proof)):
            tx = task.ledger.sign(prover, message)
            if message is proof:
                for _ in range(PAID_BLOCKS - 1):
                    task.ledger.block(proposer=other)
            if name != left_out:
                task.ledger.block(tx, proposer=other)
            elif honest:
                task.ledger.block(tx, proposer=censor)
            else:
                task.ledger.block(proposer=censor)
                task.ledger.block(tx, proposer=other)
        gains.append(task.ledger.balance(VALIDATORS[censor]) - before)
    assert gains == [FEE + (AGGREGATOR_STAKE // 200 if guarded else 0), 0]


def test_A10_an_owner_of_culprit_prover_and_both_blocks_still_loses_nine_tenths() -> None:
    """Of a tenth that is paid to provers and proposers no more than that comes back, by a sybil that has no power."""
    task = lie()
    operator, sybil, proof = VALIDATORS[0], STRANGER, task.prove(1)
    held = task.ledger.balance(operator) + task.ledger.balance(sybil) + AGGREGATOR_STAKE
    task.ledger.block(task.ledger.sign(sybil, task.announce(sybil, proof)), proposer=0)
    task.ledger.blocks(PAID_BLOCKS - 1)
    task.ledger.block(task.ledger.sign(sybil, proof), proposer=0)
    left = task.ledger.balance(operator) + task.ledger.balance(sybil)
    assert left == held - AGGREGATOR_STAKE * 9 // 10


def test_A10_a_validator_that_watches_leaves_a_culprits_sybil_nothing() -> None:
    """Though the sybil was the first, and shows the proof itself."""
    task = lie()
    sybil, proof = STRANGER, task.prove(1)
    task.announce_in_time(sybil, proof)
    task.ledger.accept(VALIDATORS[0], task.announce(VALIDATORS[0], proof))
    task.ledger.accept(sybil, proof)
    assert get_rewards(task) == {}  # the validator's is too new: it may be a copy's


def test_A10_a_proposer_fills_its_blocks_with_its_own_announcements() -> None:
    """They convict nobody, so nobody is paid for them; of a true one among them one is paid."""
    task = lie()
    operator, prover, proof = VALIDATORS[0], VALIDATORS[1], task.prove(1)
    announcements = [task.ledger.sign(operator, task.announce(operator, proof, commitment=bytes(32)))]
    announcements += [task.ledger.sign(c, task.announce(c, proof, commitment=bytes(32))) for c in CLIENTS[1:]]
    before = task.ledger.balance(operator)
    task.ledger.block(*announcements, proposer=0)
    task.ledger.block(task.ledger.sign(prover, task.announce(prover, proof)), proposer=1)
    for _ in range(PAID_BLOCKS - 1):
        task.ledger.block(proposer=3)
    task.ledger.block(task.ledger.sign(prover, proof), proposer=2)
    assert task.ledger.balance(operator) == before + FEE * len(CLIENTS[1:])
    half = AGGREGATOR_STAKE // 200
    assert task.ledger.state.disputes[attempt_key(1, 1)].inclusion_reward == half + half // 4


def test_F7_an_honest_proposer_has_a_proof_that_was_announced_and_another_before_it(
    guarded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another proof came into its mempool first, of which nobody is paid; one against an attempt has a place."""
    if not guarded:
        monkeypatch.setattr(proposals, "_find_paid", lambda state, proofs: Counter())
    task = TaskHarness.start()
    task.commit_all(1)
    values = task.poisoned_model(1, 0).values.copy()
    values[40] += 1  # in another chunk: what is copied can be varied
    task.aggregate(1, ChunkedVector(tasks.model_shape(task.parameters), values))
    copier, prover, proof = STRANGER, CLIENTS[0], task.prove(1)
    task.announce_in_time(prover, proof)
    waiting = [task.ledger.sign(copier, task.prove(1, 1)), task.ledger.sign(prover, proof)]
    chosen = ledger_module.prepare_proposal(task.ledger.stores, waiting, 1 << 22, b"", find_nothing)
    assert chosen == [waiting[1 if guarded else 0]]
    task.ledger.block(*chosen)
    reward = task.ledger.state.disputes[attempt_key(1, 1)].reporter_reward
    assert reward == (SHARE if guarded else 0)


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
