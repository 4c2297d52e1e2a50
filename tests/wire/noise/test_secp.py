"""secp256k1 against the vectors of BIP 324 and BIP 340, and against plain integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.errors import WireError
from mbongi.wire.noise import secp
from mbongi.wire.noise.errors import KeyRefusedError
from tests.wire.noise import reference
from tests.wire.noise.published import rows

ORDER = reference.ORDER.to_bytes(32)


@pytest.mark.parametrize("row", rows("bip324_ecdh.csv"))
def test_the_shared_secret_is_bip_324s(row: dict[str, str]) -> None:
    key = secp.EllSwiftKey(bytes.fromhex(row["in_priv_ours"]), bytes.fromhex(row["in_ellswift_ours"]))
    theirs = bytes.fromhex(row["in_ellswift_theirs"])

    secret = key.shared_secret(theirs, initiator=row["in_initiating"] == "1")

    assert secret.hex() == row["mid_shared_secret"]
    assert key.x_only().hex() == secp.x_only_of_secret(key.secret).hex() == row["mid_x_ours"]
    assert secp.x_only_of_ellswift(theirs).hex() == row["mid_x_theirs"]


@pytest.mark.parametrize("row", rows("bip324_ecdh.csv"))
def test_plain_integers_find_the_same_shared_secret(row: dict[str, str]) -> None:
    key = reference.Key(bytes.fromhex(row["in_priv_ours"]), bytes.fromhex(row["in_ellswift_ours"]))

    secret = reference.ecdh(key, bytes.fromhex(row["in_ellswift_theirs"]), initiator=row["in_initiating"] == "1")

    assert secret.hex() == row["mid_shared_secret"]


@pytest.mark.parametrize("row", rows("bip324_ellswift_decode.csv"))
def test_an_encoding_gives_the_x_coordinate_that_bip_324_states(row: dict[str, str]) -> None:
    encoded = bytes.fromhex(row["ellswift"])

    assert secp.x_only_of_ellswift(encoded).hex() == row["x"]
    assert reference.ellswift_decode(encoded).hex() == row["x"]


@pytest.mark.parametrize("row", [row for row in rows("bip340_signatures.csv") if row["secret key"]])
def test_a_signature_is_bip_340s(row: dict[str, str]) -> None:
    secret, message = bytes.fromhex(row["secret key"]), bytes.fromhex(row["message"])

    signature = secp.sign(secret, message, bytes.fromhex(row["aux_rand"]))

    assert signature.hex().upper() == row["signature"]
    assert secp.x_only_of_secret(secret).hex().upper() == row["public key"]


@pytest.mark.parametrize("row", rows("bip340_signatures.csv"))
def test_a_signature_is_verified_as_bip_340_states(row: dict[str, str]) -> None:
    arguments = [bytes.fromhex(row[name]) for name in ("public key", "message", "signature")]

    assert secp.is_signed(*arguments) == (row["verification result"] == "TRUE")
    assert reference.verify(*arguments) == (row["verification result"] == "TRUE")


def test_there_are_as_many_vectors_as_were_published() -> None:
    counts = [len(rows(f"{name}.csv")) for name in ("bip324_ecdh", "bip324_ellswift_decode", "bip340_signatures")]

    assert counts == [7, 76, 19]


def test_a_new_key_encodes_the_x_coordinate_of_its_secret() -> None:
    key = secp.EllSwiftKey.generate()

    assert reference.ellswift_decode(key.public) == reference.public_x(key.secret) == key.x_only()


def test_the_same_secret_is_encoded_anew_each_time_and_no_two_new_keys_are_alike() -> None:
    first, second = secp.EllSwiftKey.generate(), secp.EllSwiftKey.generate()
    again = secp.EllSwiftKey.of_secret(first.secret)

    assert first.secret != second.secret
    assert again.public != first.public
    assert again.x_only() == first.x_only()


def test_signatures_without_stated_randomness_differ_and_hold() -> None:
    secret = secp.new_secret()

    first, second = secp.sign(secret, b"share"), secp.sign(secret, b"share")

    assert first != second
    assert secp.is_signed(secp.x_only_of_secret(secret), b"share", first)
    assert not secp.is_signed(secp.x_only_of_secret(secret), b"shard", first)


@pytest.mark.parametrize("secret", [bytes(32), ORDER, b"\xff" * 32, b"", bytes(31), bytes(33)])
def test_a_secret_that_is_zero_too_great_or_of_another_length_is_refused(secret: bytes) -> None:
    for use in (secp.EllSwiftKey.of_secret, secp.x_only_of_secret, lambda each: secp.sign(each, b"")):
        with pytest.raises(KeyRefusedError):
            use(secret)
    with pytest.raises(KeyRefusedError):
        secp.EllSwiftKey(secret, bytes(64))


def test_the_greatest_secret_is_taken() -> None:
    secret = (reference.ORDER - 1).to_bytes(32)

    assert secp.EllSwiftKey.of_secret(secret).x_only() == reference.x_bytes(reference.GENERATOR)


def test_a_secret_key_stays_out_of_what_is_printed() -> None:
    key = secp.EllSwiftKey.generate()

    shown = f"{key!r} {key}"

    assert repr(key.secret) not in shown
    assert key.secret.hex() not in shown


def test_an_encoding_of_another_length_is_refused() -> None:
    for length in (0, 63, 65):
        with pytest.raises(KeyRefusedError):
            secp.EllSwiftKey(secp.new_secret(), bytes(length))
        with pytest.raises(KeyRefusedError):
            secp.x_only_of_ellswift(bytes(length))


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(max_size=80))
def test_any_bytes_are_no_signature(key: bytes, message: bytes, signature: bytes) -> None:
    assert not secp.is_signed(key, message, signature)


@given(theirs=st.binary(min_size=62, max_size=66), initiator=st.booleans())
def test_any_64_bytes_are_a_peers_key_and_other_lengths_are_refused(*, theirs: bytes, initiator: bool) -> None:
    key = secp.EllSwiftKey.of_secret(b"\x07" * 32)
    if len(theirs) == 64:
        assert len(key.shared_secret(theirs, initiator=initiator)) == 32
        return
    with pytest.raises(WireError):
        key.shared_secret(theirs, initiator=initiator)
