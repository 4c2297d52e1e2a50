"""Virtual machines at work for the real pool server, in one process: what the pool keeps is what the machines state."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from mbongi.base.config import Twin
from mbongi.fleet.values import Family
from mbongi.pool.daemon.server import Difficulty
from mbongi.run.pool_identity import Identity
from mbongi.twin import mining
from mbongi.twin.mining import pool_place
from mbongi.twin.pool_client import Login, PoolClient, PoolError
from mbongi.twin.scale import HASHES_PER_S_MAX, effective_scale
from mbongi.twin.site import VirtualSite
from mbongi.twin.stratum_v1 import V1Client
from mbongi.twin.stratum_v2 import V2Client
from mbongi.twin.values import Phase, PoolEntry, PoolTally, SitePool
from mbongi.twin.work import Found
from mbongi.wire.noise.certificate import PoolAddress
from tests.embedded import free_ports
from tests.pool.daemon.test_server import Bed, job
from tests.twin.peers import NETWORK, cgi, one, rpc, twin_ports, web

DIFFICULTY = 2.0**-26
"""64 hashes."""
WAIT_S = 30.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of real firmware are minutes."""
    for name in ("BACKOFF_S_FIRST", "BACKOFF_S_MAX", "PREFERRED_S", "IDLE_PROBE_S"):
        monkeypatch.setattr(mining, name, 0.2)
    monkeypatch.setattr(mining, "NO_WORK_S", 1.0)
    monkeypatch.setattr(mining, "VISIT_S", 0.1)


class BothBed(Bed):
    """A pool that speaks both versions, on ports that stay its own."""

    def __init__(self, folder: Path, *, difficulty: float = DIFFICULTY) -> None:
        super().__init__(folder, difficulty=Difficulty(start=difficulty, minimum=difficulty, shares_per_minute=60.0))
        self.identity = Identity(folder / "secrets")
        self.port, self.v2_port = free_ports(2)

    async def listen(self) -> None:
        await self.server.listen("127.0.0.1", self.port)
        await self.server.listen_v2("127.0.0.1", self.v2_port, self.identity.responder)

    @property
    def address(self) -> SitePool:
        key = self.identity.authority_key
        return SitePool(f"stratum+tcp://127.0.0.1:{self.port}", PoolAddress("127.0.0.1", self.v2_port, key).url())

    def counts(self) -> Counter[str]:
        """Shares in the log, by worker."""
        return Counter(worker for worker, _ in self.kept())


@asynccontextmanager
async def pool(folder: Path, *, difficulty: float = DIFFICULTY) -> AsyncIterator[BothBed]:
    bed = BothBed(folder, difficulty=difficulty)
    bed.server.publish(job(bed.server))
    await bed.listen()
    upkeep = asyncio.create_task(bed.server.run())
    try:
        yield bed
    finally:
        upkeep.cancel()
        await asyncio.gather(upkeep, return_exceptions=True)
        bed.server.gate.send_away("the test ends")
        bed.server.log.close()


@asynccontextmanager
async def mining_site(
    address: SitePool, *, families: tuple[str, ...] = (), hash_scale: float = 100.0, v2_share: float = 1.0
) -> AsyncIterator[VirtualSite]:
    """One machine of each family, or of those named; Antminers speak Stratum V2."""
    config = Twin(
        machines=len(families) or 3,
        per_rack=1,
        network=NETWORK,
        families=families,
        hash_scale=hash_scale,
        v2_share=v2_share,
        **twin_ports(),
    )
    site = VirtualSite(config, pool=address)
    await site.start()
    try:
        yield site
    finally:
        await site.close()


