"""Jobs that miners bring: whose coinbase pays the pool, and whose does not."""

import struct
from dataclasses import replace

import pytest

from mbongi.pool.errors import CustomJobError
from mbongi.pool.rules.custom import (
    CustomCoinbase,
    custom_template,
    digest_of,
    require_plausible_fees,
    value_sat,
)
from mbongi.pool.rules.job import Coinbase, Job, coinbase_of
from mbongi.pool.rules.template import empty_template
from mbongi.wire.bitcoin.transaction import TxOut

SUBSIDY = 625_000_000
OURS = bytes.fromhex("0014751e76e8199196d454941c45d1b3a323f1433bd6")
THEIRS = bytes.fromhex("0014" + "11" * 20)
COMMITMENT = bytes.fromhex("6a24aa21a9ed" + "22" * 32)
START = b"\x02\xf4\x01" + b"hi"
"""Height 500, and a word."""


def own(tag: bytes = b"/t/") -> Job:
    template = empty_template(
        height=500,
        previous_hash=bytes([7]) * 32,
        version=0x2000_0000,
        bits=0x1D00FFFF,
        time_s=1_000,
        time_min_s=900,
        subsidy_sat=SUBSIDY,
    )
    return Job(3, template, coinbase_of(template, [TxOut(SUBSIDY, OURS)], tag, 3), made_at_s=0.0)


def outputs(*values: tuple[int, bytes]) -> bytes:
    return bytes([len(values)]) + b"".join(struct.pack("<qB", value, len(script)) + script for value, script in values)


def custom(*values: tuple[int, bytes], start: bytes = START) -> CustomCoinbase:
    return CustomCoinbase.of_fields(
        version=2, script_start=start, sequence=0xFFFF_FFFF, outputs=outputs(*values), lock_time=0
    )


def value(coinbase: CustomCoinbase, job: Job | None = None) -> int:
    return value_sat(coinbase, job or own(), pool_script=OURS, subsidy_sat=SUBSIDY)


def test_a_coinbase_that_pays_all_to_the_pool_is_taken_with_what_else_costs_nothing() -> None:
    good = custom((0, b"\x6a"), (SUBSIDY + 1_234, OURS), (0, COMMITMENT))

    assert value(good) == SUBSIDY + 1_234
    assert good.commitment_script == COMMITMENT
    assert custom((SUBSIDY, OURS)).commitment_script is None


@pytest.mark.parametrize(
    ("coinbase", "words"),
    [
        (custom((SUBSIDY, THEIRS)), "expected one, to the pool's script"),
        (custom((SUBSIDY, OURS), (1, THEIRS)), "2 outputs with a value"),
        (custom((SUBSIDY, OURS), (1, OURS)), "2 outputs with a value"),
        (custom((0, OURS)), "0 outputs with a value"),
        (custom(), "0 outputs with a value"),
        (custom((SUBSIDY - 1, OURS)), "the subsidy alone is"),
        (custom((SUBSIDY, OURS), start=b"\x02\xf5\x01hi"), "does not begin with height 500"),
        (custom((SUBSIDY, OURS), start=b""), "does not begin with height 500"),
        (custom((SUBSIDY, OURS), start=START + bytes(90)), "above 100 bytes"),
    ],
)
def test_a_coinbase_that_does_not_pay_the_pool_is_refused(coinbase: CustomCoinbase, words: str) -> None:
    with pytest.raises(CustomJobError, match=words) as error:
        value(coinbase)
    assert error.value.code.startswith("invalid-job-param-value-coinbase_")


def test_nobody_brings_the_pools_own_work_as_theirs() -> None:
    ours = own(tag=b"")
    start = ours.coinbase.before[42:]
    with pytest.raises(CustomJobError, match="the pool's own"):
        value(custom((SUBSIDY, OURS), start=start + b"\x05"), ours)
    assert value(custom((SUBSIDY, OURS), start=start + b"\x05\x05"), ours) == SUBSIDY


