"""Jobs as bytes: what goes in comes out, and nothing that is no job does."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.pool.errors import JobError
from mbongi.pool.rules.job import EXTRANONCE_BYTES, Job, coinbase_of
from mbongi.pool.rules.job_codec import PARTS_MAX, UNFINISHED_MAX, Assembly, decode_job, encode_job, parts_of
from mbongi.pool.rules.template import Template, template_of
from mbongi.wire.bitcoin.transaction import TxOut
from tests.pool.rules.test_template import SCRIPT, reply


def job() -> Job:
    template = template_of(reply())
    return Job(77, template, coinbase_of(template, [TxOut(template.value_sat, SCRIPT)], b"/t/", 77), made_at_s=12.5)


def test_a_job_comes_back_with_every_field_and_gives_the_same_block() -> None:
    made = job()
    made.seen.add(b"12345678")
    read = decode_job(encode_job(made))

    for each in dataclasses.fields(Template):
        assert getattr(read.template, each.name) == getattr(made.template, each.name), each.name
    assert (read.number, read.made_at_s, read.coinbase) == (made.number, made.made_at_s, made.coinbase)
    assert (read.is_current, read.seen) == (True, set())
    header, extranonce = bytes(80), bytes(EXTRANONCE_BYTES)
    assert read.block_hex(header, extranonce) == made.block_hex(header, extranonce)


def test_transactions_travel_as_bytes_and_not_as_hex() -> None:
    made = job()
    assert len(encode_job(made)) < sum(map(len, made.template.transactions_hex)) // 2 + 1_000


def test_jobs_of_one_tip_share_their_transactions() -> None:
    before = job()
    read = decode_job(encode_job(job()), before)
    pairs = zip(read.template.transactions_hex, before.template.transactions_hex, strict=True)
    assert all(one is other for one, other in pairs)


def test_a_job_whose_tip_is_of_the_past_does_not_travel() -> None:
    made = job()
    made.retire()
    with pytest.raises(JobError, match="past"):
        encode_job(made)


@pytest.mark.parametrize("body", [b"", b"\x90", b"\xc1", b"nonsense", encode_job(job())[:-1], encode_job(job()) + b"x"])
def test_what_is_no_job_is_refused(body: bytes) -> None:
    with pytest.raises(JobError):
        decode_job(body)


def test_a_job_in_another_form_is_refused() -> None:
    body = bytearray(encode_job(job()))
    body[3] = 9  # behind the array's three bytes of head, see the specification of MessagePack: array 16
    assert body[0] == 0xDC
    with pytest.raises(JobError, match="form 9"):
        decode_job(bytes(body))


@given(st.binary(max_size=400))
def test_any_bytes_end_in_a_job_or_a_clear_error(data: bytes) -> None:
    for read in (decode_job, Assembly().add):
        try:
            read(data)
        except JobError as error:
            assert str(error)  # noqa: PT017 -- any outcome but another error is fine


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (100, 1), (101, 2), (1_000, 10)])
def test_parts_in_any_order_and_twice_make_the_body_once(size: int, count: int) -> None:
    body = random.Random(size).randbytes(size)
    parts = parts_of(5, body, bytes_max=100)
    assert len(parts) == count
    assembly = Assembly()

    shuffled = [*parts[:-1], *parts[:-1], parts[-1]]
    random.Random(1).shuffle(shuffled)
    found = [each for part in shuffled if (each := assembly.add(part)) is not None]

    assert body in found


def test_parts_of_two_bodies_never_mix() -> None:
    one, other = parts_of(5, b"a" * 150, bytes_max=100), parts_of(5, b"b" * 150, bytes_max=100)
    assembly = Assembly()

    assert [assembly.add(part) for part in (one[0], other[1])] == [None, None]
    assert assembly.add(one[1]) == b"a" * 150
    assert assembly.add(other[0]) == b"b" * 150


def test_a_changed_part_is_refused() -> None:
    parts = parts_of(5, b"a" * 150, bytes_max=100)
    assembly = Assembly()
    assembly.add(parts[0])
    with pytest.raises(JobError, match="checksum"):
        assembly.add(parts[1][:-1] + b"x")


def test_unfinished_jobs_do_not_pile_up() -> None:
    assembly = Assembly()
    firsts = [parts_of(number, b"%d" % number * 150, bytes_max=100) for number in range(UNFINISHED_MAX + 1)]
    for parts in firsts:
        assembly.add(parts[0])

    assert assembly.add(firsts[0][1]) is None, "the oldest was given up"
    assert assembly.add(firsts[-1][1]) is not None


def test_a_body_beyond_all_blocks_is_refused() -> None:
    with pytest.raises(JobError):
        parts_of(1, bytes(PARTS_MAX * 10 + 1), bytes_max=10)
