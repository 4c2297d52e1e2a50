"""Group channels: one message for all channels of a connection, and what each channel's shares count for then."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.daemon.v2_jobs import JobFrames, job_id
from mbongi.pool.rules.generations import CHANGES_MAX
from mbongi.pool.rules.share import merkle_root_of
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.stratum_v2 import mining, registry, setup
from mbongi.wire.stratum_v2.layout import Message
from tests.pool.daemon.test_server import EASY, job
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.practice import double
from tests.pool.v2_miner import ANY_TARGET, V2Miner

JOBS = mining.NewMiningJob | mining.NewExtendedMiningJob
STANDARD_JOBS = mining.SetupFlag.REQUIRES_STANDARD_JOBS


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[V2Bed]:
    async with V2Bed(tmp_path) as made:
        yield made


@dataclass
class Opened:
    """A channel that a miner may turn to."""

    channel: int
    prefix: bytes
    target: int
    is_extended: bool

    def __call__(self, miner: V2Miner) -> None:
        miner.channel, miner.prefix, miner.target = self.channel, self.prefix, self.target
        miner.is_extended = self.is_extended


async def opened(miner: V2Miner, *, extended: bool, user: str) -> Opened:
    await miner.open_channel(extended=extended, user=user)
    return Opened(miner.channel, miner.prefix, miner.target, extended)


def work_of(messages: list[Message]) -> list[Message]:
    return [each for each in messages if isinstance(each, JOBS | mining.SetNewPrevHash)]


async def test_a_new_tip_is_told_once_to_all_channels_and_both_kinds_work_on_it(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.set_up()
    channels = [await opened(miner, extended=each, user=f"acct.{each}") for each in (False, True, True)]
    miner.received.clear()

    bed.server.publish(job(bed.server, tip=2))
    await miner.hear(mining.SetNewPrevHash)
    for turn_to in channels:
        turn_to(miner)
        miner.say(miner.solve())
        await miner.hear(mining.SubmitSharesSuccess)

    new, start = work_of(miner.received)
    assert isinstance(new, mining.NewExtendedMiningJob)
    assert isinstance(start, mining.SetNewPrevHash)
    assert (new.min_ntime, new.job_id) == (None, start.job_id)
    group = new.channel_id
    assert group == start.channel_id
    assert group not in {each.channel for each in channels}
    assert [worker for worker, _ in bed.kept()] == ["acct.False", "acct.True", "acct.True"]
    miner.close()


async def test_work_on_the_same_tip_is_one_message_too_and_it_is_no_future_job(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.set_up()
    for each in (True, False):
        await opened(miner, extended=each, user="acct.one")
    miner.received.clear()

    bed.server.publish(job(bed.server))
    await miner.hear(mining.NewExtendedMiningJob)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)

    [new] = work_of(miner.received)
    assert isinstance(new, mining.NewExtendedMiningJob)
    assert new.min_ntime is not None
    miner.close()


async def test_a_connection_that_requires_standard_jobs_gets_them_one_by_one_and_no_extended_channel(
    bed: V2Bed,
) -> None:
    miner = await bed.connect()
    await miner.set_up(STANDARD_JOBS)
    channels = [await opened(miner, extended=False, user="acct.one") for _ in range(2)]
    miner.say(mining.OpenExtendedMiningChannel(9, "acct.one", 0.0, ANY_TARGET, 4))
    refused = await miner.hear(mining.OpenMiningChannelError)
    miner.received.clear()

    bed.server.publish(job(bed.server, tip=2))
    for _ in channels:
        await miner.hear(mining.SetNewPrevHash)

    assert refused.error_code == "extended-channels-not-supported-for-standard-jobs"
    jobs = [each for each in work_of(miner.received) if isinstance(each, mining.NewMiningJob)]
    assert [each.channel_id for each in jobs] == [each.channel for each in channels]
    miner.close()


async def test_a_share_on_the_groups_job_counts_what_its_channel_was_told_before_that_job(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.set_up()
    await opened(miner, extended=True, user="acct.other")
    await opened(miner, extended=True, user="acct.one")
    bed.server.publish(job(bed.server))
    await miner.hear(mining.NewExtendedMiningJob)
    shared = miner.solve(target=target_of_difficulty(EASY) // 64)  # good enough for whatever comes
    assert isinstance(shared, mining.SubmitSharesExtended)

    miner.say(mining.UpdateChannel(miner.channel, 16_000.0, ANY_TARGET))
    await miner.hear(mining.SetTarget)
    own = await miner.hear(mining.NewExtendedMiningJob)
    miner.say(msgspec.structs.replace(shared, job_id=own.job_id))
    refused = await miner.hear(mining.SubmitSharesError)
    miner.say(shared)
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)
    bed.server.publish(job(bed.server))
    await miner.hear(mining.NewExtendedMiningJob)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)

    # The hash that was found for the easy work is none of the hard one's: nobody can choose what it counts for.
    assert refused.error_code == "difficulty-too-low"
    assert own.channel_id == miner.channel
    hard = bed.kept()[1][1]
    assert hard > 2 * EASY
    assert bed.kept() == [("acct.one", EASY), ("acct.one", hard), ("acct.one", hard)]
    miner.close()


async def test_a_channel_has_no_share_in_jobs_that_the_group_got_before_it_was_opened(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.set_up()
    for _ in range(2):
        await opened(miner, extended=True, user="acct.one")
    bed.server.publish(job(bed.server))
    await miner.hear(mining.NewExtendedMiningJob)
    shared = miner.job

    await opened(miner, extended=True, user="acct.late")
    miner.job = shared
    miner.say(miner.solve())

    assert (await miner.hear(mining.SubmitSharesError)).error_code == "invalid-job-id"
    assert bed.kept() == []
    miner.close()


async def test_closing_the_group_closes_all_its_channels(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.set_up()
    for _ in range(2):
        await opened(miner, extended=True, user="acct.one")
    share = miner.solve()
    bed.server.publish(job(bed.server))
    group = (await miner.hear(mining.NewExtendedMiningJob)).channel_id

    miner.say(mining.CloseChannel(group, "going home"))
    miner.say(share)

    assert (await miner.hear(mining.SubmitSharesError)).error_code == "invalid-channel-id"
    miner.close()


async def test_endless_changes_of_difficulty_are_put_off_until_the_next_job(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    for number in range(2 * CHANGES_MAX):
        miner.say(mining.UpdateChannel(miner.channel, 16_000.0 * (1 + number % 2), ANY_TARGET))
    miner.say(mining.UpdateChannel(99, 1.0, ANY_TARGET))
    await miner.hear(mining.UpdateChannelError)  # all before it was looked at
    changes = [each for each in miner.received if isinstance(each, mining.SetTarget)]
    told = miner.target
    [session] = bed.server.sessions

    bed.server.publish(job(bed.server))
    session.look(bed.server.now_s())
    await miner.hear(mining.SetTarget)

    assert len(changes) == CHANGES_MAX
    assert miner.target != told
    miner.close()


async def test_a_client_can_be_asked_to_connect_elsewhere(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    [session] = bed.server.sessions
    assert isinstance(session, V2Session)

    session.move("pool2.example", 3336)

    assert await miner.hear(setup.Reconnect) == setup.Reconnect("pool2.example", 3336)
    miner.close()


@pytest.mark.parametrize("clean", [False, True])
async def test_frames_are_those_that_the_codec_makes(bed: V2Bed, clean: bool) -> None:
    work = job(bed.server)
    frames, template = JobFrames(work), work.template
    time_s, ids = None if clean else template.time_s, (3, job_id(work.number, 5))
    start = registry.encode(mining.SetNewPrevHash(*ids, template.previous_hash, template.time_s, template.bits))
    coinbase = work.coinbase
    extended = mining.NewExtendedMiningJob(
        *ids,
        time_s,
        template.version,
        True,  # noqa: FBT003 -- as in the message
        template.branch,
        coinbase.before + b"\5",
        coinbase.after,
    )
    prefix = bytes(range(12))
    root = double(coinbase.before + b"\5" + prefix + coinbase.after)
    standard = mining.NewMiningJob(*ids, time_s, template.version, root)

    assert merkle_root_of(work, b"\5" + prefix) == root
    assert frames.extended(3, 5, clean=clean) == [registry.encode(extended)] + [start] * clean
    assert frames.standard(3, prefix, 5, clean=clean) == [registry.encode(standard)] + [start] * clean
