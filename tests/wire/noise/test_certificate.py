"""Certificates, the authority's key as text, and pools' URLs, against the specification's layout and vector."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.wire.bitcoin.address import base58check_encode
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import (
    Certificate,
    PoolAddress,
    authority_text,
    check_certificate,
    read_authority,
    read_pool_url,
    sign_certificate,
)
from mbongi.wire.noise.errors import CertificateError, KeyRefusedError
from mbongi.wire.noise.secp import sign
from tests.wire.noise import reference
from tests.wire.noise.published import AUTHORITY, AUTHORITY_SECRET, NOW_S, certificate, keys

# Section 4.7.1, where the key's bytes are decimal.
PUBLISHED_KEY = bytes.fromhex("76637000979c1c11af0c300bcd8c7fe48610fce9b9c11e3daee35ae0b08a7455")
PUBLISHED_TEXT = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh"
SERVER = keys()[2].x_only()


def check(
    found: Certificate,
    *,
    now_s: int = NOW_S,
    tolerance_s: int = 0,
    server: bytes = SERVER,
    authority: bytes = AUTHORITY,
) -> None:
    check_certificate(found, server_key=server, authority_key=authority, now_s=now_s, tolerance_s=tolerance_s)


def test_a_certificate_is_laid_out_as_the_specification_says() -> None:
    # U16, U32, U32, little-endian, then 64 bytes.
    found = Certificate(0x01020304, 0x05060708, bytes(range(64)), version=0x0A0B)

    assert found.pack() == bytes.fromhex("0b0a 04030201 08070605") + bytes(range(64))
    assert Certificate.unpack(found.pack()) == found


def test_the_signature_is_over_the_hash_of_the_terms_and_the_servers_x_coordinate() -> None:
    found = certificate()

    message = sha256(found.pack()[:10] + reference.ellswift_decode(keys()[2].public)).digest()

    assert reference.verify(reference.public_x(AUTHORITY_SECRET), message, found.signature)


@pytest.mark.parametrize("now_s", [NOW_S, NOW_S + 1800, NOW_S + 3600])
def test_a_certificate_is_valid_from_its_first_second_to_its_last(now_s: int) -> None:
    check(certificate(), now_s=now_s)


@pytest.mark.parametrize(("now_s", "reason"), [(NOW_S - 1, "valid from"), (NOW_S + 3601, "was valid to")])
def test_a_certificate_out_of_its_time_is_refused_unless_the_tolerance_covers_it(now_s: int, reason: str) -> None:
    check(certificate(), now_s=now_s, tolerance_s=1)
    with pytest.raises(CertificateError, match=reason):
        check(certificate(), now_s=now_s)


def test_the_whole_range_of_times_can_be_certified() -> None:
    found = certificate(valid_from_s=0, not_valid_after_s=2**32 - 1)

    check(found, now_s=0, tolerance_s=10)
    check(found, now_s=2**32 + 5, tolerance_s=10)


@pytest.mark.parametrize("times", [(-1, 5), (5, 4), (0, 2**32)])
def test_times_that_no_certificate_can_state_are_not_signed(times: tuple[int, int]) -> None:
    with pytest.raises(CertificateError):
        certificate(valid_from_s=times[0], not_valid_after_s=times[1])


def test_an_authoritys_secret_that_is_none_signs_nothing() -> None:
    with pytest.raises(KeyRefusedError):
        sign_certificate(bytes(32), server_key=SERVER, valid_from_s=0, not_valid_after_s=1)


@pytest.mark.parametrize("at", range(2, 74))
def test_a_certificate_with_any_byte_changed_is_refused(at: int) -> None:
    changed = bytearray(certificate(valid_from_s=0, not_valid_after_s=2**32 - 1).pack())

    changed[at] ^= 1

    with pytest.raises(CertificateError, match="did not sign"):
        check(Certificate.unpack(bytes(changed)))


def test_a_certificate_of_a_format_that_is_not_known_is_refused_even_when_signed() -> None:
    unsigned = Certificate(NOW_S, NOW_S, bytes(64), version=1)
    signature = sign(AUTHORITY_SECRET, sha256(unsigned.pack()[:10] + SERVER).digest())

    with pytest.raises(CertificateError, match="version 1"):
        check(Certificate(NOW_S, NOW_S, signature, version=1))


def test_another_authority_or_another_server_is_refused() -> None:
    with pytest.raises(CertificateError, match="did not sign"):
        check(certificate(), authority=PUBLISHED_KEY)
    with pytest.raises(CertificateError, match="did not sign"):
        check(certificate(), server=keys()[3].x_only())
    with pytest.raises(CertificateError, match="did not sign"):
        check(certificate(), authority=b"\xff" * 32)


@pytest.mark.parametrize("length", [0, 73, 75])
def test_a_certificate_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CertificateError):
        Certificate.unpack(bytes(length))


@given(st.binary(min_size=74, max_size=74), st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_no_certificate(data: bytes, server: bytes, authority: bytes) -> None:
    with pytest.raises(CertificateError):
        check(Certificate.unpack(data), server=server, authority=authority)


def test_an_authoritys_key_is_written_as_the_specifications_vector() -> None:
    assert authority_text(PUBLISHED_KEY) == PUBLISHED_TEXT
    assert read_authority(PUBLISHED_TEXT) == PUBLISHED_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        PUBLISHED_TEXT[:-1],
        PUBLISHED_TEXT[:-1] + "g",
        PUBLISHED_TEXT.replace("9", "0"),
        base58check_encode(b"\2\0" + PUBLISHED_KEY),
        base58check_encode(b"\1\0" + PUBLISHED_KEY[:-1]),
        base58check_encode(b"\1\0" + b"\xff" * 32),
    ],
    ids=["empty", "cut", "last changed", "not base 58", "other prefix", "31 bytes", "no point"],
)
def test_a_text_that_is_no_authoritys_key_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        read_authority(text)


@pytest.mark.parametrize("key", [b"", PUBLISHED_KEY + b"\0", b"\xff" * 32])
def test_what_is_no_key_is_not_written(key: bytes) -> None:
    with pytest.raises(KeyRefusedError):
        authority_text(key)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"stratum2+tcp://thepool.com:34254/{PUBLISHED_TEXT}", PoolAddress("thepool.com", 34254, PUBLISHED_KEY)),
        ("stratum2+tcp://127.0.0.1:3336", PoolAddress("127.0.0.1", 3336)),
        (f"stratum2+tcp://[fd00::7]:1/{PUBLISHED_TEXT}", PoolAddress("fd00::7", 1, PUBLISHED_KEY)),
    ],
)
def test_a_pools_url_is_read_and_written(url: str, expected: PoolAddress) -> None:
    assert read_pool_url(url) == expected
    assert expected.url() == url


def test_a_slash_at_the_end_of_a_url_is_taken() -> None:
    assert read_pool_url("stratum2+tcp://pool:3336/") == PoolAddress("pool", 3336)
    assert read_pool_url(f"stratum2+tcp://pool:3336/{PUBLISHED_TEXT}/").authority_key == PUBLISHED_KEY


@pytest.mark.parametrize(
    "url",
    [
        "",
        "thepool.com:34254",
        f"stratum+tcp://thepool.com:34254/{PUBLISHED_TEXT}",
        f"stratum2+tcp://thepool.com/{PUBLISHED_TEXT}",
        "stratum2+tcp://:34254",
        "stratum2+tcp://pool:0",
        "stratum2+tcp://pool:65536",
        "stratum2+tcp://user@pool:1",
        "stratum2+tcp://fd00::7:1",
        "stratum2+tcp://[]:1",
        "stratum2+tcp://pool:1/x",
        "stratum2+tcp://pool:1/a/b",
        "stratum2+tcp://pool:1\n",
        "stratum2+tcp://pool:١",
    ],
)
def test_a_text_that_is_no_pools_url_is_refused(url: str) -> None:
    with pytest.raises(WireError):
        read_pool_url(url)


@given(st.one_of(st.text(), st.text().map(lambda text: "stratum2+tcp://pool:1/" + text)))
def test_any_text_is_a_pools_url_or_refused(text: str) -> None:
    try:
        found = read_pool_url(text)
    except WireError:
        return
    assert read_pool_url(found.url()) == found
