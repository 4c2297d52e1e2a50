"""Several pool processes on one port: no accepted share is lost or counted twice, whatever dies or restarts."""

import asyncio
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mbongi.base.config import Bus, Site
from mbongi.pool.adapters.node_rpc import NodeRpc
from mbongi.pool.daemon.share_log import BLOCK_FLAG
from mbongi.run.pool import LEAD
from mbongi.run.pool_state import read_state
from mbongi.run.serving import SAVE_S
from tests.embedded import free_ports
from tests.pool.practice import Miner
from tests.pool.several import STALE, Crowd, SeveralProcesses, further_process, require_same, solve_block
from tests.regtest import Chain, full_node

pytestmark = pytest.mark.system
MINERS = 6


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with full_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, chain: Chain) -> Iterator[SeveralProcesses]:
    # Cheaper than a pool for each test; each leaves it as it found it.
    with SeveralProcesses(tmp_path_factory.mktemp("pool"), chain) as running:
        yield running


async def test_miners_are_spread_over_the_processes_and_have_the_same_work(pool: SeveralProcesses) -> None:
    miners = [await Miner.connect(pool.config.pool.port, worker=f"acct.{number}") for number in range(24)]
    answers = [await miner.submit(miner.solve(), f"acct.{number}") for number, miner in enumerate(miners)]

    works = [miner.work for miner in miners]
    assert {miner.extranonce1[0] for miner in miners} == {0, 1}
    assert len({miner.extranonce1 for miner in miners}) == 24
    assert len({(work.before[:-1], work.after, work.previous) for work in works if work}) == 1
    assert {answer["error"] and answer["error"][1] for answer in answers} == {None}
    for each in miners:
        each.close()


async def test_a_block_found_in_any_process_reaches_the_node_and_all_miners(
    pool: SeveralProcesses, chain: Chain
) -> None:
    rpc = NodeRpc(chain.address)
    miners: dict[int, Miner] = {}
    while len(miners) < 2:
        miner = await Miner.connect(pool.config.pool.port)
        if miners.setdefault(miner.extranonce1[0], miner) is not miner:
            miner.close()
    for finder in miners.values():
        height = (await rpc.info()).blocks
        fields = await asyncio.to_thread(solve_block, finder)
        assert (await finder.submit(fields))["result"] is True
        async with asyncio.timeout(30):
            while (await rpc.info()).blocks == height:  # noqa: ASYNC110 -- another process's state
                await asyncio.sleep(0.05)
        tip = (await rpc.info()).bestblockhash
        for each in miners.values():
            async with asyncio.timeout(30):
                while each.work is None or each.work.previous[::-1].hex() != tip:
                    await each.read()
    blocks = [share for share, _worker in pool.shares() if share.flags & BLOCK_FLAG]
    await rpc.close()
    for each in miners.values():
        each.close()

    assert {share.shard for share in blocks} == {0, 1}


async def test_a_rolling_restart_disturbs_nobody(pool: SeveralProcesses) -> None:
    crowd = Crowd(pool.config.pool.port, MINERS)
    await crowd.progress(30)
    restarted = await asyncio.to_thread(pool.command, "pool-restart")
    await crowd.progress(30)
    await crowd.stop()

    assert restarted.returncode == 0, restarted.stderr + pool.logs()
    assert [line.partition(":")[0] for line in restarted.stdout.splitlines()] == ["0", "1", LEAD]
    assert crowd.connects >= 2 * MINERS, "each of them was parted from at least once"
    assert set(crowd.rejects) <= {STALE}, crowd.rejects
    require_same(pool.shares(), crowd)


@pytest.mark.parametrize("victim", ["0", LEAD, "bus"])
async def test_kill_9_under_load_loses_no_accepted_share_and_doubles_none(pool: SeveralProcesses, victim: str) -> None:
    crowd = Crowd(pool.config.pool.port, MINERS)
    await crowd.progress(20)
    for _ in range(2):
        pool.kill(victim)
        await crowd.progress(30)
    await asyncio.to_thread(pool.wait_ready)
    await crowd.progress(20)
    await crowd.stop()

    assert set(crowd.rejects) <= {"Job not found", STALE}, crowd.rejects
    require_same(pool.shares(), crowd)