def test_the_halves_of_a_declaration_and_the_fields_of_a_job_are_one_coinbase_with_witness_or_without() -> None:
    rest = outputs((SUBSIDY, OURS), (0, COMMITMENT))
    script = START + bytes(12)
    input_ = b"\x01" + bytes(32) + b"\xff" * 4 + bytes([len(script)]) + START
    before, after = b"\x02\0\0\0" + input_, b"\xff" * 4 + rest + bytes(4)
    marked, witness = b"\x02\0\0\0\x00\x01" + input_, b"\xff" * 4 + rest + b"\x01\x20" + bytes(32) + bytes(4)

    expected = custom((SUBSIDY, OURS), (0, COMMITMENT))
    assert CustomCoinbase.of_halves(before, after) == expected
    assert CustomCoinbase.of_halves(marked, witness) == expected
    assert expected.coinbase() == Coinbase(before, after)


def halves(start: bytes = START, *, size: int = 12, end: bytes = b"") -> tuple[bytes, bytes]:
    length = bytes([len(start) + size + len(end)])
    before = b"\x02\0\0\0\x01" + bytes(32) + b"\xff" * 4 + length + start
    return before, end + b"\xff" * 4 + outputs((SUBSIDY, OURS)) + bytes(4)


@pytest.mark.parametrize(
    "pair",
    [
        (b"", b""),
        halves(size=11),
        halves(end=b"x"),
        (halves()[0][:-1], halves()[1]),
        (halves()[0].replace(b"\xff" * 4, b"\xfe" * 4), halves()[1]),
    ],
)
def test_halves_that_make_no_coinbase_with_our_extranonce_are_refused(pair: tuple[bytes, bytes]) -> None:
    with pytest.raises(CustomJobError) as error:
        CustomCoinbase.of_halves(*pair)
    assert error.value.code == "invalid-coinbase-tx"


@pytest.mark.parametrize("junk", [b"", b"\x01", b"\xfd\x01\x00", b"\xff" * 9, outputs((1, OURS)) + b"\0"])
def test_outputs_that_cannot_be_read_are_refused(junk: bytes) -> None:
    with pytest.raises(CustomJobError) as error:
        CustomCoinbase.of_fields(version=2, script_start=START, sequence=0, outputs=junk, lock_time=0)
    assert error.value.code == "invalid-job-param-value-coinbase_tx_outputs"


def test_a_version_may_differ_in_free_bits_alone() -> None:
    coinbase = custom((SUBSIDY, OURS), (0, COMMITMENT))
    options = {"value_sat": SUBSIDY, "fees_sat": 0, "branch": [bytes(32)]}
    template = custom_template(own().template, coinbase, version=0x3FFF_FFE0, **options)

    assert (template.version, template.branch, template.commitment_script) == (0x3FFF_FFE0, (bytes(32),), COMMITMENT)
    for version in (0x4000_0000, 0x2000_0001, 0):
        with pytest.raises(CustomJobError, match="bits that are not free"):
            custom_template(own().template, coinbase, version=version, **options)


def test_a_digest_stands_for_one_block_whatever_its_free_version_bits() -> None:
    coinbase = custom((SUBSIDY, OURS)).coinbase()
    first = digest_of(bytes(32), 0x2000_0000, coinbase, [bytes(32)])

    assert digest_of(bytes(32), 0x3FFF_FFE0, coinbase, [bytes(32)]) == first
    others = [
        digest_of(b"\1" * 32, 0x2000_0000, coinbase, [bytes(32)]),
        digest_of(bytes(32), 0x2000_0001, coinbase, [bytes(32)]),
        digest_of(bytes(32), 0x2000_0000, coinbase, []),
        digest_of(
            bytes(32), 0x2000_0000, Coinbase(coinbase.before + coinbase.after[:1], coinbase.after[1:]), [bytes(32)]
        ),
        digest_of(bytes(32), 0x2000_0000, replace(coinbase, after=coinbase.after + b"\0"), [bytes(32)]),
    ]
    assert len({first, *others}) == 6


def test_fees_of_a_block_that_nobody_saw_are_believed_up_to_a_limit() -> None:
    # Four times ten million, and a tenth of 6.25 coins.
    require_plausible_fees(102_500_000, best_sat=10_000_000, subsidy_sat=SUBSIDY)
    require_plausible_fees(0, best_sat=10_000_000, subsidy_sat=SUBSIDY)
    with pytest.raises(CustomJobError, match="at most 102500000 sat are believed") as error:
        require_plausible_fees(102_500_001, best_sat=10_000_000, subsidy_sat=SUBSIDY)
    assert error.value.code == "invalid-job-param-value-coinbase_tx_outputs"
