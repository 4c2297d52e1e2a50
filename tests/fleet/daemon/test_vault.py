"""Which passwords a machine is tried with that does not say who it is without one."""

from mbongi.base.config import Fleet
from mbongi.base.ids import MachineId
from mbongi.fleet.credentials import Known
from mbongi.fleet.daemon.vault import TRIES, Vault
from mbongi.fleet.values import Family

LIMIT = TRIES[Family.ANTMINER]


def vault(addresses: list[str | None], family: Family = Family.ANTMINER) -> Vault:
    """Each machine's password is its number."""
    found = Vault(Fleet())
    found._known = [Known(MachineId(number), address, family, str(number)) for number, address in enumerate(addresses)]
    return found


def test_the_machine_known_at_the_address_is_tried_first_and_neighbours_before_strangers() -> None:
    far = [f"10.0.2.{host}" for host in range(200)]
    words = vault([*far, "10.0.1.8", "10.0.1.9"]).candidates("10.0.1.9", Family.ANTMINER)
    assert words[:2] == ["201", "200"]
    assert len(words) == LIMIT


def test_a_machine_that_has_lost_its_address_is_tried_as_a_neighbour_is() -> None:
    far = [f"10.0.2.{host}" for host in range(200)]
    assert "200" in vault([*far, None]).candidates("10.0.1.9", Family.ANTMINER)


def test_where_there_are_more_than_can_be_tried_all_have_their_turn() -> None:
    known = vault([f"10.0.1.{host}" for host in range(1, 255)])
    tried: set[str] = set()
    for _look in range(200):
        tried |= set(known.candidates("10.0.1.9", Family.ANTMINER))
    assert len(tried) == 254


def test_a_quarter_of_the_tries_is_kept_for_retired_machines_that_have_come_back() -> None:
    known = vault([f"10.0.1.{host}" for host in range(1, 255)])
    gone = [Known(MachineId(n), None, Family.ANTMINER, f"gone-{n}", is_retired=True) for n in range(1000, 1100)]
    known._known += gone[:3]
    words = known.candidates("10.0.1.9", Family.ANTMINER)
    assert (len(words), words[0], [word[:4] for word in words[-3:]]) == (LIMIT, "8", ["gone"] * 3)
    known._known += gone[3:]
    words = known.candidates("10.0.1.9", Family.ANTMINER)
    assert sum(word.startswith("gone") for word in words) == LIMIT // 4


class Passwords:
    """Stands for the database."""

    def __init__(self, *known: Known) -> None:
        self.known = list(known)

    async def call(self, *_arguments: object) -> list[Known]:
        return self.known


async def test_a_pending_password_is_tried_in_a_scan_and_used_with_no_machine() -> None:
    first, second = (Known(MachineId(1), "10.0.1.9", Family.ANTMINER, word) for word in ("used", "own"))
    pending = [
        Known(MachineId(number), "10.0.1.9", Family.ANTMINER, f"pending-{number}", is_pending=True) for number in (1, 2)
    ]
    found = Vault(Fleet(antminer_password="common"))
    await found.load(Passwords(first, *pending))  # type: ignore[arg-type]
    assert set(found.candidates("10.0.1.9", Family.ANTMINER)) == {"used", "pending-1", "pending-2"}
    assert found.access(MachineId(1)).antminer_password == "used"
    assert found.access(MachineId(2)).antminer_password == "common"
    await found.load(Passwords(second, *pending))  # type: ignore[arg-type]
    assert found.access(MachineId(1)).antminer_password == "own"


def test_passwords_of_another_family_are_tried_with_none() -> None:
    assert vault(["10.0.1.9"]).candidates("10.0.1.9", Family.BRAIINS) == []
    assert vault(["10.0.1.9"], Family.VNISH).candidates("10.0.1.9", Family.VNISH) == []
