"""Keeps one link to the first pool, in the site's order, that can be reached and proves its key.

A pool that is lost is followed by the next; when none can be reached, the list is tried again and again with growing
pauses. While it works for a later pool of the list, it looks from time to time whether an earlier one is back.
"""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Final

from mbongi.base.clock import monotonic_s
from mbongi.base.log import get_log
from mbongi.pool.daemon.proxy.link import Link
from mbongi.pool.daemon.proxy.server import ProxyServer
from mbongi.pool.errors import UpstreamError
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.errors import CertificateError

log = get_log(__name__)

PAUSE_S: Final = 0.5
PAUSE_S_MAX: Final = 30.0
RETURN_S: Final = 120.0
"""Between two looks for a better pool than the present one."""
STEADY_S: Final = 60.0
"""A link that lasted so long has shown that its pool works; the pauses begin anew."""
AVOID_S: Final = 300.0
"""So long a pool that could be reached and did not do its part is tried after all others."""


class Upstreams:
    """The pools, best first."""

    def __init__(self, addresses: Sequence[PoolAddress], server: ProxyServer, *, return_s: float = RETURN_S) -> None:
        self.addresses = tuple(addresses)
        self._server, self._return_s = server, return_s
        self._wanted: PoolAddress | None = None
        self._said: dict[PoolAddress, str] = {}
        self._plain: set[PoolAddress] = set()
        """Pools that are asked for no extensions: some older ones break the connection at that."""
        self._avoid_until_s: dict[PoolAddress, float] = {}
        self._pause_s = PAUSE_S

    async def run(self) -> None:
        """Keep a link, until cancelled."""
        while True:
            link = await self._first_of(self._in_order())
            if link is not None:
                began_s = monotonic_s()
                await self._stay(link)
                if monotonic_s() - began_s > STEADY_S:
                    self._pause_s = PAUSE_S
                    continue
            # A site's proxies must not come back all at once.
            await asyncio.sleep(self._pause_s * random.uniform(0.7, 1.3))  # noqa: S311 -- no secret
            self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)

    def _in_order(self) -> list[PoolAddress]:
        """Where the last pool sent us first of all, once; those that did not do their part lately last of all."""
        wanted, self._wanted = self._wanted, None
        good = [each for each in self.addresses if not self._is_avoided(each)]
        rest = [each for each in self.addresses if self._is_avoided(each)]
        return ([] if wanted is None else [wanted]) + good + rest

    def _is_avoided(self, address: PoolAddress) -> bool:
        return self._avoid_until_s.get(address, 0.0) > monotonic_s()

    async def _first_of(self, addresses: Sequence[PoolAddress]) -> Link | None:
        for address in addresses:
            try:
                extend = address not in self._plain
                link = await Link.connect(address, self._server, self._server.bodies, extend=extend)
            except (OSError, TimeoutError, WireError, UpstreamError) as error:
                self._say(address, error)
                continue
            self._said.pop(address, None)
            if not link.lost.is_set():  # one that ended as it began is none to work on
                self._server.linked(link)
            return link
        return None

    async def _stay(self, link: Link) -> None:
        """Until the link is lost; moves on to a better one where there is one."""
        while True:
            known = link.address in self.addresses
            better = self.addresses[: self.addresses.index(link.address)] if known else self.addresses
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._return_s if better else None):
                    await link.lost.wait()
            if link.lost.is_set():
                break
            link = await self._first_of([each for each in better if not self._is_avoided(each)]) or link
        self._wanted = link.wants
        if link.was_mute:
            self._plain ^= {link.address}
        if link.is_at_fault:
            self._avoid_until_s[link.address] = monotonic_s() + AVOID_S

    def _say(self, address: PoolAddress, error: Exception) -> None:
        """Log what is wrong with a pool, once until it changes."""
        text = str(error) or f"no answer ({type(error).__name__})"
        if self._said.get(address) == text:
            return
        self._said[address] = text
        where = f"{address.host}:{address.port}"
        if isinstance(error, CertificateError):
            log.error("upstream_not_trusted", upstream=where, error=text)
        else:
            log.warning("upstream_not_reached", upstream=where, error=text)
