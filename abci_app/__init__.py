"""The ledger: a deterministic state machine, and the thin shell that serves it to CometBFT over ABCI 2.0.

Imports `optfl` and nothing of `offchain`. State is a function of (state, block): no clock, no randomness,
no floating point and no exception text reaches it.
"""
