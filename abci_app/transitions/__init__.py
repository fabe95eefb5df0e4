"""One transaction kind, one file: `validate` (no state) → `check` (reads) → `apply` (writes, cannot fail).

The names of the modules are the kinds' names in transaction.proto. To add a kind: a message there, a file here, a line
in TRANSITIONS, a test file.
"""

from __future__ import annotations

from typing import Any, Protocol

from abci_app.state import State
from abci_app.transitions import (
    add_stake,
    announce_proof,
    answer_audit,
    answer_demand,
    attest_watch,
    cancel_task,
    commit_update,
    commit_vote,
    create_task,
    demand_blob,
    join_task,
    open_challenge,
    open_watch,
    readmit,
    register_beacon,
    register_role,
    register_validator,
    reveal_vote,
    start_task,
    submit_aggregate,
    submit_certified_aggregate,
    submit_equivocation,
    submit_fraud_proof,
    transfer,
    unbond,
)
from abci_app.transitions.call import Call


class Transition(Protocol):
    """What each module of this package provides. `Any` stands for its own message and its own findings."""

    def validate(self, message: Any) -> None:
        """Raise a Rejection for what is wrong in any state."""

    def check(self, state: State, call: Call, message: Any) -> Any:
        """Raise a Rejection, or return what `apply` needs. Writes nothing."""

    def apply(self, state: State, call: Call, message: Any, found: Any) -> bytes | None:
        """Write what was checked; return what the sender has to know of it, if anything."""


TRANSITIONS: dict[str, Transition] = {
    "transfer": transfer,
    "register_validator": register_validator,
    "register_role": register_role,
    "add_stake": add_stake,
    "unbond": unbond,
    "readmit": readmit,
    "register_beacon": register_beacon,
    "create_task": create_task,
    "start_task": start_task,
    "cancel_task": cancel_task,
    "join_task": join_task,
    "commit_update": commit_update,
    "submit_aggregate": submit_aggregate,
    "submit_certified_aggregate": submit_certified_aggregate,
    "answer_audit": answer_audit,
    "submit_fraud_proof": submit_fraud_proof,
    "open_challenge": open_challenge,
    "commit_vote": commit_vote,
    "reveal_vote": reveal_vote,
    "submit_equivocation": submit_equivocation,
    "demand_blob": demand_blob,
    "answer_demand": answer_demand,
    "announce_proof": announce_proof,
    "attest_watch": attest_watch,
    "open_watch": open_watch,
}

__all__ = ["TRANSITIONS", "Call", "Transition"]
