"""Shares that name their worker (extension 0x0002), as proxies send them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mbongi.wire.noise.transport import encrypt_frame
from mbongi.wire.stratum_v2 import extensions, mining, registry
from tests.pool.daemon.test_server import EASY
from tests.pool.daemon.test_v2 import V2Bed
from tests.pool.v2_miner import V2Miner


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[V2Bed]:
    async with V2Bed(tmp_path) as made:
        yield made


def say_with(miner: V2Miner, message: mining.SubmitSharesExtended, fields: bytes) -> None:
    miner._writer.write(encrypt_frame(miner._sending, registry.encode(message, fields)))


def share(miner: V2Miner, number: int) -> mining.SubmitSharesExtended:
    found = miner.solve(extranonce=number.to_bytes(8, "big"))
    assert isinstance(found, mining.SubmitSharesExtended)
    return found


async def negotiated(bed: V2Bed) -> V2Miner:
    miner = await bed.connect()
    await miner.open(extended=True, user="site")
    miner.say(extensions.RequestExtensions(5, (9, extensions.WORKER_HASHRATE)))
    answer = await miner.hear(extensions.RequestExtensionsSuccess)
    assert (answer.request_id, answer.supported_extensions) == (5, (extensions.WORKER_HASHRATE,))
    return miner


async def test_a_share_counts_for_the_worker_that_it_names_else_for_the_channels(bed: V2Bed) -> None:
    miner = await negotiated(bed)

    for number, fields in enumerate([extensions.pack_user_identity("acct.a"), b"", extensions.pack_user_identity("b")]):
        say_with(miner, share(miner, number), fields)
        await miner.hear(mining.SubmitSharesSuccess)

    assert bed.kept() == [("acct.a", EASY), ("site", EASY), ("b", EASY)]
    miner.close()


@pytest.mark.parametrize(
    "fields",
    [
        extensions.pack_user_identity(""),
        extensions.pack_user_identity("no\udc80utf"),
        b"\2\0\1\x21\0" + b"x" * 33,  # longer than the extension allows
        b"\2\0\1\7",
    ],
)
async def test_a_share_whose_worker_is_none_is_refused_and_counts_for_nobody(bed: V2Bed, fields: bytes) -> None:
    miner = await negotiated(bed)
    say_with(miner, share(miner, 1), fields)
    assert (await miner.hear(mining.SubmitSharesError)).error_code == "invalid-user-identity"
    assert bed.kept() == []
    miner.close()


async def test_without_negotiation_what_stands_behind_a_share_is_ignored(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True, user="site")
    say_with(miner, share(miner, 1), extensions.pack_user_identity("acct.a"))
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(extensions.RequestExtensions(6, (9,)))
    refused = await miner.hear(extensions.RequestExtensionsError)

    assert bed.kept() == [("site", EASY)]
    assert (refused.request_id, refused.unsupported_extensions) == (6, (9,))
    miner.close()


async def test_a_proxy_without_a_miner_may_stay_and_one_with_many_may_say_more(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True, user="site")
    [session] = bed.server.sessions
    light = session.weight
    for number in range(64):
        miner.say(mining.OpenExtendedMiningChannel(number, "site", 0.0, (1 << 256) - 1, 4))
        await miner.hear(mining.OpenExtendedMiningChannelSuccess)

    assert session.is_ready
    assert (light, session.weight) == (1, 5)
    miner.close()


async def test_a_proxy_may_ask_for_thousands_of_channels_at_once(bed: V2Bed) -> None:
    miner = await bed.connect()
    await miner.open(extended=True, user="site")
    for number in range(3_000):
        miner.say(mining.OpenExtendedMiningChannel(number, f"acct.{number:>040}", 0.0, (1 << 256) - 1, 4))
    for _ in range(3_000):
        await miner.hear(mining.OpenExtendedMiningChannelSuccess)
    miner.close()
