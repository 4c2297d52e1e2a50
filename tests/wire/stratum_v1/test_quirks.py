"""Every known quirk is read as it was meant, or refused; its source stands in its row."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v1 import client, replies, requests
from mbongi.wire.stratum_v1.fields import TEXT_MAX
from mbongi.wire.stratum_v1.lines import Line, LineBuffer, decode_line
from mbongi.wire.stratum_v1.quirks import Handling, Quirk, quirks, quirks_of

SUGGESTED = 0xFFFF << 208
EXPECTED: dict[str, tuple[Callable[[Line], object], object]] = {
    "number-or-text-id": (lambda line: bytes(line.id), b'"auth"'),
    "null-id": (lambda line: (line.is_notice, requests.read_target(line.arguments)), (True, SUGGESTED)),
    "no-agent": (lambda line: requests.read_subscribe(line.arguments), requests.Subscribe()),
    "session-null": (
        lambda line: requests.read_subscribe(line.arguments),
        requests.Subscribe("bosminer", "", "pool.example", 0),
    ),
    "session-odd": (lambda line: requests.read_subscribe(line.arguments).session, "265800001"),
    "unknown-field": (lambda line: requests.read_authorize(line.arguments), ("a.b", "")),
    "third-authorize-field": (lambda line: requests.read_authorize(line.arguments), ("a.b", "x")),
    "no-password": (lambda line: requests.read_authorize(line.arguments), ("a.b", "")),
    "no-min-bit-count": (
        lambda line: requests.read_configure(line.arguments),
        requests.Configure(extensions=("version-rolling",), version_mask=0xFFFF_FFFF),
    ),
    "multi-version": (lambda line: requests.read_multi_version(line.arguments), 1),
    "capabilities": (lambda line: (line.is_notice, line.method), (True, "mining.capabilities")),
    "pong-request": (lambda line: (line.method, line.arguments), ("pong", [])),
    "short-nonce": (lambda line: requests.read_submit(line.arguments).nonce, 0x0A9A049C),
    "extranonce2-length": (lambda line: requests.read_submit(line.arguments).extranonce2, b"\x99\x02\0\0"),
    "word-as-number": (
        lambda line: (requests.read_submit(line.arguments).time_s, requests.read_submit(line.arguments).nonce),
        (1_689_383_183, 604_144_941),
    ),
    "rented-hashrate": (lambda line: requests.read_subscribe(line.arguments).agent, "NiceHash/1.0.0"),
    "large-coinbase": (lambda line: requests.read_subscribe(line.arguments).agent, "whatsminer/v1.0"),
    "notify-ten-fields": (lambda line: client.read_notify(line.arguments).clean, True),
    "difficulty-fraction": (lambda line: client.read_set_difficulty(line.arguments), 16383.75),
    "no-error-field": (client.read_refusal, None),
    "reject-reason": (client.read_refusal, client.Refusal(0, "Stale")),
    "error-as-text": (client.read_refusal, client.Refusal(0, "-3:method not found")),
    "error-as-object": (client.read_refusal, client.Refusal(23, "Low difficulty")),
    "port-as-text": (lambda line: client.read_reconnect(line.arguments).port, 3333),
}
REFUSED = {"padded-extranonce2", "http"}


def test_each_quirk_has_its_own_name_a_meaning_and_a_source() -> None:
    names = [quirk.name for quirk in quirks()]
    assert len(set(names)) == len(names)
    assert {quirk.name for quirk in quirks() if quirk.handling is Handling.REFUSED} == REFUSED
    assert set(names) == REFUSED | set(EXPECTED)
    assert all(quirk.meaning and quirk.source and quirk.side in {"miner", "pool"} for quirk in quirks())


@pytest.mark.parametrize("quirk", [quirk for quirk in quirks() if quirk.name in EXPECTED], ids=lambda quirk: quirk.name)
def test_a_quirk_is_read_as_it_was_meant(quirk: Quirk) -> None:
    read, expected = EXPECTED[quirk.name]
    assert read(decode_line(quirk.example)) == expected


@pytest.mark.parametrize("quirk", [quirk for quirk in quirks() if quirk.name in REFUSED], ids=lambda quirk: quirk.name)
def test_what_cannot_be_read_with_certainty_is_refused(quirk: Quirk) -> None:
    with pytest.raises(WireError):
        requests.read_submit(decode_line(quirk.example).arguments)


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("bfgminer/5.5.0", "null-id"),
        ("NerdMinerV2/V1.7.0", "padded-extranonce2"),
        ("NiceHash/1.0.0", "rented-hashrate"),
        ("whatsminer/v1.0", "unknown-field"),
        ("bosminer-plus-tuner 0.9.0", "session-null"),
    ],
)
def test_the_quirks_of_a_program_are_found_by_its_name(agent: str, name: str) -> None:
    assert name in {quirk.name for quirk in quirks_of(agent)}


@pytest.mark.parametrize("agent", ["", "\0", "x" * 1000, "my bfgminer/1"])
def test_an_unknown_program_has_no_quirks(agent: str) -> None:
    assert quirks_of(agent) == ()


@pytest.mark.parametrize(
    ("params", "agent"),
    [
        (b'[""]', ""),
        (b'["\\u0000"]', ""),
        (b'["%b"]' % (b"x" * 1024), "x" * TEXT_MAX),
        (b'["\\u202eevil"]', "evil"),
        (b"[null]", ""),
        (b"[7]", ""),
    ],
)
def test_an_odd_name_of_a_program_is_cut_or_cleaned(params: bytes, agent: str) -> None:
    line = decode_line(b'{"jsonrpc": "2.0", "id": 1, "method": "mining.subscribe", "params": %b}' % params)
    assert requests.read_subscribe(line.arguments).agent == agent


@pytest.mark.parametrize(
    ("port", "read"), [(3333, 3333), ("3333", 3333), (0, 0), (70_000, 0), ("x", 0), ("²", 0), (True, 0)]
)
def test_where_a_miner_dialled_is_read_where_it_says_so(port: object, read: int) -> None:
    found = requests.read_subscribe(["x/1", None, "pool.example", port])
    assert (found.host, found.port) == ("pool.example", read)


@pytest.mark.parametrize("count", [None, -1, 33, "2", True])
def test_a_count_of_version_bits_that_makes_no_sense_is_none(count: object) -> None:
    assert requests.read_multi_version([count]) == 0
    assert requests.read_multi_version([]) == 0


@pytest.mark.parametrize(
    ("bits", "read"), [("6000", 0x6000), ("0x6000", 0x6000), ("0x123456", 0x123456), ("0X00006000", 0x6000)]
)
def test_version_bits_may_be_short_or_carry_a_prefix(bits: str, read: int) -> None:
    assert requests.read_submit(["a.b", "1", "00", "64b1f10f", "2402812d", bits]).version_bits == read


def test_the_job_whose_transactions_are_asked_for_is_read() -> None:
    # bfgminer, util.c (866fd36): its id names the job too.
    line = decode_line(b'{"params": ["bf"], "id": "txlistbf", "method": "mining.get_transactions"}')
    assert (bytes(line.id), requests.read_job_id(line.arguments)) == (b'"txlistbf"', "bf")


def test_an_id_that_no_answer_could_carry_is_refused() -> None:
    with pytest.raises(WireError, match="UTF-8"):
        decode_line(b'{"id": "\xff", "method": "mining.ping"}')


@given(st.binary(max_size=40))
def test_an_answer_to_any_id_is_json_again(raw: bytes) -> None:
    try:
        line = decode_line(b'{"id":%b,"method":"mining.ping"}' % raw)
    except WireError:
        return
    answer = decode_line(replies.accepted(bytes(line.id)))
    assert bytes(answer.id) == bytes(line.id)


def test_lines_end_in_any_way_and_may_share_a_segment() -> None:
    buffer = LineBuffer(bytes_max=10)
    assert buffer.feed(b'\r\n{"id":1}\r\n\n  \n{"id":2}\n{"i') == [b'{"id":1}', b'{"id":2}']
    assert buffer.feed(b'd":3}\r') == []
    assert buffer.feed(b"\n") == [b'{"id":3}']


@pytest.mark.parametrize("before", [b"", b"\n"])
def test_a_line_of_just_the_limit_is_taken_however_it_comes(before: bytes) -> None:
    assert LineBuffer(bytes_max=10).feed(before + b"x" * 10 + b"\n") == [b"x" * 10]
