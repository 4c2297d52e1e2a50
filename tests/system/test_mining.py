"""The virtual site mines on the practice chain: shares of both protocols, blocks, moves, outages, from `up` alone.

Where Bitcoin Core is named, it mines on that chain, over its mining interface where there is one.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.pool.adapters.node_rpc import NodeAddress, NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG, LoggedShare, files_of, read_shares
from mbongi.run.site_lock import leftovers
from tests.regtest import PROGRAM, full_node
from tests.system.conftest import site_folder
from tests.system.running import RunningSite, until
from tests.system.test_kill import ACCOUNT, ENDED

pytestmark = pytest.mark.system

SEGWIT_BLOCKS = 450
BLOCK_DIFFICULTY = 2.0**-15
"""131,072 hashes: some ten seconds of 24 machines."""
SET_POOLS = """
from mbongi.core.identity.models import User
from mbongi.fleet.actions import request_action
from mbongi.fleet.operations import approve_operation
from mbongi.fleet.models import Machine
from mbongi.fleet.values import ActionKind
machine = Machine.objects.get(address="{address}")
pools = {{"pools": [{{"url": "{url}", "user": "{user}"}}]}}
rows = request_action(user, [machine.pk], ActionKind.SET_POOLS, pools, reason="drill")
manager = {{"name": "Second", "role": "site_manager"}}
second, _ = User.objects.get_or_create(email="second@example.org", defaults=manager)
approve_operation(second, rows[0].operation_id, reason="drill", start=True)
answer([row.id for row in rows])
"""
SLEEP = """
from mbongi.fleet.actions import request_action
from mbongi.fleet.models import Machine
from mbongi.fleet.values import ActionKind
machine = Machine.objects.get(address="{address}")
answer([row.id for row in request_action(user, [machine.pk], ActionKind.SLEEP, reason="drill")])
"""
ALARMS = """
from mbongi.fleet.selectors import open_alarms
answer([[each.address, str(each.kind)] for each in open_alarms(500)])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    """24 machines: Antminers, six of them with Stratum V2, and Whatsminers."""
    folder = site_folder(tmp_path_factory)
    with contextlib.ExitStack() as stack:
        settings = {"POOL_BLOCK_DIFFICULTY_MIN": str(BLOCK_DIFFICULTY)}
        if PROGRAM:
            chain = stack.enter_context(full_node(tmp_path_factory.mktemp("node")))
            said = {"ipc": chain.ipc} | chain.settings
            words = {name: value if isinstance(value, str) else value[0] for name, value in said.items()}
            settings |= {f"POOL_{name.upper()}": value for name, value in words.items()}
        running = RunningSite(folder, machines=24, **settings)
        stack.callback(running.stop)
        yield running.start()


@pytest.fixture(scope="module")
def lost(site: RunningSite) -> str:
    """A machine that is told a dead pool; asked for early, for its alarm takes a minute."""
    address = f"127.{site.hall}.2.2"
    done(site, SET_POOLS.format(address=address, url="stratum+tcp://127.0.0.1:9", user="mbongi.lost"))
    return address


def shares(site: RunningSite) -> list[tuple[LoggedShare, str]]:
    """All that the pool kept, of every process."""
    folders = [Path(root) for root, _, _ in os.walk(site.data_dir / "pool" / "shares")]
    return [each for folder in folders for path in files_of(folder) for each in read_shares(path)]


def counts(site: RunningSite) -> Counter[str]:
    return Counter(worker for _, worker in shares(site))


def node(site: RunningSite, method: str, *arguments: object) -> Any:
    """Ask the chain's node."""
    if PROGRAM:
        address = NodeAddress.of_url(site.settings["POOL_NODES"], Path(site.settings["POOL_COOKIES"]))
    else:
        key = (site.data_dir / "secrets" / "regtest.key").read_text()
        address = NodeAddress("127.0.0.1", site.ports["POOL_REGTEST_PORT"], "x", key)

    async def asked() -> Any:
        rpc = NodeRpc(address)
        try:
            return await rpc.call(method, *arguments)
        finally:
            await rpc.close()

    return asyncio.run(asked())


def machine(site: RunningSite, address: str) -> dict[str, Any]:
    return next(each for each in site.virtual_machines() if each["address"] == address)


