"""The roles of seed 001, as asynchronous functions over `offchain.interfaces`: client, aggregator, validator, replica,
requester. They do not know whether time and network are real, but for `replica`, which serves `offchain.storage` on a
Zenoh session. Those that deviate are in `offchain.adversaries`.
"""
