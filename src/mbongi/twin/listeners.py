"""The sockets of virtual machines: raw asyncio protocols for the RPC port, HTTP and Modbus, with faults built in.

A connection holds at most REQUEST_BYTES_MAX of request and IDLE_S of silence; beyond either it is closed.
"""

import asyncio
import errno
import functools
import socket
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from mbongi.twin.errors import TwinError
from mbongi.twin.firmware import AnswerHttp, AnswerRpc, HttpReply, HttpRequest, Reply, json_object
from mbongi.twin.flash import IMAGE_BYTES_MAX, Incoming
from mbongi.twin.images import BadImageError
from mbongi.twin.settings import Aftermath, Then
from mbongi.twin.values import Fault
from mbongi.wire import modbus

REQUEST_BYTES_MAX = 256 * 1024
HEAD_BYTES_MAX = 16 * 1024
UPLOAD_KINDS = ("multipart/form-data", "application/octet-stream")
"""Bodies that may be as long as an image."""
IDLE_S = 60.0
INCOMPLETE_S = 2.0
"""How long an RPC client may take over one request; then it is answered as broken JSON."""
THEN_S = 0.05
"""Between an answer and the reboot that it announces, so that the answer is on its way."""
REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


class Host(Protocol):
    """What a connection needs of whoever answers: a machine's place in the site, or the control interface."""

    slow_s: float
    connections: "set[Connection]"

    @property
    def fault(self) -> Fault:
        """What is wrong with the machine."""

    @property
    def is_dark(self) -> bool:
        """Whether the machine has gone down while it was asked."""

    def noise(self, length: int) -> bytes:
        """Bytes that mean nothing."""

    def take_aftermath(self) -> Aftermath:
        """What the request just answered leaves to be done."""

    def after_reply(self) -> None:
        """Called once an answer has changed the machine's network state."""

    def asked_by(self, source: str) -> None:
        """Called with the address of whoever asked, for each answer."""