def test_shares_of_both_protocols_are_kept_and_their_blocks_are_in_the_chain_by_the_machines_names(
    site: RunningSite,
) -> None:
    until(lambda: node(site, "getblockchaininfo")["blocks"] >= SEGWIT_BLOCKS + 2, 240, site.said)
    until(lambda: {share.protocol for share, _ in shares(site)} == {1, 2}, 60, site.said)

    machines = site.virtual_machines()
    users = {each["user"] for each in machines}
    found = shares(site)
    blocks = [(share.hash[::-1].hex(), worker) for share, worker in found if share.flags & BLOCK_FLAG]
    main = {node(site, "getblockhash", SEGWIT_BLOCKS + 1), node(site, "getblockhash", SEGWIT_BLOCKS + 2)}

    assert {each["pool"].partition("://")[0] for each in machines} == {"stratum+tcp", "stratum2+tcp"}
    assert sum(each["pool"].startswith("stratum2") for each in machines) == 6
    assert {worker for _, worker in found} <= users
    assert {each["user"] for each in machines if each["address"].endswith(".1.7")} == {f"mbongi.{site.hall}x1x7"}
    assert main <= {hash_ for hash_, _ in blocks}
    kept = counts(site)
    assert all(kept[each["user"]] >= each["accepted"] for each in machines), "what a machine counts, the pool kept"
    assert sum(each["rejected"] for each in machines) == 0


@pytest.mark.usefixtures("lost")
def test_a_machine_that_is_put_to_sleep_hands_in_nothing_more(site: RunningSite) -> None:
    address = f"127.{site.hall}.2.5"
    user = machine(site, address)["user"]
    until(lambda: counts(site)[user] > 0, 120, site.said)
    done(site, SLEEP.format(address=address))
    until(lambda: machine(site, address)["phase"] == "sleeping", 60, site.said)

    before = counts(site)
    until(lambda: counts(site).total() > before.total() + 60, 120, site.said)

    assert counts(site)[user] == before[user]
    assert machine(site, address)["pool"] == ""


@pytest.mark.parametrize("name", ["pool"] if PROGRAM else ["pool", "regtest"])
def test_a_killed_process_comes_back_and_the_machines_with_it(site: RunningSite, name: str) -> None:
    stated = {each["user"]: each["accepted"] for each in site.virtual_machines()}

    site.kill(name)
    before = counts(site)
    # All but the one asleep and the one with a dead pool.
    until(lambda: sum(bool(each["pool"]) for each in site.virtual_machines()) == 22, 120, site.said)
    until(lambda: counts(site).total() > before.total() + 60, 180, site.said)

    assert all(before[user] >= count for user, count in stated.items()), "accepted shares are missing"
    hashes = [share.hash for share, _ in shares(site)]
    assert len(hashes) == len(set(hashes)), "a share is kept twice"


def test_a_machine_told_another_pool_moves_there_and_one_told_a_dead_pool_raises_its_alarm(
    site: RunningSite, lost: str
) -> None:
    url = f"stratum+tcp://127.0.0.1:{site.ports['POOL_PORT']}"
    moved = f"127.{site.hall}.1.2"

    done(site, SET_POOLS.format(address=moved, url=url, user="other.moved"))
    until(lambda: counts(site)["other.moved"] > 0, 120, site.said)
    until(lambda: [lost, "pool_dead"] in site.python(ALARMS), 180, site.said)

    assert counts(site)["mbongi.lost"] == 0
    assert [moved, "pool_dead"] not in site.python(ALARMS)
    done(site, SET_POOLS.format(address=lost, url=url, user="mbongi.found"))
    until(lambda: counts(site)["mbongi.found"] > 0, 120, site.said)
    until(lambda: [lost, "pool_dead"] not in site.python(ALARMS), 120, site.said)


def test_the_books_agree_with_the_log_of_shares(site: RunningSite) -> None:
    result = site.command("pool-accounts", "audit")

    assert result.returncode == 0, result.stdout + result.stderr


def test_it_stops_within_its_limit_and_leaves_nothing_behind(site: RunningSite) -> None:
    assert site.stop() == 0

    assert leftovers(site.data_dir) == []


def done(site: RunningSite, script: str) -> None:
    """Request an action and see it done."""
    ids = site.python(ACCOUNT + script)
    until(lambda: all(status in {"done", "failed"} for status, _ in ended(site, ids)), 90, site.said)
    assert {status for status, _ in ended(site, ids)} == {"done"}, ended(site, ids)


def ended(site: RunningSite, ids: list[int]) -> list[list[str]]:
    return site.python(ENDED.format(ids=ids))  # type: ignore[no-any-return]
