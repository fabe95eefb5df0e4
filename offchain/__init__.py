"""The roles, off-chain: clients, aggregators, validators, replicas and requesters.

What lives here talks to the ledger over RPC and to storage over Zenoh. It must not know how the ledger is
implemented: it imports `optfl`, never `abci_app`. Only `offchain.learning` imports torch.
"""

import logging

logging.getLogger(__name__).addHandler(logging.NullHandler())  # silent in simulations, unless logging is set up
