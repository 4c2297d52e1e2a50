"""Restarts the pool's processes one after the other, while miners go on with the others: a rolling upgrade.

Whatever keeps the processes running (`mbongi up`, systemd) starts each again; the next is stopped once it is ready.
"""

import argparse
import os
import signal
import time
from typing import Final

from mbongi.base.config import Config
from mbongi.base.errors import MbongiError
from mbongi.run.pool import LEAD
from mbongi.run.pool_state import State, read_state

BACK_S_MAX: Final = 90.0
LOOK_S: Final = 0.2


class NotRestartedError(MbongiError, RuntimeError):
    """A process was not there, or did not come back."""


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Restart all of this machine's processes."""
    for name in names_of(config):
        began_s = time.monotonic()
        restart(config, name)
        print(f"{name}: ready again after {time.monotonic() - began_s:.1f} s", flush=True)
    return 0


def names_of(config: Config) -> list[str]:
    """The processes of this machine, in the order in which they are restarted: the one that makes work is the last."""
    pool = config.pool
    shards = [str(number) for number in range(pool.shard, pool.shard + pool.processes)]
    return shards if pool.processes == 1 or pool.follows else [*shards, LEAD]


def restart(config: Config, name: str) -> None:
    """Stop one and return when another stands in its place. Raises NotRestartedError."""
    before = read_state(config, name)
    if before is None or not before.is_alive:
        raise NotRestartedError(f"pool process {name}: does not run here; start the pool first")
    os.kill(before.pid, signal.SIGTERM)
    deadline_s = time.monotonic() + BACK_S_MAX
    while not _is_back(read_state(config, name), before):
        if time.monotonic() > deadline_s:
            raise NotRestartedError(
                f"pool process {name}: stopped, and not ready again within {BACK_S_MAX:.0f} s; others were left alone"
            )
        time.sleep(LOOK_S)


def _is_back(state: State | None, before: State) -> bool:
    return state is not None and state.pid != before.pid and state.is_ready
