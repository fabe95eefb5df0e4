"""The ledger's state: typed stores over plain maps of bytes, and what can be read off them.

Nothing here decides anything: rules live in `abci_app.transitions` and `abci_app.block_end`.
"""

from abci_app.state.state import State, Store

__all__ = ["State", "Store"]
