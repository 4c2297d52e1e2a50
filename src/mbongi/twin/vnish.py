"""VNish on an Antminer: its web interface, and the cgminer API that it keeps on TCP 4028.

Shapes: the firmware's own description of its interface (1.2.7), as kept by 256foundation/asic-rs (Apache-2.0); no
capture of a real machine was to be had.
"""

from typing import Any

from mbongi.twin.antminer_rpc import COMPILE_TIME, AntminerRpc
from mbongi.twin.firmware import HttpReply, HttpRequest, Reply, short_difficulty, whole
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, Phase
from mbongi.twin.vnish_writes import VNishWrites, json_reply, short_url

VERSION = "1.2.7"
HOME = b'<!DOCTYPE html><html><head><meta charset="utf-8"><title>AnthillOS</title></head><body></body></html>'
API = "/api/v1/"
DEV_FEE = 0.02
"""The share of the work that the firmware takes for itself; stated and not simulated."""
AIR_K = 12.0
"""A board's own sensors are so much cooler than its hottest chip (chosen)."""


class VNishRpc(AntminerRpc):
    """The cgminer API: as the stock one, under another name."""

    def _version(self) -> dict[str, Any]:
        row = {
            "BMMiner": "2.0.0",
            "API": "3.1",
            "Miner": f"Vnish {self.machine.slots.version(VERSION)}",
            "CompileTime": COMPILE_TIME,
            "Type": f"{self.machine.model.name} (Vnish {self.machine.slots.version(VERSION)})",
        }
        return {"STATUS": [self._status("S", 22, "CGMiner versions")], "VERSION": [row]}


