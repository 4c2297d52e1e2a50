"""The server's Stratum V2 connections, in one process with their clients; work is made by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from mbongi.pool.daemon.v2 import V2Session
from mbongi.run.pool_identity import Identity
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.noise.errors import CertificateError
from mbongi.wire.noise.secp import new_secret, x_only_of_secret
from mbongi.wire.stratum_v2 import mining, setup
from tests.pool.daemon.test_server import EASY, Bed, job
from tests.pool.v2_miner import ANY_TARGET, V2Miner


class V2Bed(Bed):
    """A server that speaks V2."""

    async def __aenter__(self) -> "V2Bed":
        await super().__aenter__()
        self.identity = Identity(self.folder / "secrets")
        self.port = await self.server.listen_v2("127.0.0.1", 0, self.identity.responder)
        return self

    async def connect(self, *, authority_key: bytes | None = None, now_s: int | None = None) -> V2Miner:
        now = int(self.server.now_s()) if now_s is None else now_s
        return await V2Miner.shake_hands(self.port, authority_key or self.identity.authority_key, now_s=now)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[V2Bed]:
    async with V2Bed(tmp_path) as made:
        yield made


@pytest.mark.parametrize("extended", [False, True])
async def test_a_valid_share_of_either_kind_of_channel_is_accepted_and_kept(bed: V2Bed, extended: bool) -> None:
    miner = await bed.connect()
    await miner.open(extended=extended)

    miner.say(miner.solve())
    answer = await miner.hear(mining.SubmitSharesSuccess)

    assert (answer.channel_id, answer.last_sequence_number, answer.new_submits_accepted_count) == (miner.channel, 1, 1)
    assert bed.kept() == [("acct.v2", EASY)]
    assert miner.target == target_of_difficulty(EASY)
    miner.close()


async def test_the_first_work_is_a_future_job_that_set_new_prev_hash_starts(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=False)

    first, start = miner.received[-2:]

    assert isinstance(first, mining.NewMiningJob)
    assert isinstance(start, mining.SetNewPrevHash)
    assert first.min_ntime is None
    assert start.job_id == first.job_id
    assert len(miner.prefix) == 12
    miner.close()


async def test_each_kind_of_bad_share_has_its_code(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    good = miner.solve()
    assert isinstance(good, mining.SubmitSharesExtended)
    replace = msgspec.structs.replace

    codes = []
    for share in (
        replace(good, channel_id=99),
        replace(good, job_id=0x7FFF_FF00),
        replace(good, extranonce=bytes(7)),
        replace(good, ntime=good.ntime + 8000),
        replace(good, version=good.version ^ 0x4000_0000),
        replace(good, version=good.version ^ 1),
    ):
        miner.say(share)
        codes.append((await miner.hear(mining.SubmitSharesError)).error_code)
    miner.say(good)
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(good)
    codes.append((await miner.hear(mining.SubmitSharesError)).error_code)

    assert codes == [
        "invalid-channel-id",
        "invalid-job-id",
        "bad-extranonce-size",
        "invalid-share",
        "invalid-non-rollable-version-bit",
        "invalid-non-rollable-version-bit",
        "duplicate-share",
    ]
    assert len(bed.kept()) == 1
    miner.close()


async def test_a_new_tip_makes_old_work_stale(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    late = miner.solve()

    bed.server.publish(job(bed.server, tip=2))
    await miner.hear(mining.SetNewPrevHash)
    miner.say(late)
    refused = await miner.hear(mining.SubmitSharesError)
    miner.say(miner.solve(rolled=0x00FF_FFE0))
    await miner.hear(mining.SubmitSharesSuccess)

    assert refused.error_code == "stale-share"
    assert miner.tip is not None
    assert miner.tip.prev_hash == bytes([2]) * 32
    miner.close()


async def test_a_changed_hashrate_brings_a_new_target_and_work_that_it_counts_for(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    before = miner.solve()

    miner.say(mining.UpdateChannel(miner.channel, 16_000.0, ANY_TARGET))
    await miner.hear(mining.SetTarget)
    await miner.hear(mining.NewExtendedMiningJob)
    miner.say(before)
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(miner.solve(extranonce=bytes(7) + b"\1"))  # the same work: its first nonce may be the same share
    await miner.hear(mining.SubmitSharesSuccess)

    [(_, old), (_, new)] = bed.kept()
    assert old == EASY
    assert new == pytest.approx(16_000 / 2**32, rel=0.5)  # one share a second is the goal here
    assert miner.target == target_of_difficulty(new)
    miner.close()


async def test_a_change_that_is_refused_changes_nothing(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    # So hard a target that no difficulty here meets it, with a hashrate that would have raised it by itself.
    for hashrate_hs, target in ((16_000.0, 1), (float("nan"), ANY_TARGET), (16_000.0, 0)):
        miner.say(mining.UpdateChannel(miner.channel, hashrate_hs, target))
        await miner.hear(mining.UpdateChannelError)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)

    [session] = bed.server.sessions
    assert isinstance(session, V2Session)
    [channel] = session._channels.values()
    assert channel.vardiff.minimum == EASY
    assert not any(isinstance(each, mining.SetTarget) for each in miner.received)
    assert bed.kept() == [("acct.v2", EASY)]
    miner.close()


async def test_channels_that_cannot_be_opened_are_refused_with_a_code(bed: V2Bed) -> None:
    miner = await bed.connect()
    miner.say(setup.SetupConnection(0, 2, 2, 0, "", 1, "test", "1", "1", ""))
    await miner.hear(setup.SetupConnectionSuccess)
    codes = []
    for message in (
        mining.OpenStandardMiningChannel(1, "", 0.0, ANY_TARGET),
        mining.OpenStandardMiningChannel(1, "no\udc80utf", 0.0, ANY_TARGET),
        mining.OpenStandardMiningChannel(1, "a\0b", 0.0, ANY_TARGET),
        mining.OpenStandardMiningChannel(2, "a", float("nan"), ANY_TARGET),
        mining.OpenStandardMiningChannel(3, "a", -1.0, ANY_TARGET),
        mining.OpenStandardMiningChannel(4, "a", 0.0, 0),
        mining.OpenExtendedMiningChannel(5, "a", 0.0, ANY_TARGET, 9),
    ):
        miner.say(message)
        codes.append((await miner.hear(mining.OpenMiningChannelError)).error_code)

    assert codes == [
        "unknown-user",
        "unknown-user",
        "unknown-user",
        "invalid-nominal-hashrate",
        "invalid-nominal-hashrate",
        "max-target-out-of-range",
        "min-extranonce-size-too-large",
    ]
    miner.close()


@pytest.mark.parametrize(
    ("protocol", "versions", "flags", "code"),
    [
        (1, (2, 2), 0, "unsupported-protocol"),
        (0, (3, 9), 0, "protocol-version-mismatch"),
        (0, (2, 2), 2, "unsupported-feature-flags"),
    ],
)
async def test_a_setup_that_we_cannot_serve_is_refused(
    bed: V2Bed, protocol: int, versions: tuple[int, int], flags: int, code: str
) -> None:
    miner = await bed.connect()
    miner.say(setup.SetupConnection(protocol, *versions, flags, "", 1, "test", "1", "1", ""))
    answer = await miner.hear(setup.SetupConnectionError)
    assert (answer.error_code, answer.flags) == (code, flags)
    miner.close()


async def test_a_server_of_another_authority_is_not_believed_and_an_old_certificate_neither(bed: V2Bed) -> None:
    with pytest.raises(CertificateError, match="did not sign"):
        await bed.connect(authority_key=x_only_of_secret(new_secret()))
    with pytest.raises(CertificateError, match="was valid to"):
        await bed.connect(now_s=int(bed.server.now_s()) + 10 * 86_400)


@pytest.mark.parametrize("junk", [b"\0" * 64 + b"\1" * 200, b"GET / HTTP/1.1\r\n\r\n" * 20])
async def test_bytes_that_are_not_sealed_end_their_connection_and_leave_others_alone(bed: V2Bed, junk: bytes) -> None:
    honest = await bed.connect()
    await honest.open(extended=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.port)
    writer.write(junk)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            while await reader.read(65_536):
                pass
    writer.close()

    honest.say(honest.solve())
    await honest.hear(mining.SubmitSharesSuccess)
    honest.close()


async def test_shares_sent_together_are_answered_together(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    shares = [miner.solve(extranonce=number.to_bytes(8, "big")) for number in range(5)]
    for share in shares:
        miner.say(share)

    counted = 0
    while counted < 5:
        answer = await miner.hear(mining.SubmitSharesSuccess)
        counted += answer.new_submits_accepted_count

    assert answer.last_sequence_number == 5
    assert len(bed.kept()) == 5
    miner.close()


async def test_a_share_is_kept_once_though_new_work_comes_in_the_same_turn(
    bed: V2Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    miner = await bed.connect()
    await miner.open(extended=True)
    receive = V2Session.data_received

    def receive_and_publish(session: V2Session, data: bytes) -> None:
        receive(session, data)
        bed.server.publish(job(bed.server, tip=2))

    monkeypatch.setattr(V2Session, "data_received", receive_and_publish)
    miner.say(miner.solve())
    answer = await miner.hear(mining.SubmitSharesSuccess)

    assert (answer.new_submits_accepted_count, bed.server.statistics.accepted) == (1, 1)
    assert bed.kept() == [("acct.v2", EASY)]
    miner.close()
