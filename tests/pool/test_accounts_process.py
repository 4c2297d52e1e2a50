"""The accounts' process beside pool, node and database, all of them real: what was accepted is paid, once."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mbongi.base.config import Config, Pool, Postgres, Site, as_environment
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG, files_of, read_shares, shard_folders
from mbongi.run import pool, pool_accounts, postgres
from mbongi.wire.bitcoin.address import address_of_script, networks
from mbongi.wire.bitcoin.transaction import TxOut
from tests.core.data_plane import SOURCE, ask
from tests.embedded import free_ports
from tests.pool.practice import Miner
from tests.regtest import PROGRAM, Chain, extend, full_node
from tests.system.running import Colleague, until

pytestmark = pytest.mark.system
SHARE_DIFFICULTY = 2.0**-24
"""256 hashes."""
BLOCK_DIFFICULTY = 2.0**-20
"""4,096 hashes: every sixteenth share is a block."""
BLOCK_TARGET = (0xFFFF << 208) * 2**20
HALVING_BLOCKS = 150
"""Of a practice chain. Source: Bitcoin Core, chain parameters of regtest; bcoin has the same."""
PROBES: dict[str, Callable[[Config], Any]] = {
    "postgres": postgres.ready,
    "pool": pool.ready,
    "pool-accounts": pool_accounts.ready,
}
BOOKS = """
from mbongi.pool import selectors
from mbongi.pool.models import Account, Block, Worker
answer({
    "workers": dict(Worker.objects.values_list("name", "shares")),
    "balances": {name: sat for name, sat in Account.objects.values_list("name", "balance_sat") if sat},
    "replays": sum(row.replays for row in selectors.cursors()),
    "damaged": sum(row.damaged_bytes for row in selectors.cursors()),
    "blocks": {row.hash: [row.state, row.subsidy_sat, row.fees_sat] for row in selectors.blocks(limit=1000)},
    "windows": len(selectors.windows(limit=1000)),
})
"""


class PoolSite:
    """A site's database, pool and accounts in a folder of their own."""

    def __init__(self, directory: Path, chain: Chain, **changes: Any) -> None:
        port, v2_port, postgres_port, bus_port = free_ports(4)
        settings: dict[str, Any] = chain.settings | {
            "port": port,
            "v2_port": v2_port,
            "difficulty_start": SHARE_DIFFICULTY,
            "difficulty_min": SHARE_DIFFICULTY,
            "shares_per_minute": 600.0,
            "block_difficulty_min": BLOCK_DIFFICULTY,
        }
        self.config = Config(
            site=Site(data_dir=directory / "var"),
            postgres=Postgres(port=postgres_port),
            pool=Pool(**(settings | changes)),
        )
        self.bus_port, self.directory = bus_port, directory
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._colleague: Colleague | None = None

    @property
    def environment(self) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("MBONGI_", "DJANGO_"))}
        ports = {"MBONGI_BUS_PORT": str(self.bus_port), "PYTHONPATH": str(SOURCE)}
        return own | as_environment(self.config) | ports

    def start(self, *names: str) -> None:
        self.start_without_waiting(*names)
        for name in names:
            until(lambda name=name: self._answers(name), 120, self.said)

    def start_without_waiting(self, *names: str) -> None:
        for name in names:
            self._launch(name)

    def _launch(self, name: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            words = [sys.executable, "-m", "mbongi.cli", name]
            self._running[name] = subprocess.Popen(
                words, env=self.environment, stdout=log, stderr=log, cwd=self.directory
            )

    def _answers(self, name: str) -> bool:
        if self._running[name].poll() is not None:
            # Other tests beside this one may have the port for a moment, as a client's.
            assert "address already in use" in self.said().lower(), self.said()
            self._launch(name)
        return ask(PROBES[name], self.config)

    def end(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self._running.pop(name)
        process.send_signal(number)
        process.wait(timeout=30)

    def end_all(self) -> None:
        if self._colleague is not None:
            self._colleague.close()
        for name in ("pool", "pool-accounts", "postgres"):
            if name in self._running:
                self.end(name)

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "mbongi.cli", *words],
            env=self.environment,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def books(self) -> dict[str, Any]:
        if self._colleague is None:
            self._colleague = Colleague(self.environment, self.directory / "colleague.log")
        return self._colleague.run(BOOKS)  # type: ignore[no-any-return]

    def logged(self) -> "Counter[tuple[str, str]]":
        """What stands in the share logs: worker and share."""
        folders = shard_folders(self.config.site.data_dir / "pool" / "shares")
        files = [path for _shard, folder in folders for path in files_of(folder)]
        return Counter(
            (worker, f"{share.nonce:08x} {share.extranonce[1:].hex()}")
            for path in files
            for share, worker in read_shares(path)
        )

    def logged_blocks(self) -> set[str]:
        folders = shard_folders(self.config.site.data_dir / "pool" / "shares")
        files = [path for _shard, folder in folders for path in files_of(folder)]
        shares = itertools.chain.from_iterable(read_shares(path) for path in files)
        return {share.hash[::-1].hex() for share, _worker in shares if share.flags & BLOCK_FLAG}

    def said(self) -> str:
        logs = sorted(self.directory.glob("*.log"))
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in logs)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def changes() -> dict[str, Any]:
    """What a test sets otherwise in the pool's configuration."""
    return {}


