"""The worked example of docs/protocol.md: `python docs/worked_example.py` prints it, the same on every machine."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from abci_app import ledger
from abci_app.app_hash import MerkleState
from abci_app.genesis import DEFAULT_PARAMS
from abci_app.state import State
from abci_app.state.participants import draw_clients
from abci_app.state_machine import Block
from offchain.adapters.session import key_expression
from offchain.storage.protocol import digest_put
from optfl import keys, merkle, tasks
from optfl.aggregation import aggregate
from optfl.ballots import encode_ballot, sign_ballot
from optfl.beacon import HashChain, compute_beacon, compute_tip, encode_withheld
from optfl.certificates import Statement, build_certificate, encode_receipt, sign_receipt
from optfl.fees import compute_fee
from optfl.fraud import build_output_proof, is_fraud
from optfl.rules import RoundFacts, parse_rule
from optfl.transactions import encode_reveal, sign_transaction
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

CHAIN_ID = "example-1"


def show(name: str, value: bytes | int | str) -> None:
    """One line, or for more than 40 bytes several, of 40 each."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    for start in range(0, len(text), 80):
        print(f"{'' if start else name:<26} {text[start : start + 80]}")


def make_key(name: str) -> keys.SigningKey:
    return keys.SigningKey.from_seed(hashlib.sha256(f"optfl example/{name}".encode()).digest())


