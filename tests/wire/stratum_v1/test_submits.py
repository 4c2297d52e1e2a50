"""The fast reader of shares gives what the general one gives, or leaves the line to it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v1.lines import decode_line
from mbongi.wire.stratum_v1.requests import Submit, read_submit
from mbongi.wire.stratum_v1.submits import decode_submit, decode_submit_in_python

try:
    from mbongi.wire.stratum_v1 import _native as native
except ImportError:  # no C compiler here; ./mbongi said so
    native = None  # type: ignore[assignment]


def compiled(line: bytes) -> tuple[bytes, Submit] | None:
    """What the compiled code makes of a line; its twin where nothing was compiled."""
    return decode_submit_in_python(line) if native is None else native.read_submit(line, Submit)


# public-pool, MiningSubmitMessage.spec.ts (b971e9c): a Bitaxe's line, and the fields that the pool reads from it.
BITAXE = (
    b'{"id": 5, "method": "mining.submit", "params": ["tb1qumezefzdeqqwn5zfvgdrhxjzc5ylr39uhuxcz4.bitaxe3", "1",'
    b' "99020000", "64b1f10f", "2402812d", "00006000"]}'
)
# SRI, sv1 client_to_server.rs (26802203): the parameters of a Whatsminer M30S.
WHATSMINER = (
    b'{"params": ["spotbtc1.m30s40x16", "2", "147a3f0000000000", "6436eddf", "41d5deb0", "00000000"], "id": 2196,'
    b' "method": "mining.submit"}'
)


def test_the_line_of_a_bitaxe_is_read_as_public_pool_reads_it() -> None:
    assert decode_submit(BITAXE) == (
        b"5",
        Submit(
            "tb1qumezefzdeqqwn5zfvgdrhxjzc5ylr39uhuxcz4.bitaxe3",
            "1",
            bytes.fromhex("99020000"),
            0x64B1F10F,
            0x2402812D,
            0x00006000,
        ),
    )


def test_the_line_of_a_whatsminer_is_read_whatever_the_order_of_its_fields() -> None:
    assert decode_submit(WHATSMINER) == (
        b"2196",
        Submit("spotbtc1.m30s40x16", "2", bytes.fromhex("147a3f0000000000"), 0x6436EDDF, 0x41D5DEB0, 0),
    )


@pytest.mark.parametrize("raw", [b"null", b'"auth"', b"4.5", b"-1", b"18446744073709551616", b'"\\u00e9"'])
def test_the_id_of_a_share_stays_as_it_came(raw: bytes) -> None:
    found = decode_submit(BITAXE.replace(b'"id": 5', b'"id":%b' % raw))
    assert found is not None
    assert found[0] == raw


@pytest.mark.parametrize(
    ("found", "replaced"),
    [
        (b"mining.submit", b"mining.subscribe"),
        (b'"2402812d"', b'"402812d"'),
        (b'"2402812d"', b"604144941"),
        (b'"64b1f10f", "2402812d"', b'"64b1f10", "f2402812d"'),
        (b'"00006000"', b'"6000"'),
        (b'"99020000"', b'"0x99020000"'),
        (b'"99020000"', b'"9902000"'),
        (b'"1"', b"1"),
        (b"5,", b'{"a": 1},'),
        (b"5,", b'"\xff",'),
        (b"5,", b'"%b",' % (b"x" * 100)),
    ],
)
def test_a_line_of_another_form_is_left_to_the_general_reader(found: bytes, replaced: bytes) -> None:
    assert found in BITAXE
    assert decode_submit(BITAXE.replace(found, replaced, 1)) is None


def test_words_of_a_wrong_length_that_add_up_are_not_cut_anew() -> None:
    with pytest.raises(WireError, match="9 hex digits"):
        read_submit(["a.b", "1", "99020000", "64b1f10", "f2402812d"])


@pytest.mark.parametrize("nonce", ["", "0x", None, True, 2.5, -1, 1 << 32, "1_2", " 12", "+1", "0000000020000000"])
def test_a_nonce_that_is_no_word_is_refused(nonce: object) -> None:
    with pytest.raises(WireError, match="nonce"):
        read_submit(["a.b", "1", "99020000", "64b1f10f", nonce])


_HEX = st.text("0123456789abcdefABCDEFx ", max_size=10)
_FIELD = st.one_of(_HEX, st.just("64b1f10f"), st.none(), st.integers(-1, 1 << 33), st.text(max_size=4), st.booleans())


@given(
    st.lists(_FIELD, max_size=8),
    st.sampled_from(["mining.submit", "mining.Submit", "x"]),
    st.one_of(st.integers(), st.text(max_size=70), st.none(), st.lists(st.none())),
)
def test_both_readers_agree(fields: list[object], method: str, id_: object) -> None:
    data = json.dumps({"id": id_, "params": fields, "method": method}).encode()
    found = decode_submit(data)
    if found is not None:
        line = decode_line(data)
        assert line.method == "mining.submit"
        assert found == (bytes(line.id), read_submit(line.arguments))


@given(st.binary(max_size=60), st.integers(0, len(BITAXE)), st.integers(0, 20))
def test_a_damaged_line_gives_the_same_or_nothing(damage: bytes, at: int, cut: int) -> None:
    data = BITAXE[:at] + damage + BITAXE[at + cut :]
    found = decode_submit(data)
    if found is not None:
        line = decode_line(data)
        assert found == (bytes(line.id), read_submit(line.arguments))


_BLANKS = st.sampled_from(["", " ", "\t", "  "])
_WORD = st.integers(0, 0xFFFF_FFFF).map("{:08x}".format) | st.integers(0, 0xFFFF_FFFF).map("{:08X}".format)


@st.composite
def usual_lines(draw: st.DrawFn) -> bytes:
    """Submits as miners write them: any order, any blanks, with version bits or without, of either case."""
    name = draw(st.text("abcXYZ012._- ", max_size=40))
    fields = [name, draw(_WORD), draw(st.binary(max_size=64)).hex(), *draw(st.lists(_WORD, min_size=2, max_size=3))]
    parts = [
        f'"id"@:@{draw(st.integers(0, 2**64 - 1))}',
        '"method"@:@"mining.submit"',
        f'"params"@:@[@{"@,@".join(json.dumps(each) for each in fields)}@]',
    ]
    line = f"@{{@{'@,@'.join(draw(st.permutations(parts)))}@}}@".replace("@", draw(_BLANKS))
    line += draw(st.sampled_from(["\n", "\r\n", ""]))
    return line.encode()


@given(usual_lines())
def test_compiled_code_reads_usual_lines_as_its_twin_does(line: bytes) -> None:
    assert compiled(line) == decode_submit_in_python(line)


@given(usual_lines(), st.binary(max_size=8), st.integers(0, 200), st.integers(0, 8))
def test_compiled_code_takes_no_damaged_line_that_its_twin_leaves(line: bytes, new: bytes, at: int, cut: int) -> None:
    damaged = line[:at] + new + line[at + cut :]
    found = compiled(damaged)
    assert found is None or found == decode_submit_in_python(damaged)


def test_compiled_code_reads_what_real_miners_send_and_nothing_beyond_the_end() -> None:
    for line in (BITAXE, WHATSMINER):
        assert compiled(line) is not None
        assert all(compiled(line[:end]) is None for end in range(len(line)))
