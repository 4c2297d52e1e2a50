"""How many changes of alarms a minute go from readings into the record, none lost and each flood under its one root.

A plant of transformers, PDUs and racks on a real PostgreSQL with its usual durability. Transformers trip and come back
in turn; with each, all that it feeds goes dark and live again. Readings come in batches by ``AlarmWatch.observe``,
which syncs them to its spool, while steps take them into the database, as in the facility process.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench._database import embedded_database
from bench.harness import cpu_s, report
from mbongi.run.database import use_database

RACKS = 100
"""Of each transformer."""
TRANSFORMERS = 20
BATCH = 500


def main(argv: list[str] | None = None) -> int:
    """Take changes in as fast as they go; takes about a minute."""
    parser = argparse.ArgumentParser(prog="mbongi bench alarms", description=__doc__)
    parser.add_argument("--changes", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with embedded_database(), tempfile.TemporaryDirectory(prefix="mbongi-bench-spool-") as folder:
        use_database()
        figures = asyncio.run(_measure(Path(folder), arguments.changes))
    report("alarms", figures, as_json=arguments.json)
    return 0


async def _measure(folder: Path, changes: int) -> dict[str, float]:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first
    from mbongi.facility.daemon.alarm_watch import AlarmWatch  # noqa: PLC0415
    from mbongi.facility.rules.alarm_flood import Plant  # noqa: PLC0415
    from mbongi.facility.rules.alarm_limits import Supply  # noqa: PLC0415

    edges = [(f"tr-{tr}", f"rack-{tr}-{rack}", Supply.POWER) for tr in range(TRANSFORMERS) for rack in range(RACKS)]
    plant = Plant(edges)
    async with ThreadBridge() as bridge:
        await bridge.call(_define)
        watch = AlarmWatch(folder, bridge, lambda: plant)
        await watch.open()
        begun_s, begun_cpu_s, said = time.perf_counter(), cpu_s(), 0
        stepping = asyncio.create_task(_step(watch))
        for batch in _readings(changes):
            said += await watch.observe(batch)
        observed_s = time.perf_counter() - begun_s
        while await watch.step():
            pass
        stepping.cancel()
        await asyncio.gather(stepping, return_exceptions=True)
        wall_s, own_cpu_s = time.perf_counter() - begun_s, cpu_s() - begun_cpu_s
        watch.close()
        kept, wrong = await bridge.call(_count)
    if said != changes:
        raise SystemExit(f"bench alarms: {said} of {changes} readings were changes")
    return {
        "lost": changes - kept,
        "changes_per_min": changes / wall_s * 60,
        "wrong_roots": wrong,
        "observed_per_min": changes / observed_s * 60,
        "cpu_us_per_change": own_cpu_s / changes * 1e6,
    }


async def _step(watch: Any) -> None:
    while True:
        if not await watch.step():
            await asyncio.sleep(0.01)


def _define() -> None:
    from mbongi.core.identity.models import User  # noqa: PLC0415
    from mbongi.core.identity.values import Role  # noqa: PLC0415
    from mbongi.facility import alarms  # noqa: PLC0415

    user = User.objects.create(email="bench@site.example", name="Bench", role=Role.SHIFT_LEAD)
    contact = {"kind": "discrete", "limit": 1.0, "response": "Look.", "priority": "medium"}
    trip = {"title": "Tripped", "tag": "tr-*", "quantity": "trip", "stops": "power", **contact}
    dark = {"title": "Dark", "tag": "rack-*", "quantity": "dark", "follows": ["power"], **contact}
    alarms.write_definitions(user, [("trip", trip), ("dark", dark)], reason="bench")


def _readings(changes: int) -> Iterator[list[Any]]:
    """Batches in which every reading is a change: a transformer and its racks, the racks' words first."""
    from mbongi.base.clock import now_ms  # noqa: PLC0415
    from mbongi.facility.rules.alarm_limits import Observation  # noqa: PLC0415

    batch: list[Any] = []
    for number in range(changes):
        flip, part = divmod(number, RACKS + 1)
        turn, transformer = divmod(flip, TRANSFORMERS)
        value = float(turn % 2 == 0)
        where = (f"tr-{transformer}", "trip") if part == RACKS else (f"rack-{transformer}-{part}", "dark")
        batch.append(Observation(*where, value, is_good=True, at_ms=now_ms()))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _count() -> tuple[int, int]:
    """Changes in the journal, and racks that are dark beside a tripped transformer and not under it."""
    from mbongi.facility.models import Alarm, AlarmEvent  # noqa: PLC0415

    said = AlarmEvent.objects.exclude(alarm__definition__document__kind="inferred")
    kept = said.filter(change__in=["raise", "clear"]).count()
    tripped = set(Alarm.objects.filter(definition__key="trip", active=True).values_list("tag", flat=True))
    dark = Alarm.objects.filter(definition__key="dark", active=True).values_list("tag", "root__tag")
    sources = ((f"tr-{tag.split('-')[1]}", root) for tag, root in dark)
    wrong = sum(source in tripped and root != source for source, root in sources)
    return kept, wrong


if __name__ == "__main__":
    sys.exit(main())
