"""Templates and jobs, on transactions of BIP 143; expected hashes are computed by hand with hashlib."""

import csv
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mbongi.pool.errors import TemplateError
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.share import header_of, judge, rolled_version
from mbongi.pool.rules.template import (
    KnownTransactions,
    Template,
    empty_template,
    require_on_chain,
    subsidy_sat,
    template_of,
)
from mbongi.pool.values import Reject
from mbongi.wire.bitcoin.hashing import display, merkle_root
from mbongi.wire.bitcoin.target import TARGET_MAX
from mbongi.wire.bitcoin.transaction import Transaction, TxOut
from mbongi.wire.bitcoind import BlockTemplate, TemplateTransaction

VECTORS = Path(__file__).parents[2] / "wire" / "vectors" / "bip143_transactions.csv"
with VECTORS.open(encoding="ascii") as _file:
    RAW = [bytes.fromhex(row["signed"]) for row in csv.DictReader(_file)]
SCRIPT = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")


def quoted(text: str) -> msgspec.Raw:
    """As it stands in the node's answer."""
    return msgspec.Raw(msgspec.json.encode(text))


def double(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def reply(**changes: Any) -> BlockTemplate:
    """What a node would answer."""
    transactions = [
        TemplateTransaction(
            data=quoted(raw.hex()),
            txid=display(Transaction.parse(raw).txid),
            hash=display(double(raw)),
            fee=1_000 + place,
            sigops=4,
            weight=Transaction.parse(raw).weight,
        )
        for place, raw in enumerate(RAW)
    ]
    fields: dict[str, Any] = {
        "version": 0x2000_0000,
        "previousblockhash": "00" * 31 + "01",
        "transactions": transactions,
        "coinbasevalue": 312_500_000 + sum(each.fee for each in transactions),
        "curtime": 1_700_000_000,
        "mintime": 1_699_990_000,
        "bits": "207fffff",
        "height": 900_000,
    }
    return BlockTemplate(**fields | changes)


def job_of(template: Template) -> Job:
    return Job(1, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", 1), made_at_s=0.0)


def test_a_block_holds_the_templates_transactions_under_the_headers_root_and_the_coinbases_commitment() -> None:
    job, extranonce = job_of(template_of(reply())), bytes(range(13))

    header, _ = header_of(job, extranonce=extranonce, version=job.template.version, time_s=1_700_000_000, nonce=7)
    block = bytes.fromhex(b"".join(job.block_hex(header, extranonce)).decode())

    assert block[:80] == header
    assert block[80] == len(RAW) + 1
    assert block.endswith(b"".join(RAW))
    coinbase = Transaction.parse(block[81 : len(block) - len(b"".join(RAW))])
    ids = [double(coinbase.encode(witness=False)), *(Transaction.parse(raw).txid for raw in RAW)]
    assert header[36:68] == merkle_root(ids)
    witness_root = merkle_root([bytes(32), *map(double, RAW)])
    assert coinbase.inputs[0].witness == (bytes(32),)
    assert coinbase.outputs[1].script == bytes.fromhex("6a24aa21a9ed") + double(witness_root + bytes(32))
    assert coinbase.outputs[0] == TxOut(job.template.value_sat, SCRIPT)
    assert coinbase.inputs[0].script == bytes.fromhex("03a0bb0d") + b"\x03/t/" + b"\x04\x01\0\0\0" + extranonce


def test_what_the_node_states_is_checked() -> None:
    good = reply()
    first, *others = good.transactions
    replace = msgspec.structs.replace
    wrong: dict[str, BlockTemplate] = {
        "hash to another id": replace(good, transactions=[replace(first, data=quoted(RAW[1].hex())), *others]),
        "expected hex": replace(good, transactions=[replace(first, data=quoted("zz")), *others]),
        "transaction 1: .*expected hex": replace(
            good, transactions=[replace(first, data=msgspec.Raw(b"null")), *others]
        ),
        "before one that it spends": replace(good, transactions=[replace(first, depends=[2]), *others]),
        "witness commitment": replace(good, default_witness_commitment="6a24aa21a9ed" + "00" * 32),
        "is not that of bits": replace(good, target="7f" * 32),
        "fees": replace(good, coinbasevalue=5),
        "least time": replace(good, mintime=good.curtime + 1),
        "weight": replace(good, weightlimit=5_000),
        "signature operations": replace(good, sigoplimit=3),
    }
    for said, template in wrong.items():
        with pytest.raises(TemplateError, match=said):
            template_of(template)
    assert template_of(good).fees_sat == sum(range(1_000, 1_000 + len(RAW)))


def test_what_the_template_before_held_is_shared_and_still_checked() -> None:
    known = KnownTransactions()
    before = template_of(reply(), known=known)
    first, *others = reply().transactions

    after = template_of(reply(transactions=[first, *others[1:]], coinbasevalue=312_500_000 + 10_000), known=known)

    assert after.transactions_hex[0] is before.transactions_hex[0]
    assert after == template_of(reply(transactions=[first, *others[1:]], coinbasevalue=312_500_000 + 10_000))
    changed = msgspec.structs.replace(first, data=quoted(RAW[1].hex()))
    with pytest.raises(TemplateError, match="hash to another id"):
        template_of(reply(transactions=[changed, *others]), known=known)
    with pytest.raises(TemplateError, match="1 of its transactions stand there twice"):
        template_of(reply(transactions=[first, *others, first]), known=known)


def test_a_coinbase_pays_its_value_to_the_satoshi() -> None:
    template = template_of(reply())
    for outputs in ([TxOut(template.value_sat - 1, SCRIPT)], [], [TxOut(template.value_sat + 1, SCRIPT)]):
        with pytest.raises(TemplateError, match=f"expected {template.value_sat} sat"):
            coinbase_of(template, outputs, b"", 1)
    with pytest.raises(TemplateError, match="at most 100"):
        coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"x" * 90, 1)


def test_a_practice_chains_target_is_made_harder_and_never_easier() -> None:
    assert template_of(reply(), target_max=1 << 200).target == 1 << 200
    assert template_of(reply(), target_max=TARGET_MAX).target == 0x7FFFFF << 232


@pytest.mark.parametrize(
    ("height", "halving", "sat"),
    [  # Bitcoin Core, GetBlockSubsidy: 50 BTC halved every 210,000 blocks, nothing from the 64th halving on
        (0, 210_000, 5_000_000_000),
        (209_999, 210_000, 5_000_000_000),
        (210_000, 210_000, 2_500_000_000),
        (840_000, 210_000, 312_500_000),
        (450, 150, 625_000_000),
        (64 * 210_000, 210_000, 0),
    ],
)
def test_subsidies_halve(height: int, halving: int, sat: int) -> None:
    assert subsidy_sat(height, halving_blocks=halving) == sat


def test_version_bits_inside_the_mask_are_taken_and_others_refused() -> None:
    assert rolled_version(0x2000_0004, None) == 0x2000_0004
    assert rolled_version(0x2000_0004, 0x0034_A000) == 0x2034_A004
    assert rolled_version(0x3FFF_E004, 0x0000_2000, 0x0000_6000) == 0x3FFF_A004
    assert rolled_version(0x2000_0004, 0x2000_0000) is None
    assert rolled_version(0x2000_0004, 0x0000_8000, 0x0000_6000) is None


def test_shares_are_judged_by_tip_time_target_and_novelty() -> None:
    template = empty_template(
        height=1, previous_hash=bytes(32), version=4, bits=0x1D00FFFF, time_s=1000, time_min_s=900, subsidy_sat=50
    )
    job, options = job_of(template), {"version": 4, "nonce": 1, "now_s": 0.0, "extranonce": bytes(EXTRANONCE_BYTES)}

    def verdict(*, time_s: int = 1000, target: int = TARGET_MAX, **changes: Any) -> Reject | None:
        return judge(job, time_s=time_s, target=target, **options | changes)[0]

    assert verdict() is None
    assert verdict() is Reject.DUPLICATE
    assert verdict(nonce=2, target=0) is Reject.LOW_DIFFICULTY
    assert verdict(nonce=2) is None, "a share that was refused is not remembered"
    assert verdict(time_s=899) is Reject.TIME_OUT_OF_RANGE
    assert verdict(time_s=1000 + 6901) is Reject.TIME_OUT_OF_RANGE
    assert verdict(time_s=1000 + 6901, now_s=1.0) is None, "a second later; our own clock has no say"
    assert verdict(extranonce=bytes(11)) is Reject.MALFORMED
    job.is_current = False
    assert verdict(nonce=3) is Reject.STALE


REGTEST: dict[str, Any] = {"height": 451, "work_least": 2, "halving_blocks": 150, "now_s": 1_700_000_000.0}
"""Block 451 of a chain that halves every 150 blocks may create 50 BTC / 8; its easiest target takes two hashes."""


def on_chain(**changes: Any) -> Template:
    fields: dict[str, Any] = {
        "height": 451, "previous_hash": bytes(32), "version": 4, "bits": 0x207FFFFF, "time_s": 1_700_000_000,
        "time_min_s": 1, "subsidy_sat": 625_000_000,
    }  # fmt: skip
    return empty_template(**fields | changes)


def test_a_template_that_agrees_with_the_chain_is_taken() -> None:
    require_on_chain(on_chain(), **REGTEST)
    require_on_chain(on_chain(subsidy_sat=624_999_999, time_s=1_700_006_900, bits=0x1D00FFFF), **REGTEST)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"height": 452}, "expected one for block 451"),
        ({"subsidy_sat": 625_000_001}, "a value of 625000001 sat; at most 625000000 sat"),
        ({"time_s": 1_700_006_901}, "6901 s ahead of our clock"),
    ],
)
def test_a_template_that_contradicts_the_chain_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        require_on_chain(on_chain(**changes), **REGTEST)


def test_a_target_that_is_far_easier_than_the_chains_is_refused() -> None:
    # A fourth of difficulty 1, whose target takes 2^32 hashes and a little more, is what a retarget may ask for.
    least = 4_295_032_833 // 4
    require_on_chain(on_chain(bits=0x1D03FFFC), **REGTEST | {"work_least": least})
    with pytest.raises(TemplateError, match=r"its target takes 2 hashes; expected 1073758208 or more"):
        require_on_chain(on_chain(), **REGTEST | {"work_least": least})
