"""A scan finds out who a machine is whose password is its own, where the site knows it."""

import pytest

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.control import execute
from mbongi.fleet.scan import scan
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.beds import fleet_of, targets_of, virtual_site


@pytest.mark.parametrize("family", [Family.ANTMINER, Family.BRAIINS])
async def test_machines_that_hide_their_mac_are_known_by_the_sites_passwords(family: Family) -> None:
    async with virtual_site("127.23.0.0/16", machines=1, families=(family,)) as site:
        [target] = targets_of(site)
        config = fleet_of(site.config, timeout_s=5.0)
        word = "n3wPassw0rdOfThisOne"[: adapter_of(family).abilities.password_length]
        assert (await execute(config, target, ActionKind.SET_CREDENTIALS, {"new": word})).verified

        hidden = [each async for each in scan([target.address], config)]
        assert [(each.family, each.mac) for each in hidden] == [(family, "")]
        known = [each async for each in scan([target.address], config, candidates=lambda *_: ["wrong", word])]
        assert known[0].mac.upper() == site.machine(target.address).mac
        assert known[0].serial
