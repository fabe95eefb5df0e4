"""RegisterValidator: stake for a consensus key that the sender shows it holds (A12)."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.state.keyspace import stake_key
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_balance
from optfl import errors, keys
from optfl.wire import state_pb2, transaction_pb2


def validate(message: transaction_pb2.RegisterValidator) -> None:
    if len(message.consensus_key) != keys.PUBLIC_KEY_BYTES:
        raise errors.InvalidField(f"consensus_key has {len(message.consensus_key)} bytes; ed25519 keys have 32")


def check(state: State, call: Call, message: transaction_pb2.RegisterValidator) -> None:
    possession = keys.encode_account(state.params.chain_id, call.sender)
    if not keys.verify(message.consensus_key, keys.POSSESSION_DOMAIN, possession, message.proof_of_possession):
        raise errors.NoProofOfPossession("sign this chain and your operator address with the consensus key itself")
    if call.sender in state.validators:
        raise errors.AlreadyRegistered("this account is a validator already; use AddStake to stake more")
    # A validator's record outlives its stake by the unbonding time, so a key stays taken while it can be evidence.
    if any(v.consensus_key == message.consensus_key for _, v in state.validators.items()):
        raise errors.ConsensusKeyTaken("this consensus key belongs to a validator; generate another for this node")
    if message.stake < state.params.min_validator_stake:
        raise errors.StakeTooLow(f"stake at least {state.params.min_validator_stake}")
    check_balance(state, call.sender, message.stake)


def apply(state: State, call: Call, message: transaction_pb2.RegisterValidator, found: None) -> None:
    tokens.debit(state, call.sender, message.stake)
    state.stakes.put(
        stake_key(transaction_pb2.ROLE_VALIDATOR, call.sender),
        state_pb2.Stake(
            role=transaction_pb2.ROLE_VALIDATOR,
            address=call.sender,
            public_key=call.public_key,
            amount=message.stake,
        ),
    )
    state.validators.put(call.sender, state_pb2.Validator(operator=call.sender, consensus_key=message.consensus_key))
    state.emit("validator_registered", operator=call.sender, consensus_key=message.consensus_key, stake=message.stake)
