"""A virtual machine's connection to a pool in Stratum V1: version rolling, one worker, a resumed session."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from mbongi.twin.pool_client import Login, PoolClient, PoolError
from mbongi.twin.values import PoolTally
from mbongi.twin.work import Found, Work, root_over
from mbongi.wire.bitcoin.header import Header
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.stratum_v1 import client
from mbongi.wire.stratum_v1.lines import Line, LineBuffer, decode_line
from mbongi.wire.stratum_v1.replies import Code, result
from mbongi.wire.stratum_v1.requests import Submit

VERSION_MASK: Final = 0x1FFF_E000
"""The bits that mining hardware rolls. Source: BIP 320."""
LINE_BYTES_MAX: Final = 65_536
CONFIGURE, SUBSCRIBE, AUTHORIZE = 1, 2, 3


class V1Client(PoolClient):
    """One connection. ``session`` is what a pool may know it by when it comes back."""

    def __init__(
        self, login: Login, tally: PoolTally, clock: Callable[[], float], *, random: Random, session: str = ""
    ) -> None:
        super().__init__(login, tally, clock)
        self.session = session
        self._random = random
        self._buffer = LineBuffer(bytes_max=LINE_BYTES_MAX)
        self._subscription: client.Subscription | None = None
        self._version_mask = 0
        self._difficulty = 1.0
        # Random, so that a session that is taken up again repeats no share of its former connection.
        self._extranonce2 = random.randrange(1 << 60)
        self._ids = AUTHORIZE

    def begin(self) -> None:
        """Configure and subscribe; the worker follows the answer."""
        self.send(client.configure(CONFIGURE, version_mask=VERSION_MASK, version_bits_min=2))
        self.send(client.subscribe(SUBSCRIBE, self.login.agent, self.session))

    def take(self, data: bytes) -> None:
        """Whole lines, or parts of some."""
        for raw in self._buffer.feed(data):
            line = decode_line(raw)
            if line.method is None:
                self._answer(line)
            else:
                self._notice(line)

    def _notice(self, line: Line) -> None:
        match line.method:
            case "mining.notify":
                self._work(client.read_notify(line.arguments))
            case "mining.set_difficulty":
                self._difficulty = client.read_set_difficulty(line.arguments)
            case "mining.set_version_mask":
                self._version_mask = client.read_set_version_mask(line.arguments) & VERSION_MASK
            case "mining.set_extranonce":
                self._subscription = client.read_set_extranonce(line.arguments)
            case "mining.ping":
                self.send(result(bytes(line.id), "pong"))
            case "client.reconnect":
                raise PoolError("the pool asks to connect anew")

    def _answer(self, line: Line) -> None:
        text = bytes(line.id)
        number = int(text) if text.isdigit() else 0
        refusal = client.read_refusal(line)
        if self.is_share(number):
            is_late = refusal is not None and refusal.code == Code.JOB_NOT_FOUND
            self.answered(number, "" if refusal is None else refusal.text or "refused", stale=is_late)
        elif number == SUBSCRIBE:
            self._subscribed(line.result, refusal)
        elif number == CONFIGURE and refusal is None:
            self._version_mask = client.read_configured(line.result).version_mask & VERSION_MASK
        elif number == AUTHORIZE and refusal is not None:
            raise PoolError(f"worker {self.login.user} is refused: {refusal.text}")

    def _subscribed(self, answer: Any, refusal: client.Refusal | None) -> None:
        if refusal is not None:
            raise PoolError(f"the subscription is refused: {refusal.text}")
        self._subscription = client.read_subscription(answer)
        self.session = self._subscription.session
        self.send(client.authorize(AUTHORIZE, self.login.user, self.login.password))

    def _work(self, job: client.Notify) -> None:
        """Begin a header of its own: each job gets another extranonce, so that no share is found twice."""
        subscription = self._subscription
        if subscription is None:
            raise PoolError("work before the subscription")
        size = subscription.extranonce2_size
        self._extranonce2 += 1
        extranonce2 = (self._extranonce2 % (1 << 8 * size)).to_bytes(size, "big")
        extranonce = subscription.extranonce1 + extranonce2
        bits = self._random.getrandbits(32) & self._version_mask if self._version_mask else None
        header = Header(
            version=job.version if bits is None else (job.version & ~self._version_mask) | bits,
            previous_hash=job.previous_hash,
            merkle_root=root_over(job.coinbase_before, extranonce, job.coinbase_after, job.branch),
            time_s=job.time_s,
            bits=job.bits,
            nonce=0,
        )
        target = target_of_difficulty(self._difficulty)
        work = Work.of(header, job_id=job.job_id, target=target, extranonce2=extranonce2, version_bits=bits)
        self.take_up(work)

    def share(self, work: Work, found: Found) -> bytes:
        """``mining.submit``."""
        self._ids += 1
        self.expect_answer(self._ids, work.difficulty)
        fields = Submit(self.login.user, work.job_id, work.extranonce2, work.time_s, found.nonce, work.version_bits)
        return client.submit(self._ids, fields)