async def until(condition: Callable[[], bool], *, what: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 -- other tasks' state
            await asyncio.sleep(0.02)
    assert condition(), what


def all_found(site: VirtualSite) -> Callable[[], bool]:
    return lambda: all(place.machine.accepted >= 3 for place in site.places.values())


async def test_each_family_finds_true_shares_and_states_what_the_pool_kept(tmp_path: Path) -> None:
    async with pool(tmp_path) as bed, mining_site(bed.address) as site:
        await until(all_found(site), what="shares of all three")
        assert {session.protocol.name for session in bed.server.gate.connections} == {"STRATUM_V1", "STRATUM_V2"}
        antminer, whatsminer, bitaxe = (one(site, family) for family in Family if family in {
            Family.ANTMINER, Family.WHATSMINER, Family.BITAXE
        })  # fmt: skip
        rows = (await rpc(site, antminer, "pools"))["POOLS"]
        [web_row, _] = (await cgi(site, antminer, "pools"))["POOLS"]
        [btminer_row] = (await rpc(site, whatsminer, "pools"))["POOLS"]
        async with web(site, bitaxe) as client:
            info = (await client.get("/api/system/info")).json()

    machines = [site.machine(address) for address in site.addresses]
    assert bed.counts() == {machine.user: machine.accepted for machine in machines}
    assert sum(machine.rejected + machine.stale for machine in machines) == 0
    assert [row["URL"] for row in rows] == [bed.address.v2_url, bed.address.url]
    assert [(row["Status"], row["Stratum Active"]) for row in rows] == [("Alive", True), ("Alive", False)]
    assert 3 <= rows[0]["Accepted"] <= site.machine(antminer).accepted
    assert rows[0]["Last Share Difficulty"] >= DIFFICULTY
    assert rows[1]["Accepted"] == 0
    assert (web_row["status"], web_row["user"]) == ("Alive", site.machine(antminer).user)
    assert (btminer_row["Status"], btminer_row["Stratum Active"]) == ("Alive", True)
    assert btminer_row["Stratum Difficulty"] >= DIFFICULTY
    assert (info["stratumPort"], info["isUsingFallbackStratum"]) == (bed.port, 0)
    assert info["sharesAccepted"] >= 3


async def test_whatsminers_with_api_3_and_avalons_find_true_shares_and_state_their_pool(tmp_path: Path) -> None:
    families = (Family.WHATSMINER_V3, Family.AVALON)
    async with pool(tmp_path) as bed, mining_site(bed.address, families=families) as site:
        await until(all_found(site), what="shares of both")
        avalon = site.machine(one(site, Family.AVALON))
        [row] = (await rpc(site, avalon.address, "pools"))["POOLS"]
        [device] = (await rpc(site, avalon.address, "devs"))["DEVS"]

    machines = [site.machine(address) for address in site.addresses]
    assert bed.counts() == {machine.user: machine.accepted for machine in machines}
    assert (row["Status"], row["Stratum Active"], row["Stratum URL"]) == ("Alive", True, bed.address.url)
    assert 3 <= row["Accepted"] <= avalon.accepted
    assert row["Stratum Difficulty"] >= DIFFICULTY
    assert device["Last Share Pool"] == 0


async def test_a_machine_that_sleeps_leaves_the_pool_and_comes_back_awake(tmp_path: Path) -> None:
    async with pool(tmp_path) as bed, mining_site(bed.address) as site:
        await until(all_found(site), what="shares")
        machine = site.machine(one(site, Family.WHATSMINER))

        machine.sleep()
        await until(lambda: len(bed.server.gate.connections) == 2, what="gone")
        asleep_with = bed.counts()[machine.user]
        others = sum(bed.counts().values()) - asleep_with
        await until(lambda: sum(bed.counts().values()) - asleep_with > others + 20, what="others go on")

        assert bed.counts()[machine.user] == asleep_with
        assert not any(tally.is_active for tally in machine.tallies)
        machine.apply(asleep=False)
        machine.phase, machine.mining_since = Phase.MINING, machine.at
        await until(lambda: bed.counts()[machine.user] > asleep_with, what="back")


async def test_without_any_pool_the_device_says_so_and_its_chips_stand_still_until_one_is_back(tmp_path: Path) -> None:
    async with pool(tmp_path) as bed, mining_site(bed.address) as site:
        await until(all_found(site), what="shares")
        antminer, whatsminer = site.machine(one(site, Family.ANTMINER)), site.machine(one(site, Family.WHATSMINER))

        bed.server.gate.send_away("drill")
        await until(lambda: not antminer.has_work and antminer.rate_ths == 0, what="idle")
        rows = (await rpc(site, antminer.address, "pools"))["POOLS"]
        health = {
            each["type"]: each["status"]
            for each in (await cgi(site, antminer.address, "summary"))["SUMMARY"][0]["status"]
        }
        [row] = (await rpc(site, whatsminer.address, "pools"))["POOLS"]
        before = {machine.user: machine.accepted for machine in (antminer, whatsminer)}

        assert [(each["Status"], each["Stratum Active"]) for each in rows] == [("Dead", False), ("Dead", False)]
        assert health["network"] == "e"
        assert (row["Status"], row["Stratum Active"]) == ("Dead", False)
        await bed.listen()
        await until(lambda: all(bed.counts()[user] > count for user, count in before.items()), what="back")
        assert antminer.rate_ths > 100
        assert antminer.tallies[0].status == "Alive"


async def test_a_machine_goes_to_its_next_pool_and_back_to_the_preferred_one(tmp_path: Path) -> None:
    async with pool(tmp_path / "second") as second, mining_site(second.address) as site:
        machine = site.machine(one(site, Family.WHATSMINER))
        first = BothBed(tmp_path / "first")
        machine.apply(pools=tuple(PoolEntry(bed.address.url, "acct.moved", "x") for bed in (first, second)))

        await until(lambda: second.counts()["acct.moved"] >= 2, what="on the second")
        rows = (await rpc(site, machine.address, "pools"))["POOLS"]
        assert [(row["Status"], row["Stratum Active"]) for row in rows] == [("Dead", False), ("Alive", True)]

        async with pool(tmp_path / "third") as third:
            machine.apply(pools=tuple(PoolEntry(bed.address.url, "acct.moved", "x") for bed in (first, third)))
            await until(lambda: third.counts()["acct.moved"] >= 1, what="moved at once")
            first.server.publish(job(first.server))
            await first.listen()
            await until(lambda: first.counts()["acct.moved"] >= 2, what="back on the preferred")
            rows = (await rpc(site, machine.address, "pools"))["POOLS"]
        first.server.gate.send_away("the test ends")
        first.server.log.close()

    assert [(row["Status"], row["Stratum Active"]) for row in rows] == [("Alive", True), ("Alive", False)]


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b'{"id":2,"error":[20,"no",null]}\n'])
async def test_a_pool_that_gives_no_work_is_dead_and_left_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: bytes
) -> None:
    monkeypatch.setattr(mining, "BEGIN_S_MAX", 0.5)

    class Odd(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write(says)  # type: ignore[attr-defined]

    odd = await asyncio.get_running_loop().create_server(Odd, "127.0.0.1", 0)
    url = f"stratum+tcp://127.0.0.1:{odd.sockets[0].getsockname()[1]}"
    async with pool(tmp_path) as bed, mining_site(bed.address) as site:
        machine = site.machine(one(site, Family.WHATSMINER))
        machine.apply(pools=(PoolEntry(url, "acct.odd", "x"), PoolEntry(bed.address.url, "acct.next", "x")))
        await until(lambda: bed.counts()["acct.next"] >= 2, what="on the next")
        rows = (await rpc(site, machine.address, "pools"))["POOLS"]
    odd.close()

    assert [(row["Status"], row["Stratum Active"]) for row in rows] == [("Dead", False), ("Alive", True)]


class Bench:
    """A client of either version, connected by hand."""

    def __init__(self, bed: BothBed, *, v2: bool) -> None:
        self.tally = PoolTally()
        port = bed.v2_port if v2 else bed.port
        login = Login("127.0.0.1", port, "acct.hand", "x", "test/1", 1000.0, bed.identity.authority_key if v2 else None)
        self.client: PoolClient
        if v2:
            self.client = V2Client(login, self.tally, lambda: 7.0)
        else:
            self.client = V1Client(login, self.tally, lambda: 7.0, random=Random(1))

    async def connect(self) -> None:
        where = self.client.login
        await asyncio.get_running_loop().create_connection(lambda: self.client, where.host, where.port)
        await self.client.begun


@pytest.mark.parametrize("v2", [False, True])
async def test_refused_and_late_shares_are_counted_apart(tmp_path: Path, v2: bool) -> None:
    async with pool(tmp_path) as bed:
        bench = Bench(bed, v2=v2)
        await bench.connect()
        client, tally, work = bench.client, bench.tally, bench.client.work
        assert work is not None
        [good, after] = _two_shares(work.search)
        bad = next(nonce for nonce in range(100) if work.search(nonce, 1)[1] is None)

        client.submit(work, good)
        client.submit(work, good)
        client.submit(work, Found(bad, 0.0))
        await until(lambda: tally.rejected == 2, what="a duplicate and one too easy")
        bed.server.publish(job(bed.server, tip=2))
        await until(lambda: client.work is not None and client.work is not work, what="new work")
        client.submit(work, after)
        await until(lambda: tally.stale == 1, what="late")
        client.end("done")

    assert (tally.accepted, tally.rejected, tally.stale) == (1, 2, 1)
    assert (tally.last_share_at, tally.last_share_difficulty, tally.difficulty_accepted) == (
        7.0,
        *(work.difficulty,) * 2,
    )
    assert tally.best_share == max(good.best, after.best)
    assert bed.counts() == {"acct.hand": 1}


def _two_shares(search: Callable[[int, int], tuple[int, Found | None]]) -> list[Found]:
    first = search(0, 100_000)[1]
    assert first is not None
    second = search(first.nonce + 1, 100_000)[1]
    assert second is not None
    return [first, second]


async def test_a_pool_of_another_authority_is_no_pool(tmp_path: Path) -> None:
    async with pool(tmp_path) as bed:
        bench = Bench(bed, v2=True)
        bench.client.login = Login("127.0.0.1", bed.v2_port, "a", "x", "t/1", 1.0, None)
        stranger = Identity(tmp_path / "other").authority_key
        client = V2Client(Login("127.0.0.1", bed.v2_port, "a", "x", "t/1", 1.0, stranger), PoolTally(), lambda: 0.0)
        await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", bed.v2_port)

        with pytest.raises(PoolError, match="did not sign"):
            await client.begun


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("stratum+tcp://btc.example.pool:3333", "within this machine only"),
        ("stratum+tcp://10.1.2.3:3333", "within this machine only"),
        ("stratum+ssl://127.0.0.1:3333", "expected stratum"),
        ("stratum+tcp://127.0.0.1", "expected stratum"),
        ("stratum+tcp://127.0.0.1:99999", "ut of range"),
        ("stratum2+tcp://127.0.0.1:3336/nokey", "authority|base58|ase58"),
        ("", "expected stratum"),
    ],
)
def test_a_pool_outside_this_machine_or_unreadable_is_refused(url: str, why: str) -> None:
    with pytest.raises(PoolError, match=why):
        pool_place(url)


def test_a_large_site_hashes_no_more_than_its_share_of_a_processor() -> None:
    assert effective_scale(4.0, 7_831.5) == 4.0
    assert effective_scale(4.0, 1_000_000.0) * 1_000_000.0 == HASHES_PER_S_MAX
    assert effective_scale(4.0, 0.0) == 4.0