@pytest.fixture
def site(chain: Chain, changes: dict[str, Any]) -> Iterator[PoolSite]:
    # Not in pytest's own folder, which is private: the embedded database's system user must pass through.
    with tempfile.TemporaryDirectory(prefix="mbongi-accounts-") as folder:
        Path(folder).chmod(0o711)
        made = PoolSite(Path(folder), chain, **changes)
        try:
            made.start("postgres")
            assert made.command("migrate").returncode == 0
            made.start("pool", "pool-accounts")
            yield made
        finally:
            made.end_all()


class Load:
    """Miners that go on through every outage, and what the pool told them."""

    def __init__(self, site: PoolSite) -> None:
        self._site = site
        self.accepted: Counter[tuple[str, str]] = Counter()
        self.refused: set[tuple[str, str]] = set()
        self._stop = asyncio.Event()

    @contextlib.asynccontextmanager
    async def mining(self, *workers: str) -> Any:
        tasks = [asyncio.create_task(self._mine(worker)) for worker in workers]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.gather(*tasks)

    async def _mine(self, worker: str) -> None:
        numbers = itertools.count()
        while not self._stop.is_set():
            miner = None
            try:
                miner = await Miner.connect(self._site.config.pool.port, worker=worker)
                while not self._stop.is_set():
                    await self._one(miner, worker, next(numbers))
            except (OSError, TimeoutError, AssertionError):
                await asyncio.sleep(0.1)
            finally:
                if miner is not None:
                    miner.close()

    async def _one(self, miner: Miner, worker: str, number: int) -> None:
        fields = await asyncio.to_thread(miner.solve, extranonce2=number)
        share = worker, f"{fields[3]} {(miner.extranonce1 + bytes.fromhex(fields[1])).hex()}"
        if (await miner.submit(fields, worker=worker)).get("result"):
            self.accepted[share] += 1
            again = await miner.submit(fields, worker=worker)
            assert again["result"] is not True, "a share was accepted twice"
        wrong = [*fields[:3], f"{int(fields[3], 16) ^ 1:08x}"]
        if not (await miner.submit(wrong, worker=worker)).get("result"):
            self.refused.add((worker, f"{wrong[3]} {share[1].split()[1]}"))


async def test_no_accepted_share_is_lost_or_counted_twice_whatever_dies_and_no_invalid_one_paid(
    site: PoolSite, chain: Chain
) -> None:
    load = Load(site)
    run = asyncio.to_thread
    async with load.mining("ada.one", "ada.two", "ben.one"):
        for _round in range(2):
            await _more(load, 40)
            await run(site.end, "pool-accounts", signal.SIGKILL)
            await _more(load, 20)
            await run(site.start, "pool-accounts")
            await run(site.end, "pool", signal.SIGKILL)
            await run(site.start, "pool")
            await _more(load, 20)
            await run(site.end, "postgres")
            await _more(load, 30)
            await run(site.start, "postgres")
    logged = site.logged()

    assert not load.accepted - logged, "an accepted share is not in the log"
    assert not load.refused & set(logged), "a refused share is in the log"
    assert max(logged.values()) == 1
    by_worker = Counter(worker for worker, _share in logged)
    await run(until, lambda: site.books()["workers"] == by_worker, 60, site.said)
    await run(until, lambda: all(state == "in_chain" for state, *_ in _credited(site)), 60, site.said)
    books = site.books()
    assert (books["replays"], books["damaged"]) == (0, 0)
    assert set(books["blocks"]) == site.logged_blocks()
    rewards = [subsidy + fees for state, subsidy, fees in books["blocks"].values() if _counts(state)]
    assert len(rewards) > 5
    assert sum(books["balances"].values()) == sum(rewards)
    assert set(books["balances"]) == {"ada", "ben"}
    audit = site.command("pool-accounts", "audit")
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert site.command("ledger", "verify").returncode == 0


def _counts(state: str) -> bool:
    return state in {"in_chain", "settled", "mature"}


def _credited(site: PoolSite) -> list[list[Any]]:
    """The blocks of which it is not settled yet what becomes of them."""
    return [row for row in site.books()["blocks"].values() if row[0] in {"found", "in_chain"}]


async def _more(load: Load, shares: int) -> None:
    """Wait until the pool has accepted so many more shares."""
    wanted, end_s = load.accepted.total() + shares, time.monotonic() + 90
    while load.accepted.total() < wanted:
        assert time.monotonic() < end_s, "the pool accepts no shares"
        await asyncio.sleep(0.05)