class VNish:
    """One machine's firmware. ``password`` unlocks its writes."""

    def __init__(self, machine: VirtualMachine, *, password: str = "admin") -> None:  # noqa: S107 -- factory setting
        self.machine, self.rpc = machine, VNishRpc(machine)
        self.writes = VNishWrites(machine, password=password)
        self.pages: dict[str, Any] = {
            "info": self._info,
            "status": self._status,
            "summary": lambda: {"miner": self._stats()},
            "chains": lambda: [self._chips(board) for board in range(machine.model.boards)],
            "chains/factory-info": self._factory,
            "settings": self.writes.settings,
            "autotune/presets": self.writes.presets,
            "perf-summary": self._perf_summary,
        }

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request."""
        self.writes.refresh()
        return self.rpc.answer(request)

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        path = request.path.split("?", 1)[0]
        self.machine.advance()
        self.writes.refresh()
        if path in {"/", "/index.html"}:
            return HttpReply(200, HOME, "text/html")
        if not path.startswith(API):
            return HttpReply(404, b"Not Found", "text/plain")
        name = path.removeprefix(API)
        if self.writes.is_stale(request) and name != "unlock":
            return json_reply({"unlock_timeout": None}, status=401)
        if request.method == "POST":
            return self.writes.answer(name, request)
        page = self.pages.get(name)
        if request.method != "GET" or page is None:
            return json_reply({"err": "not found"}, status=404)
        return json_reply(page())

    @property
    def state(self) -> str:
        """What the miner program does, in the firmware's word."""
        machine = self.machine
        match machine.phase:
            case Phase.SLEEPING:
                return "stopped"
            case Phase.PROTECTED:
                return "failure"
            case Phase.WARMING if machine.asleep:
                return "shutting-down"
            case Phase.WARMING:
                return "auto-tuning" if machine.rate_ths > 0 else "initializing"
        return "mining"

    def _miner_status(self) -> dict[str, Any]:
        machine = self.machine
        found: dict[str, Any] = {
            "miner_state": self.state,
            "miner_state_time": int(machine.elapsed_s) if self.state == "mining" else 0,
        }
        if self.state == "failure":
            texts = {"heat": (11, "Chain chips are overheated"), "fan": (2, "Fan is lost")}
            found["failure_code"], found["description"] = texts.get(machine.stopped_by, (1, "Unknown failure"))
        return found

    def _status(self) -> dict[str, Any]:
        return {
            **self._miner_status(),
            "find_miner": self.machine.blinking,
            "restart_required": self.writes.restart_required,
            "reboot_required": False,
            "unlocked": False,
            "unlock_timeout": None,
            "warranty": "not_provided",
        }

    def _info(self) -> dict[str, Any]:
        machine, age_s = self.machine, max(self.machine.at - self.machine.booted_at, 0)
        return {
            "miner": machine.model.name,
            "model": machine.model.name.removeprefix("Antminer ").lower().replace(" ", ""),
            "fw_name": "Vnish",
            "fw_version": self.machine.slots.version(VERSION),
            "build_name": "release",
            "build_time": "2025-06-01 00:00:00",
            "build_uuid": "00000000-0000-0000-0000-000000000000",
            "platform": "xil",
            "install_type": "nand",
            "algorithm": "sha256d",
            "hr_measure": "GH/s",
            "serial": machine.serial,
            "system": {
                "os": "GNU/Linux",
                "miner_name": machine.model.name,
                "file_system_version": COMPILE_TIME,
                "mem_total": 242_724,
                "mem_free": 180_000,
                "mem_buf": 20_000,
                "network_status": {
                    "mac": machine.mac,
                    "dhcp": True,
                    "ip": machine.address,
                    "netmask": "255.0.0.0",
                    "gateway": "",
                    "dns": [],
                    "hostname": self.machine.settings.hostname,
                },
                "uptime": f"{int(age_s // 3600)}:{int(age_s // 60 % 60):02d}",
            },
        }

    def _stats(self) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        rate, average = round(machine.rate_ths * 1e3, 2), round(machine.average_ths * 1e3, 2)
        nominal = model.hashrate_ths * self.writes.frequency_share
        chains = [self._chain(board) for board in range(model.boards)]
        efficiency = machine.power_w / machine.rate_ths if machine.rate_ths > 0 else 0.0
        return {
            "miner_status": self._miner_status(),
            "miner_type": f"{model.name} (Vnish {self.machine.slots.version(VERSION)})",
            "hr_stock": round(model.hashrate_ths * 1e3, 2),
            "average_hashrate": round(average / 1e3, 3),
            "instant_hashrate": round(rate / 1e3, 3),
            "hr_realtime": rate,
            "hr_nominal": round(nominal * 1e3, 2),
            "hr_average": average,
            "pcb_temp": _span([chain["pcb_temp"] for chain in chains]),
            "chip_temp": _span([chain["chip_temp"] for chain in chains]),
            "power_consumption": round(machine.power_w),
            "power_usage": round(machine.power_w),
            "power_efficiency": round(efficiency, 2),
            "hw_errors_percent": 0.0,
            "hr_error": 0.0,
            "hw_errors": sum(machine.hw_errors),
            "devfee_percent": DEV_FEE * 100,
            "devfee": round(rate * DEV_FEE, 2),
            "pools": self._pools(),
            "cooling": self._cooling(),
            "chains": chains,
            "found_blocks": 0,
            "best_share": int(machine.best_share),
            "overclock": {"preset": self.writes.preset},
            "misc": {"restart_temp": 84},
        }

    def _chain(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        alive, share = machine.alive(board), machine.frequency_share
        hottest = round(machine.chip_max_c(board)) if alive else 0
        nominal = model.board_ths * self.writes.frequency_share
        rate = machine.rates_ths[board]
        return {
            "id": board + 1,
            "frequency": round(model.frequency_mhz * share, 1) if alive else 0.0,
            "voltage": round(model.voltage_v * 1000) if rate > 0 else 0,
            "power_consumption": round(machine.powers_w[board]),
            "hashrate_ideal": round(nominal * 1e3, 2),
            "hashrate_rt": round(rate * 1e3, 2),
            "hashrate_percentage": round(100 * rate / nominal, 2),
            "hr_error": 0.0,
            "hw_errors": machine.hw_errors[board],
            "pcb_temp": {"min": max(hottest - 25, 0), "max": max(hottest - round(AIR_K), 0)},
            "chip_temp": {"min": max(hottest - 15, 0), "max": hottest},
            "chip_statuses": {"red": 0, "orange": 0, "grey": 0 if rate > 0 else model.chips_per_board},
            "status": self._chain_status(board),
        }

    def _chain_status(self, board: int) -> dict[str, Any]:
        if not self.machine.alive(board):
            return {"state": "failure", "description": "Chain break"}
        states = {"mining": "mining", "auto-tuning": "mining", "initializing": "initializing", "failure": "stopped"}
        return {"state": states.get(self.state, "stopped")}

    def _pools(self) -> list[dict[str, Any]]:
        rows = [self._pool(index) for index, pool in enumerate(self.machine.pools) if pool.url]
        fee = dict.fromkeys(("accepted", "rejected", "stale"), 0)
        return [*rows, self._pool_row(len(rows), "DevFee", "DevFee", kind="DevFee", status="working") | fee]

    def _pool(self, index: int) -> dict[str, Any]:
        machine, pool, tally = self.machine, self.machine.pools[index], self.machine.tallies[index]
        if machine.asleep:
            status = "disabled"
        elif machine.works_for(index):
            status = "working"
        else:
            status = "active" if tally.is_alive else "offline"
        row = self._pool_row(index, short_url(pool.url), pool.user, kind="UserPool", status=status)
        return row | {
            "diff": short_difficulty(tally.difficulty),
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "stale": tally.stale,
            "ls_diff": float(tally.last_share_difficulty),
            "diffa": float(whole(tally.difficulty_accepted)),
        }

    @staticmethod
    def _pool_row(number: int, url: str, user: str, *, kind: str, status: str) -> dict[str, Any]:
        return {
            "id": number,
            "url": url,
            "pool_type": kind,
            "user": user,
            "status": status,
            "asic_boost": True,
            "diff": "0",
            "ls_diff": 0.0,
            "ls_time": "00:00:00",
            "diffa": 0.0,
            "ping": 12,
        }

    def _cooling(self) -> dict[str, Any]:
        machine = self.machine
        fans = [
            {
                "id": index,
                "rpm": round(rpm / 10) * 10,
                "status": "ok" if rpm > 0 else "lost",
                "max_rpm": round(machine.model.fan_rpm_max),
            }
            for index, rpm in enumerate(machine.rpm)
        ]
        return {
            "fan_num": len(fans),
            "fans": fans,
            "settings": {"mode": {"name": "auto"}},
            "fan_duty": round(machine.duty * 100),
        }

    def _chips(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        alive = machine.alive(board)
        chip = {
            "hr": round(machine.rates_ths[board] * 1e3 / model.chips_per_board, 1),
            "freq": round(model.frequency_mhz * machine.frequency_share),
            "volt": round(model.voltage_v * 1000),
            "temp": round(machine.temps_c[board], 1),
            "errs": 0,
            "grade": "green",
            "throttled": False,
        }
        return {
            "id": board + 1,
            "status": self._chain_status(board),
            "hr_realtime": round(machine.rates_ths[board] * 1e3, 2),
            "hr_nominal": round(model.board_ths * self.writes.frequency_share * 1e3, 2),
            "freq": model.frequency_mhz * machine.frequency_share,
            "sensors": [],
            "chips": [{"id": number, **chip} for number in range(model.chips_per_board)] if alive else [],
        }

    def _factory(self) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        chains = [
            {
                "id": board + 1,
                "board_model": "BHB42601",
                "serial": machine.board_serials[board],
                "chip_bin": 1,
                "freq": round(model.frequency_mhz),
                "volt": round(model.voltage_v * 1000),
                "hashrate": round(model.board_ths * 1e3, 1),
            }
            for board in range(model.boards)
            if machine.fault is not Fault.BOARD_DEAD or machine.alive(board)
        ]
        return {
            "hr_stock": round(model.hashrate_ths * 1e3, 1),
            "has_pics": True,
            "psu_model": "APW12",
            "psu_serial": f"P{machine.serial}",
            "chains": chains,
        }

    def _perf_summary(self) -> dict[str, Any]:
        [preset] = [one for one in self.writes.presets() if one["name"] == self.writes.preset]
        return {"current_preset": preset, "preset_switcher": {"enabled": False}}


def _span(ranges: list[dict[str, int]]) -> dict[str, int]:
    working = [one for one in ranges if one["max"] > 0] or [{"min": 0, "max": 0}]
    return {"min": min(one["min"] for one in working), "max": max(one["max"] for one in working)}
