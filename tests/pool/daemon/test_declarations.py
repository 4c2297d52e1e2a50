"""Job declaration and custom jobs, in one process with their clients; the node is a stub that judges blocks itself."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from mbongi.pool.daemon import custom_jobs
from mbongi.pool.daemon.declarator import PER_ADDRESS_MAX
from mbongi.pool.daemon.v2 import V2Session
from mbongi.pool.daemon.work import NOT_ON_TIP
from mbongi.wire.bitcoin.block import Block
from mbongi.wire.bitcoin.hashing import display
from mbongi.wire.bitcoin.target import target_of_difficulty
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.bitcoind import TemplateTransaction
from mbongi.wire.stratum_v2 import job_declaration, mining, setup
from tests.pool.daemon.declaring_bed import HEIGHT_500, OURS, SUBSIDY, JdBed, spend
from tests.pool.daemon.proxy.bed import until
from tests.pool.daemon.test_server import EASY
from tests.pool.practice import double
from tests.pool.v2_declarer import Brought, Declarer
from tests.pool.v2_miner import V2Miner


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[JdBed]:
    async with JdBed(tmp_path) as made:
        yield made


async def take(miner: V2Miner, brought: Brought, token: bytes) -> int:
    miner.say(brought.custom_job(miner.channel, token))
    job_id = (await miner.hear(mining.SetCustomMiningJobSuccess)).job_id
    brought.turn_to(miner, job_id)
    return job_id


async def refusal(miner: V2Miner, message: mining.SetCustomMiningJob) -> str:
    miner.say(message)
    return (await miner.hear(mining.SetCustomMiningJobError)).error_code


async def test_a_declared_block_is_looked_at_by_the_node_and_its_shares_count(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(), await bed.miner()
    allocated = await declarer.token()
    brought = bed.block(allocated.coinbase_tx_outputs, spend(1), spend(2, witness=False), spend(3))

    declarer.say(brought.declaration(allocated.mining_job_token))
    asked = await declarer.hear(job_declaration.ProvideMissingTransactions)
    declarer.say(job_declaration.ProvideMissingTransactionsSuccess(asked.request_id, tuple(brought.transactions)))
    declared = await declarer.hear(job_declaration.DeclareMiningJobSuccess)
    await take(miner, brought, declared.new_mining_job_token)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)

    script = bytes([len(OURS)]) + OURS
    assert allocated.coinbase_tx_outputs == b"\1" + bytes(8) + script
    assert asked.unknown_tx_position_list == (0, 1, 2)
    assert [Block.parse(each).transactions[1:] for each in bed.node.proposals] == [tuple(brought.transactions)] * 2
    assert bed.kept() == [("acct.v2", EASY)]
    declarer.close()
    miner.close()


async def test_transactions_that_the_nodes_template_has_or_that_were_shown_are_not_asked_for_again(bed: JdBed) -> None:
    declarer = await bed.declarer()
    known, shown, new = spend(1), spend(2), spend(3)
    parsed = Transaction.parse(known)
    raw = msgspec.Raw(msgspec.json.encode(known.hex()))
    bed.transactions = [TemplateTransaction(data=raw, txid=display(parsed.txid), hash=display(parsed.wtxid))]

    asked = []
    for transactions in ([known, shown], [known, shown, new]):
        allocated = await declarer.token()
        brought = bed.block(allocated.coinbase_tx_outputs, *transactions)
        declarer.say(brought.declaration(allocated.mining_job_token))
        ask = await declarer.hear(job_declaration.ProvideMissingTransactions)
        asked.append(ask.unknown_tx_position_list)
        given = tuple(transactions[place] for place in ask.unknown_tx_position_list)
        declarer.say(job_declaration.ProvideMissingTransactionsSuccess(ask.request_id, given))
        await declarer.hear(job_declaration.DeclareMiningJobSuccess)

    assert asked == [(1,), (2,)]
    declarer.close()


@pytest.mark.parametrize(
    "how", ["less", "more", "commitment", "twice", "other", "none", "token", "used", "silent", "stale", "behind"]
)
async def test_a_block_that_is_not_good_is_refused_with_a_code(bed: JdBed, how: str) -> None:
    declarer = await bed.declarer()
    allocated = await declarer.token()
    token, brought = allocated.mining_job_token, bed.block(allocated.coinbase_tx_outputs, spend(1))
    given: tuple[bytes, ...] = (spend(1),)
    if how == "less":
        brought.value_sat -= 1
    elif how == "more":
        brought.value_sat += 1
    elif how == "twice":
        brought.transactions *= 2
    elif how == "other":
        given = (spend(9),)
    elif how == "none":
        given = ()
    elif how == "token":
        token = token[:-1] + bytes([token[-1] ^ 1])
    message = brought.declaration(token)
    if how == "commitment":
        changed = message.coinbase_tx_suffix.replace(b"\x6a\x24\xaa\x21\xa9\xed", b"\x6a\x24\xaa\x21\xa9\xee")
        message = msgspec.structs.replace(message, coinbase_tx_suffix=changed)
    bed.node.is_silent = how == "silent"
    bed.node.says = {"stale": "bad-prevblk", "behind": NOT_ON_TIP}.get(how)

    declarer.say(message)
    if how not in {"twice", "token"}:
        asked = await declarer.hear(job_declaration.ProvideMissingTransactions)
        declarer.say(job_declaration.ProvideMissingTransactionsSuccess(asked.request_id, given))
    if how == "used":
        await declarer.hear(job_declaration.DeclareMiningJobSuccess)
        declarer.say(message)
    refused = await declarer.hear(job_declaration.DeclareMiningJobError)

    assert (
        refused.error_code
        == {
            "less": "invalid-coinbase-tx",
            "more": "invalid-job",
            "commitment": "invalid-job",
            "twice": "invalid-job",
            "other": "invalid-job",
            "none": "missing-txs",
            "token": "invalid-mining-job-token",
            "used": "invalid-mining-job-token",
            "silent": "internal-error",
            "stale": "invalid-job",
            "behind": "internal-error",
        }[how]
    )
    assert refused.error_details
    declarer.close()


async def test_a_declared_blocks_token_is_good_for_that_block_alone(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(), await bed.miner()
    bed.publish(9)
    bed.publish(1)
    allocated = await declarer.token()
    brought = bed.block(allocated.coinbase_tx_outputs)
    declarer.say(brought.declaration(allocated.mining_job_token))
    token = (await declarer.hear(job_declaration.DeclareMiningJobSuccess)).new_mining_job_token
    good = brought.custom_job(miner.channel, token)
    replace = msgspec.structs.replace

    codes = [
        await refusal(miner, message)
        for message in (
            replace(good, mining_job_token=allocated.mining_job_token),
            replace(good, merkle_path=(bytes(32),)),
            replace(good, coinbase_tx_locktime=1),
            replace(good, prev_hash=bytes([9]) * 32),
            replace(good, nbits=0x1D00FFFE),
            replace(good, min_ntime=1),
            replace(good, channel_id=77),
        )
    ]
    await take(miner, brought, token)

    assert codes == [
        "invalid-mining-job-token",
        "invalid-mining-job-token",
        "invalid-mining-job-token",
        "stale-chain-tip",
        "invalid-job-param-value-nbits",
        "invalid-job-param-value-min_ntime",
        "invalid-channel-id",
    ]
    declarer.close()
    miner.close()


async def test_a_coinbase_alone_is_enough_where_the_operator_allows_it(bed: JdBed, tmp_path: Path) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    allocated = await declarer.token()
    brought = bed.block(allocated.coinbase_tx_outputs, spend(1), spend(2))
    await take(miner, brought, allocated.mining_job_token)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)
    brought.value_sat = SUBSIDY - 1
    short = await refusal(miner, brought.custom_job(miner.channel, allocated.mining_job_token))
    declarer.close()
    miner.close()

    assert bed.kept() == [("acct.v2", EASY)]
    assert bed.node.proposals == []
    assert short == "invalid-job-param-value-coinbase_tx_outputs"
    async with JdBed(tmp_path / "strict", coinbase_only=False) as strict:
        client = await Declarer.shake_hands(
            strict.jd_port, strict.identity.authority_key, now_s=int(strict.server.now_s())
        )
        client.say(setup.SetupConnection(1, 2, 2, 0, "", 1, "test", "1", "1", ""))
        assert (await client.hear(setup.SetupConnectionError)).error_code == "missing-declare-tx-data-flag"
        client.close()


async def test_the_same_block_brought_again_is_the_same_work_with_its_first_difficulty(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    token = await declarer.token()
    brought = bed.block(token.coinbase_tx_outputs)
    first = await take(miner, brought, token.mining_job_token)
    share = miner.solve()
    miner.say(share)
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(mining.UpdateChannel(miner.channel, 16_000.0, (1 << 256) - 1))
    await miner.hear(mining.SetTarget)

    again = await take(miner, brought, (await declarer.token()).mining_job_token)
    miner.say(share)
    twice = await miner.hear(mining.SubmitSharesError)
    miner.say(miner.solve(target=target_of_difficulty(EASY), extranonce=b"\1" * 8))
    await miner.hear(mining.SubmitSharesSuccess)

    assert again == first
    assert twice.error_code == "duplicate-share"
    assert [difficulty for _, difficulty in bed.kept()] == [EASY, EASY]
    declarer.close()
    miner.close()


async def test_a_job_for_the_group_is_one_for_each_of_its_channels(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    token = await declarer.token()
    brought = bed.block(token.coinbase_tx_outputs)
    first = miner.channel, miner.prefix
    miner.say(mining.OpenExtendedMiningChannel(8, "acct.two", 0.0, (1 << 256) - 1, 8))
    second = await miner.hear(mining.OpenExtendedMiningChannelSuccess)
    miner.say(brought.custom_job(second.group_channel_id, token.mining_job_token))
    taken = await miner.hear(mining.SetCustomMiningJobSuccess)
    for miner.channel, miner.prefix in (first, (second.channel_id, second.extranonce_prefix)):
        brought.turn_to(miner, taken.job_id)
        miner.say(miner.solve())
        await miner.hear(mining.SubmitSharesSuccess)

    assert taken.channel_id == second.group_channel_id
    assert [worker for worker, _ in bed.kept()] == ["acct.v2", "acct.two"]
    declarer.close()
    miner.close()


async def test_a_new_tip_ends_custom_jobs_and_no_work_of_ours_is_sent(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    token = await declarer.token()
    brought = bed.block(token.coinbase_tx_outputs)
    await take(miner, brought, token.mining_job_token)
    late = miner.solve()
    miner.received.clear()

    bed.publish(2)
    miner.say(late)
    refused = await miner.hear(mining.SubmitSharesError)

    assert refused.error_code == "stale-share"
    assert miner.received == [refused]
    assert await refusal(miner, brought.custom_job(miner.channel, token.mining_job_token)) == "stale-chain-tip"
    await take(miner, bed.block(token.coinbase_tx_outputs, tip=2), token.mining_job_token)
    declarer.close()
    miner.close()


async def test_a_miner_that_hears_of_a_tip_before_the_pool_is_answered_when_the_pool_is_there(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    token = await declarer.token()
    brought = bed.block(token.coinbase_tx_outputs, tip=2)
    miner.say(brought.custom_job(miner.channel, token.mining_job_token))
    await declarer.token()  # answered after it was looked at
    answered_early = len(miner.received) > 2
    bed.publish(2)
    answer = await miner.hear(mining.SetCustomMiningJobSuccess)
    brought.turn_to(miner, answer.job_id)
    miner.say(miner.solve())
    await miner.hear(mining.SubmitSharesSuccess)
    miner.say(bed.block(token.coinbase_tx_outputs, tip=3).custom_job(miner.channel, token.mining_job_token))
    [session] = [each for each in bed.server.sessions if isinstance(each, V2Session)]
    async with asyncio.timeout(20):
        while not session._early:  # noqa: ASYNC110 -- until the message is there
            await asyncio.sleep(0.01)
    session.look(bed.server.now_s() + 10.0)

    assert not answered_early
    assert (await miner.hear(mining.SetCustomMiningJobError)).error_code == "stale-chain-tip"
    declarer.close()
    miner.close()


async def test_a_declared_block_of_the_next_height_waits_for_the_pool_to_get_there(bed: JdBed) -> None:
    declarer = await bed.declarer()
    token = await declarer.token()
    bed.publish(1, height=499)
    declarer.say(bed.block(token.coinbase_tx_outputs).declaration(token.mining_job_token))
    await declarer.token()
    bed.publish(2)

    await declarer.hear(job_declaration.DeclareMiningJobSuccess)
    declarer.close()


async def test_a_standard_channel_has_no_place_among_custom_work_and_custom_work_none_elsewhere(bed: JdBed) -> None:
    declarer, selecting, plain = await bed.declarer(flags=0), await bed.miner(), await bed.connect()
    selecting.say(mining.OpenStandardMiningChannel(5, "acct.one", 0.0, (1 << 256) - 1))
    refused = await selecting.hear(mining.OpenMiningChannelError)
    await plain.open(extended=True)
    token = await declarer.token()
    brought = bed.block(token.coinbase_tx_outputs)

    assert refused.error_code == "standard-channels-not-supported-for-custom-work"
    assert await refusal(plain, brought.custom_job(plain.channel, token.mining_job_token)) == "jd-not-supported"
    for each in (declarer, selecting, plain):
        each.close()


@pytest.mark.parametrize("by", ["share", "solution", "both"])
async def test_a_block_of_a_declared_job_is_handed_in_once_with_the_miners_transactions(
    tmp_path: Path, by: str
) -> None:
    async with JdBed(tmp_path, block_target=target_of_difficulty(EASY)) as bed:
        declarer, miner = await bed.declarer(), await bed.miner()
        allocated = await declarer.token()
        brought = bed.block(allocated.coinbase_tx_outputs, spend(1))
        declarer.say(brought.declaration(allocated.mining_job_token))
        asked = await declarer.hear(job_declaration.ProvideMissingTransactions)
        declarer.say(job_declaration.ProvideMissingTransactionsSuccess(asked.request_id, (spend(1),)))
        declared = await declarer.hear(job_declaration.DeclareMiningJobSuccess)
        await take(miner, brought, declared.new_mining_job_token)
        share = miner.solve(rolled=0x0012_3440)
        assert isinstance(share, mining.SubmitSharesExtended)
        solution = job_declaration.PushSolution(
            miner.prefix + share.extranonce,
            brought.previous_hash,
            share.nonce,
            share.ntime,
            brought.bits,
            share.version,
        )

        if by != "solution":
            miner.say(share)
            await miner.hear(mining.SubmitSharesSuccess)
        if by != "share":
            declarer.say(msgspec.structs.replace(solution, nonce=share.nonce ^ 1))
            declarer.say(solution)
        await declarer.token()  # answered after it

        [(job, header, extranonce, _worker)] = bed.found
        block = Block.parse(bytes.fromhex(b"".join(job.block_hex(header, extranonce)).decode()))
        assert job.has_block
        assert block.transactions[1:] == (spend(1),)
        assert int.from_bytes(block.hash, "little") <= target_of_difficulty(EASY)
        block.require_commitments()
        declarer.close()
        miner.close()


async def test_a_block_whose_transactions_we_never_saw_is_told_as_one_that_we_do_not_have(tmp_path: Path) -> None:
    async with JdBed(tmp_path, block_target=target_of_difficulty(EASY)) as bed:
        declarer, miner = await bed.declarer(flags=0), await bed.miner()
        token = await declarer.token()
        await take(miner, bed.block(token.coinbase_tx_outputs, spend(1)), token.mining_job_token)
        miner.say(miner.solve())
        await miner.hear(mining.SubmitSharesSuccess)

        [(job, _header, _extranonce, worker)] = bed.found
        assert (job.has_block, worker) == (False, "acct.v2")
        declarer.close()
        miner.close()


async def test_one_address_cannot_take_the_place_of_all_who_declare(bed: JdBed) -> None:
    declarers = [await bed.declarer() for _ in range(PER_ADDRESS_MAX)]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await bed.declarer()

    declarers.pop().close()
    await until(lambda: len(bed.declarator._connections) < PER_ADDRESS_MAX)
    declarers.append(await bed.declarer())
    for each in declarers:
        each.close()


@pytest.mark.parametrize("how", ["tokens", "declarations", "user"])
async def test_a_client_that_asks_for_too_much_is_dropped(bed: JdBed, how: str) -> None:
    declarer = await bed.declarer()
    token = await declarer.token()
    message = bed.block(token.coinbase_tx_outputs, spend(1)).declaration(token.mining_job_token)
    for number in range(40):
        if how == "declarations":
            declarer.say(message)
        else:
            declarer.say(job_declaration.AllocateMiningJobToken("" if how == "user" else "acct.jd", number))

    async def read_on() -> None:
        while True:
            await declarer.hear(setup.Reconnect)

    with pytest.raises(ConnectionError):
        await read_on()
    declarer.close()


async def test_one_client_cannot_use_up_the_custom_jobs_of_all_others(
    bed: JdBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_jobs, "JOBS_PER_CONNECTION_MAX", 3)
    monkeypatch.setattr(custom_jobs, "JOBS_PER_ADDRESS_MAX", 5)
    declarer, greedy, other = await bed.declarer(flags=0), await bed.miner(), await bed.miner()
    token = (await declarer.token()).mining_job_token
    blocks = [bed.block(bed.jobs.outputs, spend(number)) for number in range(1, 7)]
    for brought in blocks[:3]:
        await take(greedy, brought, token)

    refused = await refusal(greedy, blocks[3].custom_job(greedy.channel, token))
    again = await take(greedy, blocks[0], token)
    for brought in blocks[3:5]:
        await take(other, brought, token)
    of_address = await refusal(other, blocks[5].custom_job(other.channel, token))
    bed.publish(2, height=500)
    after = await take(greedy, bed.block(bed.jobs.outputs, tip=2), token)

    assert (refused, of_address) == ("internal-error", "internal-error")
    assert again < after
    for each in (declarer, greedy, other):
        each.close()


async def test_fees_that_no_mempool_explains_are_not_believed_unseen(bed: JdBed) -> None:
    declarer, miner = await bed.declarer(flags=0), await bed.miner()
    token = (await declarer.token()).mining_job_token
    brought = bed.block(bed.jobs.outputs)
    # The pool's own work earns no fees, so a tenth of the subsidy is the most.
    brought.value_sat = SUBSIDY + SUBSIDY // 10 + 1
    refused = await refusal(miner, brought.custom_job(miner.channel, token))
    brought.value_sat -= 1
    await take(miner, brought, token)

    assert refused == "invalid-job-param-value-coinbase_tx_outputs"
    declarer.close()
    miner.close()


def test_the_stub_judges_as_bip_34_and_141_say() -> None:
    assert struct.pack("<h", 500) == HEIGHT_500[1:]
    assert double(spend(1)) == Transaction.parse(spend(1)).wtxid
