"""cgminer of an AvalonMiner A1246 on TCP 4028, rendered as in captured replies.

A request is JSON and is answered in JSON, or plain text (``version``, ``ascset|0,led,1-1``) and is answered in text.
Joined commands are refused. One request and one answer per connection; the answer ends in NUL.
"""

import functools
from collections.abc import Callable
from random import Random
from typing import Any

from mbongi.twin.antminer_rpc import difficulties, percent
from mbongi.twin.avalon_writes import AvalonWrites, status
from mbongi.twin.firmware import Reply, encode, json_object, whole
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import PoolEntry, PoolTally

VERSION = "21072802_4ec6bb0_211fc46"
PRODUCT = "AvalonMiner 1246-83"
SUPPLY_SHARE = 0.91
"""What the supply gives out of what it draws: captured PS 3189 of 3504 W."""
SPREAD_K = 10
"""Of the chips' temperatures over a board, about its mean."""
BOARD_ABNORMAL, TOO_HOT = 513, 128
"""ECHU after the errors that MDK reads."""
LEVELS = ("472 492 512 532", "376 396 416 436")
INDEXES = {"STATUS": "STATUS", "POOLS": "POOL", "STATS": "STATS", "DEVS": "ASC", "DEVDETAILS": "DEVDETAILS"}
"""In an answer of text: which field stands first in a row. Other rows begin with their section's name."""


