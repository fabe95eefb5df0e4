"""Local learning: torch modules in, quantised updates out.

The only package that may import torch and scikit-learn, and only in `modules`, `trainer` and `digits`. `quantisation`,
`rules`, `float_aggregators` and `data` are numpy only, and nothing is imported here: whoever needs no torch never waits
for it. It must not know of ledgers, blobs or transports.
"""
