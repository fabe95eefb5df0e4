"""Verified blob storage: what a replica keeps, when it signs for it, and what authors and readers check.

Beside it what any account serves under its own address: demanded vectors (`offers`) and ballots (`ballots`). Free of
Zenoh and of the network: the same code serves real accounts (`offchain.adapters.blobs`) and the simulation
(`offchain.adapters.memory`). Must not know roles or how messages travel.
"""
