"""How many Modbus TCP meters one core reads: ours, and pymodbus's client on the same virtual meters.

``reads_per_s`` is whole readings of a meter (one question of 78 registers, 18 values decoded) per second of CPU of the
reading process, each meter on its own connection, as many at a time as the poller asks. ``polled_late`` counts readings
that began more than half a second late when all meters are read every second for some seconds; ``polled_core_pct`` is
what of a core that took. The meters are processes of their own.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from bench._modbus_meters import PORT, address
from bench.harness import cpu_s, report
from mbongi.base.clock import monotonic_s
from mbongi.facility.adapters.modbus import ModbusReader
from mbongi.facility.adapters.modbus_link import ModbusLinks
from mbongi.facility.point_maps import point_map
from mbongi.facility.ports import DeviceTarget
from mbongi.facility.rules.point_maps import blocks
from mbongi.facility.values import Protocol

ROOT = Path(__file__).parents[1]
MAP = "janitza-umg96"
AT_ONCE = 100
Read = Callable[[int], Awaitable[object]]


def main(argv: list[str] | None = None) -> int:
    """Measure; half a minute."""
    parser = argparse.ArgumentParser(prog="mbongi bench modbus", description=__doc__)
    parser.add_argument("--meters", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=10, help="how long all meters are read every second")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    with _meters(arguments.meters):
        figures = uvloop.run(_measure(arguments.meters, arguments.rounds, arguments.seconds))
    report("modbus", figures, as_json=arguments.json)
    return 0


@contextlib.contextmanager
def _meters(count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "bench._modbus_meters", "0", str(count)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.terminate()
        process.wait()


async def _measure(count: int, rounds: int, seconds: int) -> dict[str, float]:
    links = ModbusLinks()
    readers = [ModbusReader(_target(number), links) for number in range(count)]
    figures = {"reads_per_s": await _rate(lambda number: readers[number].read(), count, rounds)}
    figures |= await _polled(readers, seconds)
    for reader in readers:
        await reader.close()
    figures["reads_per_s_pymodbus"] = await _pymodbus(count, rounds)
    return figures


def _target(number: int) -> DeviceTarget:
    return DeviceTarget(f"M-{number}", Protocol.MODBUS, address(number), PORT, "1", MAP)


async def _rate(read: Read, count: int, rounds: int) -> float:
    """Readings per second of CPU, after one round that opens the connections."""

    async def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            await read(number)

    for turn in range(rounds + 1):
        if turn == 1:
            began = cpu_s()
        waiting = iter(range(count))
        await asyncio.gather(*(work(waiting) for _worker in range(AT_ONCE)))
    return count * rounds / (cpu_s() - began)


async def _polled(readers: list[ModbusReader], seconds: int) -> dict[str, float]:
    """All meters every second, staggered over it."""
    begin, late, used = monotonic_s() + 0.5, 0, cpu_s()

    async def poll(number: int, reader: ModbusReader) -> None:
        nonlocal late
        for second in range(seconds):
            due = begin + second + number / len(readers)
            await asyncio.sleep(max(0.0, due - monotonic_s()))
            late += monotonic_s() - due > 0.5
            await reader.read()

    await asyncio.gather(*(poll(number, reader) for number, reader in enumerate(readers)))
    return {"polled_late": float(late), "polled_core_pct": 100.0 * (cpu_s() - used) / seconds}


async def _pymodbus(count: int, rounds: int) -> float:
    clients = [AsyncModbusTcpClient(address(number), port=PORT) for number in range(count)]
    [block] = blocks(point_map(MAP).rows)

    async def read(number: int) -> object:
        client = clients[number]
        if not client.connected:
            await client.connect()
        answer = await client.read_holding_registers(block.address, count=block.count, device_id=1)
        return block.decode(b"".join(word.to_bytes(2, "big") for word in answer.registers))

    try:
        return await _rate(read, count, rounds)
    finally:
        for client in clients:
            client.close()


if __name__ == "__main__":
    sys.exit(main())
