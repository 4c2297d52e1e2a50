"""The process's limit of open files, which bounds kept connections and probes."""

import resource

RESERVE = 256
"""Left for everything that is not a machine: databases, logs, the bus."""


def raise_open_files() -> int:
    """Raise the soft limit to the hard one where that is allowed, and give what may be used for machines."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass  # some containers forbid it; the present limit is then the limit
    if soft == resource.RLIM_INFINITY:
        return 1_000_000
    return max(soft - RESERVE, 16)
