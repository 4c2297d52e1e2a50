"""Search for what breaks Stratum V2's sessions, guided by coverage: ``python -m tests.pool.daemon.fuzz_v2_atheris``.

Behind it go libFuzzer's words: a folder for what was found of interest, ``-max_total_time=600``, ``-len_control=0``.
"""

import asyncio
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import atheris
import structlog

with atheris.instrument_imports(include=["mbongi.pool", "mbongi.wire"]):
    from tests.pool.daemon.fuzz_v2 import Rig


async def _rig(folder: str) -> Rig:
    return Rig(Path(folder))


def main() -> None:
    """Until libFuzzer ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    loop = asyncio.new_event_loop()
    caught: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))
    with tempfile.TemporaryDirectory() as folder:
        rig = loop.run_until_complete(_rig(folder))

        def run(data: bytes) -> None:
            loop.run_until_complete(rig.run(data))
            assert not caught, caught

        atheris.Setup(sys.argv, run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
