"""btminer V2 of a Whatsminer on TCP 4028: what can be read, rendered as in captured replies.

Joined commands (``summary+devs+pools``) are answered together. One request and one answer per connection.
"""

import time
from collections.abc import Callable
from typing import Any

from mbongi.twin.btminer_writes import BtminerWrites
from mbongi.twin.firmware import Reply, encode, json_object, unix_s, whole
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, Phase

FIRMWARE = "20230803.11.REL"
API_VERSION = "2.0.5"
MODEL = "M50S_VH30"
DESCRIPTION = "cgminer 4.9.2"
CODE_INVALID = 14
CODE_NOT_JSON = 23
ERROR_INTAKE_FAN = "110"
ERROR_BOARD_LOST = ("540", "541", "542")
ERROR_TOO_HOT = ("350", "351", "352")
"""Codes of MicroBT's public list: intake fan, chip ids of a slot not read, a slot too hot."""
JOINABLE = ("summary", "devs", "edevs", "pools", "devdetails", "version")


class Whatsminer:
    """One Whatsminer's firmware. ``api_write`` is the switch that the maker's tool sets; ``password`` is admin's."""

    def __init__(self, machine: VirtualMachine, *, api_write: bool = True, password: str = "admin") -> None:  # noqa: S107
        self.machine = machine
        self.writes = BtminerWrites(machine, api_write=api_write, password=password)
        self.tables: dict[str, Callable[[], dict[str, Any]]] = {
            "summary": self._summary,
            "devs": self._devs,
            "edevs": self._devs,
            "pools": self._pools,
            "devdetails": self._devdetails,
            "version": self._get_version,
        }
        self.messages: dict[str, Callable[[], dict[str, Any]]] = {
            "get_version": self._get_version,
            "status": self._state,
            "get_error_code": self._error_code,
            "get_miner_info": self._miner_info,
            "get_psu": self._psu,
            "get_token": self.writes.token,
        }

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request, plain or encrypted."""
        document = json_object(request.rstrip(b"\0\r\n "))
        self.machine.advance()
        if document is None:
            return Reply(encode(_problem(CODE_NOT_JSON, "invalid json message")))
        if "enc" in document:
            return self.writes.answer(document)
        return Reply(encode(self._read(document)))

    def _read(self, document: dict[str, Any]) -> dict[str, Any]:
        command = document.get("command", document.get("cmd"))
        if not isinstance(command, str):
            return _problem(CODE_INVALID, "invalid cmd")
        if self.writes.knows(command):
            return self.writes.refusal(document)
        if "+" in command:
            return self._joined(command.split("+"))
        handler = self.tables.get(command) or self.messages.get(command)
        return _problem(CODE_INVALID, "invalid cmd") if handler is None else handler()

    def _joined(self, commands: list[str]) -> dict[str, Any]:
        if not all(command in JOINABLE for command in commands):
            return _problem(CODE_INVALID, "invalid cmd")
        document: dict[str, Any] = {command: [self.tables[command]()] for command in commands}
        return {**document, "id": 1}

    # Tables.

    @staticmethod
    def _status(code: int, message: str) -> list[dict[str, Any]]:
        return [{"STATUS": "S", "When": unix_s(), "Code": code, "Msg": message, "Description": DESCRIPTION}]

    def _summary(self) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        boards = [board for board in range(model.boards) if machine.alive(board)]
        temps = [machine.temps_c[board] for board in boards] or [0.0]
        rate, average = round(machine.rate_ths * 1e6, 2), round(machine.average_ths * 1e6, 2)
        errors = len(self._errors())
        row = {
            "Elapsed": int(machine.elapsed_s),
            "MHS av": average,
            "MHS 5s": rate,
            "MHS 1m": rate,
            "MHS 5m": rate,
            "MHS 15m": average,
            "HS RT": rate,
            "Accepted": machine.accepted,
            "Rejected": machine.rejected,
            "Stale": machine.stale,
            "Total MH": round(sum(machine.work_th) * 1e6, 0),
            "Temperature": round(max(temps) - 7.0, 1),
            "freq_avg": round(model.frequency_mhz * machine.frequency_share),
            "Fan Speed In": round(machine.rpm[0] / 30) * 30,
            "Fan Speed Out": round(machine.rpm[1] / 30) * 30,
            "Voltage": round(model.voltage_v * 100),
            "Power": round(machine.power_w),
            "Power_RT": round(machine.power_w),
            "Power Limit": round(machine.power_limit_w),
            "Power Mode": machine.power_mode.capitalize(),
            "Power Fanspeed": 6000,
            "Factory GHS": round(model.hashrate_ths * 1e3),
            "Target Freq": round(model.frequency_mhz),
            "Hash Stable": machine.phase is Phase.MINING,
            "Chip Temp Min": round(min(temps) - 10.0, 2),
            "Chip Temp Max": round(machine.hottest_c, 2),
            "Chip Temp Avg": round(sum(temps) / len(temps), 2),
            "Env Temp": round(machine.inlet_c, 1),
            "Best Share": whole(machine.best_share),
            "Hardware Errors": sum(machine.hw_errors),
            "Pool Rejected%": _percent(machine.rejected, machine.accepted),
            "Pool Stale%": _percent(machine.stale, machine.accepted),
            "MAC": machine.mac,
            "Error Code Count": errors,
            "Factory Error Code Count": 0,
            "Liquid Cooling": False,
            "Firmware Version": f"'{machine.slots.version(FIRMWARE)}'",
            "Uptime": int(max(machine.at - machine.booted_at, 0)),
        }
        return {"STATUS": self._status(11, "Summary"), "SUMMARY": [row], "id": 1}

    def _devs(self) -> dict[str, Any]:
        rows = [self._dev(board) for board in range(self.machine.model.boards) if self.machine.alive(board)]
        return {"STATUS": self._status(9, f"{len(rows)} ASC(s)"), "DEVS": rows, "id": 1}

    def _dev(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        rate = round(machine.rates_ths[board] * 1e6, 2)
        elapsed = machine.elapsed_s
        average = round(machine.work_th[board] / elapsed * 1e6, 2) if elapsed >= 1 else 0.0
        frequency = round(model.frequency_mhz * machine.frequency_share)
        return {
            "ASC": board,
            "Slot": board,
            "Name": "SM",
            "ID": board,
            "Enabled": "Y",
            "Status": "Alive",
            "Temperature": round(machine.temps_c[board] - 7.0, 1),
            "Chip Frequency": frequency,
            "Frequency": float(frequency),
            "Fan Speed In": round(machine.rpm[0] / 30) * 30,
            "Fan Speed Out": round(machine.rpm[1] / 30) * 30,
            "MHS av": average,
            "MHS 5s": rate,
            "MHS 1m": rate,
            "MHS 5m": rate,
            "MHS 15m": average,
            "Factory GHS": round(model.board_ths * 1e3),
            "Accepted": machine.accepted // model.boards,
            "Rejected": machine.rejected // model.boards,
            "Hardware Errors": machine.hw_errors[board],
            "Device Elapsed": int(elapsed),
            "Upfreq Complete": int(machine.phase is Phase.MINING),
            "Effective Chips": model.chips_per_board,
            "PCB SN": machine.board_serials[board],
            "Chip Temp Min": round(machine.temps_c[board] - 10.0, 2),
            "Chip Temp Max": round(machine.chip_max_c(board), 2),
            "Chip Temp Avg": round(machine.temps_c[board], 2),
        }

    def _devdetails(self) -> dict[str, Any]:
        rows = [
            {"DEVDETAILS": board, "Name": "SM", "ID": board, "Driver": "bitmicro", "Kernel": "", "Model": MODEL}
            for board in range(self.machine.model.boards)
        ]
        return {"STATUS": self._status(69, "Device Details"), "DEVDETAILS": rows, "id": 1}

    def _pools(self) -> dict[str, Any]:
        rows = [self._pool(index) for index, pool in enumerate(self.machine.pools) if pool.url]
        return {"STATUS": self._status(7, f"{len(rows)} Pool(s)"), "POOLS": rows, "id": 1}

    def _pool(self, index: int) -> dict[str, Any]:
        machine, pool, tally = self.machine, self.machine.pools[index], self.machine.tallies[index]
        used = tally.is_active
        return {
            "POOL": index + 1,
            "URL": pool.url,
            "Status": tally.status,
            "Priority": index,
            "Accepted": tally.accepted,
            "Rejected": tally.rejected,
            "Stale": tally.stale,
            "User": pool.user,
            "Stratum Active": machine.works_for(index),
            "Stratum Difficulty": tally.difficulty if used else 0.0,
            "Pool Rejected%": _percent(tally.rejected, tally.accepted),
            "Pool Stale%": _percent(tally.stale, tally.accepted),
        }

    # Messages.

    def _get_version(self) -> dict[str, Any]:
        return _message(
            {
                "api_ver": API_VERSION,
                "fw_ver": self.machine.slots.version(FIRMWARE),
                "platform": "H616",
                "chip": "K88X001-QXXXX",
            }
        )

    def _state(self) -> dict[str, Any]:
        machine, off = self.machine, self.machine.asleep
        return _message(
            {
                "mineroff": "true" if off else "false",
                "mineroff_reason": "API" if off else "",
                "mineroff_time": str(int(machine.mining_since)) if off else "",
                "FirmwareVersion": self.machine.slots.version(FIRMWARE),
                "power_mode": machine.power_mode,
                "power_limit_set": str(round(machine.power_limit_w)),
                "hash_percent": "0",
            }
        )

    def _errors(self) -> list[tuple[str, float]]:
        machine = self.machine
        found: list[tuple[str, float]] = []
        if machine.fault is Fault.BOARD_DEAD:
            found.append((ERROR_BOARD_LOST[machine.weak_board], machine.fault_since))
        if machine.fault is Fault.FAN_DEAD:
            found.append((str(int(ERROR_INTAKE_FAN) + machine.weak_fan), machine.fault_since))
        if machine.stopped_by == "heat" or machine.hottest_c >= machine.model.throttle_c:
            found.append((ERROR_TOO_HOT[machine.weak_board], machine.fault_since))
        return found

    def _error_code(self) -> dict[str, Any]:
        return _message({"error_code": [{code: _date_text(since)} for code, since in self._errors()]})

    def _miner_info(self) -> dict[str, Any]:
        machine = self.machine
        return _message(
            {
                "ip": machine.address,
                "proto": "dhcp",
                "netmask": "255.255.0.0",
                "dns": "",
                "mac": machine.mac,
                "ledstat": "manual" if machine.blinking else "auto",
                "gateway": "",
                "hostname": self.machine.settings.hostname,
                "minersn": machine.serial,
                "powersn": f"P{machine.serial}",
            }
        )

    def _psu(self) -> dict[str, Any]:
        machine = self.machine
        return _message(
            {
                "name": "P222B",
                "hw_version": "",
                "sw_version": "230208.220429",
                "model": "P222B",
                "iin": str(round(machine.power_w / 230.0 * 1000)),
                "vin": "23000",
                "fan_speed": "6000",
                "serial_no": f"P{machine.serial}",
                "temp0": str(round(machine.inlet_c + machine.power_w / 400.0, 1)),
            }
        )


def _message(found: object) -> dict[str, Any]:
    return {"STATUS": "S", "When": unix_s(), "Code": 131, "Msg": found, "Description": ""}


def _problem(code: int, text: str) -> dict[str, Any]:
    return {"STATUS": "E", "When": unix_s(), "Code": code, "Msg": text, "Description": ""}


def _percent(part: int, rest: int) -> float:
    return round(100.0 * part / (part + rest), 4) if part + rest else 0.0


def _date_text(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment))
