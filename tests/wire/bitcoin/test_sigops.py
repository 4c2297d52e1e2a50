"""Signature operations and dust, against what bcoin 1.0.2 counts and what Bitcoin Core documents."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.script import dust_limit_sat, operations, witness_program
from mbongi.wire.bitcoin.sigops import sigop_cost, sigops_of_script
from mbongi.wire.bitcoin.transaction import Transaction
from mbongi.wire.errors import WireError

VECTORS = Path(__file__).parents[1] / "vectors"
with (VECTORS / "sigops.csv").open(encoding="ascii") as _file:
    SCRIPTS = list(csv.DictReader(_file))
with (VECTORS / "sigop_costs.csv").open(encoding="ascii") as _file:
    TRANSACTIONS = list(csv.DictReader(_file))


@pytest.mark.parametrize("row", SCRIPTS, ids=lambda row: row["script"][:20])
def test_a_scripts_signature_operations_are_counted_as_by_another_node(row: dict[str, str]) -> None:
    script = bytes.fromhex(row["script"])

    assert sigops_of_script(script, accurate=False) == int(row["roughly"])
    assert sigops_of_script(script, accurate=True) == int(row["accurately"])


@pytest.mark.parametrize("row", TRANSACTIONS, ids=lambda row: row["source"])
def test_a_transactions_cost_is_that_of_another_node(row: dict[str, str]) -> None:
    transaction = Transaction.parse(bytes.fromhex(row["transaction"]))
    spent = [bytes.fromhex(script) for script in row["spent_scripts"].split()]

    assert sigop_cost(transaction, spent) == int(row["cost"])


@pytest.mark.parametrize(
    ("script_sig", "cost"),
    [
        ("0061", 0),  # does more than push: the redeem script is not looked at
        ("0203", 0),  # breaks off
        ("51", 0),  # a push without bytes
        ("02acac", 8),
        ("0352ae00", 8),
        ("02ae00", 80),
    ],
)
def test_a_redeem_script_counts_where_the_input_does_nothing_but_push(script_sig: str, cost: int) -> None:
    # Bitcoin Core, CScript::GetSigOpCount(scriptSig): the last push is counted accurately, and four times.
    raw = "02000000" + "01" + "11" * 36 + f"{len(script_sig) // 2:02x}" + script_sig + "ffffffff" + "00" + "00000000"
    transaction = Transaction.parse(bytes.fromhex(raw))

    assert sigop_cost(transaction, [bytes.fromhex("a914" + "00" * 20 + "87")]) == cost


def test_a_cost_needs_the_script_that_each_input_spends() -> None:
    transaction = Transaction.parse(bytes.fromhex(TRANSACTIONS[0]["transaction"]))
    with pytest.raises(WireError, match="0 spent scripts for 2 inputs"):
        sigop_cost(transaction, [])


@given(st.binary(max_size=200))
def test_any_script_has_a_count(script: bytes) -> None:
    assert 0 <= sigops_of_script(script, accurate=True) <= sigops_of_script(script, accurate=False)


@pytest.mark.parametrize("script", ["01", "4c", "4c02ff", "4d01", "4e010000", "4e0100000000"[:10]])
def test_a_push_that_breaks_off_is_an_error(script: str) -> None:
    with pytest.raises(WireError, match="does not end in it"):
        list(operations(bytes.fromhex(script)))


@pytest.mark.parametrize(
    ("script", "limit_sat"),
    [  # Bitcoin Core, GetDustThreshold at its default rate: 546 and 294 stand in its comments, the others in bcoin
        ("76a914" + "00" * 20 + "88ac", 546),
        ("a914" + "00" * 20 + "87", 540),
        ("0014" + "00" * 20, 294),
        ("0020" + "00" * 32, 330),
        ("5120" + "00" * 32, 330),
        ("51024e73", 240),
        ("6a0100", 0),
    ],
)
def test_dust_is_what_nodes_take_for_dust(script: str, limit_sat: int) -> None:
    assert dust_limit_sat(bytes.fromhex(script)) == limit_sat


def test_dust_follows_the_fee_rate() -> None:
    assert dust_limit_sat(bytes.fromhex("0014" + "00" * 20), fee_sat_vb=1) == 98


@pytest.mark.parametrize("script", ["", "5014" + "00" * 20, "0015" + "00" * 20, "0001", "6114" + "00" * 20])
def test_other_scripts_hold_no_witness_program(script: str) -> None:
    assert witness_program(bytes.fromhex(script)) is None
