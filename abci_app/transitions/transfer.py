"""Transfer: move tokens from the sender to an address."""

from __future__ import annotations

from abci_app.state import State, tokens
from abci_app.transitions.call import Call
from abci_app.transitions.fields import check_balance, validate_address, validate_positive
from optfl.wire import transaction_pb2


def validate(message: transaction_pb2.Transfer) -> None:
    validate_address(message.recipient, "recipient")
    validate_positive(message.amount, "amount")


def check(state: State, call: Call, message: transaction_pb2.Transfer) -> None:
    check_balance(state, call.sender, message.amount)


def apply(state: State, call: Call, message: transaction_pb2.Transfer, found: None) -> None:
    tokens.debit(state, call.sender, message.amount)
    tokens.credit(state, message.recipient, message.amount)
    state.emit("transfer", sender=call.sender, recipient=message.recipient, amount=message.amount)
