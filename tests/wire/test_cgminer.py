"""The cgminer interface: commands, answers, and the mistakes that firmwares make in them."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbongi.wire import antminer, axeos, braiins, btminer, cgminer, luxos, vnish
from mbongi.wire.errors import WireError
from mbongi.wire.tolerant import TolerantDecoder
from tests.captures import capture, captures

DECODERS: dict[str, TolerantDecoder[Any]] = {
    "stats page": antminer.decode_stats,
    "summary page": antminer.decode_summary,
    "pools page": antminer.decode_pools,
    "system info": antminer.decode_system_info,
    "rpc stats": antminer.decode_rpc_stats,
    "rpc pools": antminer.decode_rpc_pools,
    "rpc version": antminer.decode_rpc_version,
    "joined": btminer.decode_joined,
    "status": btminer.decode_state,
    "errors": btminer.decode_errors,
    "psu": btminer.decode_psu,
    "token": btminer.decode_token,
    "axeos": axeos.decode_info,
    "luxos": luxos.decode_answer,
    "luxos joined": luxos.decode_joined,
    "vnish summary": vnish.decode_summary,
    "vnish settings": vnish.decode_settings,
    "braiins details": braiins.decode_details,
    "braiins stats": braiins.decode_stats,
    "braiins boards": braiins.decode_boards,
    "braiins configuration": braiins.decode_configuration,
    "braiins errors": braiins.decode_errors,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def test_a_command_is_one_json_object_with_further_fields_beside_it() -> None:
    assert json.loads(cgminer.command("stats", new_api=True)) == {"command": "stats", "new_api": True}


@pytest.mark.parametrize("ending", [b"", b"\0", b"\n\0", b" \r\n"])
def test_an_answer_is_read_whatever_stands_behind_it(ending: bytes) -> None:
    found = cgminer.decode(capture("antminer", "version") + ending, antminer.decode_rpc_version)
    assert found.rows is not None
    assert found.rows[0].Type == "Antminer S19 Pro"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (b'{"STATS":[{"a":1}{"b":2}]}', [{"a": 1}, {"b": 2}]),
        (b'{"STATS":[{"a":1},{"b":2},]}', [{"a": 1}, {"b": 2}]),
        (b'{"STATS":[,{"a":1}]}', [{"a": 1}]),
        (b'{"STATS":[{"a":1,}]}', [{"a": 1}]),
        (b'{"STATS":[{"a":nan,"b":-inf}]}', [{"a": None, "b": None}]),
        (b'{"STATS":[{"a":"x""temp0":7}]}', [{"a": "x", "temp0": 7}]),
        (b'{"STATS":[{"a":"x\ny"}]}\0', [{"a": "x y"}]),
        (b',"STATS":[{"a":1}]}', [{"a": 1}]),
    ],
)
def test_a_known_mistake_of_a_firmware_is_mended(text: bytes, rows: list[dict[str, object]]) -> None:
    assert cgminer.decode(text, antminer.decode_rpc_stats).rows == rows


def test_error_codes_written_as_a_list_with_keys_are_read() -> None:
    text = b'{"STATUS":"S","Msg":{"error_code":["218":"2024-06-15 10:30:00","110":"x"]}}'
    found = cgminer.decode(text, btminer.decode_errors)
    assert found.Msg is not None
    assert btminer.error_codes(found.Msg.error_code) == [("218", "2024-06-15 10:30:00"), ("110", "x")]


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"not json", b"[1]", b'"text"', b'{"STATS":[', b"\xff\xfe{}", b"{" * 5000]
)
def test_what_is_no_answer_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(WireError):
        cgminer.decode(data, antminer.decode_rpc_stats)


def test_one_field_of_an_odd_type_costs_only_itself() -> None:
    page = antminer.decode_stats(
        b'{"STATS":[{"elapsed":"12","rate_5s":[],"fan":[1,"x",{},"7"],'
        b'"chain":[{"index":0,"rate_real":"9.5","sn":5,"temp_chip":"hot"},7]}]}'
    )
    assert page.rows is not None
    row = page.rows[0]
    assert (row.elapsed, row.rate_5s, row.fan) == (12.0, None, [1.0, 7.0])
    assert [(chain.index, chain.rate_real, chain.sn, chain.temp_chip) for chain in row.chain] == [(0, 9.5, "", [])]


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=40)
@given(document=st.dictionaries(st.text(max_size=12), json_values, max_size=6), data=st.data())
def test_no_json_object_makes_a_decoder_fail(name: str, document: dict[str, object], data: st.DataObject) -> None:
    decoder = DECODERS[name]
    known = ["STATS", "SUMMARY", "POOLS", "DEVS", "Msg", "summary", "devs", "hashRate", "STATUS", "VERSION", "macAddr"]
    known += ["CONFIG", "PROFILES", "miner", "hashboards", "miner_stats", "tuner", "errors", "status"]
    for key in data.draw(st.lists(st.sampled_from(known), max_size=3)):
        document[key] = data.draw(
            json_values
            | st.lists(
                st.dictionaries(
                    st.sampled_from(
                        ["elapsed", "chain", "fan", "rate_5s", "Power", "MHS av", "URL", "status", "error_code"]
                    ),
                    json_values,
                )
            )
        )
    text = json.dumps(document, allow_nan=False, default=str) if _finite(document) else "{}"
    decoder(text.encode())


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=40)
@given(data=st.binary(max_size=200))
def test_no_bytes_make_a_decoder_fail_otherwise_than_with_its_error(name: str, data: bytes) -> None:
    for text in (data, b"{" + data + b"}"):
        with contextlib.suppress(WireError):
            cgminer.decode(text, DECODERS[name])


@pytest.mark.parametrize(("family", "name"), captures())
@settings(max_examples=10)
@given(data=st.data())
def test_a_captured_reply_that_ends_early_or_has_a_wrong_byte_never_breaks_a_decoder(
    family: str, name: str, data: st.DataObject
) -> None:
    reply = bytearray(capture(family, name))
    reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(reply[: data.draw(st.integers(0, len(reply)))])
    for decoder in DECODERS.values():
        with contextlib.suppress(WireError):
            cgminer.decode(cut, decoder)


def _finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    return all(map(_finite, value)) if isinstance(value, list) else True