async def test_a_share_is_not_counted_again_after_its_process_was_killed(pool: SeveralProcesses) -> None:
    miner = await Miner.connect(pool.config.pool.port)
    fields = miner.solve()
    assert (await miner.submit(fields))["result"] is True
    await asyncio.sleep(SAVE_S + 1.0)  # by then the session stands in the file
    shard = str(miner.extranonce1[0])
    pool.kill(shard)
    with pytest.raises((OSError, TimeoutError)):
        await miner.read_on()
    miner.close()
    await asyncio.to_thread(pool.wait_ready)
    again = await _back(pool.config.pool.port, miner)
    replayed = (await again.submit(fields))["error"]
    fresh = await again.submit(again.solve(extranonce2=77))
    again.close()

    assert replayed[0] == 22
    assert fresh["result"] is True


async def _back(port: int, miner: Miner) -> Miner:
    """The miner's session again; until the processes have heard of each other, another begins a new one."""
    async with asyncio.timeout(30):
        while True:
            again = await Miner.connect(port, session=miner.session)
            if again.extranonce1 == miner.extranonce1:
                return again
            again.close()
            await asyncio.sleep(0.2)


async def test_a_message_is_shown_on_the_machines_of_a_worker(pool: SeveralProcesses) -> None:
    ours, other = [await Miner.connect(pool.config.pool.port, worker=name) for name in ("acct.fan", "acct.one")]
    said = await asyncio.to_thread(pool.command, "pool-message", "the fan is loud", "--worker", "acct.fan")
    for each in (ours, other):
        await each.drain(1.0)
        each.close()

    assert (said.returncode, said.stdout) == (0, "shown on 1 machines\n"), said.stderr
    assert [each["params"] for each in ours.notices if each["method"] == "client.show_message"] == [["the fan is loud"]]
    assert not [each for each in other.notices if each["method"] == "client.show_message"]


async def test_without_the_bus_the_last_work_goes_on_until_the_tip_moves_and_then_miners_are_sent_away(
    tmp_path: Path, chain: Chain
) -> None:
    with SeveralProcesses(tmp_path, chain, without_work_s=8.0) as pool:
        crowd = Crowd(pool.config.pool.port, 3)
        await crowd.progress(20)
        with pool.away("bus"):
            await crowd.progress(20)
            rpc = NodeRpc(chain.address)
            await rpc.call("generatetoaddress", 1, chain.burned)
            await rpc.close()
            await asyncio.to_thread(pool.until, lambda: not any(_listens(pool)))
        await asyncio.to_thread(pool.wait_ready)
        await crowd.progress(20)
        await crowd.stop()

        require_same(pool.shares(), crowd)
        assert "nothing heard for" in pool.log("0")


def _listens(pool: SeveralProcesses) -> list[bool]:
    states = [read_state(pool.config, name) for name in ("0", "1")]
    return [state is None or state.ready for state in states]


async def test_shares_of_another_machine_arrive_where_the_books_are_kept(
    pool: SeveralProcesses, tmp_path: Path
) -> None:
    port, v2_port = free_ports(2)
    key = (pool.config.site.data_dir / "secrets" / "bus.key").read_text(encoding="ascii")
    config = dataclasses.replace(
        pool.config,
        site=Site(data_dir=tmp_path / "var"),
        bus=Bus(url=f"nats://{key}@127.0.0.1:{pool.config.bus.port}"),
        pool=dataclasses.replace(pool.config.pool, port=port, v2_port=v2_port, follows=True, shard=8, processes=1),
    )
    with further_process(config, tmp_path, "pool-server", "--shard", "8") as further:
        await asyncio.to_thread(pool.until, lambda: (state := read_state(config, "8")) and state.is_ready)
        miners = [await Miner.connect(port, worker=f"acct.far{number}") for number in range(3)]
        answers = [await miner.submit(miner.solve(), f"acct.far{place}") for place, miner in enumerate(miners)]
        await asyncio.to_thread(pool.until, lambda: sum(share.shard == 8 for share, _worker in pool.shares()) == 3)
        for each in miners:
            each.close()
        assert further.poll() is None

    assert [answer["result"] for answer in answers] == [True] * 3
    assert {worker for share, worker in pool.shares() if share.shard == 8} == {f"acct.far{n}" for n in range(3)}


def test_two_processes_never_serve_one_shard(pool: SeveralProcesses) -> None:
    began_s = time.monotonic()
    second = pool.command("pool-server", "--shard", "0")

    assert second.returncode == 1
    assert "stop that one first" in second.stderr
    assert time.monotonic() - began_s < 60
