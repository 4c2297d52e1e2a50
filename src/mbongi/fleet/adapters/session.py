"""What stays between polls of one machine: its kept connection, its digest challenge, its slow figures."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Fleet
from mbongi.fleet.adapters.links import FramedLink, HttpLink, StaleLinkError, always, never, rpc
from mbongi.fleet.device_errors import (
    DeniedError,
    DeviceError,
    FencedError,
    GarbledError,
    MissingPageError,
    RefusedError,
    RejectedError,
    SilentError,
    UnreachableError,
)
from mbongi.fleet.reading import MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import host_and_port
from mbongi.fleet.values import Family, SignIn
from mbongi.wire import cgminer
from mbongi.wire.digest import DigestError
from mbongi.wire.digest_signer import DigestSigner
from mbongi.wire.errors import WireError
from mbongi.wire.http1 import Response, request
from mbongi.wire.tolerant import Reply, TolerantDecoder

Found = TypeVar("Found")
WORDS_MAX = 160
"""Of what a machine says in a refusal, so many bytes are told."""
WEB_RETRY_S = 300.0
"""After a machine's web refused us, or lacked a page, how long its other interface is used before asking again."""


_PASSWORD = {
    Family.ANTMINER: "antminer_password",
    Family.WHATSMINER: "whatsminer_password",
    Family.WHATSMINER_V3: "whatsminer_v3_password",
    Family.VNISH: "vnish_password",
    Family.BRAIINS: "braiins_password",
    Family.AVALON: "avalon_password",
}
"""The families whose machines have a password, and where ``Access`` has it."""


@dataclass(frozen=True, slots=True)
class Access:
    """Ports and passwords of a site's machines. ``repr`` shows no password."""

    rpc_port: int
    http_port: int
    framed_port: int
    antminer_user: str
    antminer_password: str = field(repr=False)
    whatsminer_password: str = field(repr=False)
    whatsminer_v3_password: str = field(repr=False)
    vnish_password: str = field(repr=False)
    braiins_user: str
    braiins_password: str = field(repr=False)
    avalon_password: str = field(repr=False)

    def password(self, family: Family) -> str:
        """What writes to a family's machines need; empty where the family has none."""
        name = _PASSWORD.get(family)
        return "" if name is None else str(getattr(self, name))

    def with_password(self, family: Family, password: str) -> "Access":
        """The same, with another password for one family."""
        change: dict[str, Any] = {_PASSWORD[family]: password}
        return replace(self, **change)

    def is_factory(self, family: Family) -> bool:
        """Whether our password for a family's machines is the one that its makers deliver them with."""
        name = _PASSWORD.get(family)
        return name is not None and getattr(self, name) == getattr(_DELIVERED, name)

    @classmethod
    def of(cls, config: Fleet) -> "Access":
        """The part of the configuration that sessions need."""
        return cls(
            rpc_port=config.rpc_port,
            http_port=config.http_port,
            framed_port=config.framed_port,
            antminer_user=config.antminer_user,
            antminer_password=config.antminer_password,
            whatsminer_password=config.whatsminer_password,
            whatsminer_v3_password=config.whatsminer_v3_password,
            vnish_password=config.vnish_password,
            braiins_user=config.braiins_user,
            braiins_password=config.braiins_password,
            avalon_password=config.avalon_password,
        )


_DELIVERED = Fleet()


class SlowFigures(msgspec.Struct, gc=False):
    """The figures of the slow tier, carried into the rows of the fast tier until the next slow poll."""

    at_s: float = math.nan
    accepted: float = math.nan
    rejected: float = math.nan
    stale: float = math.nan
    pool: str = ""
    error_count: float = math.nan
    psu_temp_c: float = math.nan

    @classmethod
    def of(cls, detail: MachineDetail, *, psu_temp_c: float | None = None) -> "SlowFigures":
        """The figures of a machine whose pools and errors were just read."""
        used = [pool for pool in detail.pools if pool.active]
        return cls(
            at_s=monotonic_s(),
            accepted=_total([pool.accepted for pool in detail.pools]),
            rejected=_total([pool.rejected for pool in detail.pools]),
            stale=_total([pool.stale for pool in detail.pools]),
            pool=host_and_port(used[0].url) if used else "",
            error_count=float(len(detail.errors)),
            psu_temp_c=math.nan if psu_temp_c is None else psu_temp_c,
        )

    def put_into(self, reading: MachineReading, now_s: float) -> None:
        """Fill what the fast poll did not state, with its age."""
        if math.isnan(reading.accepted):
            reading.accepted = self.accepted
        if math.isnan(reading.rejected):
            reading.rejected = self.rejected
        if math.isnan(reading.stale):
            reading.stale = self.stale
        if math.isnan(reading.error_count):
            reading.error_count = self.error_count
        if math.isnan(reading.psu_temp_c):
            reading.psu_temp_c = self.psu_temp_c
        reading.pool = reading.pool or self.pool
        reading.detail_age_s = now_s - self.at_s


