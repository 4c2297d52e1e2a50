"""A node's JSON-RPC: a template of bcoin 1.0.2 as it came, Bitcoin Core's documents as BIP 22, 23 and 145 have them."""

import json

import pytest

from mbongi.wire import bitcoind
from mbongi.wire.bitcoind import BlockTemplate, ChainInfo, HeaderInfo, RpcFault
from mbongi.wire.errors import WireError

BCOIN_TEMPLATE = (
    b'{"result":{"capabilities":["proposal"],"mutable":["time","transactions","prevblock"],"version":536870912,'
    b'"rules":["csv","!segwit","testdummy"],"vbavailable":{},"vbrequired":0,"height":451,'
    b'"previousblockhash":"055caeffb346fa10047483c9daa622504771c738aeeab410c660fd6c77ff07b8",'
    b'"target":"7fffff0000000000000000000000000000000000000000000000000000000000","bits":"207fffff",'
    b'"noncerange":"00000000ffffffff","curtime":1795596736,"mintime":1795596736,"maxtime":1795603936,'
    b'"expires":1795603936,"sigoplimit":80000,"sizelimit":4000000,"weightlimit":4000000,'
    b'"longpollid":"055caeffb346fa10047483c9daa622504771c738aeeab410c660fd6c77ff07b800000000","submitold":false,'
    b'"coinbaseaux":{"flags":"6d696e65642062792062636f696e"},"coinbasevalue":625000000,'
    b'"default_witness_commitment":'
    b'"6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9","transactions":[]},'
    b'"error":null,"id":0}\n'
)
LEAST_TEMPLATE = {
    "version": 4,
    "previousblockhash": "00" * 32,
    "transactions": [],
    "coinbasevalue": 1,
    "curtime": 2,
    "mintime": 1,
    "bits": "1d00ffff",
    "height": 5,
}


def said(result: object, error: object = None) -> bytes:
    return json.dumps({"result": result, "error": error, "id": 0}).encode()


def test_a_template_of_bcoin_is_read() -> None:
    template = bitcoind.answer(BCOIN_TEMPLATE, BlockTemplate)

    assert (template.height, template.bits, template.version) == (451, "207fffff", 0x2000_0000)
    assert (template.coinbasevalue, template.weightlimit, template.sigoplimit) == (625_000_000, 4_000_000, 80_000)
    assert template.longpollid.endswith("00000000")
    assert template.rules == ["csv", "!segwit", "testdummy"]
    assert template.mutable == ["time", "transactions", "prevblock"]


def test_what_a_template_leaves_out_has_a_default_and_what_is_new_in_it_is_passed_over() -> None:
    template = bitcoind.answer(said(LEAST_TEMPLATE | {"brand_new": {"a": [1]}}), BlockTemplate)

    assert (template.target, template.longpollid, template.default_witness_commitment) == ("", "", "")
    assert (template.weightlimit, template.vbrequired, template.rules) == (0, 0, [])


def test_a_transaction_may_leave_out_its_fee_and_signature_operations() -> None:
    transaction = {"data": "00", "txid": "11" * 32, "depends": [1]}
    template = bitcoind.answer(said(LEAST_TEMPLATE | {"transactions": [transaction]}), BlockTemplate)

    [found] = template.transactions
    assert (found.txid, found.depends, found.fee, found.sigops, found.weight) == ("11" * 32, [1], 0, 0, 0)


@pytest.mark.parametrize(
    "change", [{"height": "five"}, {"bits": None}, {"transactions": [{"txid": "00"}]}, {"version": 1.5}]
)
def test_a_template_without_what_a_block_needs_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WireError, match="node answer"):
        bitcoind.answer(said(LEAST_TEMPLATE | change), BlockTemplate)


def test_the_chain_of_bitcoin_core_and_of_bcoin_are_read() -> None:
    core = {
        "chain": "main",
        "blocks": 900_000,
        "headers": 900_001,
        "bestblockhash": "00" * 32,
        "chainwork": "ab",
        "initialblockdownload": True,
        "verificationprogress": 0.99,
        "mediantime": 7,
        "warnings": [],
    }
    found = bitcoind.answer(said(core), ChainInfo)
    assert (found.headers, found.initialblockdownload, found.verificationprogress) == (900_001, True, 0.99)

    bcoin = {"chain": "regtest", "blocks": 450, "headers": 450, "bestblockhash": "05", "verificationprogress": 1}
    assert bitcoind.answer(said(bcoin | {"pruneheight": None}), ChainInfo).initialblockdownload is False


def test_bits_of_a_header_come_as_hex_from_bitcoin_core_and_as_a_number_from_bcoin() -> None:
    fields = {"hash": "00", "height": 1, "confirmations": -1, "version": 1, "time": 2, "mediantime": 1}
    core = bitcoind.answer(said(fields | {"bits": "207fffff"}), HeaderInfo)
    bcoin = bitcoind.answer(said(fields | {"bits": 545259519, "previousblockhash": None}), HeaderInfo)
    assert core.bits_number == bcoin.bits_number == 0x207F_FFFF


def test_the_nodes_refusal_keeps_its_code_and_words() -> None:
    with pytest.raises(RpcFault, match="node error -28: Loading block index") as error:
        bitcoind.answer(said(None, {"code": -28, "message": "Loading block index…"}), ChainInfo)
    assert error.value.code == bitcoind.WARMING_UP


@pytest.mark.parametrize("error", ["odd", 5, [1], {"message": None}, {"code": "x", "message": "m" * 1000}])
def test_a_refusal_in_an_odd_form_is_still_a_refusal(error: object) -> None:
    with pytest.raises(RpcFault) as found:
        bitcoind.answer(said(None, error), ChainInfo)
    assert found.value.code == 0
    assert len(str(found.value)) < 400


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'{"result":', b"\xff\xfe", b"[" * 100_000, b"{}"])
def test_what_is_no_answer_is_refused_with_its_beginning(body: bytes) -> None:
    with pytest.raises(WireError, match="node answer"):
        bitcoind.answer(body, ChainInfo)


def test_questions_follow_json_rpc() -> None:
    assert json.loads(bitcoind.question("getblockheader", ["00", False])) == {
        "jsonrpc": "1.0",
        "id": 0,
        "method": "getblockheader",
        "params": ["00", False],
    }


def test_a_block_in_parts_makes_the_same_question_as_a_whole_one() -> None:
    parts = bitcoind.submit_parts([b"00ff", b"", b"aa"])
    assert json.loads(b"".join(parts)) == json.loads(bitcoind.question("submitblock", ["00ffaa"]))
