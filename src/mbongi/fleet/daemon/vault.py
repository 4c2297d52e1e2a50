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
        self._known: dict[MachineId, credentials.Known] = {}
        self._access: dict[MachineId, Access] = {}
        self._decrypted: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Vault({len(self._known)} passwords)"

    async def load(self, database: Database) -> None:
        """Read them anew. Raises while the database is away."""
        found = {each.machine_id: each for each in await database.call(credentials.known_passwords, self._decrypted)}
        self._access = {
            machine_id: self._access[machine_id]
            if machine_id in self._access and self._known[machine_id] == each
            else self.common.with_password(each.family, each.password)
            for machine_id, each in found.items()
            if credentials.takes_password(each.family)
        }
        self._known = found

    def access(self, machine_id: MachineId) -> Access:
        """Ports and passwords for one machine."""
        return self._access.get(machine_id, self.common)

    def has_own(self, machine_id: MachineId) -> bool:
        """Whether the machine has a password that no other has."""
        return machine_id in self._access

    def candidates(self, address: str, family: Family) -> Sequence[str]:
        """What a machine at an address may be tried with besides the common password, the likeliest first.

        Those known there, then neighbours and machines that have lost their address; of more than can be tried others
        each time, so that a whole network that got new addresses is told apart by and by.
        """
        near = address.rpartition(".")[0]
        found = [each for each in self._known.values() if each.family is family]
        random.shuffle(found)
        found.sort(key=lambda each: (each.address != address, (each.address or address).rpartition(".")[0] != near))
        return [each.password for each in found[: TRIES.get(family, 0)]]
