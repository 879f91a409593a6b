"""Memory of a training on the CPU: what one step frees, the next one reuses.

By default the C library of Linux hands every large block back to the system when it is freed and fetches it
anew, page by page, each filled with zeros first. A training step frees and fetches all its activations; that
can take as long as the arithmetic (`experiments/results/bench-gnn.md`).
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# Parameters of mallopt(3), by their numbers in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20}
# Where the C library's own, moving thresholds end after a while.
_USUAL = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory in the process within the block, and hand it back after; nothing without glibc."""
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    for parameter, value in _KEEP.items():
        library.mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)