def main() -> None:
    requester, operator, consensus = make_key("requester"), make_key("operator"), make_key("consensus")
    clients = [make_key(f"client{i}") for i in range(4)]
    replicas = [make_key(f"replica{i}") for i in range(4)]
    show("client0 seed", clients[0].seed)
    show("client0 public key", clients[0].public_key)
    show("client0 address", clients[0].address)
    possession = keys.encode_account(CHAIN_ID, operator.address)
    show("possession message", possession)
    show("possession signature", consensus.sign(keys.POSSESSION_DOMAIN, possession))

    print("# vectors, rule, model")
    parameters = transaction_pb2.TaskParameters(
        name="example", rule="median()", length=20, chunk_values=16, fraction_bits=8, rounds=3, clients_per_round=4,
        min_updates=3, max_weight=100, training_blocks=20, aggregation_blocks=10, min_window_blocks=6,
        window_factor_percent=200, max_attempts=3, pause_blocks=50, bandwidth_bytes_per_second=1_000_000,
        aggregator_reward=1000, client_reward=100, validator_reward=50, replica_reward=40, vote_commit_blocks=6,
        vote_reveal_blocks=5, demand_blocks=6, min_round_blocks=5, challenge_bond=100_000, demand_bond=10_000,
        aggregators=[make_key("aggregator0").address], clients=[client.address for client in clients],
        replicas=[replica.address for replica in replicas],
    )  # fmt: skip
    steps = np.arange(20)
    updates = [ChunkedVector(tasks.update_shape(parameters), (k * k - steps).astype(np.int16)) for k in range(4)]
    base = ChunkedVector(tasks.model_shape(parameters), (1000 * steps).astype(np.int32))
    facts = RoundFacts((1,) * 4)
    values = aggregate(parse_rule(parameters.rule), base.values, [u.values for u in updates], facts, 16).model
    model = ChunkedVector(tasks.model_shape(parameters), values)
    show("update of client0, bytes", updates[0].data)
    show("leaf hash of its chunk 0", merkle.hash_leaf(updates[0].chunk_bytes(0)))
    show("its root", updates[0].root)
    show("its id", updates[0].id)
    show("base root", base.root)
    show("model values 0, 1, 19", ", ".join(str(values[i]) for i in (0, 1, 19)))
    show("model root", model.root)
    show("model id", model.id)
    show("inputs hash", tasks.compute_inputs_hash(_build_inputs(clients, updates)))

    print("# storage: a receipt, a put, a certificate")
    statement = Statement(CHAIN_ID, 1, 1, clients[0].address, updates[0].id, updates[0].shape.size_bytes, 11_000)
    show("receipt of replica0", encode_receipt(statement, replicas[0].address))
    show("its signature", sign_receipt(replicas[0], statement))
    show("put digest", digest_put(statement, "update"))
    show("key expression", key_expression(CHAIN_ID, replicas[0].address, "put"))
    certificate = build_certificate(11_000, [(i, sign_receipt(replicas[i], statement)) for i in (0, 1, 3)])

    print("# transactions")
    transfer = transaction_pb2.Transfer(recipient=clients[0].address, amount=500)
    body = transaction_pb2.Body(chain_id=CHAIN_ID, sequence=0, fee=20, expiry_height=100, transfer=transfer)
    paid = encoded = sign_transaction(requester, body)
    show("transfer, body", body.SerializeToString(deterministic=True))
    show("transfer, transaction", encoded)
    show("transfer, hash", hashlib.sha256(encoded).digest())
    commit = transaction_pb2.CommitUpdate(
        task_id=1, round=1, base_root=base.root, update_root=updates[0].root, weight=1, certificate=certificate
    )
    body = transaction_pb2.Body(chain_id=CHAIN_ID, sequence=0, fee=20, expiry_height=100, commit_update=commit)
    encoded = sign_transaction(clients[0], body)
    show("commit_update, bytes", len(encoded))
    show("commit_update, hash", hashlib.sha256(encoded).digest())

    print("# genesis and block 1, which holds the transfer")
    app_state = {
        "accounts": [{"address": requester.address.hex(), "balance": 1_000_000}],
        "validators": [
            {
                "operator_public_key": operator.public_key.hex(),
                "consensus_key": consensus.public_key.hex(),
                "stake": 10_000_000,
            }
        ],
    }
    stores, _ = ledger.init_chain(json.dumps(app_state).encode(), CHAIN_ID, [], 1)
    state = MerkleState.from_stores(stores)
    for name, store in state.items():
        show(f"root of {name}", store.root)
    show("app hash of genesis", state.app_hash)
    show("fee of 1025 bytes", compute_fee(State(state).params, 1025))
    block = Block(1, hashlib.sha256(b"block 1").digest(), consensus.address, transactions=(paid,))
    results = ledger.apply_block(state, block)
    state = state.update(results.changes)
    show("code of the transfer", results.results[0].code)
    for name in ("accounts", "chain", "supply", "validators"):
        show(f"root of {name}", state[name].root)
    show("app hash after block 1", state.app_hash)

    print("# beacon and draws")
    beacon = State(state).chain.beacon
    show("beacon of height 1", beacon)
    for about, weights in (("equal weights", [1, 1, 1, 1]), ("weights 1, 9, 1, 1", [1, 9, 1, 1])):
        weighted = [(client.address, weight) for client, weight in zip(clients, weights, strict=True)]
        drawn = draw_clients(beacon, 1, 1, weighted, 3)
        order = [client.address for client in clients]
        show(about, ", ".join(f"client{order.index(address)}" for address in drawn))

    print("# a hash chain of 1000 reveals, and a ballot")
    secret = make_key("beacon").seed
    chain = HashChain(secret, 1000)
    preimage = chain.get_preimage(chain.anchor) or b""
    show("secret v_0", secret)
    show("v_1", compute_tip(secret))
    show("anchor v_1000", chain.anchor)
    show("first reveal", encode_reveal(operator.address, preimage))
    show("beacon with it", compute_beacon(beacon, preimage))
    show("beacon of 2, withheld", compute_beacon(beacon, encode_withheld(2)))
    ballot = transaction_pb2.Ballot(
        chain_id=CHAIN_ID, task_id=1, round=1, kind=transaction_pb2.BALLOT_KIND_AGGREGATE, digest=model.root
    )
    show("ballot of aggregator0", encode_ballot(ballot))
    show("its signature", sign_ballot(make_key("aggregator0"), ballot))

    print("# what follows from the parameters")
    show("escrow", tasks.compute_escrow(parameters))
    show("least min_window_blocks", tasks.compute_min_window_blocks(parameters, DEFAULT_PARAMS["block_time_ms"]))
    show("window after 4 blocks", tasks.compute_window_blocks(parameters, 4))
    show("open_blocks", tasks.compute_open_blocks(parameters))
    show("2.5 L (K r + a)", tasks.compute_required_stake(parameters))
    show("retention_blocks", tasks.compute_retention_blocks(parameters, DEFAULT_PARAMS["evidence_blocks"]))
    show("bound on proof bytes", tasks.compute_proof_bytes(parameters))

    print("# a fraud: value 17 of the model is one too high")
    wrong = values.copy()
    wrong[17] += 1
    claimed = ChunkedVector(model.shape, wrong)
    attempt = state_pb2.Attempt(
        base_root=base.root, model_root=claimed.root, rule=parameters.rule, inputs=_build_inputs(clients, updates)
    )
    show("claimed root", claimed.root)
    for chunk in (0, 1):
        proof = build_output_proof(chunk, updates, base, claimed)
        encoded = proof.SerializeToString(deterministic=True)
        show(f"proof of chunk {chunk}, SHA-256", hashlib.sha256(encoded).digest())
        show(f"proof of chunk {chunk}", f"{len(encoded)} bytes, is fraud: {is_fraud(parameters, attempt, proof)}")


def _build_inputs(clients: list[keys.SigningKey], updates: list[ChunkedVector]) -> list[state_pb2.Input]:
    return [
        state_pb2.Input(client=client.address, update_root=update.root, weight=1)
        for client, update in zip(clients, updates, strict=True)
    ]


if __name__ == "__main__":
    main()
