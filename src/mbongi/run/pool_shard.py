"""One process's part of the pool's miners: their connections, the blocks that they find, what it reports of them."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import msgspec

from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.core.bus.client import Bus
from mbongi.core.bus.errors import BusError, BusUnavailable
from mbongi.pool.daemon.blocks import Blocks, Tips
from mbongi.pool.daemon.job_stream import Beat
from mbongi.pool.daemon.reporting import Reporter
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.ports import Node
from mbongi.pool.rules.job import Job
from mbongi.pool.terms import payout_script
from mbongi.run.declaring import declarator_of
from mbongi.run.pool_identity import Identity
from mbongi.run.pool_state import State, keep_state
from mbongi.run.serving import Serving
from mbongi.wire.bitcoind import TemplateTransaction

log = get_log(__name__)

CONNECT_S: Final = 5.0
RETRY_S: Final = 1.0
MESSAGES_MAX: Final = 16
"""That wait to be shown; more are dropped."""
MESSAGE_SUBJECT: Final = "pool.message"
SHOWN_SUBJECT: Final = "pool.message_shown"


class Message(msgspec.Struct, frozen=True):
    """A text for the people at the machines: of one worker, or of all where ``worker`` is empty."""

    text: str
    worker: str = ""


class Shown(msgspec.Struct, frozen=True):
    """On how many connections of a shard a message was shown."""

    shard: int
    connections: int


class Shard:
    """The parts of one shard, wired together. ``beat`` says how the work stands that it is given."""

    def __init__(
        self,
        config: Config,
        clock: SteadyClock,
        *,
        shard: int,
        nodes: Sequence[Node],
        tips: Tips,
        beat: Callable[[], Beat],
    ) -> None:
        self._config, self._number, self._nodes = config, shard, nodes
        self.tell_solution: Callable[[bytes], None] | None = None
        """Where another process makes the work: tells it of a found block's beginning, in hex."""
        folder = config.site.data_dir / "pool"
        identity = Identity(config.site.data_dir / "secrets", unix_s=clock.unix_s)
        self.serving = Serving(
            config,
            clock,
            shard=shard,
            on_block=self._on_block,
            responder=identity.responder,
            authority_key=identity.authority_key,
        )
        self.blocks = Blocks(
            folder / "blocks", nodes, tips, now_s=clock.now_s, pool_script=payout_script(config), shard=shard
        )
        self._reporter = Reporter(
            self.serving.server,
            connect=lambda: open_bus(config, f"pool-{shard}"),
            nodes=lambda: beat().nodes,
            newest_fees_sat=lambda: beat().newest_fees_sat,
            template_age_s=lambda: beat().template_age_s,
            is_template_stale=lambda: beat().template_stale,
            trouble=lambda: self.serving.trouble,
        )

    def serve_declarations(self, known: Callable[[], Sequence[TemplateTransaction]]) -> None:
        """Look at blocks that miners declare; ``known`` transactions need not be asked for."""
        self.serving.declarator = declarator_of(self.serving.server, self._nodes, known)

    def runs(self) -> list[Coroutine[Any, Any, None]]:
        """What is to be run."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.serving.reload_tls)
        return [
            self.serving.run(),
            self.blocks.run(),
            self._reporter.run(),
            self._hear_messages(),
            keep_state(self._config, str(self._number), self._state),
        ]

    async def close(self) -> None:
        """Once nothing of it runs any more."""
        await self._reporter.close()

    def _state(self) -> State:
        server = self.serving.server
        return State(ready=server.gate.is_listening, job=server.newest_number)

    async def _hear_messages(self) -> None:
        bus = await bus_when_up(self._config, f"pool-messages-{self._number}")
        told: asyncio.Queue[Message] = asyncio.Queue(MESSAGES_MAX)

        def take(data: bytes) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                told.put_nowait(msgspec.json.decode(data, type=Message))

        try:
            await bus.hear(MESSAGE_SUBJECT, take)
            while True:
                message = await told.get()
                shown = Shown(self._number, self.serving.show(message.text, message.worker))
                log.info("message_shown", connections=shown.connections, to=message.worker or "all")
                with contextlib.suppress(BusError):
                    await bus.tell(SHOWN_SUBJECT, msgspec.json.encode(shown))
        finally:
            await bus.close()

    def _on_block(self, job: Job, header: bytes, extranonce: bytes, worker: str) -> "asyncio.Future[None]":
        keeping = self.blocks.found(job, header, extranonce, worker)
        if self.tell_solution is not None and job.has_block:
            self.tell_solution(job.block_hex(header, extranonce)[0])
        return keeping


async def open_bus(config: Config, name: str) -> Bus:
    """The bus, with its streams, which a machine that follows leaves to the first one; raises BusUnavailable."""
    bus = await Bus.open(config, name=name, limit_s=CONNECT_S)
    if config.pool.follows:
        return bus
    try:
        await bus.ensure_streams(config)
    except BusUnavailable:
        await bus.close()
        raise
    return bus


async def bus_when_up(config: Config, name: str) -> Bus:
    """The bus, as soon as it can be reached; logged once where that takes a while."""
    is_told = False
    while True:
        try:
            return await open_bus(config, name)
        except BusUnavailable as error:
            if not is_told:
                is_told = True
                log.warning("waits_for_bus", connection=name, error=str(error))
        await asyncio.sleep(RETRY_S)
