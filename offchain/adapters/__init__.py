"""Everything impure that a role needs: the ledger over CometBFT's RPC, blobs over Zenoh, keys in files."""
