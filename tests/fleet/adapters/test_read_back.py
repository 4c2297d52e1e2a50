"""pyasic_rs reads back the settings that we wrote to each virtual family it knows.

It knows the makers' ports only, so this needs root or a lowered unprivileged-port limit
(``sysctl net.ipv4.ip_unprivileged_port_start=80``). What it cannot read of a family is left out of that family's row:
Bitaxe's settings of power, the names of Avalons; of Bitaxe, Avalon and LuxOS whether they rest, but for their hashrate.
A new password is read back by being used: it wakes the machine, which the former one no longer does.
"""

import contextlib
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
FORMER = {
    Family.ANTMINER: "root",
    Family.WHATSMINER: "admin",
    Family.WHATSMINER_V3: "super",
    Family.VNISH: "admin",
    Family.BRAIINS: "root",
}
SAYS_NOTHING_OF_REST = {Family.BITAXE, Family.AVALON, Family.LUXOS}


def limit(watts: int) -> tuple[dict[str, Any], str]:
    return {"target_w": watts}, f"TuningTarget.power(watts={watts}.0)"


@pytest.mark.parametrize(
    ("family", "number", "powers", "is_named", "user"),
    [
        (Family.ANTMINER, 1, [LOW], False, "root"),
        (Family.WHATSMINER, 2, [limit(2500), LOW], True, "admin"),
        (Family.WHATSMINER_V3, 3, [limit(2500), LOW], True, "super"),
        (Family.BITAXE, 4, [], True, None),
        (Family.AVALON, 5, [], False, None),
        (Family.LUXOS, 6, [limit(2007)], False, None),
        (Family.VNISH, 7, [({"target_w": 2180}, 'TuningTarget.preset(name="2180")')], True, "admin"),
        (Family.BRAIINS, 8, [limit(2500)], True, "root"),
    ],
)
async def test_pyasic_rs_reads_back_what_we_wrote(
    family: Family, number: int, powers: Sequence[tuple[dict[str, Any], str]], is_named: bool, user: str | None
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

        if user is not None:
            await execute(Fleet(), target, ActionKind.SET_CREDENTIALS, {"new": "Secret-7", "known": []})
            woken = []
            for password in (FORMER[family], "Secret-7"):
                client.set_auth(user, password)
                with contextlib.suppress(RuntimeError):
                    await client.resume()
                woken.append(not site.machine(address).asleep)
            assert woken == [False, True]
