"""What the ABCI shell asks of a state machine, in plain data: the one seam between CometBFT's wire and the ledger.

Everything here is a function of its arguments. A state machine never sees a socket, a clock or the database, and the
shell (`abci_app.application`) never sees what a transaction means.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Stores = Mapping[str, Mapping[bytes, bytes]]
"""State: values by store name and key. A store without keys is not in it, so read with `stores.get(name, {})`."""

Changes = dict[str, dict[bytes, bytes | None]]
"""What to write: values by store name and key, where None deletes. A key that is not there may be deleted."""

FindPreimage = Callable[[bytes], bytes | None]
"""The only secret of a node: from a value of its own hash chain to the one that hashes to it. None: not its own."""


def find_nothing(tip: bytes) -> bytes | None:
    """What a node knows that has no hash chain."""
    return None


MAX_VALIDATORS_POWER = (2**63 - 1) // 8
"""CometBFT refuses a set with a greater total power (types/validator_set.go, MaxTotalVotingPower)."""


class GenesisError(Exception):
    """The genesis file does not describe a ledger. The message is for the operator: what is wrong and what to do."""


class ValidatorUpdate(NamedTuple):
    """A validator of CometBFT: its ed25519 consensus key (32 bytes) and voting power, 0 to remove it."""

    consensus_key: bytes
    power: int


class MisbehaviorKind(enum.Enum):
    """What CometBFT has evidence of."""

    UNKNOWN = 0
    DUPLICATE_VOTE = 1
    LIGHT_CLIENT_ATTACK = 2


@dataclass(frozen=True)
class Misbehavior:
    """Evidence against a validator, checked and deduplicated by CometBFT. At most once for an infraction."""

    kind: MisbehaviorKind
    address: bytes  # of the consensus key (20 bytes)
    power: int  # the validator's, when it happened
    height: int  # when it happened; up to the evidence age before this block
    total_power: int  # of the set, when it happened


@dataclass(frozen=True)
class Block:
    """A decided block. Its time is left out on purpose: the ledger counts in heights."""

    height: int
    hash: bytes
    proposer_address: bytes  # of the proposer's consensus key (20 bytes)
    misbehavior: tuple[Misbehavior, ...] = ()
    transactions: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something that happened, for whoever watches or searches. Not part of any hash, and lost in some crashes."""

    kind: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class TxResult:
    """What became of a transaction: code 0 is success. `code`, `data` and the gas are hashed into the next header."""

    code: int = 0
    log: str = ""
    events: tuple[Event, ...] = ()
    gas_wanted: int = 0
    gas_used: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class BlockResults:
    """What a block did: one result for each transaction in order, events of the block's end, and what to write."""

    results: list[TxResult] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    validator_updates: list[ValidatorUpdate] = field(default_factory=list)
    changes: Changes = field(default_factory=dict)


class StateMachine(Protocol):
    """A deterministic ledger; a module with these functions is one. None of them writes to the stores it is given.

    An exception other than GenesisError is a bug: the node stops.
    """

    def init_chain(
        self, genesis: bytes, chain_id: str, validators: Sequence[tuple[bytes, int]], initial_height: int
    ) -> tuple[Stores, list[ValidatorUpdate]]:
        """Make the first state from `app_state` of the genesis file (JSON).

        The returned validators replace the genesis file's; an empty list keeps those. Raises GenesisError.
        """
        ...

    def apply_block(self, stores: Stores, block: Block) -> BlockResults: ...

    def check_tx(self, stores: Stores, tx: bytes) -> tuple[TxResult, Changes]:
        """Decide cheaply whether the mempool takes `tx`.

        `stores` holds the changes of the transactions accepted since the last block, so that a sender can have
        several pending; the returned changes (fee, sequence) are added to it when the code is 0.
        """
        ...

    def prepare_proposal(
        self,
        stores: Stores,
        txs: Sequence[bytes],
        max_bytes: int,
        proposer_address: bytes,
        find_preimage: FindPreimage,
    ) -> list[bytes]:
        """Choose the transactions of our own block; at most `max_bytes` by `compute_block_bytes`.

        `proposer_address` is that of this node's consensus key. Transactions may be added that are in no mempool.
        """
        ...

    def process_proposal(self, stores: Stores, txs: Sequence[bytes], proposer_address: bytes) -> bool:
        """Whether an honest proposer with this consensus key could have made this block."""
        ...

    def query(self, stores: Stores, path: str, data: bytes, height: int) -> tuple[int, bytes]:
        """Answer any path outside `/store/`: (0, value), or a code other than 0 with a message in UTF-8."""
        ...


def compute_block_bytes(tx: bytes) -> int:
    """What `tx` takes up in a block: itself, its length as a varint and a tag (CometBFT's ComputeProtoSizeForTxs)."""
    length_bytes = max(1, -(-len(tx).bit_length() // 7))
    return 1 + length_bytes + len(tx)
