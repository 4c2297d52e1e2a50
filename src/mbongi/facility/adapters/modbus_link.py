"""Connections to Modbus TCP devices and gateways, on raw asyncio protocols; devices behind one gateway share one.

One question is under way at a time, as many gateways take no more; others wait their turn. Whatever goes wrong breaks
the connection, so that no late answer meets another question. The speed of this path: ``./mbongi bench modbus``.
"""

import asyncio
from typing import cast

from mbongi.facility.device_errors import DeviceError, GarbledError, MissingError, SilentError, UnreachableError
from mbongi.wire import modbus
from mbongi.wire.errors import WireError

_BUSY = {modbus.Failure.BUSY, modbus.Failure.GATEWAY_TARGET, modbus.Failure.GATEWAY_PATH}


class _Connection(asyncio.Protocol):
    """One connection, until anything goes wrong on it."""

    __slots__ = ("answer", "is_open", "received", "transaction", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[bytes] | None = None
        self.received = b""
        self.transaction = 0
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of its own class, so only their use can tell.
        self.transport, self.is_open = cast("asyncio.Transport", transport), True

    async def ask(self, unit: int, pdu: bytes) -> bytes:
        """The PDU of the answer. Raises UnreachableError or GarbledError; cancelling breaks the connection."""
        assert self.transport is not None
        self.transaction = (self.transaction + 1) & 0xFFFF
        answer = self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(modbus.frame(self.transaction, unit, pdu))
        try:
            found: bytes = await answer
        except BaseException:
            self.close()
            raise
        return found

    def data_received(self, data: bytes) -> None:
        received = self.received = self.received + data if self.received else data
        try:
            if len(received) < modbus.HEADER_BYTES:
                return
            if len(received) < modbus.frame_bytes(received[: modbus.HEADER_BYTES]):
                return
            found = modbus.read_frame(received)
        except WireError as error:
            self._fail(GarbledError(str(error)))
            return
        answer, self.answer, self.received = self.answer, None, b""
        if answer is None or answer.done() or found.transaction != self.transaction:
            self.answer = answer
            self._fail(GarbledError("an answer that nobody asked for"))
            return
        answer.set_result(found.pdu)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(UnreachableError(f"the connection broke before an answer{f': {exc}' if exc else ''}"))

    def _fail(self, error: DeviceError) -> None:
        answer, self.answer = self.answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self.close()

    def close(self) -> None:
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()


class ModbusLink:
    """The way to one address and port."""

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self.users = 0
        self._host, self._port = host, port
        self._turn = asyncio.Lock()
        self._connection: _Connection | None = None

    async def read(self, unit: int, function: int, address: int, count: int, *, limit_s: float) -> bytes:
        """The bytes of so many registers, within ``limit_s`` from when it is this question's turn.

        Raises UnreachableError, GarbledError, MissingError or SilentError.
        """
        question = modbus.ask(address, count, function=function)
        async with self._turn:
            try:
                async with asyncio.timeout(limit_s):
                    pdu = await self._ask(unit, question)
            except TimeoutError as error:
                raise SilentError(f"{self.name}: unit {unit}: no answer within {limit_s:g} s") from error
            except DeviceError as error:
                raise type(error)(f"{self.name}: {error}") from error
        try:
            data = modbus.answer_data(pdu, function=function, count=count)
        except WireError as error:
            self.close()
            raise GarbledError(f"{self.name}: {error}") from error
        if isinstance(data, modbus.Refused):
            if data.code in _BUSY:
                raise SilentError(f"{self.name}: unit {unit}: the gateway says that it does not answer ({data.code})")
            raise MissingError(f"{self.name}: unit {unit}: registers from {address}: exception {data.code}")
        return data

    async def _ask(self, unit: int, question: bytes) -> bytes:
        connection = self._connection
        if connection is None or not connection.is_open:
            loop = asyncio.get_running_loop()
            try:
                _transport, connection = await loop.create_connection(_Connection, self._host, self._port)
            except OSError as error:
                raise UnreachableError(str(error.strerror or error)) from error
            self._connection = connection
        return await connection.ask(unit, question)

    def close(self) -> None:
        """Break the connection at once; the next question opens another."""
        if self._connection is not None:
            self._connection.close()


class ModbusLinks:
    """The connections of a process, one per address and port."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, int], ModbusLink] = {}

    def take(self, host: str, port: int) -> ModbusLink:
        """The way there; ``leave`` it when it is no longer needed."""
        link = self._links.setdefault((host, port), ModbusLink(host, port))
        link.users += 1
        return link

    def leave(self, link: ModbusLink) -> None:
        """Close it once nobody uses it any more."""
        link.users -= 1
        if link.users <= 0:
            link.close()
            self._links = {place: one for place, one in self._links.items() if one is not link}
