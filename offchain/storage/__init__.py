"""Verified blob storage: what a replica keeps, when it signs for it, and what authors and readers check.

Free of Zenoh and of the network: the same code serves real replicas (`offchain.adapters.blobs`) and the simulation
(`offchain.adapters.memory`). Must not know roles or how messages travel.
"""
