"""``ascset`` of a virtual Avalon: settings as words between commas, pools one at a time until the next reboot.

Answers as captured where there is a capture: 119 done, 118 information, 120 refused. Chosen: which commands take effect
at once (all but setpool), that an empty pool clears its place, the words of information without a capture.
"""

from collections.abc import Callable
from typing import Any

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import POOL_COUNT, PoolEntry

DESCRIPTION = "cgminer 4.11.1"
USER = "root"
PASSWORD_MAX = 32
HELP = "|".join(
    (
        "help",
        "voltage",
        "fan-spd",
        "workmode",
        "worklevel",
        "reboot",
        "softon",
        "softoff",
        "led",
        "hashpower",
        "setpool",
        "password",
        "bootby",
        "restore",
        "time",
        "",
    )
)
DENIED = "Auth Failed! password invalid!"
MODES = ("low", "normal")
"""By the number of WORKMODE; the captured A1246 mines at its full rate in mode 1."""

Answer = dict[str, Any]
"""A document; an empty one stands for silence."""


def status(letter: str, code: int, message: str) -> dict[str, Any]:
    """One row of STATUS."""
    return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": DESCRIPTION}


class AvalonWrites:
    """The write side of one machine."""

    def __init__(self, machine: VirtualMachine, *, password: str, power_text: Callable[[], str]) -> None:
        self.machine = machine
        self.power_text = power_text
        # Pools that were set wait here, by their place, for the next reboot.
        machine.deliver(password=password, waiting={}, fan_percent=None)
        self.commands: dict[str, Callable[[list[str]], Answer]] = {
            "help": lambda _: _info(HELP),
            "softoff": lambda words: self._switch(words, "softoff", asleep=True),
            "softon": lambda words: self._switch(words, "softon", asleep=False),
            "workmode": self._work_mode,
            "led": self._led,
            "fan-spd": self._fan,
            "hashpower": lambda words: _refused("") if words else _info(self.power_text()),
            "bootby": lambda _: _info("BOOTBY[0x08.00000000]"),
            "setpool": self._set_pool,
            "password": self._set_password,
            "reboot": lambda _: self.reboot(),
            "restore": lambda _: self._restore(),
        }

    def answer(self, parameter: str) -> Answer:
        """Answer ``0,NAME,ARGUMENT…``; an empty document stands for silence."""
        module, _, rest = parameter.partition(",")
        name, _, words = rest.partition(",")
        if module.strip() != "0":
            return {"STATUS": [status("E", 107, f"Invalid ASC id {module} - range is 0 - 0")]}
        command = self.commands.get(name.strip())
        if command is None:
            return _refused(f"Unknown option: {name}")
        try:
            return command(words.split(",") if words else [])
        except WriteRefusedError:
            return _refused("")

    def reboot(self, **wanted: Any) -> Answer:
        """Restart the control board with other settings; it does not answer."""
        self.machine.change(then=self._reboot, **wanted)
        return {}

    def _reboot(self) -> None:
        """Go down; pools that wait come into use."""
        waiting = self.machine.settings.of("waiting")
        pools = tuple(waiting.get(index, pool) for index, pool in enumerate(self.machine.pools))
        self.machine.apply(pools=pools, waiting={})
        self.machine.reboot()

    def _switch(self, words: list[str], name: str, *, asleep: bool) -> Answer:
        if not words:
            self.machine.change(asleep=asleep, restarts=True)
            return _done()
        flag, _, moment = words[0].partition(":")
        if flag != "1" or not moment.isdigit():
            return _refused(f"{name}: {words[0]}")
        wait_s = max(int(moment) - unix_s(), 0)
        self.machine.change(asleep=asleep, restarts=True, after_s=wait_s)
        return _info(f"success {name}:{moment}")

    def _work_mode(self, words: list[str]) -> Answer:
        if words == ["255"]:
            return _info(f"WORKMODE[{self.mode_number}]")
        numbers = [str(number) for number in range(len(MODES))]
        if len(words) == 2 and words[0] == "set" and words[1] in numbers:
            self.machine.change(power_mode=MODES[int(words[1])], restarts=True)
            return _done()
        return _refused("")

    @property
    def mode_number(self) -> int:
        """WORKMODE."""
        return MODES.index(self.machine.power_mode)

    def _led(self, words: list[str]) -> Answer:
        if words == ["1-255"]:
            return _info(f"LED[{int(self.machine.blinking)}]")
        if words not in (["1-0"], ["1-1"], ["0-0"], ["0-1"]):
            return _refused("")
        self.machine.change(blinking=words[0].endswith("1"))
        return _done()

    def _fan(self, words: list[str]) -> Answer:
        """Kept and stated; the virtual fans go on following their temperature (chosen)."""
        if words == ["-1"]:
            self.machine.change(fan_percent=None)
            return _done()
        if len(words) != 1 or not words[0].isdigit() or not 15 <= int(words[0]) <= 100:
            return _refused("")
        self.machine.change(fan_percent=int(words[0]))
        return _done()

    def _set_pool(self, words: list[str]) -> Answer:
        if len(words) != 6 or not words[2].isdigit() or int(words[2]) >= POOL_COUNT:
            return _refused("")
        if words[:2] != [USER, self.machine.settings.password]:
            return _refused(DENIED)
        entry = PoolEntry(words[3], words[4], words[5])
        self.machine.change(waiting={**self.machine.settings.of("waiting"), int(words[2]): entry})
        return _info("success, reboot to take effect")

    def _set_password(self, words: list[str]) -> Answer:
        if words == ["default"]:
            self.machine.change(password=USER)
            return _done()
        if len(words) != 2 or words[0] != self.machine.settings.password:
            return _refused(DENIED)
        if not 1 <= len(words[1]) <= PASSWORD_MAX:
            return _refused("")
        self.machine.change(password=words[1])
        return _info("new password success set")

    def _restore(self) -> Answer:
        return self.reboot(password=USER, power_mode="normal")


def _done() -> Answer:
    return {"STATUS": [status("S", 119, "ASC 0 set OK")]}


def _info(text: str) -> Answer:
    return {"STATUS": [status("I", 118, f"ASC 0 set info: {text}")]}


def _refused(text: str) -> Answer:
    return {"STATUS": [status("E", 120, f"ASC 0 set failed: {text}")]}
