"""Ten thousand virtual machines curtailed by half, as the site's meters see it; then all of them woken.

The virtual site runs in processes of its own, each with a meter; the fleet process, the bus and the recorder run as
on a site, on an embedded database with its usual durability. The time to the target runs from the request until the sum
of the meters, read by this process, is at the target, within half a percent of what the site drew. The ramp's error is
how far the meters are from the ramp that was planned, on the mean over its course, in percent of what the site drew.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bench._database import embedded_database
from bench._fleet_twin import ROOT, environment, free_port, slices, virtual_site
from bench.harness import process_cpu_s, report
from mbongi.base.config import Bus, Config, Fleet, Telemetry, Twin, as_environment
from mbongi.fleet.adapters.sunspec_meter import SunSpecMeter
from mbongi.fleet.device_errors import DeviceError
from mbongi.fleet.rules.curtail import TOLERANCE_SHARE, Ramp
from mbongi.twin.layout import Position
from mbongi.twin.models import model_of

if TYPE_CHECKING:
    from mbongi.core.identity.models import User
    from mbongi.fleet.curtail_rows import CurtailRow
    from mbongi.fleet.power_figures import MachinePower

SAMPLE_S = 0.5
READY_SHARE = 0.995
READY_S = 600.0
TARGET_S = 300.0
WAKE_S = 900.0


class Meters:
    """The sum of the sites' meters, sampled by a thread of its own from beginning to end."""

    def __init__(self, ports: list[int]) -> None:
        self._meters = [SunSpecMeter(f"127.0.0.1:{port}") for port in ports]
        self._stop = threading.Event()
        self.samples: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._sample()), daemon=True)

    def __enter__(self) -> "Meters":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    async def _sample(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            with contextlib.suppress(DeviceError):
                found = await asyncio.gather(*(meter.read() for meter in self._meters))
                self.samples.append((time.time(), sum(one.power_w for one in found)))
            await asyncio.sleep(max(0.01, SAMPLE_S - (time.monotonic() - began_s)))
        for meter in self._meters:
            meter.close()

    def now_w(self) -> float:
        """The newest sample."""
        return self.samples[-1][1] if self.samples else float("nan")


def main(argv: list[str] | None = None) -> int:
    """Measure; some five minutes with 10,000 machines."""
    parser = argparse.ArgumentParser(prog="mbongi bench fleet-curtail", description=__doc__)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--percent", type=float, default=50.0)
    parser.add_argument("--within-s", type=float, default=14.5, help="the deadline that the ramp is made for")
    parser.add_argument("--no-wake", action="store_true", help="end after the target")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    sites = slices(arguments.machines)
    with contextlib.ExitStack() as stack:
        config = stack.enter_context(embedded_database())
        config = dataclasses.replace(
            config,
            bus=Bus(port=free_port()),
            telemetry=Telemetry(port=free_port()),
            fleet=Fleet(
                rpc_port=sites[0].rpc_port,
                http_port=sites[0].http_port,
                framed_port=sites[0].framed_port,
                meters=tuple(f"127.0.0.1:{site.meter_port}" for site in sites),
                rescan_s=86_400.0,
            ),
        )
        places = [
            place for site in sites for each in stack.enter_context(virtual_site(site)).values() for place in each
        ]
        figures, table = _measure(config, sites, places, arguments, stack)
    report("fleet-curtail", figures, as_json=arguments.json, table=table)
    return 0


@contextlib.contextmanager
def _process(config: Config, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    log = config.site.data_dir / f"{name}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "mbongi.cli", name],
            env=environment() | as_environment(config),
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(what: Callable[[], bool], limit_s: float, why: str) -> float:
    """Until it is so; returns how long that took."""
    began_s = time.monotonic()
    while not what():
        if time.monotonic() - began_s > limit_s:
            raise SystemExit(f"{why}: not within {limit_s:g} s")
        time.sleep(0.2)
    return time.monotonic() - began_s


def _measure(
    config: Config,
    sites: list[Twin],
    places: list[Position],
    arguments: argparse.Namespace,
    stack: contextlib.ExitStack,
) -> tuple[dict[str, float], list[list[object]]]:
    os.environ |= as_environment(config)
    from mbongi.run.database import use_database  # noqa: PLC0415 -- the settings are read now

    use_database()
    from mbongi.core.identity.scope import SITE, acting  # noqa: PLC0415 -- Django must be set up first
    from mbongi.fleet import curtail_rows, curtailing  # noqa: PLC0415
    from mbongi.fleet.values import CurtailWish  # noqa: PLC0415

    stack.enter_context(acting(SITE))
    user = _person()
    _add_machines(places)
    stack.enter_context(_process(config, "bus"))
    time.sleep(2)
    stack.enter_context(_process(config, "recorder"))
    fleet = stack.enter_context(_process(config, "fleet"))
    meters = stack.enter_context(Meters([site.meter_port for site in sites]))
    table: list[list[object]] = [["machines", len(places)], ["known to mine after s", _until_mining(len(places))]]
    began_s, began_cpu_s = time.time(), process_cpu_s(fleet.pid)
    wish = CurtailWish(reduce_pct=arguments.percent, within_s=arguments.within_s, even_late=True)
    row = curtailing.begin(user, wish, _stated(places), reason="benchmark", ramp_kw_s_max=0)
    table.append(["the request took s", time.time() - began_s])
    figures = _down(row, meters, began_s, table)
    table += [["CPU s of the fleet process", process_cpu_s(fleet.pid) - began_cpu_s], ["load", os.getloadavg()[0]]]
    if not arguments.no_wake:
        began_s = time.time()
        curtailing.end(user, row.id, reason="benchmark")
        _wait(lambda: curtail_rows.curtailment(row.id).is_over, WAKE_S, "the end")
        figures["seconds_to_wake"] = time.time() - began_s
        table += [["ended", curtail_rows.curtailment(row.id).message]]
        table += [["still asleep", len(curtail_rows.asleep_by(row.id))]]
    return figures, table


def _until_mining(count: int) -> float:
    from mbongi.fleet.models import Machine  # noqa: PLC0415
    from mbongi.fleet.values import MachineState  # noqa: PLC0415

    mining = Machine.objects.filter(state=MachineState.MINING)
    ready_s = _wait(lambda: mining.count() >= READY_SHARE * count, READY_S, "machines known to mine")
    _wait(_power_known, 60, "the site's power")
    time.sleep(10)
    return ready_s


def _down(row: "CurtailRow", meters: Meters, began_s: float, table: list[list[object]]) -> dict[str, float]:
    """To the target, and what the meters say of the way."""
    from mbongi.fleet import curtail_rows  # noqa: PLC0415
    from mbongi.fleet.values import ActionKind, ActionStatus, CurtailPhase  # noqa: PLC0415

    reach_w = row.target_w + TOLERANCE_SHARE * row.baseline_w
    _wait(lambda: meters.now_w() <= reach_w, TARGET_S, "the target by the meters")
    to_target_s = next(at for at, power_w in meters.samples if at > began_s and power_w <= reach_w) - began_s
    _wait(lambda: curtail_rows.curtailment(row.id).phase is CurtailPhase.HOLD, TARGET_S, "the target as it is kept")
    held_s = time.time() - began_s
    time.sleep(5)
    found = curtail_rows.curtailment(row.id)
    ramp = Ramp(began_s, row.baseline_w, row.target_w, row.ramp_w_s)
    off = [abs(power_w - ramp.at(at)) for at, power_w in meters.samples if began_s <= at <= began_s + ramp.length_s]
    settled_w = meters.now_w()
    table += [
        ["before, MW", row.baseline_w / 1e6],
        ["target, MW", row.target_w / 1e6],
        ["settled, MW", settled_w / 1e6],
        ["planned ramp, kW/s", (row.ramp_w_s or 0.0) / 1e3],
        ["held as the product sees it after s", held_s],
        ["put to sleep", found.count(ActionKind.SLEEP, ActionStatus.DONE)],
        ["failed", found.count(ActionKind.SLEEP, ActionStatus.FAILED)],
        ["added as the meter fell short", found.added],
    ]
    return {
        "seconds_to_target": to_target_s,
        "ramp_error_pct": 100.0 * sum(off) / len(off) / row.baseline_w,
        "ramp_error_max_pct": 100.0 * max(off) / row.baseline_w,
        "end_error_pct": 100.0 * (settled_w - row.target_w) / row.baseline_w,
    }


def _stated(places: list[Position]) -> "dict[int, MachinePower]":
    """What the newest readings say of each machine, as the console has them; its model stands for them here."""
    from mbongi.fleet.models import Machine  # noqa: PLC0415
    from mbongi.fleet.power_figures import MachinePower  # noqa: PLC0415

    models, now_s = {place.address: model_of(place.family) for place in places}, time.time()
    return {
        pk: MachinePower(model.power_w, model.power_w / model.hashrate_ths, float("nan"), now_s)
        for pk, address in Machine.objects.values_list("pk", "address")
        if (model := models.get(address)) is not None
    }


def _power_known() -> bool:
    from mbongi.fleet import curtail_rows  # noqa: PLC0415

    power = curtail_rows.power_now()
    return power is not None and power.known_w is not None


def _person() -> "User":
    from mbongi.core.identity.models import User  # noqa: PLC0415
    from mbongi.core.identity.values import Role  # noqa: PLC0415

    user, _made = User.objects.get_or_create(
        email="bench@example.org", defaults={"name": "Bench", "role": Role.SITE_MANAGER}
    )
    return user


def _add_machines(places: list[Position]) -> None:
    """Enter them as a scan would."""
    from mbongi.base.clock import utc_now  # noqa: PLC0415
    from mbongi.fleet.models import Machine  # noqa: PLC0415

    now = utc_now()
    Machine.objects.bulk_create(
        [
            Machine(
                address=place.address,
                family=place.family.value,
                model=model_of(place.family).name,
                hall=int(place.address.split(".")[1]),
                rack=place.rack,
                slot=place.slot,
                state_since=now,
                added_at=now,
            )
            for place in places
        ],
        batch_size=2000,
    )


if __name__ == "__main__":
    sys.exit(main())
