"""The aggregators' and watchers' kernels: rules at memory speed, bit-identical to the reference in `optfl.rules`.

The only importer of numba. Nothing that a ledger executes may come from here (design §2, invariant 1).
"""
