"""Digest authentication over many requests."""

import httpx
import pytest

from mbongi.wire.digest import Challenge, DigestError, challenge_header, parse_answer, verify
from mbongi.wire.digest_signer import DigestSigner

CHALLENGE = Challenge(realm="antMiner Configuration", nonce="abc123", qop=("auth",), opaque="xyz")


@pytest.mark.parametrize(
    "challenge",
    [
        CHALLENGE,
        Challenge(realm='with "quotes"', nonce="n", qop=("auth",)),
        Challenge(realm="r", nonce="n"),
        Challenge(realm="r", nonce="n", qop=("auth",), algorithm="SHA-256"),
        Challenge(realm="r", nonce="n", qop=("auth",), algorithm="MD5-sess"),
    ],
)
def test_every_signature_is_right_and_its_count_rises_by_one(challenge: Challenge) -> None:
    signer = DigestSigner("root", "pass word")
    signer.challenged(challenge_header(challenge))
    for count, uri in enumerate(("/a", "/b?c=d", "/a"), start=1):
        answer = parse_answer(signer.sign("GET", uri))
        assert answer.uri == uri
        assert answer.nc == (count if challenge.qop else 0)
        assert verify(answer, challenge, method="GET", user="root", password="pass word")
        assert not verify(answer, challenge, method="POST", user="root", password="pass word")


def test_a_signature_is_the_one_that_httpx_gives() -> None:
    auth = httpx.DigestAuth("root", "root")
    asked = httpx.Request("GET", "http://device/cgi-bin/stats.cgi")
    flow = auth.auth_flow(asked)
    next(flow)
    flow.send(httpx.Response(401, headers={"www-authenticate": challenge_header(CHALLENGE)}, request=asked))
    theirs = parse_answer(asked.headers["Authorization"])

    signer = DigestSigner("root", "root")
    signer.challenged(challenge_header(CHALLENGE))
    signer._cnonce = theirs.cnonce
    ours = parse_answer(signer.sign("GET", "/cgi-bin/stats.cgi"))
    assert ours == theirs


def test_nothing_is_signed_before_a_challenge_or_after_it_was_forgotten() -> None:
    signer = DigestSigner("root", "root")
    assert not signer.ready
    assert signer.sign("GET", "/") == ""
    signer.challenged(challenge_header(CHALLENGE))
    assert signer.ready
    signer.forget()
    assert signer.sign("GET", "/") == ""


def test_a_new_challenge_starts_its_own_count() -> None:
    signer = DigestSigner("root", "root")
    signer.challenged(challenge_header(CHALLENGE))
    signer.sign("GET", "/")
    signer.challenged('Digest realm="r", nonce="other", qop="auth", stale=true')
    assert (answer := parse_answer(signer.sign("GET", "/"))).nc == 1
    assert answer.nonce == "other"


def test_a_challenge_that_is_none_is_refused() -> None:
    with pytest.raises(DigestError):
        DigestSigner("root", "root").challenged('Basic realm="x"')
