"""What a long-lived process does with memory that it needs for a moment only."""

import ctypes
from typing import Final

LARGE_BYTES: Final = 256 * 1024
_M_MMAP_THRESHOLD: Final = -3  # mallopt(3)


def return_large_buffers() -> bool:
    """Have buffers of LARGE_BYTES and more go back to the system when they are freed; False where that cannot be said.

    Otherwise the GNU allocator raises that limit to the largest buffer that was freed, and a node's answer of some
    megabytes leaves holes among small objects that stay. It costs a process new pages for each large buffer, so it is
    for those that rarely need one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
