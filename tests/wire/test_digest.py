"""Digest authentication against the published examples of RFC 7616 3.9.1 and RFC 2617 3.5."""

import pytest

from mbongi.wire.digest import (
    Challenge,
    DigestError,
    authorization,
    challenge_header,
    parse_answer,
    parse_challenge,
    verify,
)

RFC_2617_CHALLENGE = (
    'Digest realm="testrealm@host.com", qop="auth,auth-int", '
    'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)
RFC_2617_ANSWER = (
    'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
    'uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b", '
    'response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


def rfc_7616_challenge(algorithm: str) -> str:
    return (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )


def rfc_7616_answer(algorithm: str) -> str:
    return authorization(
        parse_challenge(rfc_7616_challenge(algorithm)),
        method="GET",
        uri="/dir/index.html",
        user="Mufasa",
        password="Circle of Life",
        nc=1,
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_answer_is_the_one_printed_in_rfc_7616(algorithm: str, response: str) -> None:
    header = rfc_7616_answer(algorithm)

    assert f'response="{response}"' in header
    assert "nc=00000001" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_the_answer_is_the_one_printed_in_rfc_2617() -> None:
    challenge = parse_challenge(RFC_2617_CHALLENGE)

    header = authorization(
        challenge,
        method="GET",
        uri="/dir/index.html",
        user="Mufasa",
        password="Circle Of Life",
        nc=1,
        cnonce="0a4f113b",
    )

    assert parse_answer(header) == parse_answer(RFC_2617_ANSWER)


def test_the_server_accepts_the_printed_answer_and_no_other_password_method_or_user() -> None:
    challenge, answer = parse_challenge(RFC_2617_CHALLENGE), parse_answer(RFC_2617_ANSWER)

    assert verify(answer, challenge, method="GET", user="Mufasa", password="Circle Of Life")
    assert not verify(answer, challenge, method="GET", user="Mufasa", password="circle of life")
    assert not verify(answer, challenge, method="POST", user="Mufasa", password="Circle Of Life")
    assert not verify(answer, challenge, method="GET", user="Scar", password="Circle Of Life")


def test_an_answer_to_another_nonce_is_refused() -> None:
    answer = parse_answer(RFC_2617_ANSWER)
    newer = Challenge(realm="testrealm@host.com", nonce="another", qop=("auth",))

    assert not verify(answer, newer, method="GET", user="Mufasa", password="Circle Of Life")


def test_a_stale_challenge_survives_the_way_to_the_client() -> None:
    challenge = Challenge(realm='antMiner "Configuration"', nonce="abc", qop=("auth",), stale=True)

    assert parse_challenge(challenge_header(challenge)) == challenge


def test_a_challenge_without_qop_is_answered_as_in_rfc_2069() -> None:
    challenge = parse_challenge('Digest realm="r", nonce="n"')
    header = authorization(challenge, method="GET", uri="/", user="u", password="p", nc=1, cnonce="c")

    assert "qop" not in header
    assert "nc=" not in header
    # MD5(MD5("u:r:p") ":n:" MD5("GET:/")), from coreutils' md5sum.
    assert parse_answer(header).response == "f23121ca97143c6b358da620220c83b4"


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-256-sess"])
def test_session_algorithms_bind_the_answer_to_the_clients_nonce(algorithm: str) -> None:
    challenge = Challenge(realm="r", nonce="n", algorithm=algorithm, qop=("auth",))
    header = authorization(challenge, method="GET", uri="/", user="u", password="p", nc=7, cnonce="c")
    answer = parse_answer(header)

    assert answer.nc == 7
    assert verify(answer, challenge, method="GET", user="u", password="p")
    changed = parse_answer(header.replace('cnonce="c"', 'cnonce="d"'))
    assert not verify(changed, challenge, method="GET", user="u", password="p")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ('Basic realm="r"', "expected Digest"),
        ('Digest realm="r"', "nonce is missing"),
        ('Digest nonce="n"', "realm is missing"),
        ('Digest realm="r", nonce="n", algorithm=SHA-512-256', "algorithm"),
        ('Digest realm="r", nonce="n", qop="auth-int"', "expected auth"),
        ('Digest realm="r, nonce="n"', "cannot be read"),
        ('Digest realm="r", realm="s", nonce="n"', "twice"),
        ("", "expected Digest"),
    ],
)
def test_a_challenge_that_cannot_be_used_is_an_error_that_says_why(header: str, said: str) -> None:
    with pytest.raises(DigestError, match=said):
        parse_challenge(header)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nc=00000001", "nc=1", "nc of eight"),
        ('cnonce="0a4f113b", ', "", "cnonce"),
        ("qop=auth", "qop=auth-int", "expected auth"),
        ('username="Mufasa", ', "", "username is missing"),
    ],
)
def test_an_answer_that_is_incomplete_is_an_error(old: str, new: str, said: str) -> None:
    with pytest.raises(DigestError, match=said):
        parse_answer(RFC_2617_ANSWER.replace(old, new))


def test_a_line_break_in_a_name_cannot_smuggle_a_header() -> None:
    challenge = parse_challenge(RFC_2617_CHALLENGE)
    with pytest.raises(DigestError, match="control character"):
        authorization(challenge, method="GET", uri="/", user="a\r\nX: y", password="p", nc=1, cnonce="c")
