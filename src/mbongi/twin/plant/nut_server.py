"""A NUT server of the virtual plant: ``upsd``'s text protocol, read by ``upsc`` and every monitor of its kind.

Commands and errors are those of RFC 9271 (Uninterruptible Power Supply Management Protocol), sections 4 and 5.
"""

import asyncio
import shlex
from collections.abc import Callable

from mbongi.twin.errors import TwinError
from mbongi.twin.plant.points import Panel, Readings
from mbongi.twin.plant.values import Protocol

VERSION = "Network UPS Tools upsd 2.8.0 (Mbongi's virtual plant)"
LINE_BYTES_MAX = 1024
IDLE_S = 120.0
CLIENTS_MAX = 100
Words = list[str]


class NutServer:
    """What listens: every UPS of the plant that NUT watches."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel
        self.devices = {each.selector: each for each in panel.model.design.devices if each.protocol is Protocol.NUT}
        first = next(iter(self.devices.values()))
        self.host, self.port = first.host, first.port
        self.server: asyncio.Server | None = None
        self.clients: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen. Raises TwinError where the address is taken."""
        try:
            self.server = await asyncio.start_server(self._serve, self.host, self.port, limit=LINE_BYTES_MAX)
        except OSError as error:
            raise TwinError(f"virtual plant {self.host}:{self.port}: NUT server: {error.strerror}") from error

    async def close(self) -> None:
        """Stop."""
        if self.server is not None:
            self.server.close()
            self.server = None
        clients, self.clients = self.clients, set()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    def refresh(self) -> None:
        """Variables are made when they are asked for."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self.clients) >= CLIENTS_MAX:
            writer.close()
            return
        self.clients.add(task)
        session = Session(self)
        try:
            while not session.is_over:
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readline()
                if not line:
                    break
                writer.write(session.answer(line.decode("utf-8", "replace").strip()).encode())
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            pass  # gone, or a line beyond the limit
        finally:
            self.clients.discard(task)
            writer.close()


class Session:
    """One client's."""

    def __init__(self, server: NutServer) -> None:
        self.server = server
        self.user = self.password = ""
        self.login = ""
        self.is_over = False

    def answer(self, line: str) -> str:
        """To one line, with its line ends."""
        try:
            words = shlex.split(line)
        except ValueError:
            return "ERR INVALID-ARGUMENT\n"
        if not words:
            return ""
        handlers: dict[str, Callable[[Words], str]] = {
            "VER": lambda _: f"{VERSION}\n",
            "NETVER": lambda _: "1.3\n",
            "PROTVER": lambda _: "1.3\n",
            "HELP": lambda _: "Commands: HELP VER GET LIST SET INSTCMD LOGIN LOGOUT USERNAME PASSWORD STARTTLS\n",
            "STARTTLS": lambda _: "ERR FEATURE-NOT-CONFIGURED\n",
            "USERNAME": self._username,
            "PASSWORD": self._password,
            "LOGIN": self._login,
            "LOGOUT": self._logout,
            "GET": self._get,
            "LIST": self._list,
            "SET": lambda _: self._denied("ERR READONLY\n"),
            "INSTCMD": lambda _: self._denied("ERR CMD-NOT-SUPPORTED\n"),
        }
        handler = handlers.get(words[0].upper())
        return handler(words[1:]) if handler is not None else "ERR UNKNOWN-COMMAND\n"

    def _username(self, words: Words) -> str:
        if len(words) != 1:
            return "ERR INVALID-ARGUMENT\n"
        if self.user:
            return "ERR ALREADY-SET-USERNAME\n"
        self.user = words[0]
        return "OK\n"

    def _password(self, words: Words) -> str:
        if len(words) != 1:
            return "ERR INVALID-ARGUMENT\n"
        if self.password:
            return "ERR ALREADY-SET-PASSWORD\n"
        self.password = words[0]
        return "OK\n"

    def _login(self, words: Words) -> str:
        if refused := self._denied(""):
            return refused
        if len(words) != 1:
            return "ERR INVALID-ARGUMENT\n"
        if self.login:
            return "ERR ALREADY-LOGGED-IN\n"
        if words[0] not in self.server.devices:
            return "ERR UNKNOWN-UPS\n"
        self.login = words[0]
        return "OK\n"

    def _logout(self, _words: Words) -> str:
        self.is_over = True
        return "OK Goodbye\n"

    def _denied(self, otherwise: str) -> str:
        if not self.user:
            return "ERR USERNAME-REQUIRED\n"
        return "ERR PASSWORD-REQUIRED\n" if not self.password else otherwise

    def _get(self, words: Words) -> str:
        if len(words) < 2:
            return "ERR INVALID-ARGUMENT\n"
        what, name = words[0].upper(), words[1]
        found = self._variables(name)
        if isinstance(found, str):
            return found
        if what in {"NUMLOGINS", "UPSDESC"}:
            told = int(self.login == name) if what == "NUMLOGINS" else f'"{self.server.devices[name].tag}"'
            return f"{what} {name} {told}\n"
        if len(words) != 3 or what not in {"VAR", "TYPE", "DESC"}:
            return "ERR INVALID-ARGUMENT\n"
        if words[2] not in found:
            return "ERR VAR-NOT-SUPPORTED\n"
        kind = {"VAR": f'"{found[words[2]]}"', "TYPE": "NUMBER", "DESC": '"Description unavailable"'}[what]
        return f"{what} {name} {words[2]} {kind}\n"

    def _list(self, words: Words) -> str:
        if words and words[0].upper() == "UPS":
            lines = [f'UPS {name} "{device.tag}"' for name, device in self.server.devices.items()]
            return _listed("UPS", lines)
        if len(words) < 2:
            return "ERR INVALID-ARGUMENT\n"
        what, name = words[0].upper(), words[1]
        found = self._variables(name)
        if isinstance(found, str):
            return found
        if what == "VAR":
            return _listed(f"VAR {name}", [f'VAR {name} {each} "{value}"' for each, value in found.items()])
        known = what in {"RW", "CMD", "CLIENT"}
        return _listed(f"{what} {name}", []) if known else "ERR INVALID-ARGUMENT\n"

    def _variables(self, name: str) -> dict[str, str] | str:
        """A UPS's variables, or the error."""
        device = self.server.devices.get(name)
        if device is None:
            return "ERR UNKNOWN-UPS\n"
        if self.server.panel.is_silent(device.tag):
            return "ERR DATA-STALE\n"
        return variables(device.tag, self.server.panel.read(device.tag))


