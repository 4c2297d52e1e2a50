"""Addresses against the vectors of BIP 350 and well-known ones."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.address import (
    address_of_script,
    base58check_decode,
    base58check_encode,
    networks,
    script_of_address,
)
from mbongi.wire.errors import WireError

with (Path(__file__).parents[1] / "vectors" / "bip350_addresses.csv").open(encoding="ascii") as _file:
    ROWS = list(csv.DictReader(_file))
MAIN, TEST = networks()["mainnet"], networks()["testnet"]


def _network(address: str):
    return MAIN if address.lower().startswith("bc") else TEST


@pytest.mark.parametrize("row", [row for row in ROWS if row["script"]], ids=lambda row: row["address"][:20])
def test_valid_addresses_have_their_script_and_come_back(row: dict[str, str]) -> None:
    network = _network(row["address"])

    script = script_of_address(row["address"], network)

    assert script.hex() == row["script"]
    assert address_of_script(script, network) == row["address"].lower()


@pytest.mark.parametrize("row", [row for row in ROWS if not row["script"]], ids=lambda row: row["invalid_because"])
def test_invalid_addresses_are_refused(row: dict[str, str]) -> None:
    with pytest.raises(WireError):
        script_of_address(row["address"], _network(row["address"]))


@pytest.mark.parametrize(
    ("address", "script"),
    [  # The first block's key, and BIP 16's example form
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
        ("3P14159f73E4gFr7JterCCQh9QjiTjiZrG", "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87"),
    ],
)
def test_older_addresses_too(address: str, script: str) -> None:
    assert script_of_address(address, MAIN).hex() == script
    assert address_of_script(bytes.fromhex(script), MAIN) == address


def test_an_address_of_another_network_is_refused() -> None:
    with pytest.raises(WireError, match="not one of testnet"):
        script_of_address("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", TEST)
    with pytest.raises(WireError):
        script_of_address("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", TEST)


@pytest.mark.parametrize("script", ["", "6a", "6a0400000000", "0013" + "00" * 19, "5014" + "00" * 20, "51" * 60])
def test_a_script_without_address_has_none(script: str) -> None:
    assert address_of_script(bytes.fromhex(script), MAIN) is None


@given(st.binary(min_size=1, max_size=40))
def test_base58_comes_back(payload: bytes) -> None:
    assert base58check_decode(base58check_encode(payload)) == payload


@given(st.text(max_size=120))
def test_any_text_gives_a_script_or_an_error(text: str) -> None:
    for network in networks().values():
        try:
            script_of_address(text, network)
        except WireError:
            continue


def test_a_letter_outside_ascii_is_no_other_spelling_of_an_address() -> None:
    address = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4".upper()
    assert script_of_address(address, MAIN)[:2] == b"\x00\x14"
    with pytest.raises(WireError, match="not ASCII"):
        script_of_address(address.replace("K", "\N{KELVIN SIGN}"), MAIN)
