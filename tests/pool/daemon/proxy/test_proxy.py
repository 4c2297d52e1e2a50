"""Miners in Stratum V1 through the proxy to our own pool in Stratum V2."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.proxy.downstream import Downstream
from mbongi.pool.rules.generations import GENERATIONS
from mbongi.pool.values import Reject
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.secp import new_secret, x_only_of_secret
from tests.pool.daemon.proxy.bed import ProxyBed, address_of, pool_at, until
from tests.pool.daemon.test_server import EASY, error_of, job
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.practice import Miner


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[V2Bed]:
    async with V2Bed(tmp_path / "pool") as made:
        yield made


@pytest.fixture
async def proxy(pool: V2Bed) -> AsyncIterator[ProxyBed]:
    async with ProxyBed(address_of(pool)) as made:
        yield made


async def test_a_share_is_accepted_once_the_pool_has_it_and_counts_for_its_worker(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect("acct.one")

    answer = await miner.submit(miner.solve(rolled=0x0034_A000))

    assert answer["result"] is True
    assert pool.kept() == [("acct.one", EASY)]
    assert proxy.server.statistics.accepted == 1
    assert proxy.server.statistics.difficulty_accepted == pytest.approx(EASY)
    miner.close()


async def test_miners_have_channels_and_work_of_their_own(pool: V2Bed, proxy: ProxyBed) -> None:
    miners = [await proxy.connect(f"acct.{number}") for number in range(3)]

    answers = [await miner.submit(miner.solve(), f"acct.{number}") for number, miner in enumerate(miners)]

    assert [answer["result"] for answer in answers] == [True] * 3
    assert sorted(pool.kept()) == [(f"acct.{number}", EASY) for number in range(3)]
    assert len(pool.server.sessions) == 1
    for miner in miners:
        miner.close()
    assert proxy.server.link is not None
    await until(lambda: proxy.server.link and not proxy.server.link.channels)


async def test_several_workers_of_one_connection_are_told_apart(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect("acct.one")
    assert (await miner.ask("mining.authorize", ["acct.two", "x"]))["result"] is True
    too_long = await miner.ask("mining.authorize", ["a" * 33, "x"])

    for number, worker in enumerate(["acct.two", "acct.one", "acct.two"]):
        assert (await miner.submit(miner.solve(extranonce2=number), worker))["result"] is True

    assert too_long["error"][0] == 24
    assert [worker for worker, _difficulty in pool.kept()] == ["acct.two", "acct.one", "acct.two"]
    miner.close()


async def test_each_kind_of_bad_share_has_its_code_and_never_reaches_the_pool(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    number, extranonce2, time_text, nonce = miner.solve()
    late = f"{int(pool.server.now_s()) + 7300:08x}"
    early = f"{int(pool.server.now_s()) - 700:08x}"
    worthless = [await error_of(miner, [number, "00000007", time_text, f"{each:08x}"]) for each in range(8)]

    codes = [
        (await error_of(miner, [number, extranonce2, time_text, nonce], worker="acct.other"))[0],
        (await error_of(miner, ["7fffffff00", extranonce2, time_text, nonce]))[0],
        (await error_of(miner, ["zz", extranonce2, time_text, nonce]))[0],
        (await error_of(miner, [number, extranonce2[2:], time_text, nonce]))[0],
        (await error_of(miner, [number, extranonce2, late, nonce]))[0],
        (await error_of(miner, [number, extranonce2, early, nonce]))[0],
        (await error_of(miner, [number, extranonce2, time_text, nonce, "00000001"]))[0],
        (await error_of(miner, [number]))[0],
    ]
    kept = len(pool.kept())
    assert (await miner.submit([number, extranonce2, time_text, nonce]))["result"] is True
    again = await error_of(miner, [number, extranonce2, time_text, nonce])

    assert [23, "Low difficulty share", None] in worthless  # each of the eight has a chance of 1 in 256 to be good
    assert codes == [24, 21, 21, 20, 20, 20, 20, 20]
    assert again[0] == 22
    assert len(pool.kept()) == kept + 1
    assert not sum(pool.server.statistics.rejected.values())
    miner.close()


async def test_what_the_pool_refuses_is_refused_with_its_code(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    share = miner.solve()
    await miner.submit(share)
    [mined] = proxy.server.miners
    assert mined.channel is not None
    mined.channel.work.seen.clear()  # so that the proxy does not know the duplicate itself

    assert (await error_of(miner, share))[0] == 22
    assert proxy.server.statistics.refused_by_pool == {Reject.DUPLICATE: 1}
    assert proxy.server.statistics.accepted == 1
    miner.close()


async def test_a_new_tip_makes_old_work_stale_and_a_refresh_does_not(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    first, second = miner.solve(), miner.solve(extranonce2=1)

    pool.server.publish(job(pool.server))
    await miner.drain()
    refreshed = await miner.submit(first)
    pool.server.publish(job(pool.server, tip=2))
    await until(lambda: proxy.server.statistics.rejected is not None and miner.work is not None)
    async with asyncio.timeout(10):
        while miner.work is None or miner.work.previous != bytes([2]) * 32:
            await miner.read()
    stale = await error_of(miner, second)
    fresh = await miner.submit(miner.solve())

    assert refreshed["result"] is True
    assert stale[0] == 21
    assert "Stale" in stale[1]
    assert fresh["result"] is True
    assert [each["params"][8] for each in miner.notices if each["method"] == "mining.notify"][-2:] == [False, True]
    miner.close()


async def test_a_target_that_the_pool_sets_reaches_the_miner_with_the_work_that_it_counts_for(
    pool: V2Bed, proxy: ProxyBed
) -> None:
    miner = await proxy.connect()
    before = miner.solve()

    await miner.ask("mining.suggest_difficulty", [EASY * 16])
    async with asyncio.timeout(10):
        while miner.difficulty != EASY * 16:
            await miner.read()
    await miner.drain()
    old = await miner.submit(before)
    new = await miner.submit(miner.solve(extranonce2=1))  # the same work: its first nonce may be the same share

    assert (old["result"], new["result"]) == (True, True)
    assert [difficulty for _worker, difficulty in pool.kept()] == [EASY, EASY * 16]
    miner.close()


async def test_a_pool_that_is_lost_and_back_leaves_miners_connected_with_clean_work(
    tmp_path: Path, pool: V2Bed, proxy: ProxyBed
) -> None:
    miner = await proxy.connect()
    late = miner.solve()
    extranonce1 = miner.extranonce1
    [session] = pool.server.sessions

    session.drop()
    await until(lambda: proxy.server.link is None)
    without = await error_of(miner, late)
    await until(lambda: proxy.server.link is not None)
    miner.work = None
    async with asyncio.timeout(20):
        while miner.work is None:
            await miner.read()
    stale = await error_of(miner, late)
    answer = await miner.submit(miner.solve())

    assert without == [20, "No link to a pool at present", None]
    assert stale[0] == 21
    assert miner.work.clean
    assert answer["result"] is True
    assert miner.extranonce1 == extranonce1
    assert proxy.server.gate.came == 1
    assert proxy.server.statistics.links_lost == 1
    miner.close()


async def test_shares_that_the_pool_never_answered_are_not_accepted(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = await proxy.connect()
    [session] = pool.server.sessions
    share = miner.solve()
    # The pool stops answering, then the link breaks.
    pool.server.has_answers = lambda _connection: None  # type: ignore[method-assign]
    asking = asyncio.create_task(miner.submit(share))
    await until(lambda: proxy.server.shares_waiting == 1)
    session.drop()

    answer = await asking

    assert answer["error"][:2] == [20, "The link to the pool broke before its answer"]
    assert proxy.server.statistics.rejected == {Reject.UNCONFIRMED: 1}
    assert proxy.server.statistics.accepted == 0
    miner.close()


async def test_without_any_pool_miners_are_sent_away_after_a_while(tmp_path: Path) -> None:
    pool = await pool_at(tmp_path / "pool")
    async with ProxyBed(address_of(pool), hold_s=0.5) as proxy:
        miner = await proxy.connect()
        await pool.__aexit__()
        async with asyncio.timeout(20):
            with pytest.raises(ConnectionResetError):
                await miner.read_on()
        assert proxy.port == 0
        miner.close()


async def test_the_next_pool_takes_over_and_the_better_one_is_taken_up_again(tmp_path: Path) -> None:
    first, second = await pool_at(tmp_path / "first"), await pool_at(tmp_path / "second")
    port = first.port
    async with ProxyBed(address_of(first), address_of(second), return_s=0.3) as proxy:
        miner = await proxy.connect()
        assert (await miner.submit(miner.solve()))["result"] is True
        await first.__aexit__()
        await until(lambda: proxy.server.link is not None and proxy.server.link.address.port == second.port)
        answer = await soon_accepted(miner)
        # The first is back, at its old place.
        again = V2Bed(tmp_path / "first")
        again.server.publish(job(again.server))
        again.identity = first.identity
        await again.server.gate.listen(lambda: _v2(again), "127.0.0.1", port)
        await until(lambda: proxy.server.link is not None and proxy.server.link.address.port == port)
        back = await soon_accepted(miner)
        again.server.gate.send_away("the test ends")
        await asyncio.sleep(0.05)
        again.server.log.close()
        miner.close()
    await second.__aexit__()

    assert answer["result"] is True
    assert back["result"] is True
    assert len(second.kept()) >= 1
    assert proxy.server.gate.came == 1


def _v2(bed: V2Bed) -> asyncio.Protocol:
    from mbongi.pool.daemon.v2 import V2Session  # noqa: PLC0415 -- only here

    return V2Session(bed.server, bed.identity.responder())


async def soon_accepted(miner: Miner) -> dict[str, object]:
    """The first share that is accepted, of the work that comes."""
    number = 0
    async with asyncio.timeout(20):
        while True:
            number += 1
            await miner.drain(0.1)
            answer = await miner.submit(miner.solve(extranonce2=number))
            if answer["result"]:
                return answer


async def test_a_pool_with_another_key_is_one_error_and_no_miner_works_for_it(
    pool: V2Bed, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = PoolAddress("127.0.0.1", pool.port, x_only_of_secret(new_secret()))
    async with ProxyBed(wrong) as proxy:
        await until(lambda: pool.server.gate.came >= 2)
        assert proxy.port == 0
        assert proxy.server.link is None
    written = capfd.readouterr()
    assert (written.out + written.err).count("did not sign the server's key") == 1


async def test_a_worker_that_the_pool_refuses_is_told_so(
    pool: V2Bed, proxy: ProxyBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.server, "refusal", lambda user: "no" if user == "bad" else "")
    miner = Miner(*await asyncio.open_connection("127.0.0.1", await proxy.listening()))
    await miner.ask("mining.subscribe", ["test/1"])

    refused = await miner.ask("mining.authorize", ["bad", "x"])
    accepted = await miner.ask("mining.authorize", ["good", "x"])

    assert refused["error"][0] == 24
    assert accepted["result"] is True
    miner.close()


async def test_authorizing_before_subscribing_works(pool: V2Bed, proxy: ProxyBed) -> None:
    miner = Miner(*await asyncio.open_connection("127.0.0.1", await proxy.listening()))
    await miner.ask("mining.authorize", ["acct.one", "x"])
    answer = (await miner.ask("mining.subscribe", ["test/1"]))["result"]
    miner.extranonce1, miner.extranonce2_size = bytes.fromhex(answer[1]), answer[2]
    while miner.work is None:
        await miner.read()

    assert (await miner.submit(miner.solve()))["result"] is True
    miner.close()


async def test_two_hundred_miners_are_served_and_all_shares_count(pool: V2Bed, proxy: ProxyBed) -> None:
    port = await proxy.listening()
    miners = await asyncio.gather(*[Miner.connect(port, worker=f"acct.{number}") for number in range(200)])

    shares = [miner.solve() for miner in miners]
    answers = await asyncio.gather(
        *[
            miner.submit(share, f"acct.{number}")
            for number, (miner, share) in enumerate(zip(miners, shares, strict=True))
        ]
    )

    assert all(answer["result"] is True for answer in answers)
    assert {worker for worker, _ in pool.kept()} == {f"acct.{number}" for number in range(200)}
    assert len(pool.kept()) == 200
    for miner in miners:
        miner.close()


@pytest.mark.parametrize("junk", [b"\xff\xfe\n" * 40, b"[]\n" * 40, b"x" * 20_000])
async def test_nonsense_ends_its_connection_and_leaves_others_alone(proxy: ProxyBed, junk: bytes) -> None:
    honest = await proxy.connect()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(junk)

    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(65_536):
                pass
    writer.close()

    assert (await honest.submit(honest.solve()))["result"] is True
    honest.close()


async def test_a_reader_that_does_not_read_is_dropped_and_nobody_waits_for_it(pool: V2Bed, proxy: ProxyBed) -> None:
    honest, slow = await proxy.connect("acct.one"), await proxy.connect("acct.two")
    slow._reader._transport.pause_reading()  # type: ignore[attr-defined]

    [reading] = [miner for miner in proxy.server.miners if miner.user == "acct.one"]

    async with asyncio.timeout(120):
        while len(proxy.server.miners) == 2:
            for _ in range(50):
                pool.server.publish(job(pool.server))
            assert reading.channel is not None
            await until(lambda: _upstream_number(reading) == pool.server.newest_number)
            assert reading.channel.work.current is not None
            await honest.catch_up(reading.channel.work.current.number)

    assert [miner.user for miner in proxy.server.miners] == ["acct.one"]
    assert (await honest.submit(honest.solve()))["result"] is True
    for miner in (honest, slow):
        miner.close()


def _upstream_number(miner: Downstream) -> int:
    """The pool's number of the newest job that the proxy has for a miner."""
    job = miner.channel.work.current if miner.channel is not None else None
    return job.upstream_id // GENERATIONS if job is not None else 0


async def test_a_flood_of_lines_shuts_its_address_out(pool: V2Bed) -> None:
    async with ProxyBed(address_of(pool), limits=Limits(bytes_per_s_max=100.0, strikes_max=1)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", await proxy.listening())
        writer.write(b'{"id":1,"method":"mining.ping","params":[]}\n' * 100)
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionResetError):
                while await reader.read(65_536):
                    pass
        writer.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await proxy.connect()


async def test_a_proxy_that_stops_asks_its_miners_to_connect_again_and_answers_them_first(
    pool: V2Bed, proxy: ProxyBed
) -> None:
    miner = await proxy.connect()
    fields, port = miner.solve(), proxy.port
    parting = asyncio.create_task(proxy.server.drain(20.0))
    answer = await miner.submit(fields)
    await until_told(miner, "client.reconnect")
    miner.close()
    await parting

    assert answer["result"] is True
    assert pool.kept() == [("acct.one", EASY)]
    with pytest.raises(OSError, match="111"):
        await Miner.connect(port)


async def until_told(miner: Miner, method: str) -> None:
    while method not in [each["method"] for each in miner.notices]:
        await miner.read()
