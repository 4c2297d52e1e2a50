"""btminer V2: the encrypted writes, against pyasic, passlib and OpenSSL's own figures."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbongi.twin.btminer_seal import Seal
from mbongi.wire.btminer import Sealer, Token, error_codes
from mbongi.wire.errors import WireError
from mbongi.wire.md5crypt import md5_crypt
from tests.twin.others_clients import TokenData, create_privileged_cmd, passlib_md5_crypt

TOKEN = Token(time="5626", salt="BQ5hoXV9", newsalt="jbzkfQls")


@pytest.mark.parametrize(
    ("password", "salt", "expected"),
    [
        # openssl passwd -1 -salt SALT PASSWORD
        ("admin", "BQ5hoXV9", "RxmaDUO33TS7O26yeMHZ81"),
        ("password", "saltsalt", "qjXMvbEw8oaL.CzflDtaK/"),
        ("", "ab", "rn6aQS/o7141mj179E/zA."),
    ],
)
def test_md5_crypt_gives_what_openssl_gives(password: str, salt: str, expected: str) -> None:
    assert md5_crypt(password.encode(), salt.encode()) == expected


@given(
    password=st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40),
    salt=st.text("./0123456789ABCDEFXYZabcdefxyz", min_size=1, max_size=8),
)
def test_md5_crypt_gives_what_passlib_gives(password: str, salt: str) -> None:
    expected = passlib_md5_crypt.using(salt=salt).hash(password).rpartition("$")[2]
    assert md5_crypt(password.encode(), salt.encode()) == expected


def test_a_sealed_write_is_byte_for_byte_what_pyasic_sends() -> None:
    secret = md5_crypt(b"admin", TOKEN.salt.encode())
    sign = md5_crypt((secret + TOKEN.time).encode(), TOKEN.newsalt.encode())
    theirs = json.loads(
        create_privileged_cmd(TokenData(host_sign=sign, host_passwd_md5=secret), {"cmd": "power_off", "x": "1"})
    )
    ours = json.loads(Sealer(TOKEN, "admin").seal("power_off", x="1"))
    assert ours["enc"] == theirs["enc"] == 1
    # The field order and blanks of the hidden JSON differ; what it says must not.
    machine = Seal(password="admin", salt=TOKEN.salt, newsalt=TOKEN.newsalt, time=TOKEN.time)
    assert json.loads(machine.open(ours["data"])) == json.loads(machine.open(theirs["data"]))


def test_a_hidden_answer_is_opened_and_a_plain_refusal_is_read() -> None:
    machine = Seal(password="admin", salt=TOKEN.salt, newsalt=TOKEN.newsalt, time=TOKEN.time)
    sealer = Sealer(TOKEN, "admin")
    hidden = json.dumps({"enc": machine.close(b'{"STATUS":"S","Code":131,"Msg":"API command OK"}')}).encode()
    assert sealer.open(hidden).Code == 131
    assert sealer.open(b'{"STATUS":"E","Code":135,"Msg":"check token error"}\0').Code == 135


@pytest.mark.parametrize("reply", [b"", b"garbage", b'{"enc":"!!"}', b'{"enc":"QUJD"}', b'{"enc":""}', b"[]"])
def test_an_answer_that_cannot_be_opened_is_an_error(reply: bytes) -> None:
    with pytest.raises(WireError):
        Sealer(TOKEN, "admin").open(reply)


def test_an_answer_under_another_password_is_an_error() -> None:
    machine = Seal(password="other", salt=TOKEN.salt, newsalt=TOKEN.newsalt, time=TOKEN.time)
    with pytest.raises(WireError):
        Sealer(TOKEN, "admin").open(json.dumps({"enc": machine.close(b'{"Code":131}')}).encode())


def test_a_token_without_its_parts_is_an_error() -> None:
    with pytest.raises(WireError, match="missing"):
        Sealer(Token(time="1", salt="a"), "admin")


def test_error_codes_are_read_in_every_captured_shape() -> None:
    assert error_codes([{"218": "2024-06-15 10:30:00"}, {"264": "x", "reason": "y"}]) == [
        ("218", "2024-06-15 10:30:00"),
        ("264", "x"),
    ]
    assert error_codes({"110": ""}) == [("110", "")]
    assert error_codes([110, "x", None]) == [("110", "")]
    assert error_codes(None) == []
