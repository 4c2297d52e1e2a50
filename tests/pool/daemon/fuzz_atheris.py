"""Search for what breaks the pool's sessions, guided by coverage: ``python -m tests.pool.daemon.fuzz_atheris v1``.

Instead of ``v1``: ``v2``, ``handshake``. Behind it go libFuzzer's words: a folder for what was found of interest,
``-max_total_time=600``, ``-len_control=0``.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import atheris
import structlog

with atheris.instrument_imports(include=["mbongi.pool", "mbongi.wire"]):
    from tests.pool.daemon import fuzz_handshake, fuzz_v1, fuzz_v2

TARGETS: dict[str, ModuleType] = {"v1": fuzz_v1, "v2": fuzz_v2, "handshake": fuzz_handshake}


async def _rig(target: ModuleType, folder: str) -> Any:
    return target.Rig(Path(folder))


def main() -> None:
    """Until libFuzzer ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = TARGETS[sys.argv.pop(1)]
    loop = asyncio.new_event_loop()
    caught: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))
    with tempfile.TemporaryDirectory() as folder:
        rig = loop.run_until_complete(_rig(target, folder))

        def run(data: bytes) -> None:
            loop.run_until_complete(rig.run(data))
            assert not caught, caught

        atheris.Setup(sys.argv, run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
