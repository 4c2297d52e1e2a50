"""One contender of ``bench fleet-poll`` in a process of its own: reads its task from stdin, prints its CPU per poll.

Warm for all, and not counted: start, imports, identification, one whole poll of every machine (which leaves each with
whatever it keeps: connections, nonces, clients).
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import uvloop

from bench.harness import cpu_s
from mbongi.base.config import Fleet
from mbongi.base.ids import MachineId
from mbongi.fleet.poller import Poller
from mbongi.fleet.reading import MachineReading, Target
from mbongi.fleet.values import Family, MachineState

IN_FLIGHT = 20
NEVER_S = 1e9
POLLS_PER_S = 400.0
"""How hard our poller is driven; like the others it then always has machines waiting."""


def main() -> None:
    """Run the task ``{"who", "family", "tier", "rounds", "addresses", "rpc_port", "http_port"}``."""
    task = json.load(sys.stdin)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    run = {"mbongi": mbongi, "pyasic": pyasic, "pyasic_rs": pyasic_rs}[task["who"]]
    result = uvloop.run(run(task)) if task["who"] == "mbongi" else asyncio.run(run(task))
    print(json.dumps(result), flush=True)
    os._exit(0)  # pyasic_rs has been seen to crash while the interpreter ends, after its work was done


async def mbongi(task: dict[str, Any]) -> dict[str, float]:
    """Our poller as a site runs it, schedule, batches, states and all; ``full`` asks every tier with every poll."""
    full = task["tier"] == "full"
    addresses: list[str] = task["addresses"]
    config = Fleet(
        rpc_port=task["rpc_port"],
        http_port=task["http_port"],
        workers=IN_FLIGHT,
        fast_s=len(addresses) / POLLS_PER_S,
        slow_s=0.0 if full else NEVER_S,
        static_s=0.0 if full else NEVER_S,
    )
    targets = [
        Target(
            machine_id=MachineId(number),
            address=address,
            family=Family(task["family"]),
            rack=address.rpartition(".")[0],
        )
        for number, address in enumerate(addresses, start=1)
    ]
    poller = Poller(config, targets)
    seen = dict.fromkeys((target.rack for target in targets), 0)
    counter = _Counter(rounds=task["rounds"], poller=poller)

    def on_batch(rack: str, readings: Sequence[MachineReading]) -> None:
        seen[rack] += 1
        counter.take(min(seen.values()), readings)

    run = asyncio.create_task(poller.run(on_batch, lambda _changes: None, lambda _details: None))
    await counter.done.wait()
    poller.stop()
    await run
    return {"ms": counter.ms_per_poll, "missing": float(counter.missing)}


class _Counter:
    """CPU from the end of the second round to the end of the last."""

    def __init__(self, *, rounds: int, poller: Poller) -> None:
        self.rounds, self.poller = rounds, poller
        self.done = asyncio.Event()
        self.started: tuple[float, int] | None = None
        self.missing = 0
        self.ms_per_poll = 0.0

    def take(self, round_number: int, readings: Sequence[MachineReading]) -> None:
        self.missing += sum(reading.state != MachineState.MINING.value for reading in readings)
        if self.started is None and round_number >= 2:
            self.started = cpu_s(), self.poller.statistics.polls
        elif self.started is not None and round_number >= 2 + self.rounds and not self.done.is_set():
            cpu, polls = self.started
            self.ms_per_poll = (cpu_s() - cpu) / (self.poller.statistics.polls - polls) * 1000.0
            self.done.set()


async def pyasic(task: dict[str, Any]) -> dict[str, float]:
    """``get_data`` of each miner object; ``fast`` asks it for our fast tier's fields only."""
    from pyasic import get_miner  # noqa: PLC0415 -- each contender's process loads its own library only

    fast = ["hashrate", "expected_hashrate", "hashboards", "fans", "env_temp", "wattage", "uptime", "is_mining"]
    options = {"include": fast} if task["tier"] == "fast" else {}
    miners = await _each(task["addresses"], get_miner)
    return await _measured(task, miners, lambda miner: miner.get_data(**options))


async def pyasic_rs(task: dict[str, Any]) -> dict[str, float]:
    """``get_data`` of each miner object; ``fast`` leaves out what our fast tier does not read."""
    import pyasic_rs as library  # noqa: PLC0415
    from pyasic_rs.data import DataField  # noqa: PLC0415

    slow = (
        "Mac",
        "SerialNumber",
        "Hostname",
        "ApiVersion",
        "FirmwareVersion",
        "ControlBoardVersion",
        "Messages",
        "Pools",
        "LightFlashing",
        "PsuFans",
        "TuningTarget",
    )
    exclude = [getattr(DataField, name) for name in slow if hasattr(DataField, name)]
    factory = library.MinerFactory()
    miners = await _each(task["addresses"], factory.get_miner)
    if task["tier"] == "fast":
        return await _measured(task, miners, lambda miner: miner.get_data(exclude=exclude))
    return await _measured(task, miners, lambda miner: miner.get_data())


async def _measured(task: dict[str, Any], miners: list[Any], ask: Callable[[Any], Awaitable[Any]]) -> dict[str, float]:
    miners = [miner for miner in miners if miner is not None]
    await _each(miners, ask)
    missing = 0
    started = cpu_s()
    for _ in range(task["rounds"]):
        missing += sum(not _has_rate(data) for data in await _each(miners, ask))
    ms = (cpu_s() - started) / (task["rounds"] * len(miners)) * 1000.0
    return {"ms": ms, "missing": float(missing + len(task["addresses"]) - len(miners))}


def _has_rate(data: Any) -> bool:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        return data is not None and data.hashrate is not None and float(data.hashrate) > 0
    return False


async def _each(items: Sequence[Any], do: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Do it with every item, IN_FLIGHT at a time; what fails is None."""
    results: list[Any] = []
    left = iter(items)

    async def work() -> None:
        for item in left:
            found = None
            with contextlib.suppress(Exception):
                found = await do(item)
            results.append(found)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return results


if __name__ == "__main__":
    main()
