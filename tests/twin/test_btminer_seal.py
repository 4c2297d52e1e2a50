"""The machine's side of encrypted writes, against passlib and pyasic's client."""

import json
import random

import pytest

from mbongi.twin.btminer_seal import Seal, SealError, md5_crypt
from tests.twin.others_clients import TokenData, create_privileged_cmd, parse_btminer_priviledge_data, passlib_md5_crypt

ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize("length", [0, 1, 5, 8, 15, 16, 17, 33, 64])
def test_md5_crypt_agrees_with_passlib(length: int) -> None:
    chance = random.Random(length)
    word = "".join(chance.choices(ALPHABET + "éß!", k=length))
    salt = "".join(chance.choices(ALPHABET, k=8))

    assert f"$1${salt}${md5_crypt(word, salt)}" == passlib_md5_crypt.using(salt=salt).hash(word)


def test_pyasics_client_is_understood_and_understands() -> None:
    seal = Seal(password="secret12", salt="BQ5hoXV9", newsalt="jbzkfQls", time="5626")
    secret = passlib_md5_crypt.using(salt="BQ5hoXV9").hash("secret12").split("$")[3]
    token = TokenData(
        host_sign=passlib_md5_crypt.using(salt="jbzkfQls").hash(secret + "5626").split("$")[3], host_passwd_md5=secret
    )

    sent = json.loads(create_privileged_cmd(token, {"cmd": "power_off", "respbefore": "true"}))
    assert json.loads(seal.open(sent["data"])) == {"cmd": "power_off", "respbefore": "true", "token": seal.sign}

    answer = {"STATUS": "S", "Code": 131, "Msg": "API command OK"}
    assert parse_btminer_priviledge_data(token, {"enc": seal.close(json.dumps(answer).encode())}) == answer


@pytest.mark.parametrize("text", ["***", "", "QUJD"])
def test_what_is_not_ours_to_open_is_an_error(text: str) -> None:
    with pytest.raises(SealError):
        Seal(password="admin", salt="a", newsalt="b", time="1").open(text)
