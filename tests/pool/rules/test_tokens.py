"""Tokens: recognised by who has the key, for what they stand for, while they last."""

import hmac
from hashlib import sha256

import pytest

from mbongi.pool.rules.tokens import TOKEN_BYTES, Kind, Tokens

KEY = b"k" * 32


def test_a_token_is_recognised_by_every_holder_of_the_key_until_it_is_over() -> None:
    token = Tokens(KEY).make(Kind.DECLARE, until_s=1_000.0)

    assert len(token) == TOKEN_BYTES
    assert Tokens(KEY).kind(token, now_s=1_000.0) is Kind.DECLARE
    assert Tokens(KEY).kind(token, now_s=1_001.0) is None
    assert Tokens(b"other").kind(token, now_s=0.0) is None


def test_a_declared_blocks_token_stands_for_that_block_alone() -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Kind.DECLARED, until_s=1_000.0, digest=b"a" * 32)

    assert tokens.kind(token, now_s=0.0, digest=b"a" * 32) is Kind.DECLARED
    assert tokens.kind(token, now_s=0.0, digest=b"b" * 32) is None
    assert tokens.kind(token, now_s=0.0) is None


def test_a_token_that_stands_for_no_block_is_good_with_any() -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Kind.COINBASE_ONLY, until_s=1_000.0)
    assert tokens.kind(token, now_s=0.0, digest=b"a" * 32) is Kind.COINBASE_ONLY


@pytest.mark.parametrize("place", range(TOKEN_BYTES))
def test_a_changed_token_is_none_of_ours(place: int) -> None:
    tokens = Tokens(KEY)
    token = bytearray(tokens.make(Kind.COINBASE_ONLY, until_s=2.0**31))
    token[place] ^= 1
    assert tokens.kind(bytes(token), now_s=0.0) is None


@pytest.mark.parametrize("junk", [b"", b"\2", bytes(TOKEN_BYTES - 1), bytes(TOKEN_BYTES + 1), bytes(TOKEN_BYTES)])
def test_junk_is_no_token(junk: bytes) -> None:
    assert Tokens(KEY).kind(junk, now_s=0.0) is None


def test_two_tokens_differ_and_the_code_is_an_hmac_of_all_that_they_say() -> None:
    tokens = Tokens(KEY, random=lambda size: b"\x09" * size)
    token = tokens.make(Kind.DECLARED, until_s=5.9, digest=b"d" * 32)
    head = b"\x03" + b"\x05\0\0\0" + b"\x09" * 8

    assert token == head + hmac.new(KEY, head + b"d" * 32, sha256).digest()[:16]
    assert Tokens(KEY).make(Kind.DECLARE, until_s=1.0) != Tokens(KEY).make(Kind.DECLARE, until_s=1.0)
