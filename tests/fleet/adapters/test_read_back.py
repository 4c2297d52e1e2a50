"""pyasic_rs reads back the settings that we wrote to each virtual family it knows.

It knows the makers' ports only, so this needs root or a lowered unprivileged-port limit
(``sysctl net.ipv4.ip_unprivileged_port_start=80``). What it cannot read of a family is left out of that family's row:
Bitaxe's settings of power, the names of Avalons; of Bitaxe, Avalon and LuxOS whether they rest, but for their hashrate.
"""

from collections.abc import Sequence
from typing import Any

import pytest

from mbongi.base.config import Fleet
from mbongi.fleet.control import execute
from mbongi.fleet.values import ActionKind, Family
from tests.fleet.adapters.test_makers_clients import makers_site, target_of
from tests.twin.others_clients import pyasic_rs

POOLS = [("stratum+tcp://one.example:3333", "site.m1"), ("stratum+tcp://two.example:3333", "site.m2")]
LOW = {"mode": "low"}, "TuningTarget.mode(mode=Low)"
SAYS_NOTHING_OF_REST = {Family.BITAXE, Family.AVALON, Family.LUXOS}


def limit(watts: int) -> tuple[dict[str, Any], str]:
    return {"target_w": watts}, f"TuningTarget.power(watts={watts}.0)"


@pytest.mark.parametrize(
    ("family", "number", "powers", "is_named"),
    [
        (Family.ANTMINER, 1, [LOW], False),
        (Family.WHATSMINER, 2, [limit(2500), LOW], True),
        (Family.WHATSMINER_V3, 3, [limit(2500), LOW], True),
        (Family.BITAXE, 4, [], True),
        (Family.AVALON, 5, [], False),
        (Family.LUXOS, 6, [limit(2007)], False),
        (Family.VNISH, 7, [({"target_w": 2180}, 'TuningTarget.preset(name="2180")')], True),
        (Family.BRAIINS, 8, [limit(2500)], True),
    ],
)
async def test_pyasic_rs_reads_back_what_we_wrote(
    family: Family, number: int, powers: Sequence[tuple[dict[str, Any], str]], is_named: bool
) -> None:
    async with makers_site(f"127.231.{number}.0/24", family, time_scale=50.0) as site:
        [address] = site.addresses
        client: Any = await pyasic_rs.MinerFactory().get_miner(address)
        target = target_of(address, family)

        async def write(kind: ActionKind, arguments: dict[str, Any]) -> Any:
            outcome = await execute(Fleet(), target, kind, arguments)
            assert outcome.verified, outcome
            return await client.get_data()

        rows = [{"url": url, "user": user, "password": "x"} for url, user in POOLS]
        await write(ActionKind.SET_POOLS, {"pools": rows})
        found = [(str(pool.url), pool.username) for group in await client.get_pools_config() for pool in group.pools]
        assert [pool for pool in found if pool[1] != "DevFee"] == POOLS

        for wanted, stated in powers:
            assert str((await write(ActionKind.SET_POWER, wanted)).tuning_target) == stated
        if is_named:
            assert (await write(ActionKind.SET_HOSTNAME, {"hostname": "shelf-3"})).hostname == "shelf-3"

        asleep = await write(ActionKind.SLEEP, {})
        assert asleep.hashrate.value == 0
        assert asleep.is_mining is (family in SAYS_NOTHING_OF_REST)