async def test_a_reorganisation_by_three_takes_credits_back_and_the_next_gives_them_again(
    site: PoolSite, chain: Chain
) -> None:
    async with _mining(site, chain, "ada.one") as (miner, rpc):
        await _see_a_reorganisation(site, miner, rpc)


async def _see_a_reorganisation(site: PoolSite, miner: Miner, rpc: NodeRpc) -> None:
    run = asyncio.to_thread
    parent = await _tip(rpc)
    for number in range(3):
        await _find_block(miner, rpc, "ada.one", number)
    ours = await _tip(rpc)
    assert ours[1] == parent[1] + 3
    await run(until, lambda: len(site.books()["balances"]) == 1, 60, site.said)
    full = site.books()["balances"]["ada"]

    other = await extend(rpc, parent, 4)
    assert await _tip(rpc) == other
    await run(until, lambda: not site.books()["balances"], 60, site.said)
    assert {row[0] for row in site.books()["blocks"].values()} == {"beside"}
    assert site.command("pool-accounts", "audit").returncode == 0

    assert await extend(rpc, ours, 3) == await _tip(rpc)
    await run(until, lambda: site.books()["balances"] == {"ada": full}, 60, site.said)
    audit = site.command("pool-accounts", "audit")
    assert audit.returncode == 0, audit.stdout
    assert site.books()["windows"] == 3
    second = site.command("pool-accounts")  # two at once would do each thing twice
    assert (second.returncode, "works on" in second.stderr) == (1, True)


async def _find_block(miner: Miner, rpc: NodeRpc, worker: str, number: int) -> None:
    """Find a block, and wait until the node has it and the miner has full work on it."""
    tip, old = await _tip(rpc), miner.work
    assert (await miner.submit(miner.solve(target=BLOCK_TARGET, extranonce2=number), worker=worker))["result"]
    await _until_async(lambda: _moved(rpc, tip))
    while miner.work is None or old is None or miner.work.previous == old.previous:
        await miner.read()


async def _moved(rpc: NodeRpc, tip: tuple[str, int]) -> bool:
    return await _tip(rpc) != tip


async def _until_async(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 -- another process's state
            await asyncio.sleep(0.05)


async def _tip(rpc: NodeRpc) -> tuple[str, int]:
    info = await rpc.info()
    return info.bestblockhash, info.blocks


P2WPKH = bytes.fromhex("0014" + "5a" * 20)
P2TR = bytes.fromhex("5120" + "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")


@pytest.mark.parametrize("script", [P2WPKH, P2TR] if PROGRAM else [P2WPKH])  # bcoin has no taproot
@pytest.mark.parametrize("changes", [{"coinbase_outputs": 3, "payout_minimum_sat": 1_000}])
async def test_a_block_pays_an_account_directly_and_the_books_owe_it_only_the_rest(
    site: PoolSite, chain: Chain, script: bytes
) -> None:
    account = address_of_script(script, networks()[site.config.pool.network])
    async with _mining(site, chain, f"{account}.rig") as (miner, rpc):
        await _see_direct_payment(site, miner, rpc, account, script)


async def _see_direct_payment(site: PoolSite, miner: Miner, rpc: NodeRpc, account: str, script: bytes) -> None:
    run = asyncio.to_thread
    await miner.submit(_solve_no_block(miner), worker=f"{account}.rig")
    await run(until, (site.config.site.data_dir / "pool" / "coinbase.json").exists, 60, site.said)

    await _find_block(miner, rpc, f"{account}.rig", 2)  # the work after it is made by the plan
    await _find_block(miner, rpc, f"{account}.rig", 3)
    await run(until, lambda: len(site.books()["blocks"]) == 2 and site.books()["windows"] == 2, 60, site.said)
    hash_, height = await _tip(rpc)
    block = (await rpc.call("getblock", hash_, *[False])).lower()

    reward = sum(sum(row[1:3]) for row in site.books()["blocks"].values())
    paid = 50 * 10**8 >> height // HALVING_BLOCKS  # all the work of the window was this account's, and there is no fee
    assert TxOut(paid, script).encode().hex() in block
    assert site.books()["balances"] == {account: reward - paid}
    audit = site.command("pool-accounts", "audit")
    assert audit.returncode == 0, audit.stdout


def _solve_no_block(miner: Miner) -> list[str]:
    """A share that is no block."""
    for number in itertools.count(100):
        share = miner.solve(extranonce2=number)
        if int.from_bytes(miner.found, "little") > BLOCK_TARGET:
            return share
    raise AssertionError


@contextlib.asynccontextmanager
async def _mining(site: PoolSite, chain: Chain, worker: str) -> AsyncIterator[tuple[Miner, NodeRpc]]:
    """A miner of the site, and its node."""
    rpc = NodeRpc(chain.address)
    miner = await Miner.connect(site.config.pool.port, worker=worker)
    try:
        yield miner, rpc
    finally:
        miner.close()
        await rpc.close()
