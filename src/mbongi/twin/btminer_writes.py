"""btminer V2's writes: a token, a signature, an encrypted command, an encrypted answer.

Refused while the API switch is off, which is how the makers deliver; no write is taken unencrypted.
Codes after MicroBT's public document: 14 invalid, 23 not JSON, 45 permission denied, 131 done, 132 failed, 134 token,
135 token wrong, 136 too many tokens, 137 not base64.
"""

from collections.abc import Callable
from typing import Any

from mbongi.twin.btminer_seal import Seal, SealError
from mbongi.twin.firmware import Reply, encode, json_object, unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import PoolEntry

TOKENS_MAX = 32
TOKEN_S = 1800.0
POWER_LIMIT_W = (500, 4000)
_SALT_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
CLOSED_TEXT = "can't access write cmd"
DONE_TEXT = "API command OK"

Outcome = Callable[[], None] | None


class WriteError(ValueError):
    """A write whose parameters cannot be used."""


class BtminerWrites:
    """The write side of one machine."""

    def __init__(self, machine: VirtualMachine, *, api_write: bool, password: str) -> None:
        self.machine, self.api_write, self.password = machine, api_write, password
        self.hostname, self.hash_percent = "WhatsMiner", 0
        self.salt = self._random_text(8)
        self.tokens: dict[str, tuple[Seal, float]] = {}
        self.commands: dict[str, Callable[[dict[str, Any]], Outcome]] = {
            "power_off": lambda _: machine.sleep(),
            "power_on": lambda _: machine.wake(),
            "restart_btminer": lambda _: machine.restart_miner(),
            "reboot": lambda _: machine.reboot,
            "update_pools": self._update_pools,
            "adjust_power_limit": self._adjust_power_limit,
            "set_low_power": lambda _: machine.set_power_mode("low"),
            "set_normal_power": lambda _: machine.set_power_mode("normal"),
            "set_high_power": lambda _: machine.set_power_mode("high"),
            "set_led": self._set_led,
            "set_hostname": self._set_hostname,
            "update_pwd": self._update_pwd,
        }

    def knows(self, command: str) -> bool:
        """Whether a command is a write."""
        return command in self.commands

    def token(self) -> dict[str, Any]:
        """Answer ``get_token``: what the client needs to sign and hide a write."""
        if not self.api_write:
            return _answer("E", 45, CLOSED_TEXT)
        now = self.machine.clock()
        self.tokens = {sign: entry for sign, entry in self.tokens.items() if entry[1] > now}
        if len(self.tokens) >= TOKENS_MAX:
            return _answer("E", 136, "over max connect")
        time_text, newsalt = f"{unix_s() % 10000:04d}", self._random_text(8)
        seal = Seal(password=self.password, salt=self.salt, newsalt=newsalt, time=time_text)
        self.tokens[seal.sign] = (seal, now + TOKEN_S)
        return _answer("S", 134, {"time": time_text, "salt": self.salt, "newsalt": newsalt})

    def refusal(self, document: dict[str, Any]) -> dict[str, Any]:
        """Answer a write that came in the clear."""
        if not self.api_write:
            return _answer("E", 45, CLOSED_TEXT)
        return _answer("E", 135 if "token" in document else 45, "check token error")

    def answer(self, document: dict[str, Any]) -> Reply:
        """Answer an encrypted write: ``{"enc": 1, "data": base64}``."""
        data = document.get("data")
        if not self.api_write:
            return Reply(encode(_answer("E", 45, CLOSED_TEXT)))
        if not isinstance(data, str):
            return Reply(encode(_answer("E", 14, "invalid cmd")))
        found, problem = self._open(data)
        if found is None:
            return Reply(encode(problem))
        seal, command = found
        body, then = self._run(command)
        return Reply(encode({"enc": seal.close(encode(body))}), then)

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

    def _run(self, command: dict[str, Any]) -> tuple[dict[str, Any], Outcome]:
        handler = self.commands.get(str(command.get("cmd", command.get("command"))))
        if handler is None:
            return _answer("E", 14, "invalid cmd"), None
        try:
            then = handler(command)
        except WriteError as error:
            return _answer("E", 132, str(error)), None
        return _answer("S", 131, DONE_TEXT), then

    def _update_pools(self, command: dict[str, Any]) -> None:
        pools = []
        for number in (1, 2, 3):
            texts = [command.get(f"{key}{number}") or "" for key in ("pool", "worker", "passwd")]
            if not all(isinstance(text, str) for text in texts):
                raise WriteError(f"pool{number} is no text")
            pools.append(PoolEntry(*texts))
        if not pools[0].url:
            raise WriteError("pool1 is missing")
        self.machine.set_pools(tuple(pools))

    def _adjust_power_limit(self, command: dict[str, Any]) -> None:
        try:
            limit = int(command.get("power_limit", ""))
        except (TypeError, ValueError) as error:
            raise WriteError("power_limit is no number") from error
        low, high = POWER_LIMIT_W
        if not low <= limit <= high:
            raise WriteError(f"power_limit {limit} is outside {low}..{high}")
        self.machine.set_power_limit(float(limit))

    def _set_led(self, command: dict[str, Any]) -> None:
        self.machine.blinking = command.get("param") != "auto"

    def _set_hostname(self, command: dict[str, Any]) -> None:
        name = command.get("hostname")
        if not isinstance(name, str) or not 1 <= len(name) <= 63:
            raise WriteError("hostname is missing")
        self.hostname = name

    def _update_pwd(self, command: dict[str, Any]) -> None:
        new = command.get("new")
        if command.get("old") != self.password:
            raise WriteError("old password is wrong")
        if not isinstance(new, str) or not 1 <= len(new.encode()) <= 8:
            raise WriteError("new password must have 1..8 bytes")
        self.password = new
        self.tokens.clear()

    def _random_text(self, length: int) -> str:
        return "".join(self.machine.random.choices(_SALT_ALPHABET, k=length))


def _answer(letter: str, code: int, message: object) -> dict[str, Any]:
    return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": ""}
