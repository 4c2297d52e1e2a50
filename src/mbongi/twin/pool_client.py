"""What a virtual machine's connections to pools have in common: beginning, work, shares on their way, the end."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from mbongi.twin.errors import TwinError
from mbongi.twin.values import PoolTally
from mbongi.twin.work import Found, Work
from mbongi.wire.errors import WireError

UNANSWERED_MAX: Final = 256
"""Shares that wait for their answer; a pool that is further behind is left."""


class PoolError(TwinError, ConnectionError):
    """A pool cannot be worked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects, and where to. ``hashrate_hs`` is what the machine really hashes."""

    host: str
    port: int
    user: str
    password: str
    agent: str
    hashrate_hs: float
    authority_key: bytes | None = None


class PoolClient(asyncio.Protocol, ABC):
    """One connection. ``begun`` is done with its first work, or with the error that came before it."""

    def __init__(self, login: Login, tally: PoolTally, clock: Callable[[], float]) -> None:
        """``tally`` takes the pool's answers, at ``clock`` seconds."""
        self.login, self.tally, self._clock = login, tally, clock
        self.work: Work | None = None
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._unanswered: dict[int, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether the connection stands."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pool took the connection."""
        # uvloop's transports are no subclass of asyncio's, so only the type checker can be told.
        self._transport = cast("asyncio.Transport", transport)
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._transport, self.work = None, None
        if not self.begun.done():
            self.begun.set_exception(PoolError(f"{self.login.host}:{self.login.port}: closed before any work: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Take what the pool says; what cannot be read ends the connection."""
        try:
            self.take(data)
        except (WireError, PoolError) as error:
            self.end(str(error))

    def end(self, reason: str) -> None:
        """Leave the pool."""
        if not self.begun.done():
            self.begun.set_exception(PoolError(f"{self.login.host}:{self.login.port}: {reason}"))
        if self._transport is not None:
            self._transport.abort()

    def send(self, data: bytes) -> None:
        """Write, where the connection still stands."""
        if self._transport is not None:
            self._transport.write(data)

    def submit(self, work: Work, found: Found) -> None:
        """Hand in a share."""
        if len(self._unanswered) >= UNANSWERED_MAX:
            self.end(f"{UNANSWERED_MAX} shares wait for an answer")
            return
        self.tally.best_share = max(self.tally.best_share, found.best)
        self.send(self.share(work, found))

    def expect_answer(self, number: int, difficulty: float) -> None:
        """A share is on its way."""
        self._unanswered[number] = difficulty

    def answered(self, number: int, refusal: str, *, stale: bool = False) -> None:
        """Count the answer to a share; an empty ``refusal`` means that it was taken."""
        difficulty = self._unanswered.pop(number, None)
        if difficulty is None:
            return
        if refusal:
            self.tally.reject(difficulty, stale=stale)
        else:
            self.tally.accept(difficulty, self._clock())

    def is_share(self, number: int) -> bool:
        """Whether an answer with this number is one to a share."""
        return number in self._unanswered

    def take_up(self, work: Work) -> None:
        """Hash this from now on."""
        self.work = work
        self.tally.difficulty = work.difficulty
        if not self.begun.done():
            self.begun.set_result(None)

    @abstractmethod
    def begin(self) -> None:
        """Say the first thing."""

    @abstractmethod
    def take(self, data: bytes) -> None:
        """Read what the pool says. Raises WireError or PoolError."""

    @abstractmethod
    def share(self, work: Work, found: Found) -> bytes:
        """The bytes that hand in a share, whose answer is expected from now on."""