class Avalon:
    """One machine's firmware. ``password`` is that of its user root."""

    def __init__(self, machine: VirtualMachine, *, password: str = "root") -> None:  # noqa: S107
        self.machine = machine
        self.writes = AvalonWrites(machine, password=password, power_text=self._power_text)
        self.tables: dict[str, tuple[int, str, str, Callable[[], list[dict[str, Any]]]]] = {
            "version": (22, "CGMiner versions", "VERSION", self._version),
            "summary": (11, "Summary", "SUMMARY", self._summary),
            "devs": (9, "1 ASC(s)", "DEVS", self._devs),
            "devdetails": (69, "Device Details", "DEVDETAILS", self._devdetails),
            "pools": (7, "3 Pool(s)", "POOLS", self._pools),
            "stats": (70, "CGMiner stats", "STATS", self._stats),
            "estats": (70, "CGMiner stats", "STATS", self._stats),
            "config": (33, "CGMiner config", "CONFIG", self._config),
        }

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request."""
        self.machine.advance()
        text = request.strip(b"\0\r\n ")
        if not text.startswith(b"{"):
            name, _, parameter = text.decode("latin-1").partition("|")
            return Reply(_as_text(self._answer(name.strip(), parameter)))
        found = json_object(text)
        if found is None:
            return Reply(_as_json({"STATUS": [status("E", 23, "Invalid JSON")]}))
        if not isinstance(found.get("command"), str):
            return Reply(_as_json({"STATUS": [status("E", 24, "Missing JSON 'command'")]}))
        document = self._answer(found["command"], str(found.get("parameter", "")))
        return Reply(_as_json(document) if document else b"")

    def _answer(self, name: str, parameter: str) -> dict[str, Any]:
        if name == "ascset":
            return self.writes.answer(parameter)
        if name == "restart":
            # As cgminer's own description of its interface has it: no list, unlike every other answer.
            self.machine.change(restarts=True)
            return {"STATUS": "RESTART"}
        if name not in self.tables:
            return {"STATUS": [status("E", 14, "Invalid command")]}
        code, message, key, rows = self.tables[name]
        return {"STATUS": [status("S", code, message)], key: rows()}

    # Tables.

    @property
    def dna(self) -> str:
        """The machine's own number."""
        return f"0201{Random(self.machine.serial).getrandbits(48):012x}"  # noqa: S311 -- a made-up serial number

    def _version(self) -> list[dict[str, Any]]:
        return [
            {
                "API": "3.7",
                "CGMiner": "4.11.1",
                "DNA": self.dna,
                "HWTYPE": "MM3v2_X3",
                "MAC": self.machine.mac.replace(":", "").lower(),
                "MODEL": PRODUCT.split()[1],
                "PROD": PRODUCT,
                "SWTYPE": "MM315",
                "VERSION": VERSION,
            }
        ]

    def _rates(self) -> dict[str, float]:
        machine = self.machine
        rate, average = round(machine.rate_ths * 1e6, 2), round(machine.average_ths * 1e6, 2)
        return {"MHS 15m": average, "MHS 1m": rate, "MHS 5m": rate, "MHS 5s": rate, "MHS av": average}

    def _summary(self) -> list[dict[str, Any]]:
        machine = self.machine
        minutes = max(machine.elapsed_s / 60.0, 1 / 60)
        taken, refused, late = difficulties(machine.tallies)
        row = {
            "Accepted": machine.accepted,
            "Best Share": whole(machine.best_share),
            "Device Hardware%": 0.0,
            "Device Rejected%": percent(refused, taken),
            "Difficulty Accepted": float(taken),
            "Difficulty Rejected": float(refused),
            "Difficulty Stale": float(late),
            "Discarded": 0,
            "Elapsed": int(machine.elapsed_s),
            "Found Blocks": 0,
            "Get Failures": 0,
            "Getworks": int(machine.elapsed_s / 55),
            "Hardware Errors": sum(machine.hw_errors),
            "Last getwork": 0,
            "Local Work": int(machine.elapsed_s * 5),
            "Network Blocks": int(machine.elapsed_s / 600),
            "Pool Rejected%": percent(refused, taken),
            "Pool Stale%": percent(late, taken),
            "Rejected": machine.rejected,
            "Remote Failures": 0,
            "Stale": machine.stale,
            "Total MH": round(sum(machine.work_th) * 1e6, 0),
            "Utility": round(machine.accepted / minutes, 2),
            "Work Utility": round(taken / minutes, 2),
        }
        return [row | self._rates()]

    def _devs(self) -> list[dict[str, Any]]:
        machine = self.machine
        minutes = max(machine.elapsed_s / 60.0, 1 / 60)
        taken, refused, _ = difficulties(machine.tallies)
        last = max(machine.tallies, key=lambda tally: tally.last_share_at)
        row = {
            "ASC": 0,
            "Accepted": machine.accepted,
            "Device Elapsed": int(machine.elapsed_s),
            "Device Hardware%": 0.0,
            "Device Rejected%": percent(refused, taken),
            "Diff1 Work": int(taken),
            "Difficulty Accepted": float(taken),
            "Difficulty Rejected": float(refused),
            "Enabled": "Y",
            "Hardware Errors": sum(machine.hw_errors),
            "ID": 0,
            "Last Share Difficulty": float(last.last_share_difficulty),
            "Last Share Pool": machine.tallies.index(last),
            "Last Share Time": int(last.last_share_at),
            "Last Valid Work": int(last.last_share_at),
            "Name": "AVALON",
            "Rejected": machine.rejected,
            "Status": "Alive",
            "Temperature": 0.0,
            "Total MH": round(sum(machine.work_th) * 1e6, 0),
            "Utility": round(machine.accepted / minutes, 2),
        }
        return [row | self._rates()]

    def _devdetails(self) -> list[dict[str, Any]]:
        return [
            {
                "DEVDETAILS": 0,
                "Device Path": "",
                "Driver": "avalon",
                "ID": 0,
                "Kernel": "",
                "Model": "",
                "Name": "AVALON",
            }
        ]

    def _config(self) -> list[dict[str, Any]]:
        return [
            {
                "ASC Count": 1,
                "Device Code": "AVALON",
                "Hotplug": "None",
                "Log Interval": 5,
                "OS": "Linux",
                "PGA Count": 0,
                "Pool Count": sum(bool(pool.url) for pool in self.machine.pools),
                "Strategy": "Failover",
            }
        ]

    def _pools(self) -> list[dict[str, Any]]:
        machine = self.machine
        return [self._pool(index, pool, machine.tallies[index]) for index, pool in enumerate(machine.pools) if pool.url]

    def _pool(self, index: int, pool: PoolEntry, tally: PoolTally) -> dict[str, Any]:
        active = self.machine.works_for(index)
        difficulty = float(tally.difficulty) if tally.is_active else 0.0
        return {
            "Accepted": tally.accepted,
            "Bad Work": 0,
            "Best Share": whole(tally.best_share),
            "Current Block Height": 0,
            "Current Block Version": 536870912,
            "Diff1 Shares": int(tally.difficulty_accepted),
            "Difficulty Accepted": float(tally.difficulty_accepted),
            "Difficulty Rejected": float(tally.difficulty_rejected),
            "Difficulty Stale": float(tally.difficulty_stale),
            "Discarded": 0,
            "Get Failures": 0,
            "Getworks": int(self.machine.elapsed_s / 55) if active else 0,
            "Has GBT": False,
            "Has Stratum": True,
            "Has Vmask": True,
            "Last Share Difficulty": float(tally.last_share_difficulty),
            "Last Share Time": int(tally.last_share_at),
            "Long Poll": "N",
            "POOL": index,
            "Password": pool.password,
            "Pool Rejected%": percent(tally.difficulty_rejected, tally.difficulty_accepted),
            "Pool Stale%": percent(tally.difficulty_stale, tally.difficulty_accepted),
            "Priority": index,
            "Proxy": "",
            "Proxy Type": "",
            "Quota": 1,
            "Rejected": tally.rejected,
            "Remote Failures": 0,
            "Stale": tally.stale,
            "Status": tally.status,
            "Stratum Active": active,
            "Stratum Difficulty": difficulty,
            "Stratum URL": pool.url if active else "",
            "URL": pool.url,
            "User": pool.user,
            "Work Difficulty": difficulty,
            "Works": int(self.machine.elapsed_s * 2.5) if active else 0,
        }

    def _stats(self) -> list[dict[str, Any]]:
        return [
            {
                "Calls": 0,
                "Elapsed": int(self.machine.elapsed_s),
                "ID": "AVA100",
                "MM Count": 1,
                "MM ID0": " ".join(f"{key}[{value}]" for key, value in self._figures().items()),
                "Max": 0.0,
                "Min": 99999999.0,
                "Nonce Mask": 25,
                "STATS": 0,
                "Smart Speed": 1,
                "Voltage Level Offset": 0,
                "Wait": 0.0,
            }
        ]

    # The text of figures.

    def _power_text(self) -> str:
        machine = self.machine
        given_w = machine.power_w * SUPPLY_SHARE
        volts = machine.model.voltage_v if machine.rate_ths > 0 else 0.0
        amperes = given_w / volts if volts else 0.0
        if not volts:
            given_w = 0.0
        words = (0, 1214, round(volts * 100), round(amperes), round(given_w), 1320, round(machine.power_w))
        return f"PS[{' '.join(map(str, words))}]"

    def _figures(self) -> dict[str, str]:
        """In the captured order, but for the boards' rows, which stand together."""
        figures = self._state_figures() | self._board_figures() | self._chip_figures()
        return {key: str(value) for key, value in figures.items()}

    @property
    def _alive(self) -> list[bool]:
        return [self.machine.alive(board) for board in range(self.machine.model.boards)]

    @property
    def _temps_c(self) -> list[float]:
        """Each board's mean; 0 where it is lost."""
        return [temp if alive else 0.0 for temp, alive in zip(self.machine.temps_c, self._alive, strict=True)]

    def _state_figures(self) -> dict[str, object]:
        machine, model, alive = self.machine, self.machine.model, self._alive
        share = 0.8 if machine.power_mode == "low" else 1.0
        work = f"Work: {'In Idle' if machine.asleep else 'In Work'}, Hash Board: {sum(alive)} "
        return {
            "Ver": f"{PRODUCT.split()[1]}-{VERSION}",
            "DNA": self.dna,
            "MEMFREE": "1201472.0",
            "NETFAIL": "0 0 0 0 0 0 0 0",
            "SYSTEMSTATU": work,
            "Elapsed": int(machine.elapsed_s),
            "BOOTBY": "0x08.00000000",
            "LW": int(machine.elapsed_s * 995),
            "HW": sum(machine.hw_errors),
            "DH": "2.100%",
            "Temp": round(machine.inlet_c),
            "TMax": round(machine.hottest_c),
            "TAvg": round(sum(self._temps_c) / max(sum(alive), 1)),
            **{f"Fan{number}": round(rpm) for number, rpm in enumerate(machine.rpm, 1)},
            "FanR": f"{round(machine.duty * 100)}%",
            "Vo": 329,
            "PS": self._power_text().removeprefix("PS[").removesuffix("]"),
            "GHSspd": f"{machine.rate_ths * 1e3:.2f}",
            "DHspd": "2.100%",
            "GHSmm": f"{model.hashrate_ths * share * 1e3:.2f}",
            "GHSavg": f"{machine.average_ths * 1e3:.2f}",
            "WU": f"{machine.average_ths * 1e12 / 2**32 * 60:.2f}",
            "Freq": f"{model.frequency_mhz * machine.frequency_share:.2f}",
            "Led": int(machine.blinking),
            "TA": model.chips_per_board * sum(alive),
            "Core": "A3201",
            "PING": 43,
            "POWS": 0,
            "POOLS": int(not any(tally.is_alive for tally in machine.tallies)),
            "SoftOFF": int(machine.asleep),
            "ECMM": 0,
            "POW_I2C": "OK",
            "ADJ": 1,
            "MPO": 3200,
            "MVL": 87,
            "WORKMODE": self.writes.mode_number,
        }

    def _board_figures(self) -> dict[str, object]:
        machine, model, alive = self.machine, self.machine.model, self._alive
        boards, elapsed = range(model.boards), max(machine.elapsed_s, 1.0)
        hot = machine.stopped_by == "heat" or machine.hottest_c >= model.throttle_c
        errors = [BOARD_ABNORMAL if not alive[board] else TOO_HOT if hot else 0 for board in boards]
        level = LEVELS[machine.power_mode == "low"]
        return {
            "MH": "0 0 0",
            "MGHS": " ".join(f"{machine.work_th[board] / elapsed * 1e3:.2f}" for board in boards),
            "MTmax": " ".join(str(round(machine.chip_max_c(board) if alive[board] else 0)) for board in boards),
            "MTavg": " ".join(str(round(temp)) for temp in self._temps_c),
            "HASHS": " ".join(str(int(not each)) for each in alive),
            "ECHU": " ".join(map(str, errors)),
            "CRC": "0 0 0",
            "COP": "0 0 0",
            **{f"PLL{board}": "1796 4524 5435 2165" for board in boards},
            **{f"SF{board}": level for board in boards},
            **{f"ATABD{board}": level for board in boards},
            "FACOPTS0": "",
            "FACOPTS1": "",
            "ATAOPTS0": f"--avalon10-freq {LEVELS[1].replace(' ', ':')} --avalon10-voltage-level 46",
            "ATAOPTS1": f"--avalon10-freq {LEVELS[0].replace(' ', ':')} --avalon10-voltage-level 55",
        }

    def _chip_figures(self) -> dict[str, object]:
        temps, chips = self._temps_c, self.machine.model.chips_per_board
        boards = range(len(temps))
        return {
            **{f"PVT_T{board}": _chip_temps(round(temps[board]), chips) for board in boards},
            **{f"PVT_V{board}": _chip_figures(board, 305, chips) for board in boards},
            "MW": "8192794 8192674 8192727",
            **{f"MW{board}": _chip_figures(board + 10, 640, chips) for board in boards},
            **{f"ASICCRC{board}": " ".join("0" * chips) for board in boards},
        }


