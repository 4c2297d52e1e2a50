"""A Whatsminer with API 3: framed JSON on TCP 4433, rendered as in captured replies, and what is left on TCP 4028.

The old port still says what the machine is, and refuses everything else (as firmware of this age does; chosen: which
commands are left).
"""

import time
from collections.abc import Callable
from typing import Any

from mbongi.twin.btminer_v3_writes import BAD_ITEM, FAILED, UNKNOWN, RefusedWriteError, V3Writes
from mbongi.twin.firmware import Reply, encode, json_object, unix_s
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, Phase

FIRMWARE = "20251209.16.Rel2"
API_VERSION = "3.0.2"
MODEL = "M60S_VK40"
MODES = {"low": "0", "normal": "1", "high": "2"}
ERROR_FAN = (("110", "Fanin detect speed error."), ("111", "Fanout detect speed error."))
"""Codes of MicroBT's public list; the reasons' words are chosen in the manner of the captured ones."""


class WhatsminerV3:
    """One machine's firmware. ``api_write`` is the switch that the maker's tool sets; ``password`` is super's."""

    def __init__(self, machine: VirtualMachine, *, api_write: bool = True, password: str = "super") -> None:  # noqa: S107
        self.machine = machine
        self.writes = V3Writes(machine, api_write=api_write, password=password)
        self.parts: dict[str, Callable[[], Any]] = {
            "miner": self._miner,
            "network": self._network,
            "power": self._power,
            "salt": lambda: self.writes.salt,
            "system": self._system,
            "error-code": self._errors,
        }
        self.tables: dict[str, Callable[[], Any]] = {
            "summary": self._summary,
            "edevs": self._edevs,
            "pools": self._pools,
        }
        self.reads: dict[str, Callable[[Any], Any]] = {
            "get.device.info": self._info,
            "get.device.custom_data": lambda _: dict(machine.settings.of("custom")),
            "get.miner.status": self._status,
            "get.miner.setting": lambda _: {"power-mode": machine.power_mode, "pool-strategy": "FAILOVER"},
            "get.fan.setting": lambda _: dict(machine.settings.of("fans")),
            "get.system.setting": lambda _: {
                "web-pool": int(self.machine.settings.of("web_pools")),
                "hostname": self.machine.settings.hostname,
                "timezone": "CST-8",
                "zonename": "Asia/Shanghai",
            },
        }

    # TCP 4433.

    def answer_framed(self, request: bytes) -> Reply:
        """One request without its length."""
        document = json_object(request)
        self.machine.advance()
        name = "" if document is None else document.get("cmd")
        if document is None or not isinstance(name, str):
            return _reply(BAD_ITEM, "", "invalid json item")
        try:
            if name == "set.system.update_firmware":
                self.writes.checked(name, document)
                return Reply(_reply(0, name, "ready").body, then_image=lambda image: self._flash(name, image))
            if name.startswith("set."):
                self.writes.write(document)
                return _reply(0, name, "ok")
            read = self.reads.get(name)
            if read is None:
                return _reply(UNKNOWN, name, "invalid command")
            return _reply(0, name, read(document.get("param")))
        except RefusedWriteError as error:
            return _reply(error.code, name, str(error))

    def _flash(self, name: str, image: bytes) -> Reply:
        """What the machine says once the image that was announced is there."""
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return _reply(FAILED, name, str(error))
        return _reply(0, name, "ok")

    def _info(self, param: Any) -> dict[str, Any]:
        if param is None:
            parts = {name: part() for name, part in self.parts.items()}
            return {name: part for name, part in parts.items() if name != "error-code" or part}
        if param not in self.parts:
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        return {param: self.parts[param]()}

    def _status(self, param: Any) -> dict[str, Any]:
        names = [] if param is None else str(param).split("+")
        if any(name not in self.tables for name in names):
            raise RefusedWriteError(BAD_ITEM, "invalid json item")
        return {name: self.tables[name]() for name in names}

    def _miner(self) -> dict[str, Any]:
        machine = self.machine
        serials = {f"pcbsn{board}": serial for board, serial in enumerate(machine.board_serials)}
        return {
            "board-num": str(machine.model.boards),
            "cointype": "BTC/BCH/BSV",
            "detect-hash-rate": ":".join(
                str(round(machine.model.board_ths * 1e3)) for _ in range(machine.model.boards)
            ),
            "fast-boot": "enable" if self.machine.settings.of("fast_boot") else "disable",
            "hash-board": "K40",
            "hash-percent": "0",
            "heatmode": "",
            "miner-sn": machine.serial,
            "pool-strategy": "FAILOVER",
            "power-limit-set": str(round(machine.power_limit_w)),
            "type": MODEL,
            "web-pool": int(self.machine.settings.of("web_pools")),
            "working": "false" if machine.asleep else "true",
            **{f"chipdata{board}": "K8EC374-2426 BINVE6-197806A" for board in range(machine.model.boards)},
            **serials,
        }

    def _network(self) -> dict[str, Any]:
        machine = self.machine
        return {
            "dns": "",
            "gateway": "",
            "hostname": self.machine.settings.hostname,
            "ip": machine.address,
            "mac": machine.mac,
            "netmask": "255.255.0.0",
            "proto": "dhcp",
        }

    def _power(self) -> dict[str, Any]:
        machine = self.machine
        return {
            "fanspeed": 6344 if machine.power_w > machine.model.idle_w * 2 else 0,
            "hwversion": "RT0159",
            "iin": round(machine.power_w / 230.0, 1),
            "mode": MODES[machine.power_mode],
            "model": "P221B",
            "pin": round(machine.power_w),
            "sn": f"P{machine.serial}",
            "swversion": "230224.220429",
            "temp0": round(machine.inlet_c + machine.power_w / 400.0, 1),
            "type": "P221B",
            "vendor": "1",
            "vin": 230.0,
            "vout": round(machine.model.voltage_v * 100),
        }

    def _system(self) -> dict[str, Any]:
        return {
            "api": API_VERSION,
            "apiswitch": "1" if self.machine.settings.of("api_write") else "0",
            "control-board-version": "CB6V10",
            "fwversion": self.machine.slots.version(FIRMWARE),
            "ledstatus": "manual" if self.machine.blinking else "auto",
            "platform": "H616",
        }

    def _errors(self) -> list[dict[str, str]]:
        machine = self.machine
        found: list[tuple[str, str]] = []
        if machine.fault is Fault.BOARD_DEAD:
            found.append((str(530 + machine.weak_board), f"Slot{machine.weak_board} not found."))
        if machine.fault is Fault.FAN_DEAD:
            found.append(ERROR_FAN[machine.weak_fan])
        if machine.stopped_by == "heat" or machine.hottest_c >= machine.model.throttle_c:
            found.append((str(350 + machine.weak_board), f"Slot{machine.weak_board} temp protected."))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(machine.fault_since))
        return [{code: since, "reason": reason} for code, reason in found]

    def _summary(self) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        temps = [machine.temps_c[board] for board in self._boards()] or [0.0]
        rate, average = round(machine.rate_ths, 3), round(machine.average_ths, 3)
        return {
            "Debug": "",
            "board-temperature": [round(machine.temps_c[board] - 7.0, 1) for board in self._boards()],
            "bootup-time": int(max(machine.at - machine.booted_at, 0)),
            "chip-temp-avg": round(sum(temps) / len(temps), 1),
            "chip-temp-max": round(machine.hottest_c, 1),
            "chip-temp-min": round(min(temps) - 7.0, 1),
            "elapsed": int(machine.elapsed_s),
            "environment-temperature": round(machine.inlet_c, 1),
            "factory-hash": round(model.hashrate_ths, 3),
            "fan-speed-in": round(machine.rpm[0] / 30) * 30,
            "fan-speed-out": round(machine.rpm[1] / 30) * 30,
            "freq-avg": round(model.frequency_mhz * machine.frequency_share),
            "hash-15min": average,
            "hash-1min": rate,
            "hash-average": average,
            "hash-realtime": rate,
            "power-5min": round(machine.power_w, 1),
            "power-limit": round(machine.power_limit_w),
            "power-rate": round(machine.power_w / rate, 3) if rate else 0.0,
            "power-realtime": round(machine.power_w, 1),
            "up-freq-finish": int(machine.phase is Phase.MINING),
        }

    def _boards(self) -> list[int]:
        return [board for board in range(self.machine.model.boards) if self.machine.alive(board)]

    def _edevs(self) -> list[dict[str, Any]]:
        machine, model = self.machine, self.machine.model
        elapsed = machine.elapsed_s
        return [
            {
                "chip-temp-avg": round(machine.temps_c[board], 1),
                "chip-temp-max": round(machine.chip_max_c(board), 1),
                "chip-temp-min": round(machine.temps_c[board] - 7.0, 1),
                "effective-chips": model.chips_per_board,
                "factory-hash": round(model.board_ths, 2),
                "freq": round(model.frequency_mhz * machine.frequency_share, 1),
                "hash-average": round(machine.work_th[board] / elapsed, 3) if elapsed >= 1 else 0.0,
                "hash-realtime": round(machine.rates_ths[board], 3),
                "id": board,
                "status": "alive",
            }
            for board in self._boards()
        ]

    def _pools(self) -> list[dict[str, Any]]:
        machine = self.machine
        return [
            {
                "account": pool.user,
                "id": index + 1,
                "pool-priority": index,
                "status": machine.tallies[index].status.lower(),
                "stratum-active": machine.works_for(index),
                "url": pool.url,
            }
            for index, pool in enumerate(machine.pools)
            if pool.url
        ]

    # TCP 4028.

    def answer_rpc(self, request: bytes) -> Reply:
        """The commands by which clients tell the makers and generations apart."""
        document = json_object(request.rstrip(b"\0\r\n ")) or {}
        self.machine.advance()
        match document.get("command", document.get("cmd")):
            case "devdetails":
                return Reply(encode(self._devdetails()))
            case "get_version":
                message = {
                    "api_ver": API_VERSION,
                    "fw_ver": self.machine.slots.version(FIRMWARE),
                    "platform": "H616",
                    "chip": "K8EC374-2426",
                }
                return Reply(encode(_old("S", 131, message)))
        return Reply(encode(_old("E", 14, "invalid cmd")))

    def _devdetails(self) -> dict[str, Any]:
        rows = [
            {"DEVDETAILS": board, "Name": "SM", "ID": board, "Driver": "bitmicro", "Kernel": "", "Model": MODEL}
            for board in range(self.machine.model.boards)
        ]
        status = {"STATUS": "S", "When": unix_s(), "Code": 69, "Msg": "Device Details", "Description": "btminer"}
        return {"STATUS": [status], "DEVDETAILS": rows, "id": 1}


def _reply(code: int, name: str, message: Any) -> Reply:
    return Reply(encode({"code": code, "when": unix_s(), "msg": message, "desc": name}))


def _old(letter: str, code: int, message: Any) -> dict[str, Any]:
    return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": ""}
