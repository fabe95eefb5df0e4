"""Kernels work at addresses: none may outlive the array that it is of."""

from __future__ import annotations

import os
import subprocess
import sys

from offchain.kernels.hashing import find_functions

CODE = """
import sys
import numpy as np
from offchain.kernels import hashing
from offchain.kernels.aggregate import aggregate
from optfl import aggregation, merkle
from optfl.rules import RoundFacts, parse_rule
from support.inputs import FILLS, make_base, rule_names

hashing.LARGE_BYTES = 1
data = np.random.default_rng(1).bytes(4096 * 5 + 7)
assert str(hashing.find_functions() is None) == sys.argv[1], "it is checked before it is used: the check failed"
assert hashing.build_tree(data, 4096).root == merkle.build_tree(data, 4096).root
random = np.random.default_rng(2)
base, updates = make_base(random, 5000), list(FILLS["uniform"](random, 11, 5000))
facts = RoundFacts((3,) * 11, b"beacon")
for name in rule_names(11):
    rule = parse_rule(name)
    expected = aggregation.aggregate(rule, base, updates, facts, chunk_values=2048)
    np.testing.assert_array_equal(aggregate(rule, base, updates, facts, threads=2).model, expected.model, err_msg=name)
"""


def test_no_kernel_reads_memory_that_was_freed() -> None:
    """glibc overwrites what is freed where it is told to, here in a process of its own."""
    overwrite = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"  # small pieces, too
    environment = {**os.environ, "GLIBC_TUNABLES": overwrite, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", CODE, str(find_functions() is None)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
