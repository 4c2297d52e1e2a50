"""btminer V2's writes: a token, a signature, an encrypted command, an encrypted answer.

Refused while the API switch is off, which is how the makers deliver; no write is taken unencrypted. Some are carried
out without an answer (SILENT), power_off too unless it asks for one first. Settings in KEPT change nothing here.
Codes after MicroBT's public document: 14 invalid, 23 not JSON, 45 permission denied, 131 done, 132 failed, 134 token,
135 token wrong, 136 too many tokens, 137 not base64. Which commands are silent, and what 99999 means: MDK (Apache-2.0).
"""

import functools
from collections.abc import Callable
from typing import Any

from mbongi.twin.btminer_seal import Seal, SealError
from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import Reply, encode, json_object, unix_s
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Phase, PoolEntry

TOKENS_MAX = 32
TOKEN_S = 1800.0
POWER_LIMIT_W = (500, 4000)
NO_LIMIT = 99_999
SILENT = frozenset({"reboot", "restart_btminer", "set_low_power", "set_normal_power", "set_high_power"})
KEPT = {
    "set_target_freq": ("percent", -100, 100),
    "adjust_upfreq_speed": ("upfreq_speed", 0, 10),
    "set_temp_offset": ("temp_offset", -30, 0),
    "set_poweroff_cool": ("poweroff_cool", 0, 1),
    "set_fan_zero_speed": ("fan_zero_speed", 0, 1),
}
"""Commands whose one number is checked and kept: its name, the lowest and the highest."""
SWITCHES = ("btminer_fast_boot", "web_pools")
"""What enable_ and disable_ commands there are."""
_SALT_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
CLOSED_TEXT = "can't access write cmd"
DONE_TEXT = "API command OK"

Outcome = dict[str, Any] | None
"""The answer's own message; None: done."""


class WriteError(ValueError):
    """A write whose parameters cannot be used."""