@functools.lru_cache(maxsize=512)
def _chip_temps(mean_c: int, chips: int) -> str:
    """A board's chips about their mean, as whole degrees; zeros where the board is lost."""
    if mean_c <= 0:
        return " ".join(["  0"] * chips)
    return " ".join(f"{mean_c - SPREAD_K // 2 + chip % (SPREAD_K + 1):3d}" for chip in range(chips))


@functools.lru_cache(maxsize=64)
def _chip_figures(seed: int, mean: int, chips: int) -> str:
    """Figures that only fill their place."""
    random = Random(seed)  # noqa: S311 -- figures of a simulation
    return " ".join(str(round(random.gauss(mean, mean * 0.02))) for _ in range(chips))


def _as_json(document: dict[str, Any]) -> bytes:
    return encode({**document, "id": 1}) + b"\0"


def _as_text(document: dict[str, Any]) -> bytes:
    """As cgminer writes it for a request that was no JSON: ``STATUS=S,When=…|POOL=0,URL=…|``."""
    if not document:
        return b""
    pieces: list[str] = []
    for key, rows in document.items():
        if isinstance(rows, str):
            pieces.append(f"{key}={rows}")
            continue
        for row in rows:
            first = INDEXES.get(key, "")
            words = [f"{name}={_word(value)}" for name, value in row.items() if name != first]
            pieces.append(",".join((f"{first}={row[first]}" if first else key, *words)))
    return "|".join((*pieces, "")).encode("latin-1", "replace") + b"\0"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
