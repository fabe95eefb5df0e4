"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# No example fails for being slow: the machine may be busy (pytest-timeout ends what hangs).
settings.register_profile("optfl", deadline=None)
settings.load_profile("optfl")