def _listed(what: str, lines: list[str]) -> str:
    return "\n".join([f"BEGIN LIST {what}", *lines, f"END LIST {what}"]) + "\n"


def status(found: Readings) -> str:
    """The words of ``ups.status``."""
    if found["failed"]:
        return "OFF ALARM"
    words = ["OB" if found["on_battery"] else "OL"]
    if found["low"]:
        words.append("LB")
    if found["on_battery"]:
        words.append("DISCHRG")
    elif found["charge_pct"] < 99.5:
        words.append("CHRG")
    if not found["live"]:
        words.append("OFF")
    return " ".join(words)


def variables(tag: str, found: Readings) -> dict[str, str]:
    """By NUT's names. Source: NUT Developer Guide, command and variable naming scheme."""
    return {
        "battery.charge": f"{found['charge_pct']:.0f}",
        "battery.charge.low": "20",
        "battery.runtime": f"{found['runtime_s']:.0f}",
        "battery.temperature": f"{found['battery_c']:.1f}",
        "battery.voltage": f"{found['battery_v']:.1f}",
        "device.mfr": "Mbongi",
        "device.model": "Virtual UPS",
        "device.serial": tag,
        "device.type": "ups",
        "driver.name": "virtual",
        "input.frequency": f"{found['input_hz']:.1f}",
        "input.voltage": f"{found['input_v']:.1f}",
        "output.current": f"{found['output_w'] / 230.0:.2f}",
        "output.frequency": f"{found['output_hz']:.1f}",
        "output.voltage": f"{found['output_v']:.1f}",
        "ups.load": f"{found['load_pct']:.0f}",
        "ups.realpower": f"{found['output_w']:.0f}",
        "ups.realpower.nominal": f"{found['rated_w']:.0f}",
        "ups.status": status(found),
    }
