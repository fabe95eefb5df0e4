"""Local learning: torch modules in, quantised updates out.

The only package that may import torch and scikit-learn, and only in `modules`, `trainer` and `digits`. The others are
numpy only, and nothing is imported here: whoever needs no torch never waits for it. `attacks` and `byzantine` are what
clients do who want the model wrong; no ledger can tell their updates from honest ones.
It must not know of ledgers, blobs or transports.
"""
