"""Sending an image to a machine: from the disk to the socket, as fast as the machine takes it.

Megabytes take longer than a question: each piece may take PIECE_S, the answer after the last ANSWER_S. The fence is
looked at before every piece.
"""

import asyncio
import contextlib
import secrets
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from mbongi.fleet.adapters.links import connection_error
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.device_errors import DeviceError, GarbledError, SilentError, UnreachableError
from mbongi.fleet.image_file import ImageFile
from mbongi.wire.btminer_v3 import REPLY_BYTES_MAX, FrameParser
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response, ResponseParser, upload_head

CONNECT_S = 10.0
PIECE_S = 30.0
ANSWER_S = 120.0
"""A machine checks an image before it answers."""
_READ_BYTES = 65_536
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Form:
    """What stands around an image in the body of a request."""

    kind: str
    before: bytes = b""
    after: bytes = b""


RAW = Form("application/octet-stream")


def form(field: str, **fields: bytes) -> Form:
    """A form with the image as its last field, after ``fields``."""
    boundary = secrets.token_hex(16)
    mark = f"--{boundary}\r\n".encode()
    head = b"".join(
        mark + f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in fields.items()
    )
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="image.bin"\r\n'
    kind = b"Content-Type: application/octet-stream\r\n\r\n"
    before = head + mark + disposition.encode() + kind
    return Form(f"multipart/form-data; boundary={boundary}", before, f"\r\n--{boundary}--\r\n".encode())


async def post(session: Session, target: str, image: ImageFile, shape: Form, *, authorization: str = "") -> Response:
    """Send an image in a request and take whatever response comes.

    Raises ImageBrokenError before its last piece is sent, and what the connection raises.
    """
    length = len(shape.before) + image.size_bytes + len(shape.after)
    head = upload_head(target, host=session.address, kind=shape.kind, length=length, authorization=authorization)
    async with _connected(session, session.access.http_port) as (reader, writer):
        # A machine that refuses early has answered before it closed.
        with contextlib.suppress(ConnectionError):
            await _send(session, writer, head + shape.before)
            async for piece in image.pieces():
                await _send(session, writer, piece)
            if shape.after:
                await _send(session, writer, shape.after)
        return await _response(session, reader)


async def _response(session: Session, reader: asyncio.StreamReader) -> Response:
    parser = ResponseParser()
    try:
        while data := await _received(session, reader):
            response = parser.feed(data)
            if response is not None:
                return response
        if not parser.started:
            raise UnreachableError(f"{session.address}: the connection ended before an answer to the image")
        return parser.end()
    except WireError as error:
        raise GarbledError(f"{session.address}: {error}") from error


class Raw:
    """A connection on which an image follows a command as its size, a little-endian uint32, and its bytes."""

    def __init__(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._session, self._reader, self._writer = session, reader, writer

    async def write(self, data: bytes) -> None:
        """Send a command."""
        await _send(self._session, self._writer, data)

    async def answer(self) -> bytes:
        """The next answer of JSON without a length."""
        received = b""
        while data := await _received(self._session, self._reader):
            received += data
            if _is_json(received) or len(received) > REPLY_BYTES_MAX:
                break
        return received

    async def framed_answer(self) -> bytes:
        """The next framed answer."""
        parser = FrameParser()
        while data := await _received(self._session, self._reader):
            if messages := self._session.read(parser.feed, data):
                return messages[0]
        raise UnreachableError(f"{self._session.address}: the connection ended before an answer")

    async def send(self, image: ImageFile) -> None:
        """Send the image. Raises ImageBrokenError before its last piece is sent."""
        await _send(self._session, self._writer, _LENGTH.pack(image.size_bytes))
        async for piece in image.pieces():
            await _send(self._session, self._writer, piece)


def _is_json(data: bytes) -> bool:
    """Whether an answer without a length or an end is whole."""
    try:
        msgspec.json.decode(data.rstrip(b"\0\r\n "))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


@contextlib.asynccontextmanager
async def raw(session: Session, port: int) -> AsyncIterator[Raw]:
    """A connection for a command and the image after it."""
    async with _connected(session, port) as (reader, writer):
        try:
            yield Raw(session, reader, writer)
        except ConnectionError as error:
            raise UnreachableError(f"{session.address}: port {port}: the connection broke: {error}") from error


@contextlib.asynccontextmanager
async def _connected(session: Session, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    session.check()
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(session.address, port)
    except OSError as error:
        found: DeviceError = connection_error(error, port)
        raise type(found)(f"{session.address}: {found}") from error
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def _send(session: Session, writer: asyncio.StreamWriter, data: bytes) -> None:
    session.check()
    try:
        async with asyncio.timeout(PIECE_S):
            writer.write(data)
            await writer.drain()
    except TimeoutError as error:
        raise SilentError(f"{session.address}: takes no more of the image for {PIECE_S:g} s") from error


async def _received(session: Session, reader: asyncio.StreamReader) -> bytes:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await reader.read(_READ_BYTES)
    except TimeoutError as error:
        raise SilentError(f"{session.address}: no answer to the image within {ANSWER_S:g} s") from error
    except ConnectionError as error:
        raise UnreachableError(f"{session.address}: the connection broke after the image: {error}") from error
