"""The C library's memory allocator, set for a process that handles vectors of megabytes."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8  # malloc.h

LARGE_BYTES = 32 << 20  # the most that glibc takes
KEPT_BYTES = 256 << 20
PAD_BYTES = 16 << 20
ARENAS = 2


def keep_large_buffers() -> None:
    """Have glibc use the memory of freed vectors again. Elsewhere, nothing changes.

    By default it gives every one back to the kernel, which then clears a page at a time for the next one: a third of
    a client's processor time. The price is up to KEPT_BYTES more memory in each of the ARENAS.
    """
    if not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return  # musl has no mallopt that does anything
    library.mallopt(_M_ARENA_MAX, ARENAS)
    library.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
    library.mallopt(_M_TOP_PAD, PAD_BYTES)
