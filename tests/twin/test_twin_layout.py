"""Where the machines stand, and settings that cannot be used."""

from collections import Counter

import pytest

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.twin.errors import TwinConfigError
from mbongi.twin.layout import positions
from mbongi.twin.site import VirtualSite


def test_sixty_machines_stand_in_five_racks_of_one_family_each() -> None:
    places = positions(Twin())

    assert Counter(place.family for place in places) == {
        Family.ANTMINER: 24,
        Family.WHATSMINER: 24,
        Family.BITAXE: 12,
    }
    assert (places[0].address, places[-1].address) == ("127.20.1.1", "127.20.5.12")
    racks = {(place.rack, place.family) for place in places}
    assert len(racks) == len({place.rack for place in places}) == 5


def test_the_racks_take_the_named_families_in_turn() -> None:
    places = positions(Twin(machines=6, per_rack=2, families=("bitaxe", "antminer")))

    assert [place.family for place in places[::2]] == [Family.BITAXE, Family.ANTMINER, Family.BITAXE]


def test_five_thousand_machines_have_five_thousand_addresses() -> None:
    places = positions(Twin(machines=5000, per_rack=24))

    assert len({place.address for place in places}) == 5000


def test_a_wider_network_goes_on_in_the_next_hall() -> None:
    places = positions(Twin(machines=4000, network="127.20.0.0/14"))

    assert places[254 * 12 - 1].address == "127.20.254.12"
    assert places[254 * 12].address == "127.21.1.1"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Twin(network="10.0.0.0/16"), "stay inside 127"),
        (Twin(network="hall"), "expected such as"),
        (Twin(network="127.20.1.1/16"), "host bits"),
        (Twin(machines=5000), "has room for 3048 machines"),
        (Twin(machines=-1), "expected 0 or more"),
        (Twin(families=("antminer", "abacus")), "'abacus'; expected one of antminer, "),
        (Twin(per_rack=0), r"expected 1\.\.254"),
        (Twin(machines=20, network="127.20.3.0/24"), "has room for 12"),
    ],
)
def test_settings_that_cannot_be_used_name_the_key_and_the_cure(config: Twin, said: str) -> None:
    with pytest.raises(TwinConfigError, match=said):
        positions(config)


def test_the_racks_mine_for_three_accounts_in_turn() -> None:
    site = VirtualSite(Twin())

    users = {place.machine.rack: place.machine.user.partition(".")[0] for place in site.places.values()}
    assert users == {1: "mbongi", 2: "kintele", 3: "djiri", 4: "mbongi", 5: "kintele"}
    assert site.machine("127.20.2.5").user == "kintele.20x2x5"
