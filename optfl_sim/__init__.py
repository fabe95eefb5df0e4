"""The simulation: the ledger of `abci_app` and the roles of `offchain`, as they are, under a virtual clock.

Time, network and disks have twins in memory here; nothing else is replaced. Everything that happens follows from a
seed, so that a failure replays. It must not copy any rule or role: what it runs is what a node runs.
"""
