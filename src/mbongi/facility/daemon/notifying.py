"""Notices in the facility process: makes those that are due, and sends what waits, each until its receiver took it."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

from mbongi.base.config import Alarms, Config
from mbongi.base.log import get_log
from mbongi.core.threads import ThreadBridge
from mbongi.facility import alarm_notices
from mbongi.facility.adapters.notice_http import SmsGateway, Webhook
from mbongi.facility.adapters.notice_smtp import Mail
from mbongi.facility.daemon.alarm_watch import AWAY
from mbongi.facility.errors import NoticeError
from mbongi.facility.rules.alarm_rota import Channel, Outgoing

log = get_log(__name__)

LOOK_S = 2.0
AT_ONCE = 5
"""Notices that are sent at the same time."""


class Sender(Protocol):
    """One way of telling somebody. ``send`` blocks, and raises NoticeError where it was not taken."""

    def send(self, notice: Outgoing) -> None:
        """Send one notice."""


def senders(config: Alarms) -> Mapping[Channel, Sender]:
    """The ways that the configuration gives."""
    return {
        Channel.EMAIL: Mail(
            host=config.smtp_host,
            port=config.smtp_port,
            sender=config.smtp_from,
            user=config.smtp_user,
            password=config.smtp_password,
            security=config.smtp_security,
        ),
        Channel.WEBHOOK: Webhook(hosts=config.webhook_hosts, secret=config.webhook_secret),
        Channel.SMS: SmsGateway(url=config.sms_url, token=config.sms_token),
    }


class Notifying:
    """Makes and sends notices until cancelled."""

    def __init__(self, config: Config, bridge: ThreadBridge, ways: Mapping[Channel, Sender] | None = None) -> None:
        self._config, self._bridge = config, bridge
        self._ways = senders(config.alarms) if ways is None else ways

    async def run(self) -> None:
        """While the database is away nothing new is sent: what was made is in it."""
        while True:
            with contextlib.suppress(*AWAY):
                await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> int:
        """Make what is due, send what waits; returns how many were taken. Raises while the database is away."""
        site = self._config.site
        await self._bridge.call(alarm_notices.make_due, site.timezone, site_name=site.name, url=self._config.public_url)
        places = asyncio.Semaphore(AT_ONCE)
        waiting = await self._bridge.call(alarm_notices.to_send)
        return sum(await asyncio.gather(*(self._send(each, places) for each in waiting)))

    async def _send(self, notice: Outgoing, places: asyncio.Semaphore) -> bool:
        async with places:
            try:
                await asyncio.to_thread(self._ways[notice.channel].send, notice)
            except NoticeError as error:
                log.warning("notice_not_sent", notice=notice.id, channel=notice.channel.value, error=str(error))
                await self._bridge.call(
                    alarm_notices.note_failed, notice.id, notice.tries, str(error), is_final=error.is_final
                )
                return False
            await self._bridge.call(alarm_notices.note_sent, notice.id)
            log.info("notice_sent", notice=notice.id, channel=notice.channel.value)
            return True
