"""Virtual meters for ``modbus``: one process, one loopback address per meter, the same answer always."""

import asyncio
import sys

import uvloop

from mbongi.wire import modbus

PORT = 15020


def address(number: int) -> str:
    """Where a meter is."""
    return f"127.31.{number // 250}.{number % 250 + 1}"


class _Meter(asyncio.Protocol):
    """One connection: whole questions in, as our clients send them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        found = modbus.read_frame(data)
        asked = modbus.read_question(found.pdu)
        assert isinstance(asked, modbus.Reading)
        # 230.0 as a real of 32 bits, again and again.
        words = [0x4366, 0x0000] * (asked.registers // 2 + 1)
        answer = modbus.answer(asked.function, words[: asked.registers])
        self.transport.write(modbus.frame(found.transaction, found.unit, answer))  # type: ignore[attr-defined]


async def _serve(first: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    for number in range(first, first + count):
        await loop.create_server(_Meter, address(number), PORT)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
