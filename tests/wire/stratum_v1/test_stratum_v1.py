"""The V1 codec against the protocol's published exchange, BIP 310's examples, and what firmwares send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.hashing import display, root_of_branch, sha256d
from mbongi.wire.bitcoin.header import pack_header
from mbongi.wire.errors import TooLongError, WireError
from mbongi.wire.stratum_v1 import replies, requests
from mbongi.wire.stratum_v1.lines import LineBuffer, decode_line

# The exchange in the protocol's description by its authors (slush pool), with an extranonce1 of 08000002.
NOTIFY = (
    '{"params": ["bf", "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000", "0100000001000000000000000'
    '0000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008", "072f736c7573682f0'
    '00000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000", [], "00000002", "1c2ac4a'
    'f", "504e86b9", false], "id": null, "method": "mining.notify"}'
)
SUBMIT = b'{"params": ["slush.miner1", "bf", "00000001", "504e86ed", "b2957c02"], "id": 4, "method": "mining.submit"}'


def test_the_published_share_hashes_below_difficulty_1() -> None:
    job_id, previous, before, after, branch, version, bits, _time, _clean = json.loads(NOTIFY)["params"]
    share = requests.read_submit(decode_line(SUBMIT).arguments)

    coinbase = sha256d(bytes.fromhex(before + "08000002") + share.extranonce2 + bytes.fromhex(after))
    header = pack_header(
        int(version, 16),
        replies.swap_words(bytes.fromhex(previous)),
        root_of_branch(coinbase, [bytes.fromhex(each) for each in branch]),
        share.time_s,
        int(bits, 16),
        share.nonce,
    )

    assert (share.worker, share.job_id, share.version_bits) == ("slush.miner1", job_id, None)
    assert display(sha256d(header)) == "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32"


def test_our_notify_is_the_published_one() -> None:
    published = json.loads(NOTIFY)
    _, previous, before, after, _, _, _, _, _ = published["params"]

    line = replies.notify(
        "bf",
        previous_hash=replies.swap_words(bytes.fromhex(previous)),
        coinbase_before=bytes.fromhex(before),
        coinbase_after=bytes.fromhex(after),
        branch=[],
        version=2,
        bits=0x1C2AC4AF,
        time_s=0x504E86B9,
        clean=False,
    )

    assert json.loads(line) == published
    assert line.endswith(b"}\n")


def test_the_examples_of_bip_310_are_read() -> None:
    line = decode_line(
        b'{"method": "mining.configure", "id": 1, "params": [["minimum-difficulty", "version-rolling"],'
        b' {"minimum-difficulty.value": 2048, "version-rolling.mask": "1fffe000", "version-rolling.min-bit-count": 2}]}'
    )

    found = requests.read_configure(line.arguments)

    assert found.extensions == ("minimum-difficulty", "version-rolling")
    assert (found.version_mask, found.version_bits_min, found.difficulty_min) == (0x1FFFE000, 2, 2048.0)
    assert json.loads(replies.set_version_mask(0x3000)) == {
        "params": ["00003000"],
        "id": None,
        "method": "mining.set_version_mask",
    }


@pytest.mark.parametrize("raw", [b"4", b'"4"', b"null", b"4.5", b"-1", b"true", b'"a b"'])
def test_an_answer_carries_the_id_as_it_came(raw: bytes) -> None:
    line = decode_line(b'{"id": %b , "method": "mining.ping", "params": []}' % raw)

    assert replies.accepted(bytes(line.id)) == b'{"id":%b,"result":true,"error":null}\n' % raw


@pytest.mark.parametrize("params", [b"null", b"{}", b'"x"', b"7"])
def test_parameters_that_are_no_list_count_as_none(params: bytes) -> None:
    line = decode_line(b'{"id": 1, "method": "mining.subscribe", "params": %b}' % params)
    assert requests.read_subscribe(line.arguments) == requests.Subscribe()
    assert decode_line(b'{"id": 1, "method": "mining.subscribe"}').arguments == []


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("nonce", "B2957C02", 0xB2957C02),
        ("nonce", "0xb2957c02", 0xB2957C02),
        ("nonce", "7c02", 0x7C02),
        ("version_bits", "00c00000", 0xC00000),
        ("version_bits", None, None),
        ("extranonce2", "0000ABCD", bytes.fromhex("0000abcd")),
        ("extranonce2", "", b""),
    ],
)
def test_numbers_are_read_as_firmwares_write_them(field: str, value: str | None, expected: object) -> None:
    arguments = ["a.b", "1f", "00000001", "504e86ed", "b2957c02", "00000000"]
    arguments[{"extranonce2": 2, "nonce": 4, "version_bits": 5}[field]] = value  # type: ignore[call-overload]

    assert getattr(requests.read_submit(arguments), field) == expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, None),
        (0, 7),
        (1, None),
        (1, ["x"]),
        (2, "0"),
        (2, "zz"),
        (2, 5),
        (3, "1234567890"),
        (4, None),
        (4, "g"),
        (5, 1),
    ],
)
def test_a_field_that_cannot_be_read_is_named(place: int, value: object) -> None:
    arguments: list[object] = ["a.b", "1f", "00000001", "504e86ed", "b2957c02", "00000000"]
    arguments[place] = value
    with pytest.raises(WireError, match=r"worker|job|extranonce2|ntime|nonce|version"):
        requests.read_submit(arguments)


def test_a_submit_without_its_fields_is_refused() -> None:
    with pytest.raises(WireError, match="2 parameters; expected 5 or 6"):
        requests.read_submit(["a", "b"])


def test_texts_lose_what_a_database_refuses() -> None:
    assert requests.read_subscribe(["cg\0miner/4.1\n", "x" * 1000]) == requests.Subscribe("cgminer/4.1", "x" * 512)
    with pytest.raises(WireError, match="no user"):
        requests.read_authorize(["\0 "])


@pytest.mark.parametrize("value", [None, "x", 0, -1, "nan", 1e400, True, [], {}])
def test_a_suggested_difficulty_must_be_a_number_above_0(value: object) -> None:
    with pytest.raises(WireError, match="expected a number"):
        requests.read_difficulty([value])
    with pytest.raises(WireError, match="expected a number"):
        requests.read_difficulty([])


def test_a_suggested_target_is_read_and_a_short_one_refused() -> None:
    assert requests.read_target(["00000000ffff" + "0" * 52]) == 0xFFFF << 208
    with pytest.raises(WireError, match="expected 32"):
        requests.read_target(["ffff"])


@pytest.mark.parametrize(("difficulty", "written"), [(1024.0, b"[1024]"), (0.5, b"[0.5]"), (65_536, b"[65536]")])
def test_a_whole_difficulty_is_written_without_fraction(difficulty: float, written: bytes) -> None:
    assert written in replies.set_difficulty(difficulty)


def test_errors_carry_code_and_text() -> None:
    line = replies.error(b'"x"', replies.Code.LOW_DIFFICULTY, 'says "no"')
    assert json.loads(line) == {"id": "x", "result": None, "error": [23, 'says "no"', None]}


def test_a_subscription_states_extranonce_and_size() -> None:
    line = replies.subscribed(b"1", session="ab", extranonce1=b"\x08\0\0\x02", extranonce2_size=4)
    assert json.loads(line)["result"][1:] == ["08000002", 4]


@pytest.mark.parametrize("data", [b"", b"[]", b"5", b'{"id": {"a": 1}}', b'{"id": [1]}', b'{"method": 5}', b"\xff{}"])
def test_what_is_no_request_is_an_error(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_line(data)


def test_a_long_id_is_refused() -> None:
    with pytest.raises(WireError, match="an id of"):
        decode_line(b'{"id": "%b"}' % (b"x" * 100))


@given(st.binary(max_size=200))
def test_any_line_gives_a_value_or_an_error(data: bytes) -> None:
    try:
        line = decode_line(data)
        for read in (requests.read_submit, requests.read_configure, requests.read_authorize, requests.read_target):
            read(line.arguments)
    except WireError:
        return


_JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=8)


@given(st.lists(_JSON, max_size=7))
def test_any_parameters_give_a_value_or_an_error(arguments: list[object]) -> None:
    for read in (
        requests.read_submit,
        requests.read_subscribe,
        requests.read_authorize,
        requests.read_configure,
        requests.read_difficulty,
        requests.read_target,
    ):
        try:
            read(arguments)
        except WireError:
            continue


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda line: b"\n" not in line and line.strip())), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream, buffer, found = b"".join(line + b"\r\n" for line in lines), LineBuffer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:size])
        stream = stream[size:]
    assert found == [line.strip() for line in lines]


@pytest.mark.parametrize("data", [b"x" * 101 + b"\n", b"x" * 101, b"ok\n" + b"x" * 101])
def test_a_line_above_the_limit_is_an_error(data: bytes) -> None:
    buffer = LineBuffer(bytes_max=100)
    with pytest.raises(TooLongError, match="at most 100"):
        buffer.feed(data)
    assert buffer.rest == b""
