"""The roles of seed 001, as asynchronous functions over `offchain.interfaces`: client, aggregator, validator, replica,
requester; and Byzantine ones beside them. They do not know whether time and network are real, but for `replica`, which
serves `offchain.storage` on a Zenoh session.
"""
