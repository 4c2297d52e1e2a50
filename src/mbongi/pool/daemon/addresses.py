"""What comes from each address, and who is shut out.

An address that keeps sending what no miner sends is shut out for a while, but not while good shares come from it: one
broken machine must not shut out the farm behind the same router.
"""

import ipaddress
import math
from typing import TYPE_CHECKING, Final

from mbongi.base.log import get_log

if TYPE_CHECKING:
    from mbongi.pool.daemon.gate import Limits

log = get_log(__name__)

WINDOW_S: Final = 10.0
"""Rates are counted over so long."""
STRIKE_S_MAX: Final = 600.0
"""So long a strike is remembered, and a good share speaks for its address."""
ADDRESSES_MAX: Final = 200_000
"""Addresses remembered; above it those without a connection are forgotten, bans with them."""


class Address:
    """Where connections come from, and what came from there in the present window."""

    __slots__ = ("accepted_at_s", "banned_until_s", "connections", "name", "opened", "received", "strikes", "workers")

    def __init__(self, name: str) -> None:
        self.name = name
        self.connections = self.opened = self.received = 0
        self.strikes: list[float] = []
        self.banned_until_s = self.accepted_at_s = -math.inf
        self.workers: dict[int, int] = {}
        """Accepted shares by worker."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known of it that matters."""
        return not self.connections and not self.strikes and self.banned_until_s < 0


NOWHERE: Final = Address("")
"""Stands for the address of a connection that is not open yet."""


class Addresses:
    """Counts what addresses do. For one event loop; times are the server's seconds."""

    def __init__(self, limits: "Limits") -> None:
        self._limits = limits
        self._addresses: dict[str, Address] = {}
        self._bytes_max = limits.bytes_per_s_per_address * WINDOW_S
        self._opened_max = limits.connects_per_s_per_address * WINDOW_S
        self._shares_max = limits.shares_per_s_per_worker * WINDOW_S

    def enter(self, peer: str, now_s: float) -> tuple[Address, str]:
        """A connection came; its address, and why it may not stay, or an empty text. Call ``leave`` in either case."""
        name = network_of(peer)
        address = self._addresses.get(name)
        if address is None:
            self._make_room()
            address = self._addresses[name] = Address(name)
        address.connections += 1
        address.opened += 1
        refusal = ""
        if address.banned_until_s > now_s:
            refusal = "shut out"
        elif address.connections > self._limits.per_address_max:
            refusal = "too many connections of one address"
        elif address.opened > self._opened_max:
            refusal = "connections of one address come too fast"
        return address, refusal

    def leave(self, address: Address) -> None:
        """A connection is gone."""
        address.connections -= 1

    def may_receive(self, address: Address, size: int) -> bool:
        """Count bytes; whether the address keeps to its rate."""
        address.received += size
        return address.received <= self._bytes_max

    def may_accept(self, address: Address, worker: int, now_s: float) -> bool:
        """Count an accepted share; whether the worker keeps to its rate."""
        address.accepted_at_s = now_s
        workers = address.workers
        count = workers[worker] = workers.get(worker, 0) + 1
        return count <= self._shares_max

    def strike(self, address: Address, why: str, now_s: float) -> None:
        """An address did what no miner does; shut it out after several times."""
        address.strikes.append(now_s)
        if len(address.strikes) < self._limits.strikes_max:
            return
        address.strikes.clear()
        if now_s - address.accepted_at_s > STRIKE_S_MAX:
            address.banned_until_s = now_s + self._limits.ban_s
            log.warning("address_shut_out", peer=address.name, reason=why, seconds=self._limits.ban_s)

    def begin_window(self, now_s: float) -> None:
        """Ten seconds are over: count anew, and forget what no longer matters."""
        for name, address in list(self._addresses.items()):
            address.opened = address.received = 0
            address.workers.clear()
            if address.strikes and now_s - address.strikes[0] > STRIKE_S_MAX:
                address.strikes = [at_s for at_s in address.strikes if now_s - at_s <= STRIKE_S_MAX]
            if address.banned_until_s <= now_s:
                address.banned_until_s = -math.inf
            if address.is_idle:
                del self._addresses[name]

    def _make_room(self) -> None:
        if len(self._addresses) >= ADDRESSES_MAX:
            self._addresses = {name: each for name, each in self._addresses.items() if each.connections}


def network_of(peer: str) -> str:
    """Whom an address counts for: an address of IPv4 for itself, one of IPv6 for its /64, which one user has whole."""
    if ":" not in peer:
        return peer
    address = ipaddress.IPv6Address(peer.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) & ~0xFFFF_FFFF_FFFF_FFFF, 64)).network_address)
