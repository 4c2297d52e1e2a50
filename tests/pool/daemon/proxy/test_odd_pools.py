"""The proxy with pools that do what ours does not: what the specification allows, and what it does not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mbongi.pool.daemon.proxy import link as link_module
from mbongi.pool.daemon.proxy import server as server_module
from mbongi.wire.stratum_v2 import extensions, mining, setup
from tests.pool.daemon.proxy.bed import ProxyBed, until
from tests.pool.daemon.proxy.odd_pool import EASY_TARGET, OddPool
from tests.pool.daemon.test_server import error_of
from tests.pool.practice import Miner, double


@pytest.fixture
async def pool() -> AsyncIterator[OddPool]:
    async with OddPool() as made:
        yield made


@pytest.fixture
async def proxy(pool: OddPool) -> AsyncIterator[ProxyBed]:
    async with ProxyBed(pool.address) as made:
        yield made


async def mining_on(pool: OddPool, proxy: ProxyBed, worker: str = "acct.one", **opening: object) -> Miner:
    """A miner with a channel and its first work."""
    connecting = asyncio.create_task(proxy.connect(worker))
    await pool.open(**opening)  # type: ignore[arg-type]
    return await connecting


async def work_of(miner: Miner, job: str) -> None:
    """Read until another job than this is there."""
    async with asyncio.timeout(10):
        while miner.work is None or miner.work.job == job:
            await miner.read()


def header_of(pool: OddPool, share: mining.SubmitSharesExtended, prefix: bytes, *, tip: int = 1) -> bytes:
    """What a pool makes of a share, by the specification."""
    job = pool.job(share.channel_id, share.job_id)
    root = double(job.coinbase_tx_prefix + prefix + share.extranonce + job.coinbase_tx_suffix)
    root = double(root + b"\5" * 32)
    numbers = [each.to_bytes(4, "little") for each in (share.version, share.ntime, 0x1D00FFFF, share.nonce)]
    return numbers[0] + bytes([tip]) * 32 + root + b"".join(numbers[1:])


def value_of(header: bytes) -> int:
    return int.from_bytes(double(header), "little")


async def test_a_pool_that_sends_us_away_as_it_consents_is_not_worked_for(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.hear(setup.SetupConnection)
    pool.say(setup.SetupConnectionSuccess(2, 0), setup.Reconnect("", 0))  # in one piece
    await until(lambda: pool.connections == 2)

    assert proxy.server.link is None
    assert not proxy.server.gate.is_listening
    await pool.consent()
    (await mining_on(pool, proxy)).close()


async def test_blocks_on_one_tip_are_logged_once_and_counted_all(
    pool: OddPool, proxy: ProxyBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    await pool.consent()
    connecting = asyncio.create_task(proxy.connect("acct.one"))
    await pool.open(work=False)
    pool.say(pool.job(1, 1), mining.SetNewPrevHash(1, 1, bytes([1]) * 32, 1_700_000_000, 0x207FFFFF))
    miner = await connecting
    monkeypatch.setattr(server_module.log, "info", lambda event, **_: said.append(event))
    for number in range(3):
        asking = asyncio.create_task(miner.submit(miner.solve(extranonce2=number)))
        share = await pool.hear(mining.SubmitSharesExtended)
        pool.say(mining.SubmitSharesSuccess(1, share.sequence_number, 1, 1))
        assert (await asking)["result"] is True

    assert proxy.server.statistics.blocks == 3
    assert said.count("block_share_sent") == 1
    miner.close()


@pytest.mark.parametrize(("size", "prefix"), [(6, b""), (8, b"pool"), (16, b"a prefix of 16 b")])
async def test_a_share_is_what_the_miner_hashed_whatever_the_sizes(
    pool: OddPool, proxy: ProxyBed, size: int, prefix: bytes
) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy, size=size, prefix=prefix)

    asking = asyncio.create_task(miner.submit(miner.solve(rolled=0x0000_6000)))
    share = await pool.hear(mining.SubmitSharesExtended)
    pool.say(mining.SubmitSharesSuccess(1, share.sequence_number, 1, 1))

    assert (await asking)["result"] is True
    assert len(share.extranonce) == size
    assert share.version == 0x2000_6000
    assert value_of(header_of(pool, share, prefix)) <= EASY_TARGET
    miner.close()


async def test_answers_wait_for_the_pools_batch_and_a_refusal_comes_at_once(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    shares = [miner.solve(extranonce2=number) for number in range(4)]

    asking = asyncio.gather(*[_ask_unread(miner, 100 + number, share) for number, share in enumerate(shares)])
    await asking
    heard = [await pool.hear(mining.SubmitSharesExtended) for _ in range(4)]
    pool.say(mining.SubmitSharesError(1, heard[1].sequence_number, "some-odd-code"))
    refused = await miner.read()
    await miner.drain(0.1)
    waiting = proxy.server.shares_waiting
    pool.say(mining.SubmitSharesSuccess(1, heard[3].sequence_number, 3, 3))
    answers = [await miner.read() for _ in range(3)]

    assert [share.sequence_number for share in heard] == [1, 2, 3, 4]
    assert refused == {"id": 101, "result": None, "error": [20, "The pool refuses it: some-odd-code", None]}
    assert waiting == 3
    assert [(answer["id"], answer["result"]) for answer in answers] == [(100, True), (102, True), (103, True)]
    miner.close()


async def _ask_unread(miner: Miner, id_: int, fields: list[str]) -> None:
    words = ",".join(f'"{each}"' for each in ["acct.one", *fields])
    miner._writer.write(b'{"id":%d,"method":"mining.submit","params":[%b]}\n' % (id_, words.encode()))


async def test_a_target_without_a_job_holds_from_the_next_job_on(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    assert miner.work is not None
    before, first = miner.difficulty, miner.work.job

    pool.say(mining.SetTarget(1, EASY_TARGET >> 4))
    await miner.drain()
    between = miner.difficulty
    pool.say(pool.job(1, 2, time_s=1_700_000_030))
    await work_of(miner, first)

    assert between == before
    assert miner.difficulty == before * 16
    assert miner.work.time_s == 1_700_000_030
    assert not miner.work.clean
    miner.close()


async def test_jobs_for_a_group_are_for_each_of_its_channels_with_their_own_prefixes(
    pool: OddPool, proxy: ProxyBed
) -> None:
    await pool.consent()
    one = await mining_on(pool, proxy, "acct.one", channel=1, prefix=b"1111", group=9)
    two = await mining_on(pool, proxy, "acct.two", channel=2, prefix=b"2222", group=8)
    assert one.work is not None
    assert two.work is not None
    jobs = one.work.job, two.work.job
    pool.say(mining.SetGroupChannel(9, (2,)))
    pool.say(pool.job(9, 2), pool.tip(9, 2, tip=3))
    await work_of(one, jobs[0])
    await work_of(two, jobs[1])

    for number, (miner, name, prefix) in enumerate([(one, "acct.one", b"1111"), (two, "acct.two", b"2222")], 1):
        asking = asyncio.create_task(miner.submit(miner.solve(), name))
        share = await pool.hear(mining.SubmitSharesExtended)
        pool.say(mining.SubmitSharesSuccess(number, share.sequence_number, 1, 1))
        assert (await asking)["result"] is True
        assert share.channel_id == number
        assert value_of(header_of(pool, share, prefix, tip=3)) <= EASY_TARGET
        assert miner.work is not None
        assert miner.work.clean
        miner.close()


async def test_a_new_prefix_is_a_new_job_and_no_miner_is_cut_off(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    assert miner.work is not None
    first, old = miner.work.job, miner.solve()

    pool.say(mining.SetExtranoncePrefix(1, b"other prefix"), pool.job(1, 2, time_s=1_700_000_001))
    await work_of(miner, first)
    for share, prefix in ((old, b"pool"), (miner.solve(), b"other prefix")):
        asking = asyncio.create_task(miner.submit(share))
        sent = await pool.hear(mining.SubmitSharesExtended)
        pool.say(mining.SubmitSharesSuccess(1, sent.sequence_number, 1, 1))
        assert (await asking)["result"] is True
        assert value_of(header_of(pool, sent, prefix)) <= EASY_TARGET
    miner.close()


async def test_where_the_pool_allows_no_version_rolling_miners_are_told_and_held_to_it(
    pool: OddPool, proxy: ProxyBed
) -> None:
    await pool.consent()
    connecting = asyncio.create_task(proxy.connect())
    await pool.open(work=False)
    pool.say(pool.job(1, 1, rolls=False), pool.tip(1, 1))
    miner = await connecting

    masks = [each["params"] for each in miner.notices if each["method"] == "mining.set_version_mask"]
    refused = await error_of(miner, miner.solve(rolled=0x2000))
    pool.say(pool.job(1, 2, time_s=1_700_000_001))
    assert miner.work is not None
    await work_of(miner, miner.work.job)
    again = [each["params"] for each in miner.notices if each["method"] == "mining.set_version_mask"]

    assert masks == [["00000000"]]
    assert refused == [20, "Version bits outside the mask", None]
    assert again == [["00000000"], ["1fffe000"]]
    miner.close()


@pytest.mark.parametrize("reason", ["enough", ""])
async def test_a_channel_that_the_pool_closes_ends_its_connection(pool: OddPool, proxy: ProxyBed, reason: str) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    pool.say(mining.CloseChannel(1, reason))
    with pytest.raises(ConnectionResetError):
        await miner.read_on()
    miner.close()


async def test_a_pool_that_sends_us_elsewhere_is_followed(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    await until(lambda: proxy.server.link is not None)
    async with OddPool() as other:
        other._responder = pool._responder  # the same authority, as the specification wants
        pool.say(setup.Reconnect("", other.address.port))
        await other.consent()
        await until(lambda: proxy.server.link is not None and proxy.server.link.address.port == other.address.port)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([mining.SetNewPrevHash(1, 5, bytes(32), 1, 0x1D00FFFF)], "names job 5"),
        ([mining.SetNewPrevHash(1, 1, bytes(32), 1, 0)], "SetNewPrevHash"),
        ([mining.SetTarget(1, 0)], "a target of 0x0"),
        ([mining.OpenExtendedMiningChannelSuccess(99, 5, EASY_TARGET, 8, b"", 0)], "nobody asked"),
    ],
)
async def test_a_pool_that_contradicts_itself_is_left(
    pool: OddPool, proxy: ProxyBed, messages: list[mining.Message], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    pool.say(*messages)
    await pool.is_gone.wait()
    await until(lambda: proxy.server.statistics.links_lost == 1)
    written = capfd.readouterr()
    assert reason in written.out + written.err
    miner.close()


@pytest.mark.parametrize("size", [0, 5])
async def test_a_channel_without_room_for_us_is_not_used(pool: OddPool, proxy: ProxyBed, size: int) -> None:
    await pool.consent()
    connecting = asyncio.create_task(proxy.connect())
    await pool.open(size=size, work=False)
    await until(lambda: proxy.server.statistics.links_lost == 1)
    connecting.cancel()


async def test_a_pool_that_refuses_the_setup_or_needs_what_we_lack_is_left(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.hear(setup.SetupConnection)
    pool.say(setup.SetupConnectionError(0, "unsupported-protocol"))
    await pool.is_gone.wait()
    await pool.consent()
    asked = await pool.hear(extensions.RequestExtensions)
    assert asked.requested_extensions == (extensions.WORKER_HASHRATE,)
    pool.say(extensions.RequestExtensionsError(asked.request_id, (), (7,)))
    await pool.is_gone.wait()
    assert proxy.port == 0 or proxy.server.statistics.links_lost == 1


async def test_a_pool_without_channel_work_or_answer_counts_as_lost(
    pool: OddPool, proxy: ProxyBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = proxy.server.statistics
    monkeypatch.setattr("mbongi.pool.daemon.proxy.server.LOOK_S", 0.1)
    await pool.consent()
    connecting = asyncio.create_task(proxy.connect())
    await pool.hear(mining.OpenExtendedMiningChannel)
    monkeypatch.setattr(link_module, "OPEN_S_MAX", 0.2)
    await until(lambda: lost.links_lost == 1)
    monkeypatch.setattr(link_module, "OPEN_S_MAX", 30.0)

    monkeypatch.setattr(link_module, "WORK_S_MAX", 0.2)
    await pool.consent()
    await pool.open(work=False)
    await until(lambda: lost.links_lost == 2)
    monkeypatch.setattr(link_module, "WORK_S_MAX", 60.0)

    await pool.consent()
    await pool.open()
    miner = await connecting
    monkeypatch.setattr(link_module, "ANSWER_S_MAX", 0.3)
    answer = await miner.submit(miner.solve())
    assert answer["error"][1] == "The link to the pool broke before its answer"
    assert lost.links_lost == 3
    miner.close()


async def test_a_pool_that_does_not_do_its_part_is_tried_after_the_others(
    pool: OddPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with OddPool() as second, ProxyBed(pool.address, second.address, return_s=0.5) as proxy:
        await pool.consent()
        await until(lambda: proxy.server.link is not None)
        pool.say(mining.OpenExtendedMiningChannelSuccess(99, 5, EASY_TARGET, 8, b"", 0))
        await second.consent()
        await until(lambda: proxy.server.link is not None and proxy.server.link.address == second.address)
        await asyncio.sleep(1.0)  # it does not go back at the next looks

        assert proxy.server.link is not None
        assert proxy.server.link.address == second.address
        assert pool.connections == 1


async def test_a_shared_channel_that_the_pool_closes_or_refuses_ends_the_link(pool: OddPool) -> None:
    async with ProxyBed(pool.address, aggregate=True) as proxy:
        await pool.consent()
        await pool.open()
        miner = await proxy.connect()
        pool.say(mining.CloseChannel(1, ""))
        with pytest.raises(ConnectionResetError):
            await miner.read_on()
        await pool.consent()
        asked = await pool.hear(mining.OpenExtendedMiningChannel)
        pool.say(mining.OpenMiningChannelError(asked.request_id, "unknown-user"))
        await until(lambda: proxy.server.statistics.links_lost == 2)
        miner.close()


async def test_a_miner_that_changes_its_mind_all_the_time_is_no_burden_to_the_pool(
    pool: OddPool, proxy: ProxyBed
) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    for number in range(1, 20):
        await miner.ask("mining.suggest_difficulty", [number])
    miner.close()
    updates = 0
    async with asyncio.timeout(20):
        while not isinstance(message := await pool.next(), mining.CloseChannel):
            updates += isinstance(message, mining.UpdateChannel)

    assert updates == 1


async def test_a_proxy_that_ends_waits_for_the_answers_that_are_to_come(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    miner = await mining_on(pool, proxy)
    asking = asyncio.create_task(miner.submit(miner.solve()))
    share = await pool.hear(mining.SubmitSharesExtended)
    ending = asyncio.create_task(proxy.server.drain(30.0))
    await until(lambda: proxy.port == 0)
    pool.say(mining.SubmitSharesSuccess(1, share.sequence_number, 1, 1))

    await ending
    assert (await asking)["result"] is True
    miner.close()


async def test_a_pool_older_than_extensions_and_groups_is_worked_for_too(pool: OddPool, proxy: ProxyBed) -> None:
    await pool.consent()
    await pool.hear(extensions.RequestExtensions)
    pool.drop()  # as the reference implementation's pool of 2025 does
    await pool.consent()
    miner = await mining_on(pool, proxy, with_group=False)

    asking = asyncio.create_task(miner.submit(miner.solve()))
    share = await pool.hear(mining.SubmitSharesExtended)
    pool.say(mining.SubmitSharesSuccess(1, share.sequence_number, 1, 1))

    assert (await asking)["result"] is True
    assert pool.connections == 2
    miner.close()
