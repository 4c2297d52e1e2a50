"""One miner's connection in Stratum V1, whoever serves it: lines, what each asks, and what counts as nonsense.

The pool's sessions and the proxy's downstreams say what a share is, and what follows from a difficulty asked for.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

from mbongi.pool.daemon.connection import Connection, Host
from mbongi.pool.errors import DifficultyError
from mbongi.pool.values import VERSION_ROLLING_MASK, Reject
from mbongi.wire.bitcoin.target import DIFFICULTY_1_TARGET, difficulty_of_target
from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v1 import replies, requests
from mbongi.wire.stratum_v1.lines import Line, LineBuffer, decode_line
from mbongi.wire.stratum_v1.replies import Code
from mbongi.wire.stratum_v1.requests import Submit
from mbongi.wire.stratum_v1.submits import decode_submit

WORKERS_MAX: Final = 64
"""Workers of one connection; a proxy that needs more opens more."""
UNSENT_BYTES_MAX: Final = 256 * 1024
"""A reader slower than this is dropped, never waited for."""
STRIKES_MAX: Final = 32
"""Lines in a row that mean nothing, until the connection is closed."""
ANSWERS: Final[dict[Reject, tuple[Code, str]]] = {
    Reject.STALE: (Code.JOB_NOT_FOUND, "Stale: the chain has moved on"),
    Reject.UNKNOWN_JOB: (Code.JOB_NOT_FOUND, "Job not found"),
    Reject.DUPLICATE: (Code.DUPLICATE, "Duplicate share"),
    Reject.LOW_DIFFICULTY: (Code.LOW_DIFFICULTY, "Low difficulty share"),
    Reject.UNAUTHORIZED: (Code.UNAUTHORIZED, "Unauthorized worker"),
    Reject.NOT_SUBSCRIBED: (Code.NOT_SUBSCRIBED, "Not subscribed"),
    Reject.TIME_OUT_OF_RANGE: (Code.OTHER, "Time out of range"),
    Reject.VERSION_OUT_OF_RANGE: (Code.OTHER, "Version bits outside the mask"),
    Reject.MALFORMED: (Code.OTHER, "Malformed share"),
    Reject.UNAVAILABLE: (Code.OTHER, "Pool cannot keep shares at present"),
    Reject.UNCONFIRMED: (Code.OTHER, "The link to the pool broke before its answer"),
}
Handler = Callable[[Any, bytes, Line], None]


class V1Connection(Connection):
    """Lines in, answers into ``out``."""

    __slots__ = ("_buffer", "_strikes", "version_mask")

    unsent_bytes_max = UNSENT_BYTES_MAX

    def __init__(self, server: Host) -> None:
        super().__init__(server)
        self.version_mask = 0
        self._buffer = LineBuffer(bytes_max=server.gate.limits.line_bytes_max)
        self._strikes = 0

    # Lines.

    def data_received(self, data: bytes) -> None:
        """Lines, or parts of some."""
        gate = self.server.gate
        if not gate.may_receive(self, len(data)):
            self.drop()
            return
        usual = decode_submit(data) if self._buffer.is_whole(data) else None
        if usual is not None:
            self._share(*usual)
        else:
            self._take_lines(data)
        if self.out:
            self.server.has_answers(self)

    def _take_lines(self, data: bytes) -> None:
        try:
            lines = self._buffer.feed(data)
        except TooLongError:
            self.server.gate.strike(self, "too_long")
            self.drop()
            return
        for place, raw in enumerate(lines, 1):
            self._take(raw)
            if self.transport is None:
                self._left_over(lines[place:])
                return
            if self.transport.is_closing():
                return  # it was dropped: what follows is not looked at, nor held against its address once more

    def _take(self, raw: bytes) -> None:
        usual = decode_submit(raw)
        if usual is not None:
            self._share(*usual)
            return
        try:
            line = decode_line(raw)
        except WireError:
            self._strike()
            return
        if line.method is None:
            return  # an answer to something that we told: nothing to do
        handler = self.handlers.get(line.method)
        id_ = bytes(line.id)
        if handler is None:
            self._strike()
            self.out.append(replies.error(id_, Code.OTHER, "Unknown method"))
            return
        try:
            handler(self, id_, line)
        except (WireError, DifficultyError) as error:
            self._strike()
            self.out.append(replies.error(id_, Code.OTHER, str(error)))

    def _strike(self) -> None:
        self._strikes += 1
        if self._strikes >= STRIKES_MAX:
            self.server.gate.strike(self, "nonsense")
            self.drop()

    def _left_over(self, lines: list[bytes]) -> None:
        """Lines that came whole with one after which nothing more is read here."""

    # What miners ask.

    @abstractmethod
    def _subscribe(self, id_: bytes, line: Line) -> None:
        """``mining.subscribe``."""

    @abstractmethod
    def _authorize(self, id_: bytes, line: Line) -> None:
        """``mining.authorize``."""

    @abstractmethod
    def _require(self, difficulty: float) -> None:
        """The miner takes no easier work."""

    @abstractmethod
    def _suggest(self, difficulty: float) -> None:
        """The miner guesses that it needs this difficulty; it has its answer already."""

    def _configure(self, id_: bytes, line: Line) -> None:
        wish = requests.read_configure(line.arguments)
        answer: dict[str, Any] = {}
        for name in wish.extensions:
            if name == "version-rolling":
                self.version_mask = wish.version_mask & VERSION_ROLLING_MASK
                enough = self.version_mask.bit_count() >= wish.version_bits_min
                self.version_mask = self.version_mask if enough else 0
                answer[name] = bool(self.version_mask)
                if self.version_mask:
                    answer["version-rolling.mask"] = f"{self.version_mask:08x}"
            elif name == "minimum-difficulty":
                answer[name] = wish.difficulty_min is not None
                if wish.difficulty_min is not None:
                    self._require(wish.difficulty_min)
            else:
                answer[name] = name == "subscribe-extranonce"
        self.out.append(replies.result(id_, answer))

    def _suggest_difficulty(self, id_: bytes, line: Line) -> None:
        difficulty = requests.read_difficulty(line.arguments)
        self._suggested(id_, difficulty)

    def _suggest_target(self, id_: bytes, line: Line) -> None:
        target = min(requests.read_target(line.arguments), DIFFICULTY_1_TARGET << 31)
        self._suggested(id_, difficulty_of_target(target))

    def _suggested(self, id_: bytes, difficulty: float) -> None:
        place = len(self.out)
        self._suggest(difficulty)  # may refuse it, and then there is no yes
        self.out.insert(place, replies.accepted(id_))

    def _yes(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.accepted(id_))

    def _ping(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.result(id_, "pong"))

    def _no_transactions(self, id_: bytes, _line: Line) -> None:
        self.out.append(replies.result(id_, []))

    # Shares.

    @abstractmethod
    def _share(self, id_: bytes, share: Submit) -> None:
        """A share, not looked at yet."""

    @abstractmethod
    def _reject(self, id_: bytes, why: Reject) -> None:
        """Count and answer a refusal."""

    def _submit(self, id_: bytes, line: Line) -> None:
        """A share in an unusual form."""
        try:
            share = requests.read_submit(line.arguments)
        except WireError:
            self._strike()
            self._reject(id_, Reject.MALFORMED)
            return
        self._share(id_, share)

    handlers: ClassVar[dict[str, Handler]] = {
        "mining.subscribe": lambda self, id_, line: self._subscribe(id_, line),
        "mining.authorize": lambda self, id_, line: self._authorize(id_, line),
        "mining.configure": lambda self, id_, line: self._configure(id_, line),
        "mining.suggest_difficulty": _suggest_difficulty,
        "mining.suggest_target": _suggest_target,
        "mining.extranonce.subscribe": _yes,
        "mining.submit": _submit,
        "mining.ping": _ping,
        "mining.capabilities": _yes,
        "mining.multi_version": _yes,
        "pong": _yes,
        "mining.get_transactions": _no_transactions,
    }
