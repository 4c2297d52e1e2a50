"""One connection in Stratum V2's Job Declaration protocol.

Declarations are looked at one after the other, in a task of the connection's own, so that miners' shares never wait.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from mbongi.base.log import get_log
from mbongi.pool.daemon.declarator import TRANSACTIONS_MAX, Declarator, Known
from mbongi.pool.daemon.statistics import Member
from mbongi.pool.daemon.v2_link import V2Connection
from mbongi.pool.errors import CustomJobError, PoolError
from mbongi.pool.rules.custom import EXTRANONCE_BYTES
from mbongi.pool.rules.job import Job
from mbongi.pool.rules.share import header_of, is_block
from mbongi.pool.rules.tokens import Kind
from mbongi.pool.values import VERSION_GENERAL_MASK
from mbongi.wire.errors import WireError
from mbongi.wire.noise.handshake import Responder
from mbongi.wire.stratum_v2 import job_declaration, registry, setup
from mbongi.wire.stratum_v2.codes import ErrorCode
from mbongi.wire.stratum_v2.layout import Message

if TYPE_CHECKING:
    from mbongi.pool.daemon.server import PoolServer

log = get_log(__name__)

PAYLOAD_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of a message; a block's transactions fit, and some more."""
WEIGHT: Final = 60
"""Times the bytes of one miner: a block's transactions every few seconds."""
LOOK_TOKENS_MAX: Final = 20
"""Between two looks at the connection, which are some seconds apart."""
TOKENS_HELD_MAX: Final = 64
"""Tokens to declare with; the oldest is forgotten for one more."""
WAITING_MAX: Final = 4
"""Declarations that wait for their turn; a client that sends more is dropped."""
SOLVABLE: Final = 2
"""Blocks declared last, whose solutions are handed in."""
ASK_S_MAX: Final = 30.0


