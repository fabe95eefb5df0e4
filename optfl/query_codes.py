"""Permanent codes of queries that have no answer; 0 is an answer. Those of transactions are in `optfl.errors`."""

from __future__ import annotations

UNKNOWN_PATH = 1
MALFORMED_DATA = 2
NOT_FOUND = 3

NO_BLOCK = 101  # the chain has no block yet
HEIGHT_PRUNED = 102
HEIGHT_IN_FUTURE = 103
KEY_NOT_FOUND = 104
