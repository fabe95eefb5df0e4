"""The `optfl` command: the one package that imports both sides, the ledger's and the roles'.

What lives here turns files, options and signals into calls of the others, and their errors into lines for people. It
holds no rule of the protocol. Modules under `commands` are imported when their command is called.
"""
