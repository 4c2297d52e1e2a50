"""The passwords that single machines have, in the fleet process's memory alone."""

import random
from collections.abc import Sequence

from mbongi.base.config import Fleet
from mbongi.base.ids import MachineId
from mbongi.fleet import credentials
from mbongi.fleet.adapters.session import Access
from mbongi.fleet.daemon.persistence import Database
from mbongi.fleet.values import Family

TRIES = {Family.ANTMINER: 64, Family.BRAIINS: 8}
"""How many passwords a machine is tried with that does not say who it is without one; others do."""


class Vault:
    """Knows which password to use with which machine; the site's common one where it has none of its own."""

    def __init__(self, config: Fleet) -> None:
        self.common = Access.of(config)
        self._known: list[credentials.Known] = []
        self._used: dict[MachineId, credentials.Known] = {}
        self._access: dict[MachineId, Access] = {}
        self._decrypted: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Vault({len(self._known)} passwords)"

    async def load(self, database: Database) -> None:
        """Read them anew. Raises while the database is away."""
        known = await database.call(credentials.known_passwords, self._decrypted)
        found = {each.machine_id: each for each in known if not each.is_pending}
        self._access = {
            machine_id: self._access[machine_id]
            if machine_id in self._access and self._used[machine_id] == each
            else self.common.with_password(each.family, each.password)
            for machine_id, each in found.items()
            if credentials.takes_password(each.family)
        }
        self._known, self._used = known, found

    def access(self, machine_id: MachineId) -> Access:
        """Ports and passwords for one machine."""
        return self._access.get(machine_id, self.common)

    def has_own(self, machine_id: MachineId) -> bool:
        """Whether the machine has a password that no other has."""
        return machine_id in self._access

    def candidates(self, address: str, family: Family) -> Sequence[str]:
        """What a machine at an address may be tried with besides the common password, the likeliest first.

        Those known there, then neighbours and machines that have lost their address; of more than can be tried others
        each time, so that a whole network that got new addresses is told apart by and by. A quarter at most are those
        of retired machines, which may have come back.
        """
        near, limit = address.rpartition(".")[0], TRIES.get(family, 0)
        found = [each for each in self._known if each.family is family]
        random.shuffle(found)
        retired = [each for each in found if each.is_retired]
        found = [each for each in found if not each.is_retired]
        found.sort(key=lambda each: (each.address != address, (each.address or address).rpartition(".")[0] != near))
        kept = max(limit - len(retired), limit - limit // 4)
        return [each.password for each in (found[:kept] + retired)[:limit]]
