"""A fleet process that sees and heals within seconds, so that tests of healing are short. Nothing else differs."""

import asyncio
import dataclasses
import sys
from typing import Any

import uvloop

from mbongi.run import fleet
from mbongi.run.start import start

HOLD_S = 1.0


def run(main: Any) -> Any:
    """In place of ``uvloop.run``: conditions hold for a second, rules are asked five times a second from the start."""
    # Django is set up by now, and not before.
    from mbongi.fleet.daemon import healing  # noqa: PLC0415
    from mbongi.fleet.rules import conditions  # noqa: PLC0415

    limit = conditions.limit

    def short(*which: Any) -> conditions.Limit:
        return dataclasses.replace(limit(*which), hold_s=min(HOLD_S, limit(*which).hold_s))

    conditions.limit = short
    healing.LOOK_S = healing.PROVE_LOOK_S = 0.2
    defaults: Any = healing.Healer.__init__.__kwdefaults__
    defaults["warm_up_s"] = 1.0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


if __name__ == "__main__":
    fleet.uvloop.run = run
    sys.exit(start("fleet", []))
