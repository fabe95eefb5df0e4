from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
from offchain.adapters.allocator import keep_large_buffers
if {tuned}:
    keep_large_buffers()
for _ in range(100):
    bytearray(8 << 20)[::4096] = bytes(2048)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def count_page_faults(*, tuned: bool) -> int:
    script = SCRIPT.format(tuned=tuned)
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def test_freed_vectors_are_used_again() -> None:
    """Where the C library can be told to; elsewhere nothing happens."""
    assert count_page_faults(tuned=True) <= 1.1 * count_page_faults(tuned=False)
