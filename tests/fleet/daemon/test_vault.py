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
    found._known = {
        MachineId(number): Known(MachineId(number), address, family, str(number))
        for number, address in enumerate(addresses)
    }
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


def test_passwords_of_another_family_are_tried_with_none() -> None:
    assert vault(["10.0.1.9"]).candidates("10.0.1.9", Family.BRAIINS) == []
    assert vault(["10.0.1.9"], Family.VNISH).candidates("10.0.1.9", Family.VNISH) == []
