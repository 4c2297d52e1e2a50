"""Hands committed messages to the bus and signs checkpoints of the ledger."""

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from mbongi.base.clock import monotonic_s
from mbongi.base.config import Config
from mbongi.base.log import get_log
from mbongi.run.database import use_database
from mbongi.run.stopping import stop_event

log = get_log(__name__)

RELAY_PAUSE_S = 0.2
"""How long an empty outbox is left alone."""
OUTAGE_PAUSE_S = 1.0
CHECKPOINT_S = 60.0
CHECKPOINT_ENTRIES = 10_000
"""A checkpoint is signed after this time, or sooner after this many entries."""
CHECKPOINT_LOOK_S = 5.0


def main(config: Config, arguments: argparse.Namespace | None = None) -> int:  # noqa: ARG001
    """Run until told to stop."""
    use_database()
    asyncio.run(_run(config))
    return 0


def ready(config: Config) -> bool:
    """Whether the database, where the outbox is, answers; the bus may be away, then messages wait."""
    from mbongi.run.postgres import answers  # noqa: PLC0415 -- only the probe needs it

    return answers(config.postgres_url)


async def _run(config: Config) -> None:
    from mbongi.core.threads import ThreadBridge  # noqa: PLC0415 -- Django must be set up first

    stop = stop_event()
    async with ThreadBridge() as relay_bridge, ThreadBridge() as ledger_bridge:
        relay, notary = Relay(config, relay_bridge), Notary(config, ledger_bridge)
        work = [
            asyncio.create_task(_keep_on("relay", relay.step, stop)),
            asyncio.create_task(_keep_on("checkpoints", notary.step, stop)),
        ]
        await stop.wait()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await relay.close()


async def _keep_on(name: str, step: Callable[[], Coroutine[Any, Any, float]], stop: asyncio.Event) -> None:
    """Repeat a step, which says how long to rest; an outage is logged once, its end once."""
    trouble = ""
    while not stop.is_set():
        try:
            rest_s = await step()
        except Exception as error:  # noqa: BLE001 -- whatever fails, the other duty and the next try go on
            if trouble != type(error).__name__:
                trouble = type(error).__name__
                log.error("recorder_outage", duty=name, error=str(error).strip())  # noqa: TRY400 -- an outage is no bug
            rest_s = OUTAGE_PAUSE_S
        else:
            if trouble:
                log.info("recorder_recovered", duty=name)
                trouble = ""
        await asyncio.sleep(rest_s)


class Relay:
    """Hands the outbox to the bus in order, each message with its id, so that a repetition is stored once."""

    def __init__(self, config: Config, bridge: Any) -> None:
        self._config, self._bridge = config, bridge
        self._bus: Any = None
        self._refused: set[int] = set()

    async def step(self) -> float:
        """Hand over what waits; returns how long to rest."""
        from mbongi.core.bus import outbox  # noqa: PLC0415 -- Django must be set up first
        from mbongi.core.bus.errors import PublishRefused  # noqa: PLC0415

        if self._bus is None:
            self._bus = await self._connect()
        # Asked each time: the lock ends with its connection, and asking again on the same one is harmless.
        rows = await self._bridge.call(_waiting_as_relay, frozenset(self._refused))
        if not rows:
            return RELAY_PAUSE_S
        handed_over: list[int] = []
        try:
            for row in rows:
                try:
                    await self._bus.publish(row.subject, row.data, message_id=row.message_id)
                except PublishRefused as error:
                    # It stays in the table for somebody to look at, and must not hold up the others behind it.
                    self._refused.add(row.id)
                    log.error("outbox_message_refused", id=row.id, subject=row.subject, error=str(error))  # noqa: TRY400
                else:
                    handed_over.append(row.id)
        finally:
            if handed_over:
                await self._bridge.call(outbox.forget, handed_over)
        return 0.0

    async def _connect(self) -> Any:
        from mbongi.core.bus.client import Bus  # noqa: PLC0415

        bus = await Bus.open(self._config, name="recorder")
        try:
            await bus.ensure_streams(self._config)
        except BaseException:
            await bus.close()
            raise
        return bus

    async def close(self) -> None:
        """Close the connection to the bus."""
        if self._bus is not None:
            await self._bus.close()


def _waiting_as_relay(refused: frozenset[int]) -> list[Any]:
    from mbongi.core.bus import outbox  # noqa: PLC0415

    return outbox.waiting(without=refused) if outbox.become_the_relay() else []


class Notary:
    """Signs a checkpoint every minute in which something was added, sooner after many entries."""

    def __init__(self, config: Config, bridge: Any) -> None:
        from mbongi.core.ledger.checkpoints import Keeper, checkpoint_file, signer_of  # noqa: PLC0415

        self._bridge = bridge
        self._keeper = Keeper(signer_of(config), checkpoint_file(config))
        self._signed_size = -1
        self._signed_at_s = float("-inf")

    async def step(self) -> float:
        """Sign if it is time; returns how long to rest."""
        from mbongi.core.ledger import selectors  # noqa: PLC0415

        size, _root = await self._bridge.call(selectors.head)
        due = monotonic_s() - self._signed_at_s >= CHECKPOINT_S or size - self._signed_size >= CHECKPOINT_ENTRIES
        if due and size != self._signed_size:
            checkpoint = await self._bridge.call(self._keeper.sign)
            self._signed_size, self._signed_at_s = size, monotonic_s()
            if checkpoint is not None:
                log.info("ledger_checkpoint", size=checkpoint.size)
        return CHECKPOINT_LOOK_S
