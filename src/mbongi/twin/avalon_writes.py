"""``ascset`` of a virtual Avalon: settings as words between commas, pools one at a time until the next reboot.

Answers as captured where there is a capture: 119 done, 118 information, 120 refused. Chosen: which commands take effect
at once (all but setpool), that an empty pool clears its place, the words of information without a capture.
"""

from collections.abc import Callable
from typing import Any

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

Answer = tuple[dict[str, Any], Callable[[], None] | None]


def status(letter: str, code: int, message: str) -> dict[str, Any]:
    """One row of STATUS."""
    return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": DESCRIPTION}


class AvalonWrites:
    """The write side of one machine."""

    def __init__(self, machine: VirtualMachine, *, password: str, power_text: Callable[[], str]) -> None:
        self.machine, self.password = machine, password
        self.power_text = power_text
        self.waiting: dict[int, PoolEntry] = {}
        """Pools that were set and come into use with the next reboot."""
        self.fan_percent: int | None = None
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
            "reboot": lambda _: ({}, self.reboot),
            "restore": lambda _: ({}, self._restore),
        }

    def answer(self, parameter: str) -> Answer:
        """Answer ``0,NAME,ARGUMENT…``; an empty document stands for silence."""
        module, _, rest = parameter.partition(",")
        name, _, words = rest.partition(",")
        if module.strip() != "0":
            return {"STATUS": [status("E", 107, f"Invalid ASC id {module} - range is 0 - 0")]}, None
        command = self.commands.get(name.strip())
        if command is None:
            return _refused(f"Unknown option: {name}")
        return command(words.split(",") if words else [])

    def reboot(self) -> None:
        """Restart the control board; pools that wait come into use."""
        if self.waiting:
            pools = list(self.machine.pools)
            for index, entry in self.waiting.items():
                pools[index] = entry
            self.waiting.clear()
            self.machine.set_pools(tuple(pools))
        self.machine.reboot()

    def _switch(self, words: list[str], name: str, *, asleep: bool) -> Answer:
        if not words:
            self.machine.plan(self.machine.clock(), asleep=asleep)
            return _done()
        flag, _, moment = words[0].partition(":")
        if flag != "1" or not moment.isdigit():
            return _refused(f"{name}: {words[0]}")
        wait_s = max(int(moment) - unix_s(), 0)
        self.machine.plan(self.machine.clock() + wait_s, asleep=asleep)
        return _info(f"success {name}:{moment}")

    def _work_mode(self, words: list[str]) -> Answer:
        if words == ["255"]:
            return _info(f"WORKMODE[{self.mode_number}]")
        numbers = [str(number) for number in range(len(MODES))]
        if len(words) == 2 and words[0] == "set" and words[1] in numbers:
            self.machine.set_power_mode(MODES[int(words[1])])
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
        self.machine.blinking = words[0].endswith("1")
        return _done()

    def _fan(self, words: list[str]) -> Answer:
        """Kept and stated; the virtual fans go on following their temperature (chosen)."""
        if words == ["-1"]:
            self.fan_percent = None
            return _done()
        if len(words) != 1 or not words[0].isdigit() or not 15 <= int(words[0]) <= 100:
            return _refused("")
        self.fan_percent = int(words[0])
        return _done()

    def _set_pool(self, words: list[str]) -> Answer:
        if len(words) != 6 or not words[2].isdigit() or int(words[2]) >= POOL_COUNT:
            return _refused("")
        if words[:2] != [USER, self.password]:
            return _refused(DENIED)
        self.waiting[int(words[2])] = PoolEntry(words[3], words[4], words[5])
        return _info("success, reboot to take effect")

    def _set_password(self, words: list[str]) -> Answer:
        if words == ["default"]:
            self.password = USER
            return _done()
        if len(words) != 2 or words[0] != self.password:
            return _refused(DENIED)
        if not 1 <= len(words[1]) <= PASSWORD_MAX:
            return _refused("")
        self.password = words[1]
        return _info("new password success set")

    def _restore(self) -> None:
        self.password = USER
        self.machine.set_power_mode("normal")
        self.reboot()


def _done() -> Answer:
    return {"STATUS": [status("S", 119, "ASC 0 set OK")]}, None


def _info(text: str) -> Answer:
    return {"STATUS": [status("I", 118, f"ASC 0 set info: {text}")]}, None


def _refused(text: str) -> Answer:
    return {"STATUS": [status("E", 120, f"ASC 0 set failed: {text}")]}, None