class Connection(asyncio.Protocol):
    """What all protocols share: the machine's list of open connections, its faults, closing."""

    idle_s = IDLE_S
    """Silence after which the machine closes."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.transport: asyncio.Transport | None = None
        self.source = ""
        self.is_stuck = False
        """Whether a write on this connection stays without an answer."""
        self.timer: asyncio.TimerHandle | None = None
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection."""
        # uvloop's transports are no subclass of asyncio's, so only the type checker can be told.
        self.transport = cast(asyncio.Transport, transport)
        self.source = (transport.get_extra_info("peername") or ("",))[0]
        self.host.connections.add(self)
        self.expect_within(self.idle_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's signature
        """Forget a connection."""
        self.host.connections.discard(self)
        self.transport = None
        if self.timer is not None:
            self.timer.cancel()

    @property
    def is_deaf(self) -> bool:
        """Whether what comes in is not heard."""
        return self.is_stuck or self.host.fault is Fault.HUNG

    def abort(self) -> None:
        """Break the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def expect_within(self, seconds: float) -> None:
        """Close when nothing more has come within so many seconds; a hung machine keeps silent instead."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(seconds, self.expired)

    def expired(self) -> None:
        """The wait is over."""
        if self.transport is not None and self.host.fault is not Fault.HUNG:
            self.transport.close()

    def respond(self, data: bytes, *, close: bool) -> None:
        """Send the answer to a request and do what the request left to be done; a write fault may keep it back."""
        aftermath = self.host.take_aftermath()
        if aftermath.is_withheld:
            self.host.asked_by(self.source)
            self.is_stuck = True
            self.expect_within(self.idle_s)
        else:
            self.send(data, close=close)
        if aftermath.then is not None:
            self.loop.call_later(THEN_S, self._do_then, aftermath.then)
        else:
            self.host.after_reply()

    def send(self, data: bytes, *, close: bool) -> None:
        """Send an answer as the machine's fault lets it."""
        self.host.asked_by(self.source)
        if self.host.is_dark:
            self.abort()
            self.host.after_reply()
            return
        fault = self.host.fault
        if fault is Fault.SLOW:
            self.loop.call_later(self.host.slow_s, functools.partial(self._write, data, close=close))
        elif fault is Fault.HALF_REPLY:
            self._write(data[: len(data) // 2], close=True)
        elif fault is Fault.GARBAGE:
            self._write(self.host.noise(max(len(data) // 4, 64)), close=True)
        else:
            self._write(data, close=close)

    def _write(self, data: bytes, *, close: bool) -> None:
        if self.transport is None:
            return
        self.transport.write(data)
        if close:
            self.transport.close()

    def _do_then(self, then: Then) -> None:
        then()
        self.host.after_reply()


class ImageTaker:
    """Collects an image that follows a request, and has it answered."""

    def __init__(self, answer: Callable[[bytes], Reply]) -> None:
        self._answer, self._incoming = answer, Incoming()

    def feed(self, data: bytes) -> Reply | None:
        """Take bytes; the answer once the image is whole. Raises BadImageError for one that is too large."""
        image = self._incoming.feed(data)
        return None if image is None else self._answer(image)


class RpcConnection(Connection):
    """One request, one answer, then the machine closes."""

    def __init__(self, host: Host, answer: AnswerRpc) -> None:
        super().__init__(host)
        self.answer = answer
        self.received = b""
        self.answered = False
        self.incoming: ImageTaker | None = None

    def data_received(self, data: bytes) -> None:
        """Collect until the JSON is whole; requests carry no length and no end mark."""
        if self.incoming is not None and not self.is_deaf:
            self._take(data, self.incoming)
            return
        if self.answered or self.is_deaf:
            return
        self.received += data
        if len(self.received) > REQUEST_BYTES_MAX:
            self.abort()
        elif self._is_whole():
            self._answer()
        else:
            self.expect_within(INCOMPLETE_S)

    def _is_whole(self) -> bool:
        ended = self.received.endswith((b"\n", b"\0"))
        return ended or not self.received.lstrip().startswith(b"{") or json_object(self.received) is not None

    def eof_received(self) -> bool:
        """The client will send no more: answer what is there; False closes."""
        if self.received and not self.answered and not self.is_deaf:
            self._answer()
        return bool(self.received) and not self.is_stuck

    def expired(self) -> None:
        """Nothing more came: answer what is there, or close."""
        if self.received and not self.answered and not self.is_deaf:
            self._answer()
        else:
            super().expired()

    def _answer(self) -> None:
        self.answered = True
        reply = self.answer(self.received)
        if reply.then_image is not None:
            self.incoming = ImageTaker(reply.then_image)
            self.expect_within(self.idle_s)
        self.respond(reply.body, close=reply.then_image is None)

    def _take(self, data: bytes, incoming: ImageTaker) -> None:
        self.expect_within(self.idle_s)
        try:
            reply = incoming.feed(data)
        except BadImageError:
            self.abort()
            return
        if reply is not None:
            self.incoming = None
            self.respond(reply.body, close=True)


class HttpConnection(Connection):
    """HTTP/1.1 with keep-alive; requests are answered in order."""

    def __init__(self, host: Host, answer: AnswerHttp) -> None:
        super().__init__(host)
        self.answer = answer
        self._begin()

    def _begin(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.on_message_begin()

    def on_message_begin(self) -> None:
        """Parser: a request starts."""
        self.path, self.headers, self.body, self.size = "", dict[str, str](), b"", 0

    def on_url(self, url: bytes) -> None:
        """Parser: (a part of) the request target."""
        self.path += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: one header."""
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """Parser: (a part of) the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """Parser: a request is whole."""
        if self.is_deaf:
            return
        method = self.parser.get_method().decode("latin-1")
        keep = self.parser.should_keep_alive()
        reply = self.answer(HttpRequest(method, self.path, self.headers, self.body))
        self.respond(_rendered(reply, keep=keep, head=method == "HEAD"), close=not keep)
        self.size = 0

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        if self.is_deaf:
            return
        self.expect_within(self.idle_s)
        self.size += len(data)
        is_upload = self.headers.get("content-type", "").startswith(UPLOAD_KINDS)
        if self.size > (IMAGE_BYTES_MAX if is_upload else REQUEST_BYTES_MAX) + HEAD_BYTES_MAX:
            self.abort()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.abort()
        except httptools.HttpParserError:
            self.send(_rendered(HttpReply(400, b"Bad Request", "text/plain"), keep=False, head=False), close=True)


class ModbusConnection(Connection):
    """Modbus TCP: any number of questions on one connection, answered in order; an answer of None is silence."""

    def __init__(self, host: Host, answer: Callable[[modbus.Frame], bytes | None]) -> None:
        super().__init__(host)
        self.answer = answer
        self.received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer every question that is whole; what is no Modbus breaks the connection."""
        if self.is_deaf:
            return
        self.expect_within(self.idle_s)
        self.received += data
        try:
            while len(self.received) >= modbus.HEADER_BYTES:
                length = modbus.frame_bytes(bytes(self.received[: modbus.HEADER_BYTES]))
                if len(self.received) < length:
                    return
                asked = modbus.read_frame(bytes(self.received[:length]))
                del self.received[:length]
                pdu = self.answer(asked)
                if pdu is not None:
                    self.send(modbus.frame(asked.transaction, asked.unit, pdu), close=False)
        except modbus.ModbusError:
            self.abort()


def _rendered(reply: HttpReply, *, keep: bool, head: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}",
        f"Content-Type: {reply.kind}",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
        f"Connection: {'keep-alive' if keep else 'close'}",
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head else reply.body)


def open_socket(address: str, port: int, what: str) -> socket.socket:
    """A listening socket on one address. Raises TwinError in one line that names the address, the port and the cure."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(0)
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise TwinError(f"virtual machine {address}: {what} port {port}: {_cure(error, what)}") from error
    return listener


def _cure(error: OSError, what: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"already in use; stop the program that holds it or choose another twin.{what}_port"
    if error.errno == errno.EACCES:
        return f"not permitted without root; choose a twin.{what}_port of 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no such address on this machine; choose twin.network inside 127.0.0.0/8"
    if error.errno == errno.EMFILE:
        return "no more open files; raise the limit (ulimit -n) or run fewer machines"
    return f"{error.strerror}"
