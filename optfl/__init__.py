"""The protocol: what every party must compute identically.

Hashing, vectors, aggregation rules, signatures, certificates, messages and fraud proofs. Pure: no I/O, no clock,
no torch, no Zenoh, no asyncio, no numba. Imports neither `abci_app` nor `offchain`.
"""
