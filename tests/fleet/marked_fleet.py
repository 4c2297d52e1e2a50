"""A fleet process whose connections to virtual machines come from an address that tells its number."""

import asyncio
import sys
from typing import Any

import uvloop

from mbongi.run import fleet
from mbongi.run.start import start


def source(number: int) -> str:
    """The address of a process."""
    return f"127.0.0.{100 + number}"


class MarkedLoop(uvloop.Loop):
    """Binds what goes to the virtual site to ``address``."""

    address = ""

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if str(host).startswith("127.25."):
            options["local_addr"] = (self.address, 0)
        return await super().create_connection(factory, host, port, **options)


def run(main: Any) -> Any:
    """In place of ``uvloop.run``."""
    with asyncio.Runner(loop_factory=MarkedLoop) as runner:
        return runner.run(main)


if __name__ == "__main__":
    MarkedLoop.address = source(int(sys.argv[1]))
    fleet.uvloop.run = run
    sys.exit(start("fleet", ["--shard", sys.argv[1]]))
