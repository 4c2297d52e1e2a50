"""API 3's writes on a virtual Whatsminer: a token of password, salt and time; some parameters encrypted.

Written apart from the client's codec on purpose, so that one misreading cannot pass on both sides. Codes after
MicroBT's public text: 0 done, -1 failed, -2 no such command, -3 a parameter that cannot be read, -4 no permission.
Chosen where that text is silent: the time may be off by TS_S, a token is good for as long, user1..3 have no rights.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import POOL_COUNT, Phase, PoolEntry

TS_S = 60
"""How far a write's time may be from the machine's clock."""
NAME_MAX, PASSWORD_MAX, TEXT_MAX = 63, 64, 127
FAILED, UNKNOWN, BAD_ITEM, DENIED = -1, -2, -3, -4
USERS = ("user1", "user2", "user3")
KEYS = ("CustomerSn", *(f"msg{number}" for number in range(10)))
_HIDDEN = {"set.miner.pools", "set.user.change_passwd"}
_BLOCK = 16


class RefusedWriteError(ValueError):
    """A write that the machine does not take, with its code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class V3Writes:
    """The write side of one machine: settings that only its firmware knows, and the permission to change them."""

    def __init__(self, machine: VirtualMachine, *, api_write: bool, password: str) -> None:
        self.machine = machine
        self.salt = "".join(machine.random.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz", k=8))
        machine.deliver(
            password=password,
            hostname="WhatsMiner",
            api_write=api_write,
            user_passwords={name: name for name in USERS},
            web_pools=True,
            fast_boot=False,
            fans={"fan-poweroff-cool": 1, "fan-zero-speed": 0, "fan-temp-offset": 0},
            custom=dict.fromkeys(KEYS, ""),
        )
        self.commands: dict[str, Callable[[Any], None]] = {
            "set.miner.service": self._service,
            "set.miner.pools": self._pools,
            "set.miner.power_limit": self._power_limit,
            "set.miner.power": self._power_limit,
            "set.miner.power_mode": self._power_mode,
            "set.miner.power_percent": self._power_percent,
            "set.miner.fastboot": self._fast_boot,
            "set.miner.restore_setting": self._restore,
            "set.fan.poweroff_cool": lambda value: self._fan("fan-poweroff-cool", value, 0, 1),
            "set.fan.zero_speed": lambda value: self._fan("fan-zero-speed", value, 0, 1),
            "set.fan.temp_offset": lambda value: self._fan("fan-temp-offset", value, -30, 0),
            "set.device.custom_data": self._custom_data,
            "set.system.led": self._led,
            "set.system.hostname": self._set_hostname,
            "set.system.webpools": self._set_web_pools,
            "set.system.reboot": lambda _: machine.change(then=machine.reboot),
            "set.system.factory_reset": lambda _: self._factory_reset(),
            "set.user.change_passwd": self._change_password,
        }

    def write(self, document: dict[str, Any]) -> None:
        """Carry out one write. Raises RefusedWriteError."""
        name, param = str(document.get("cmd")), document.get("param")
        digest = self.checked(name, document)
        command = self.commands.get(name)
        if command is None:
            raise RefusedWriteError(UNKNOWN, "invalid command")
        try:
            command(_opened(digest, param) if name in _HIDDEN else param)
        except WriteRefusedError as error:
            raise RefusedWriteError(FAILED, "failed") from error

    def checked(self, name: str, document: dict[str, Any]) -> bytes:
        """The digest that a write is signed with. Raises RefusedWriteError where it may not be carried out."""
        account, ts, token = document.get("account"), document.get("ts"), document.get("token")
        if not self.machine.settings.of("api_write") or account != "super":
            raise RefusedWriteError(DENIED, "no permission")
        if not isinstance(ts, int) or not isinstance(token, str):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        text = name + self.machine.settings.password + self.salt + str(ts)
        digest = hashlib.sha256(text.encode()).digest()
        if token != base64.b64encode(digest).decode()[:8] or abs(unix_s() - ts) > TS_S:
            raise RefusedWriteError(DENIED, "no permission")
        return digest

    def _service(self, word: Any) -> None:
        if word not in ("stop", "start", "restart"):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        wanted = {} if word == "restart" else {"asleep": word == "stop"}
        self.machine.change(restarts=True, **wanted)

    def _pools(self, rows: Any) -> None:
        if not isinstance(rows, list) or not 1 <= len(rows) <= POOL_COUNT:
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        entries = []
        for row in rows:
            texts = [row.get(key) for key in ("pool", "worker", "passwd")] if isinstance(row, dict) else [None]
            if not all(isinstance(text, str) for text in texts):
                raise RefusedWriteError(BAD_ITEM, "invalid json item")
            entries.append(PoolEntry(*map(str, texts)))
        if not entries[0].url:
            raise RefusedWriteError(FAILED, "pool1 is empty")
        self.machine.change(pools=tuple(entries))

    def _power_limit(self, value: Any) -> None:
        limit_w = _number(value, 0, 99_999)
        if limit_w > self.machine.delivered.power_limit_w:
            raise RefusedWriteError(FAILED, "power limit is above the standard power")
        self.machine.change(power_limit_w=limit_w, restarts=True)

    def _power_mode(self, word: Any) -> None:
        if word not in ("low", "normal", "high"):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        self.machine.change(power_mode=word, restarts=True)

    def _power_percent(self, value: Any) -> None:
        """Both modes at once here; a real machine takes minutes over "normal"."""
        if not isinstance(value, dict) or value.get("mode") not in ("fast", "normal"):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        percent = _number(value.get("percent"), 0, 100)
        if self.machine.phase is not Phase.MINING:
            raise RefusedWriteError(FAILED, "frequency tuning has not ended")
        self.machine.change(power_percent=percent)

    def _fast_boot(self, word: Any) -> None:
        self.machine.change(fast_boot=_switch(word))

    def _set_web_pools(self, word: Any) -> None:
        self.machine.change(web_pools=_switch(word))

    def _fan(self, key: str, value: Any, low: int, high: int) -> None:
        number = int(_number(value, low, high))
        self.machine.change(fans={**self.machine.settings.of("fans"), key: number})

    def _custom_data(self, value: Any) -> None:
        key, text = (value.get("key"), value.get("value")) if isinstance(value, dict) else (None, None)
        if key not in KEYS or not isinstance(text, str) or len(text.encode()) > TEXT_MAX:
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        self.machine.change(custom={**self.machine.settings.of("custom"), key: text})

    def _led(self, value: Any) -> None:
        if value != "auto" and not (isinstance(value, list) and value):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        self.machine.change(blinking=value != "auto")

    def _set_hostname(self, value: Any) -> None:
        """At once here; the maker's text says after a restart."""
        name = value.get("hostname") if isinstance(value, dict) else None
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_MAX:
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        self.machine.change(hostname=name)

    def _change_password(self, value: Any) -> None:
        account, old, new = (value.get(key) if isinstance(value, dict) else None for key in ("account", "old", "new"))
        settings = self.machine.settings
        passwords = {"super": settings.password, **settings.of("user_passwords")}
        if account not in passwords or not isinstance(new, str) or not 1 <= len(new) <= PASSWORD_MAX:
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        if old != passwords[str(account)]:
            raise RefusedWriteError(DENIED, "no permission")
        if account == "super":
            self.machine.change(password=new)
        else:
            self.machine.change(user_passwords={**settings.of("user_passwords"), str(account): new})

    def _restore(self, _: Any) -> None:
        maker = self.machine.delivered
        self.machine.change(pools=maker.pools, power_limit_w=maker.power_limit_w, power_mode="normal", restarts=True)

    def _factory_reset(self) -> None:
        maker = self.machine.delivered
        self.machine.change(
            pools=maker.pools,
            power_limit_w=maker.power_limit_w,
            power_mode="normal",
            password=maker.password,
            user_passwords=maker.of("user_passwords"),
            hostname="WhatsMiner",
            api_write=False,
            web_pools=True,
            then=self.machine.reboot,
        )


def _switch(word: Any) -> bool:
    if word not in ("enable", "disable"):
        raise RefusedWriteError(BAD_ITEM, "invalid json item")
    return bool(word == "enable")


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise RefusedWriteError(BAD_ITEM, "invalid json item")
    return float(value)


def _opened(key: bytes, param: Any) -> Any:
    """An encrypted parameter's document; padded with NULs or by PKCS #7, as clients in use do."""
    try:
        hidden = base64.b64decode(str(param), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedWriteError(BAD_ITEM, "invalid json item") from error
    if not hidden or len(hidden) % _BLOCK:
        raise RefusedWriteError(BAD_ITEM, "invalid json item")
    decryptor = Cipher(algorithms.AES(key), modes.ECB()).decryptor()  # noqa: S305
    plain = (decryptor.update(hidden) + decryptor.finalize()).rstrip(b"\0")
    if plain and plain.endswith(plain[-1:] * plain[-1]) and plain[-1] <= _BLOCK:
        plain = plain[: -plain[-1]]
    try:
        return json.loads(plain)
    except ValueError as error:
        raise RefusedWriteError(BAD_ITEM, "invalid json item") from error
