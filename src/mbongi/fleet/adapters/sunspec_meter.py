"""A power meter that speaks SunSpec over Modbus TCP. Read only: nothing here writes a register."""

import asyncio
import contextlib

from mbongi.fleet.device_errors import GarbledError, SilentError, UnreachableError
from mbongi.fleet.rules.metering import Measured
from mbongi.wire import modbus, sunspec
from mbongi.wire.errors import WireError

UNIT = 1
ANSWER_S = 2.0


class _NoRegisters(GarbledError):
    """The device has no such registers."""


class SunSpecMeter:
    """One meter. Its connection is kept; whatever goes wrong on it breaks it, and the next reading opens another."""

    def __init__(self, address: str) -> None:
        """``address`` is ``host:port``."""
        self.name = address
        self._host, _colon, port = address.rpartition(":")
        self._port = int(port)
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._transaction = 0
        self._model_at: int | None = None

    async def read(self) -> Measured:
        """What it measures now. Raises a DeviceError where it is silent, unreachable, or answers what is no meter."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._read()
        except TimeoutError as error:
            self.close()
            raise SilentError(f"meter {self.name}: no answer within {ANSWER_S:g} s") from error
        except OSError as error:
            self.close()
            raise UnreachableError(f"meter {self.name}: {error}") from error
        except (WireError, asyncio.IncompleteReadError) as error:
            self.close()
            raise GarbledError(f"meter {self.name}: {error}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; what is asked next opens a new one."""
        stream, self._stream = self._stream, None
        self._model_at = None
        if stream is not None:
            with contextlib.suppress(OSError, RuntimeError):
                stream[1].close()

    async def _read(self) -> Measured:
        if self._model_at is None:
            self._model_at = await self._find()
        words = await self._registers(self._model_at, sunspec.METER_LENGTH + 2)
        points = sunspec.read_meter(words)
        return Measured(points.power_w, points.frequency_hz, tuple(words))

    async def _find(self) -> int:
        """Where the meter's model begins."""
        search = sunspec.find_meter()
        try:
            address, count = next(search)
            while True:
                try:
                    words: tuple[int, ...] | None = await self._registers(address, count)
                except _NoRegisters:
                    words = None
                address, count = search.send(words)
        except StopIteration as found:
            return int(found.value)

    async def _registers(self, address: int, count: int) -> tuple[int, ...]:
        reader, writer = await self._connected()
        self._transaction = (self._transaction + 1) & 0xFFFF
        writer.write(modbus.frame(self._transaction, UNIT, modbus.ask(address, count)))
        while True:
            header = await reader.readexactly(modbus.HEADER_BYTES)
            rest = await reader.readexactly(modbus.frame_bytes(header) - modbus.HEADER_BYTES)
            found = modbus.read_frame(header + rest)
            if found.transaction == self._transaction:
                break
        answer = modbus.read_answer(found.pdu, function=modbus.READ_HOLDING, count=count)
        if isinstance(answer, modbus.Refused):
            raise _NoRegisters(f"meter {self.name}: registers from {address}: exception {answer.code}")
        return answer

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._stream is None:
            self._stream = await asyncio.open_connection(self._host, self._port)
        return self._stream
