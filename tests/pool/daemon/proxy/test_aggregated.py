"""Miners that share one channel at the pool."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mbongi.pool.daemon.proxy.figures import figures_of
from tests.pool.daemon.proxy.bed import ProxyBed, address_of, until
from tests.pool.daemon.test_server import EASY, job
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.practice import Miner


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[V2Bed]:
    async with V2Bed(tmp_path / "pool") as made:
        yield made


@pytest.fixture
async def proxy(pool: V2Bed) -> AsyncIterator[ProxyBed]:
    async with ProxyBed(address_of(pool), aggregate=True, user="site.brazzaville") as made:
        yield made


async def test_all_miners_share_one_channel_and_no_extranonce(pool: V2Bed, proxy: ProxyBed) -> None:
    miners = [await proxy.connect(f"acct.{number}") for number in range(3)]

    answers = [await miner.submit(miner.solve(), f"acct.{number}") for number, miner in enumerate(miners)]

    assert [answer["result"] for answer in answers] == [True] * 3
    assert len({miner.extranonce1 for miner in miners}) == 3
    assert proxy.server.link is not None
    [channel] = proxy.server.link.channels.values()
    assert channel.name == "site.brazzaville"
    assert [worker for worker, _difficulty in pool.kept()] == ["acct.0", "acct.1", "acct.2"]
    for miner in miners:
        miner.close()
    await until(lambda: not proxy.server.miners)
    assert len(proxy.server.link.channels) == 1


async def test_a_pool_that_does_not_know_workers_counts_all_for_the_channel(
    pool: V2Bed, proxy: ProxyBed, capfd: pytest.CaptureFixture[str]
) -> None:
    miner = await proxy.connect("acct.one")
    assert proxy.server.link is not None
    proxy.server.link.tells_workers = False

    assert (await miner.submit(miner.solve()))["result"] is True
    assert [worker for worker, _difficulty in pool.kept()] == ["site.brazzaville"]
    miner.close()


async def test_a_share_too_easy_for_the_pool_is_answered_here_and_not_sent(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    [session] = pool.server.sessions
    easy, hard = miner.difficulty, EASY * 4096
    # The pool thinks that the channel does much more, and sets a harder target; the miner keeps its easy work.
    assert proxy.server.link is not None
    [channel] = session._channels.values()  # type: ignore[attr-defined]
    channel.vardiff.suggest(pool.server.now_s(), hard)
    session._retarget(channel)  # type: ignore[attr-defined]
    pool.server.has_answers(session)
    [ours] = proxy.server.link.channels.values()
    await until(lambda: ours.work.current is not None and ours.work.current.difficulty >= hard)
    await miner.drain()

    before = len(pool.kept())
    answers = [await miner.submit(miner.solve(extranonce2=number)) for number in range(4)]
    statistics = proxy.server.statistics
    sent = len(pool.kept()) - before

    assert miner.difficulty == easy
    assert [answer["result"] for answer in answers] == [True] * 4
    assert statistics.accepted_here + sent == 4
    assert statistics.accepted_here >= 3  # one in 4,096 of them is good enough for the pool too
    miner.close()


async def test_a_channel_easier_than_the_miners_own_goal_gives_its_own_difficulty(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    await miner.ask("mining.suggest_difficulty", [EASY * 64])
    await miner.drain()

    assert miner.difficulty == EASY  # harder work would be worth less to the pool than it is
    miner.close()


async def test_the_pool_is_told_what_all_miners_do_together(pool: V2Bed, proxy: ProxyBed) -> None:
    miners = [await proxy.connect(f"acct.{number}") for number in range(4)]
    for miner in miners:
        await miner.ask("mining.suggest_difficulty", [EASY * 1024])

    [session] = pool.server.sessions
    [channel] = session._channels.values()  # type: ignore[attr-defined]
    await until(lambda: channel.vardiff.difficulty >= EASY * 1024 * 4 / 1.5)

    async with asyncio.timeout(10):
        while miners[0].difficulty == EASY:
            await miners[0].read()
    assert miners[0].difficulty == EASY * 1024
    for miner in miners:
        miner.close()


async def test_names_too_long_to_be_told_are_refused(proxy: ProxyBed) -> None:
    miner = Miner(*await asyncio.open_connection("127.0.0.1", await proxy.listening()))
    answer = await miner.ask("mining.authorize", ["a" * 33, "x"])
    assert answer["error"][0] == 24
    assert "32 bytes" in answer["error"][1]
    miner.close()


async def test_a_lost_link_and_a_new_tip_reach_everybody(pool: V2Bed, proxy: ProxyBed) -> None:
    miners = [await proxy.connect(f"acct.{number}") for number in range(3)]
    pool.server.publish(job(pool.server, tip=2))
    for miner in miners:
        async with asyncio.timeout(10):
            while miner.work is None or miner.work.previous != bytes([2]) * 32:
                await miner.read()
    [session] = pool.server.sessions
    session.drop()
    await until(lambda: proxy.server.link is None)
    await until(lambda: proxy.server.has_work)
    for number, miner in enumerate(miners):
        miner.work = None
        async with asyncio.timeout(10):
            while miner.work is None:
                await miner.read()
        assert (await miner.submit(miner.solve(), f"acct.{number}"))["result"] is True
        miner.close()


async def test_figures_say_what_happened(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    share = miner.solve()
    await miner.submit(share)
    await miner.submit(share)

    found = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in figures_of(proxy.server)
        for sample in metric.samples
    }

    assert found["mbongi_proxy_shares_accepted_total",] == 1
    assert found["mbongi_proxy_shares_refused_total", "proxy", "duplicate"] == 1
    assert found["mbongi_proxy_upstream_up",] == 1
    assert found["mbongi_proxy_miners_mining",] == 1
    assert found["mbongi_proxy_answer_seconds_bucket", "+Inf"] == 1
    assert found["mbongi_proxy_answer_seconds_sum",] > 0
    miner.close()