class DeclarationSession(V2Connection):
    """A connection. Made by the server."""

    __slots__ = (
        "_asked",
        "_declarator",
        "_given",
        "_jobs",
        "_looked_tokens",
        "_task",
        "_tokens",
        "_user",
        "_waiting",
        "_with_data",
    )

    speaks = setup.Protocol.JOB_DECLARATION
    payload_bytes_max = PAYLOAD_BYTES_MAX

    def __init__(self, server: "PoolServer", responder: Responder, declarator: Declarator) -> None:
        super().__init__(server, responder)
        self._declarator = declarator
        self._with_data = False
        self._user = ""
        self._tokens: dict[bytes, None] = {}
        self._waiting: deque[job_declaration.DeclareMiningJob] = deque()
        self._task: asyncio.Task[None] | None = None
        self._asked: tuple[int, asyncio.Future[tuple[bytes, ...]]] | None = None
        self._given: dict[bytes, Known] = {}
        self._jobs: deque[Job] = deque(maxlen=SOLVABLE)
        self._looked_tokens = 0

    def refusal(self, message: setup.SetupConnection) -> tuple[str, int]:
        """Without transactions only where the operator allows it."""
        if not self.is_set_up:
            self._with_data = bool(message.flags & job_declaration.SetupFlag.DECLARE_TX_DATA)
        if self._with_data or self._declarator.jobs.allows_coinbase_only:
            return "", 0
        return ErrorCode.MISSING_DECLARE_TX_DATA_FLAG, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        super().connection_made(transport)
        if not self._declarator.opened(self):
            self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, and what it declared last with it."""
        super().connection_lost(exc)
        self._declarator.closed(self)
        if self._task is not None:
            self._task.cancel()

    # Messages.

    def _allocate(self, message: job_declaration.AllocateMiningJobToken) -> None:
        self._looked_tokens += 1
        if self._looked_tokens > LOOK_TOKENS_MAX or self.server.refusal(message.user_identifier):
            # The protocol has no word for a refusal here; a client left without a token goes to its next pool.
            self.server.gate.strike(self, "tokens")
            self.drop()
            return
        self._user = message.user_identifier
        jobs = self._declarator.jobs
        token = jobs.token(Kind.DECLARE if self._with_data else Kind.COINBASE_ONLY)
        if self._with_data:
            self._tokens[token] = None
            if len(self._tokens) > TOKENS_HELD_MAX:
                del self._tokens[next(iter(self._tokens))]
        self.out.append(job_declaration.AllocateMiningJobTokenSuccess(message.request_id, token, jobs.outputs))

    def _declare(self, message: job_declaration.DeclareMiningJob) -> None:
        if len(self._waiting) >= WAITING_MAX or len(message.wtxid_list) > TRANSACTIONS_MAX:
            self.server.gate.strike(self, "declarations")
            self.drop()
            return
        self._waiting.append(message)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_at_declarations())

    async def _look_at_declarations(self) -> None:
        while self._waiting:
            message = self._waiting.popleft()
            try:
                token = await self._looked_at(message)
            except CustomJobError as error:
                self._refuse(message, error.code, str(error))
            except (WireError, PoolError) as error:
                self._refuse(message, ErrorCode.INTERNAL_ERROR, str(error))
            else:
                self.out.append(job_declaration.DeclareMiningJobSuccess(message.request_id, token))
            self.server.has_answers(self)

    async def _looked_at(self, message: job_declaration.DeclareMiningJob) -> bytes:
        token, jobs = message.mining_job_token, self._declarator.jobs
        held = token in self._tokens
        self._tokens.pop(token, None)
        if not held or jobs.kind(token) is not Kind.DECLARE:
            raise CustomJobError(ErrorCode.INVALID_MINING_JOB_TOKEN, "its token is over, or not of this connection")

        async def ask(places: Sequence[int]) -> tuple[bytes, ...]:
            return await self._ask(message.request_id, places)

        job, proof = await self._declarator.declare(message, self._given, ask, self)
        self._jobs.append(job)
        log.info("job_declared", peer=self.peer, height=job.template.height, value_sat=job.template.value_sat)
        return proof

    async def _ask(self, request_id: int, places: Sequence[int]) -> tuple[bytes, ...]:
        answer = asyncio.get_running_loop().create_future()
        self._asked = request_id, answer
        self.out.append(job_declaration.ProvideMissingTransactions(request_id, tuple(places)))
        self.server.has_answers(self)
        try:
            async with asyncio.timeout(ASK_S_MAX):
                found: tuple[bytes, ...] = await answer
                return found
        except TimeoutError as error:
            what = f"{len(places)} transactions were not given within {ASK_S_MAX:.0f} s"
            raise CustomJobError(ErrorCode.MISSING_TXS, what) from error
        finally:
            self._asked = None

    def _provide(self, message: job_declaration.ProvideMissingTransactionsSuccess) -> None:
        if self._asked is not None and self._asked[0] == message.request_id and not self._asked[1].done():
            self._asked[1].set_result(message.transaction_list)

    def _refuse(self, message: job_declaration.DeclareMiningJob, code: str, why: str) -> None:
        log.info("declaration_refused", peer=self.peer, agent=self.agent, reason=why)
        details = why.encode()[:0xFFFF]
        self.out.append(job_declaration.DeclareMiningJobError(message.request_id, code, details))

    def _solved(self, message: job_declaration.PushSolution) -> None:
        """Hand in a block of one of the jobs declared last."""
        if len(message.extranonce) != EXTRANONCE_BYTES:
            return
        for job in reversed(self._jobs):
            template = job.template
            if (template.previous_hash, template.bits) != (message.prev_hash, message.nbits):
                continue
            if (message.version ^ template.version) & ~VERSION_GENERAL_MASK:
                continue
            header, block_hash = header_of(
                job,
                extranonce=message.extranonce,
                version=message.version,
                time_s=message.ntime,
                nonce=message.nonce,
            )
            if is_block(job, block_hash):
                self.server.found_block(job, header, message.extranonce, self._user)
                return
        log.info("solution_fits_no_declared_job", peer=self.peer, agent=self.agent)

    # The rest of a connection.

    @property
    def is_ready(self) -> bool:
        """Whether it was set up."""
        return self.is_set_up

    @property
    def weight(self) -> int:
        """A block now and then is many times what a miner sends."""
        return WEIGHT

    def ask_to_reconnect(self) -> None:
        """To the same place."""
        if self.is_set_up:
            self.move("", 0)

    def members(self) -> Iterable[Member]:
        """Nobody mines on it."""
        return ()

    def look(self, now_s: float) -> None:  # noqa: ARG002 -- limits begin anew at each look
        """Time has passed: it may say as much again."""
        self._looked_tokens = 0

    def new_job(self, *, clean: bool) -> None:
        """Nothing to tell: its client follows a node of its own."""

    def flush(self, *, kept: bool) -> None:  # noqa: ARG002 -- no shares come here
        """Send the answers of this turn of the loop."""
        out, self.out = self.out, []
        self.send([registry.encode(each) for each in out])

    handlers: ClassVar[dict[type[Message], Callable[["DeclarationSession", Any], None]]] = {
        job_declaration.AllocateMiningJobToken: _allocate,
        job_declaration.DeclareMiningJob: _declare,
        job_declaration.ProvideMissingTransactionsSuccess: _provide,
        job_declaration.PushSolution: _solved,
    }
