"""The miner's side, against lines of real pools and miners."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.hashing import display, root_of_branch, sha256d
from mbongi.wire.errors import WireError
from mbongi.wire.stratum_v1 import client, replies, requests
from mbongi.wire.stratum_v1.lines import decode_line

# ESP-Miner, test_stratum_json.c (5c277131): work for block 787109, with the first two hashes of its branch.
CAPTURED = (
    '{"id":null,"method":"mining.notify","params":["1b4c3d9041","ef4b9a48c7986466de4adc002f7337a6e121bc43000376ea00000'
    '00000000000","0100000001000000000000000000000000000000000000000000000000000000000000'
    '0000ffffffff4b03a5020cfabe6d6d379ae882651f6469f2ed6b8b40a4f9a4b41fd838a3ad6de8cba775f4e8f1d3080100000000000000",'
    '"41903d4c1b2f736c7573682f0000000003ca890d27000000001976a9147c154ed1dc59609e3d26abb2df2ea3d587cd8c4188ac000000000'
    "00000002c6a4c2952534b424c4f434b3a4cb4cb2ddfc37c41baf5ef6b6b4899e3253a8f1dfc7e5dd68a5b5b27005014ef000000000000000"
    '0266a24aa21a9ed5caa249f1af9fbf71c986fea8e076ca34ae3514fb2f86400561b28c7b15949bf00000000",["ae23055e00f0f697cc364'
    '0124812d96d4fe8bdfa03484c1c638ce5a1c0e9aa81","980fb87cb61021dd7afd314fcb0dabd096f3d56a7377f6f320684652e7410a21"]'
    ',"20000004","1705c739","64495522",false]}'
)


def test_a_captured_job_is_read_with_its_hashes_in_internal_order() -> None:
    found = client.read_notify(decode_line(CAPTURED.encode()).arguments)

    # A proof of work ends in zeros in internal order, and so begins with them in the form that people see.
    assert display(found.previous_hash) == "0000000000000000000376eae121bc432f7337a6de4adc00c7986466ef4b9a48"
    assert (found.version, found.bits, found.time_s, found.clean) == (0x20000004, 0x1705C739, 0x64495522, False)
    assert found.branch[0].hex() == "ae23055e00f0f697cc3640124812d96d4fe8bdfa03484c1c638ce5a1c0e9aa81"
    assert found.coinbase_before[41:46] == bytes.fromhex("4b03a5020c"), "BIP 34's height 787109 opens the script"


def test_a_branch_leads_to_the_root_that_a_bitaxe_computes() -> None:
    # ESP-Miner, test_mining.c (5c277131), "another merkle root", whose values its authors computed with a script.
    coinbase = sha256d(
        bytes.fromhex(
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2503777d07062f503253482f0405"
            "b8c75208f800880e000000000b2f436f696e48756e74722f0000000001"
            "603f352a"
            "01000000"
            "1976a914c633315d376c20a973a758f7422d67f7bfed9c5888ac00000000"
        )
    )
    arguments = decode_line(CAPTURED.encode()).arguments
    arguments[4] = [
        "f0dbca1ee1a9f6388d07d97c1ab0de0e41acdf2edac4b95780ba0a1ec14103b3",
        "8e43fd2988ac40c5d97702b7e5ccdf5b06d58f0e0d323f74dd5082232c1aedf7",
        "1177601320ac928b8c145d771dae78a3901a089fa4aca8def01cbff747355818",
        "9f64f3b0d9edddb14be6f71c3ac2e80455916e207ffc003316c6a515452aa7b4",
        "2d0b54af60fad4ae59ec02031f661d026f2bb95e2eeb1e6657a35036c017c595",
    ]

    root = root_of_branch(coinbase, client.read_notify(arguments).branch)

    assert root.hex() == "5cc58f5e84aafc740d521b92a7bf72f4e56c4cc3ad1c2159f1d094f97ac34eee"


def test_a_job_that_is_read_and_written_again_is_the_captured_one_for_every_connection() -> None:
    found = client.read_notify(decode_line(CAPTURED.encode()).arguments)
    prepared = replies.PreparedNotify(
        previous_hash=found.previous_hash,
        coinbase_after=found.coinbase_after,
        branch=found.branch,
        version=found.version,
        bits=found.bits,
        time_s=found.time_s,
    )

    assert prepared.line(found.job_id, found.coinbase_before, clean=False) == CAPTURED.encode() + b"\n"
    other = json.loads(prepared.line('a"b', b"\x01", clean=True))["params"]
    assert (other[0], other[2], other[8]) == ('a"b', "01", True)
    assert other[3:8] == json.loads(CAPTURED)["params"][3:8]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 1),
        (1, "00"),
        (1, None),
        (2, "zz"),
        (4, "x"),
        (4, ["00"]),
        (4, [None]),
        (4, ["00" * 32] * 33),
        (5, 1),
        (7, ""),
    ],
)
def test_a_job_that_cannot_be_read_is_an_error(place: int, value: object) -> None:
    arguments = decode_line(CAPTURED.encode()).arguments
    arguments[place] = value
    with pytest.raises(WireError):
        client.read_notify(arguments)
    with pytest.raises(WireError, match="8 parameters"):
        client.read_notify(arguments[:8])


def test_the_examples_of_bip_310_are_read_by_the_miner() -> None:
    answer = decode_line(
        b'{"error": null, "id": 1, "result": {"version-rolling": true, "version-rolling.mask": "18000000",'
        b' "minimum-difficulty": true}}'
    )
    refused = decode_line(b'{"error": null, "id": 1, "result": {"version-rolling": false}}')
    mask = decode_line(b'{"params":["00003000"], "id":null, "method": "mining.set_version_mask"}')

    found = client.read_configured(answer.result)
    assert (found.version_mask, found.granted) == (0x18000000, {"version-rolling", "minimum-difficulty"})
    assert client.read_configured(refused.result) == client.Configured()
    assert client.read_set_version_mask(mask.arguments) == 0x3000


def test_the_info_extension_of_bip_310_is_read_and_only_its_names() -> None:
    options = {"info.sw-version": "1.2", "info.hw-id": "\0ab", "info.other": "x", "info.hw-version": 7}
    found = requests.read_configure([["info"], options])
    assert found.info == (("info.sw-version", "1.2"), ("info.hw-id", "ab"))


# ESP-Miner: test_stratum_json.c (5c277131) and the exchange in issue 190.
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            b'{"result":[[["mining.notify","695482c0"]],"4de05269",8],"id":2,"error":null}',
            client.Subscription(bytes.fromhex("4de05269"), 8, "695482c0"),
        ),
        (
            (
                b'{"error":null,"id":1,"result":[[["mining.notify","1e0a00001"],["mining.set_difficulty","1e0a00002"]],'
                b'"1e0a0000",8]}'
            ),
            client.Subscription(bytes.fromhex("1e0a0000"), 8, "1e0a00001"),
        ),
    ],
)
def test_a_captured_subscription_is_read(line: bytes, expected: client.Subscription) -> None:
    assert client.read_subscription(decode_line(line).result) == expected


@pytest.mark.parametrize(
    "result", [None, [], [[["mining.notify", "abc"]], "4de05269"], [[], "4de0526", 8], [[], "", 33]]
)
def test_a_subscription_that_cannot_be_read_is_an_error(result: object) -> None:
    with pytest.raises(WireError):
        client.read_subscription(result)


def test_nicehash_s_change_of_extranonce_is_written_and_read() -> None:
    # NiceHash, specification of mining.extranonce.subscribe.
    published = b'{"id": null, "method": "mining.set_extranonce", "params": ["08000002", 4]}'
    ours = replies.set_extranonce(bytes.fromhex("08000002"), 4)
    assert json.loads(ours) == json.loads(published)
    assert client.read_set_extranonce(decode_line(published).arguments) == client.Subscription(b"\x08\0\0\x02", 4)


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (b'{"id":4,"error":null,"result":true}', None),
        (b'{"id":4,"result":[],"error":null}', None),
        (b'{"id":4,"error":null,"result":false}', client.Refusal(0, "")),
        (b'{"id": 10, "result": null, "error": [21, "Job not found", null]}', client.Refusal(21, "Job not found")),
        (b'{"id": 10, "result": false, "error": [20, "Not supported.", null]}', client.Refusal(20, "Not supported.")),
        (b'{"id": 10, "result": null, "error": [5]}', client.Refusal(0, "")),
    ],
)
def test_a_refusal_is_told_from_a_yes(answer: bytes, refusal: client.Refusal | None) -> None:
    assert client.read_refusal(decode_line(answer)) == refusal


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], client.Reconnect()),
        (["pool.example", 3333, 5], client.Reconnect("pool.example", 3333, 5)),
        ([None, None, 5], client.Reconnect("", 0, 5)),
        (["pool.example", "3333", "0"], client.Reconnect("pool.example", 3333, 0)),
    ],
)
def test_a_call_to_reconnect_is_read(arguments: list[object], expected: client.Reconnect) -> None:
    assert client.read_reconnect(arguments) == expected


@pytest.mark.parametrize("port", [-1, 65_536, "x", 1.5, [], True])
def test_a_port_that_is_none_is_an_error(port: object) -> None:
    with pytest.raises(WireError, match="reconnect"):
        client.read_reconnect(["pool.example", port])


def test_what_a_miner_says_is_what_the_pool_reads() -> None:
    share = requests.Submit("a.b", "1f", b"\0\1", 0x504E86ED, 0xB2957C02, None)
    for each in (share, requests.Submit("é", '"', b"", 0, 0, 0x6000)):
        line = decode_line(client.submit(4, each)[:-1])
        assert (bytes(line.id), line.method, requests.read_submit(line.arguments)) == (b"4", "mining.submit", each)
    subscribed = decode_line(client.subscribe(1, "x/1", "ab")[:-1])
    assert requests.read_subscribe(subscribed.arguments) == requests.Subscribe("x/1", "ab")
    assert requests.read_authorize(decode_line(client.authorize(2, "a.b", "x")[:-1]).arguments) == ("a.b", "x")
    wish = requests.read_configure(
        decode_line(client.configure(3, version_mask=0x1FFFE000, version_bits_min=2)[:-1]).arguments
    )
    assert (wish.version_mask, wish.version_bits_min) == (0x1FFFE000, 2)


def test_the_published_share_is_written_as_published() -> None:
    # The exchange in the protocol's description by its authors (slush pool).
    published = (
        b'{"params": ["slush.miner1", "bf", "00000001", "504e86ed", "b2957c02"], "id": 4, "method": "mining.submit"}'
    )
    share = requests.Submit("slush.miner1", "bf", b"\0\0\0\1", 0x504E86ED, 0xB2957C02, None)
    assert json.loads(client.submit(4, share)) == json.loads(published)


def test_a_miner_names_its_program_when_asked() -> None:
    # cgminer, util.c (b8491c66): the form of its answer.
    question = json.loads(replies.get_version(9))
    answer = decode_line(b'{"id": 9, "result": "cgminer/4.11.1", "error": null}')
    assert (question["method"], question["id"]) == ("client.get_version", 9)
    assert requests.read_version(answer.result) == "cgminer/4.11.1"
    assert requests.read_version(None) == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON, st.lists(_JSON, max_size=10))
def test_anything_that_a_pool_says_gives_a_value_or_an_error(result: object, arguments: list[object]) -> None:
    for read in (
        client.read_notify,
        client.read_set_difficulty,
        client.read_set_extranonce,
        client.read_set_version_mask,
        client.read_reconnect,
    ):
        try:
            read(arguments)
        except WireError:
            continue
    for read_result in (client.read_subscription, client.read_configured):
        try:
            read_result(result)
        except WireError:
            continue