def _total(counts: list[int | None]) -> float:
    """The sum of what is stated; NaN where nothing is."""
    stated = [count for count in counts if count is not None]
    return float(sum(stated)) if stated else math.nan


class Session:
    """One machine, asked one thing at a time. Every question may raise a DeviceError.

    ``keep_links`` False closes each connection after its answer, for sites with more machines than file descriptors.
    ``may_ask`` is looked at before every single question; once it says no, each raises FencedError.
    ``answer_s`` limits each question; None leaves that to whoever asks.
    """

    __slots__ = (
        "_closed_until_s",
        "access",
        "address",
        "answer_s",
        "detail",
        "dialled",
        "foreign",
        "framed",
        "keep_links",
        "link",
        "marks",
        "may_ask",
        "pools",
        "signer",
        "slow",
        "takes_password",
        "token",
        "uptime_s",
    )

    def __init__(
        self,
        address: str,
        access: Access,
        *,
        keep_links: bool = True,
        may_ask: Callable[[], bool] = always,
        answer_s: float | None = None,
    ) -> None:
        self.address, self.access, self.keep_links = address, access, keep_links
        self.may_ask, self.answer_s = may_ask, answer_s
        self.signer = DigestSigner(access.antminer_user, access.antminer_password)
        self.link: HttpLink | None = None
        self.framed: FramedLink | None = None
        self.slow = SlowFigures()
        self.detail = MachineDetail()
        self.dialled = 0
        """How often a kept connection was begun; another machine at the address cannot have the one before."""
        self.pools: list[PoolDetail] | None = None
        """The pools as the last fast poll found them; None where it did not look."""
        self.takes_password: bool | None = None
        """Whether the machine took our password when it last asked for it; None: it has not."""
        self.marks: set[str] = set()
        """What an adapter has learnt of this machine's firmware, such as a page that it lacks."""
        self.token = ""
        """What a web with tokens wants to see in ``Authorization``; empty before the first."""
        self.foreign: Any = None
        """The long tail's own handle of this machine."""
        self.uptime_s = 0.0
        """Of the miner program at the last poll that stated it."""
        self._closed_until_s = -math.inf

    def with_password(self, family: Family, password: str) -> "Session":
        """A session of its own with the same machine, for trying another password."""
        access = self.access.with_password(family, password)
        return Session(self.address, access, keep_links=False, may_ask=self._may_ask_now, answer_s=self.answer_s)

    def sign_in(self, family: Family) -> SignIn:
        """What became of our password."""
        if self.takes_password is None:
            return SignIn.UNKNOWN
        if not self.takes_password:
            return SignIn.REFUSED
        return SignIn.FACTORY if self.access.is_factory(family) else SignIn.OURS

    # The web.

    @property
    def web_usable(self) -> bool:
        """False for a while after the web refused us, so that a wrong password is not tried with every poll."""
        return monotonic_s() >= self._closed_until_s

    def leave_web(self) -> None:
        """Use the other interface for WEB_RETRY_S."""
        self._closed_until_s = monotonic_s() + WEB_RETRY_S

    async def page(self, target: str, decoder: TolerantDecoder[Reply]) -> Reply:
        """Read a page into its struct."""
        body = (await self.exchange("GET", target)).body
        return self.read(decoder, body)

    async def exchange(
        self, method: str, target: str, body: bytes | None = None, *, signed: bool = True, again: bool = True
    ) -> Response:
        """Send a request and take a response with status 2xx.

        ``again`` False: a GET that does something, which is not sent a second time where a kept connection breaks.
        Raises DeniedError, MissingPageError, RejectedError for a write that is not taken, GarbledError for other
        statuses, and what the connection raises.
        """
        response = await self.send(method, target, body, again=again)
        if response.status == 401 and signed:
            self.take_challenge(response)
            response = await self.send(method, target, body, again=again)
        if response.status in {401, 403}:
            self.signer.forget()
            # A page may be closed to everybody; a sign-in that is asked for once more was not accepted.
            if signed and response.status == 401:
                self.takes_password = False
            raise DeniedError(f"{self.address}: {method} {target}: user and password are not accepted")
        if response.status in {404, 405, 501}:
            raise MissingPageError(f"{self.address}: {method} {target}: HTTP {response.status}: no such page")
        if method != "GET" and 400 <= response.status < 500:
            words = response.body[:WORDS_MAX].decode("utf-8", "replace").strip() or "nothing more"
            raise RejectedError(
                f"{self.address}: {method} {target}: HTTP {response.status}: the machine answered {words}"
            )
        if not 200 <= response.status < 300:
            raise GarbledError(f"{self.address}: {method} {target}: HTTP {response.status}; expected 200")
        if self.signer.ready:
            self.takes_password = True
        return response

    async def send(
        self, method: str, target: str, body: bytes | None = None, *, token: str = "", again: bool = True
    ) -> Response:
        """Send a request, with a token where one is given, and take whatever response comes, 401 too."""
        self.check()
        return await self._in_time(self._send(method, target, body, token, again=again and method == "GET"))

    async def _in_time(self, answer: Coroutine[Any, Any, Found]) -> Found:
        """Raises SilentError where no answer comes within ``answer_s``; a connection left in the middle is broken."""
        if self.answer_s is None:
            return await answer
        try:
            async with asyncio.timeout(self.answer_s):
                return await answer
        except TimeoutError as error:
            self.close()
            raise SilentError(f"{self.address}: no answer within {self.answer_s:g} s") from error

    async def _send(self, method: str, target: str, body: bytes | None, token: str, *, again: bool) -> Response:
        authorization = token or self.signer.sign(method, target)
        data = request(method, target, host=self.address, authorization=authorization, body=body)
        link = self.link
        if link is not None and link.is_open:
            try:
                return await self._over(link, data)
            except StaleLinkError as error:
                # The device closed the kept connection as we wrote. A read may be asked again; a write may have
                # reached it, so its fate is for read-modify-verify to find out.
                if not again or not link.used:
                    raise UnreachableError(f"{self.address}: {error}") from error
        link = self.link = HttpLink()
        self.dialled += 1
        try:
            await link.connect(self.address, self.access.http_port)
            return await self._over(link, data)
        except StaleLinkError as error:
            raise UnreachableError(f"{self.address}: {error}") from error
        except DeviceError as error:
            raise type(error)(f"{self.address}: {error}") from error

    async def _over(self, link: HttpLink, data: bytes) -> Response:
        self.check()
        response = await link.exchange(data)
        if not self.keep_links:
            link.close()
        return response

    def take_challenge(self, response: Response) -> None:
        """Sign the next requests as this response asks. Raises DeniedError where that cannot be done."""
        try:
            self.signer.challenged(response.header("www-authenticate"))
        except DigestError as error:
            raise DeniedError(f"{self.address}: asks for a sign-in that we cannot give: {error}") from error

    # The RPC port.

    async def ask(self, question: bytes, decoder: TolerantDecoder[Reply]) -> Reply:
        """Ask an RPC command and read its answer into its struct."""
        return self.read(lambda data: cgminer.decode(data, decoder), await self.ask_bytes(question))

    async def ask_bytes(self, question: bytes) -> bytes:
        """Ask an RPC command and take its answer as it came."""
        self.check()
        try:
            return await self._in_time(rpc(self.address, self.access.rpc_port, question, self._may_ask_now))
        except SilentError:
            raise
        except DeviceError as error:
            raise type(error)(f"{self.address}: {error}") from error

    # The framed port.

    async def ask_framed(self, question: bytes, decoder: TolerantDecoder[Reply], *, again: bool = True) -> Reply:
        """Ask on the framed port and read the answer into its struct.

        ``again``: whether the question may be sent a second time, where a kept connection turns out to be closed. Not
        for writes: the first may have arrived.
        """
        return self.read(decoder, await self._in_time(self._ask_framed(question, again=again)))

    async def _ask_framed(self, question: bytes, *, again: bool) -> bytes:
        self.check()
        link = self.framed
        if link is not None and link.is_open:
            try:
                return await self._over_framed(link, question)
            except StaleLinkError as error:
                if not again or not link.used:
                    raise UnreachableError(f"{self.address}: {error}") from error
        link = self.framed = FramedLink()
        self.dialled += 1
        try:
            await link.connect(self.address, self.access.framed_port)
            return await self._over_framed(link, question)
        except StaleLinkError as error:
            raise UnreachableError(f"{self.address}: {error}") from error
        except DeviceError as error:
            raise type(error)(f"{self.address}: {error}") from error

    async def _over_framed(self, link: FramedLink, question: bytes) -> bytes:
        self.check()
        answer = await link.exchange(question)
        if not self.keep_links:
            link.close()
        return answer

    def end(self) -> None:
        """Break the connections, and ask nothing more, whatever is under way."""
        self.may_ask = never
        self.close()

    def _may_ask_now(self) -> bool:
        return self.may_ask()

    def check(self) -> None:
        """Raises FencedError once the machine is no longer ours to ask."""
        if not self.may_ask():
            raise FencedError(f"{self.address}: no longer ours to ask")

    def read(self, read: Callable[[bytes], Found], data: bytes) -> Found:
        """Decode an answer. Raises GarbledError that names the machine."""
        try:
            return read(data)
        except WireError as error:
            raise GarbledError(f"{self.address}: {error}") from error

    def close(self) -> None:
        """Break the kept connections; the challenge stays good."""
        if self.framed is not None:
            self.framed.close()
            self.framed = None
        if self.link is not None:
            self.link.close()
            self.link = None


WEB_CLOSED: tuple[type[DeviceError], ...] = (RefusedError, DeniedError, MissingPageError)
"""What makes a machine with two interfaces worth asking on the other."""


def plain(value: Any) -> Any:
    """A document without what must not be shown: every field whose name speaks of a password is starred."""
    if isinstance(value, dict):
        return {key: "***" if _secret(key) and item else plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _secret(key: str) -> bool:
    return key.lower() in {"pass", "pwd"} or "passw" in key.lower()