class BtminerWrites:
    """The write side of one machine."""

    def __init__(self, machine: VirtualMachine, *, api_write: bool, password: str) -> None:
        self.machine = machine
        machine.deliver(
            password=password,
            hostname="WhatsMiner",
            api_write=api_write,
            kept={field: 0 for field, _, _ in KEPT.values()},
            switches=dict.fromkeys(SWITCHES, False),
        )
        self.adjusts = False
        self.salt = self._random_text(8)
        self.tokens: dict[str, tuple[Seal, float]] = {}
        self.commands: dict[str, Callable[[dict[str, Any]], Outcome]] = {
            "power_off": lambda _: machine.change(asleep=True, restarts=True),
            "power_on": lambda _: machine.change(asleep=False, restarts=True),
            "restart_btminer": lambda _: machine.change(restarts=True),
            "reboot": lambda _: machine.change(then=machine.reboot),
            "update_pools": self._update_pools,
            "adjust_power_limit": self._adjust_power_limit,
            "set_low_power": lambda _: machine.change(power_mode="low", restarts=True),
            "set_normal_power": lambda _: machine.change(power_mode="normal", restarts=True),
            "set_high_power": lambda _: machine.change(power_mode="high", restarts=True),
            "set_led": self._set_led,
            "set_hostname": self._set_hostname,
            "update_pwd": self._update_pwd,
            "set_power_pct": lambda command: self._set_power_pct(command, low=0),
            "set_power_pct_v2": lambda command: self._set_power_pct(command, low=1),
            "pre_power_on": self._pre_power_on,
            "factory_reset": lambda _: self._factory_reset(),
            "update_firmware": lambda _: {},
            **{name: functools.partial(self._keep, name) for name in KEPT},
            **{f"enable_{name}": functools.partial(self._switch, name, on=True) for name in SWITCHES},
            **{f"disable_{name}": functools.partial(self._switch, name, on=False) for name in SWITCHES},
        }

    def knows(self, command: str) -> bool:
        """Whether a command is a write."""
        return command in self.commands

    @property
    def _is_open(self) -> bool:
        return bool(self.machine.settings.of("api_write"))

    def token(self) -> dict[str, Any]:
        """Answer ``get_token``: what the client needs to sign and hide a write."""
        if not self._is_open:
            return _answer("E", 45, CLOSED_TEXT)
        now = self.machine.clock()
        self.tokens = {sign: entry for sign, entry in self.tokens.items() if entry[1] > now}
        if len(self.tokens) >= TOKENS_MAX:
            return _answer("E", 136, "over max connect")
        time_text, newsalt = f"{unix_s() % 10000:04d}", self._random_text(8)
        seal = Seal(password=self.machine.settings.password, salt=self.salt, newsalt=newsalt, time=time_text)
        self.tokens[seal.sign] = (seal, now + TOKEN_S)
        return _answer("S", 134, {"time": time_text, "salt": self.salt, "newsalt": newsalt})

    def refusal(self, document: dict[str, Any]) -> dict[str, Any]:
        """Answer a write that came in the clear."""
        if not self._is_open:
            return _answer("E", 45, CLOSED_TEXT)
        return _answer("E", 135 if "token" in document else 45, "check token error")

    def answer(self, document: dict[str, Any]) -> Reply:
        """Answer an encrypted write: ``{"enc": 1, "data": base64}``."""
        data = document.get("data")
        if not self._is_open:
            return Reply(encode(_answer("E", 45, CLOSED_TEXT)))
        if not isinstance(data, str):
            return Reply(encode(_answer("E", 14, "invalid cmd")))
        found, problem = self._open(data)
        if found is None:
            return Reply(encode(problem))
        seal, command = found
        if command.get("cmd", command.get("command")) == "update_firmware":
            return self._sealed(seal, _answer("S", 131, "ready"), lambda image: self._flash(seal, image))
        body = self._run(command)
        if body["STATUS"] == "S" and _is_silent(command):
            return Reply(b"")
        return Reply(encode({"enc": seal.close(encode(body))}))

    @staticmethod
    def _sealed(seal: Seal, body: dict[str, Any], then_image: Callable[[bytes], Reply] | None = None) -> Reply:
        return Reply(encode({"enc": seal.close(encode(body))}), then_image=then_image)

    def _flash(self, seal: Seal, image: bytes) -> Reply:
        """What the machine says once the image that was announced is there."""
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return self._sealed(seal, _answer("E", 132, str(error)))
        return self._sealed(seal, _answer("S", 131, "API command OK"))

    def _open(self, data: str) -> tuple[tuple[Seal, dict[str, Any]] | None, dict[str, Any]]:
        now = self.machine.clock()
        for sign, (seal, until) in reversed(self.tokens.items()):
            try:
                command = json_object(seal.open(data))
            except SealError:
                return None, _answer("E", 137, "base64 decode error")
            # The key depends on the password alone, so the token inside must name one that was given out.
            if command is not None and command.get("token") == sign and until > now:
                return (seal, command), {}
        return None, _answer("E", 135, "check token error")

    def _run(self, command: dict[str, Any]) -> dict[str, Any]:
        handler = self.commands.get(str(command.get("cmd", command.get("command"))))
        if handler is None:
            return _answer("E", 14, "invalid cmd")
        try:
            return _answer("S", 131, handler(command) or DONE_TEXT)
        except WriteError as error:
            return _answer("E", 132, str(error))
        except WriteRefusedError:
            return _answer("E", 132, "command failed")

    def _update_pools(self, command: dict[str, Any]) -> None:
        pools = []
        for number in (1, 2, 3):
            texts = [command.get(f"{key}{number}") or "" for key in ("pool", "worker", "passwd")]
            if not all(isinstance(text, str) for text in texts):
                raise WriteError(f"pool{number} is no text")
            pools.append(PoolEntry(*texts))
        if not pools[0].url:
            raise WriteError("pool1 is missing")
        self.machine.change(pools=tuple(pools))

    def _adjust_power_limit(self, command: dict[str, Any]) -> None:
        low, high = POWER_LIMIT_W
        if command.get("power_limit") in (NO_LIMIT, str(NO_LIMIT)):
            limit_w = self.machine.delivered.power_limit_w
        else:
            limit_w = float(_number(command, "power_limit", low, high))
        self.machine.change(power_limit_w=limit_w)

    def _set_power_pct(self, command: dict[str, Any], *, low: int) -> None:
        percent = _number(command, "percent", low, 100)
        if self.machine.phase is not Phase.MINING:
            raise WriteError("frequency tuning has not ended")
        self.machine.change(power_percent=float(percent))

    def _pre_power_on(self, command: dict[str, Any]) -> dict[str, Any]:
        """The first asks the machine to warm its boards, the next is told that they are (chosen)."""
        if command.get("complete") not in {"true", "false"} or not isinstance(command.get("msg"), str):
            raise WriteError("complete or msg is missing")
        self.adjusts = not self.adjusts
        if self.adjusts:
            return {"complete": "false", "msg": "wait for adjust temp"}
        return {"complete": "true", "msg": "adjust complete"}

    def _keep(self, name: str, command: dict[str, Any]) -> None:
        field, low, high = KEPT[name]
        number = _number(command, field, low, high)
        self.machine.change(kept={**self.machine.settings.of("kept"), field: number})

    def _switch(self, name: str, _: dict[str, Any], *, on: bool) -> None:
        self.machine.change(switches={**self.machine.settings.of("switches"), name: on})

    def _factory_reset(self) -> None:
        machine = self.machine
        machine.change(
            pools=machine.delivered.pools,
            power_limit_w=machine.delivered.power_limit_w,
            power_mode="normal",
            password=machine.delivered.password,
            hostname="WhatsMiner",
            api_write=False,
            kept=machine.delivered.of("kept"),
            then=machine.reboot,
        )
        self.tokens.clear()

    def _set_led(self, command: dict[str, Any]) -> None:
        self.machine.change(blinking=command.get("param") != "auto")

    def _set_hostname(self, command: dict[str, Any]) -> None:
        name = command.get("hostname")
        if not isinstance(name, str) or not 1 <= len(name) <= 63:
            raise WriteError("hostname is missing")
        self.machine.change(hostname=name)

    def _update_pwd(self, command: dict[str, Any]) -> None:
        new = command.get("new")
        if command.get("old") != self.machine.settings.password:
            raise WriteError("old password is wrong")
        if not isinstance(new, str) or not 1 <= len(new.encode()) <= 8:
            raise WriteError("new password must have 1..8 bytes")
        self.machine.change(password=new)
        self.tokens.clear()

    def _random_text(self, length: int) -> str:
        return "".join(self.machine.random.choices(_SALT_ALPHABET, k=length))


def _is_silent(command: dict[str, Any]) -> bool:
    name = command.get("cmd", command.get("command"))
    return name in SILENT or (name == "power_off" and command.get("respbefore") != "true")


def _number(command: dict[str, Any], field: str, low: int, high: int) -> int:
    """A whole number, which clients send as text too."""
    try:
        found = int(command.get(field, ""))
    except (TypeError, ValueError) as error:
        raise WriteError(f"{field} is no number") from error
    if not low <= found <= high:
        raise WriteError(f"{field} {found} is outside {low}..{high}")
    return found


def _answer(letter: str, code: int, message: object) -> dict[str, Any]:
    return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": ""}
