"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# The same examples in every run: a failure is there for everybody, and for good until it is mended. To look for new
# ones, run with OPTFL_HYPOTHESIS=explore, which prints how to replay what it finds.
# No example fails for being slow: the machine may be busy (pytest-timeout ends what hangs).
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile(os.environ.get("OPTFL_HYPOTHESIS", "fixed"))
