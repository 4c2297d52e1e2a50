"""Braiins OS on an Antminer: the documents of its REST interface, rendered as in captured replies of version 26.04.

Its other faces: a few GraphQL questions, and the cgminer API on TCP 4028. It has no gRPC.
"""

import time
from typing import Any

from mbongi.twin.braiins_writes import BraiinsWrites, json_reply, refused
from mbongi.twin.firmware import HttpReply, HttpRequest, Reply, encode, json_object, unix_s, whole
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, Phase

VERSION = "2026-04-14-0-912d084c-26.04-plus"
RPC_DESCRIPTION = "BOSer boser-openwrt 0.1.0-26ba61b9"
HOME = b"<!doctype html><html><head><title>Braiins OS</title></head><body></body></html>"
API = "/api/v1/"
BOARD_MODEL, CHIP = "A3HB70601", "BM1370"
AIR_K = 15.0
"""A board's sensor is so much cooler than its hottest chip, as captured."""
TUNED, PAUSED, NOT_STARTED = 5, 3, 1


class Braiins:
    """One machine's firmware. ``password`` is root's."""

    def __init__(self, machine: VirtualMachine, *, password: str = "root") -> None:  # noqa: S107 -- factory setting
        self.machine = machine
        self.writes = BraiinsWrites(machine, password=password)
        self.pages: dict[str, Any] = {
            "version": lambda: {"major": 1, "minor": 3, "patch": 0},
            "network": self._network,
            "network/configuration": lambda: {"hostname": self.machine.settings.hostname, "protocol": {"dhcp": {}}},
            "miner/details": self._details,
            "miner/status": lambda: {"status": self._status},
            "miner/stats": self._stats,
            "miner/hw/hashboards": self._boards,
            "miner/errors": lambda: {"errors": self._errors()},
            "pools": lambda: [self._group()],
            "cooling/state": self._cooling,
            "performance/tuner-state": self._tuner_state,
            "configuration/miner": self._configuration,
            "configuration/constraints": self._constraints,
            "actions/locate": lambda: machine.blinking,
        }

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        path = request.path.split("?", 1)[0]
        self.machine.advance()
        if path in {"/", "/index.html"}:
            return HttpReply(200, HOME, "text/html")
        if path == "/graphql" and request.method == "POST":
            return self._graphql(request)
        if not path.startswith(API):
            return refused(404, "Not Found")
        return self._rest(path.removeprefix(API).rstrip("/"), request)

    def _rest(self, name: str, request: HttpRequest) -> HttpReply:
        if name == "auth/login" and request.method == "POST":
            return self.writes.login(request)
        if not self.writes.knows(request):
            return refused(401, "Unauthorized")
        if request.method != "GET":
            return self.writes.answer(request.method, name, request)
        page = self.pages.get(name)
        return json_reply(page()) if page is not None else refused(404, "Not Found")

    # GraphQL: the questions that clients are known to ask, told by their words.

    def _graphql(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body) or {}
        query = str(document.get("query", ""))
        if "modelName" in query:
            return json_reply({"data": {"bosminer": {"info": {"modelName": self.machine.model.name}}}})
        if "version" in query:
            return json_reply({"data": {"bos": {"info": {"version": {"full": self.machine.slots.version(VERSION)}}}}})
        if "login" in query:
            return self.writes.graphql_login(document.get("variables"))
        if "appeals" in query:
            return json_reply({"data": {"events": {"appeals": []}}})
        return json_reply({"data": None, "errors": [{"message": "Unknown field"}]})

    # The RPC port.

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request."""
        document = json_object(request.rstrip(b"\0\r\n ")) or {}
        command = document.get("command")
        self.machine.advance()
        if isinstance(command, str) and "+" in command:
            return Reply(encode({name: [self._rpc(name)] for name in command.split("+")} | {"id": 1}))
        return Reply(encode(self._rpc(command)))

    def _rpc(self, command: object) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        rows: list[dict[str, Any]]
        match command:
            case "version":
                code, words, name = 22, "BOSer versions", "VERSION"
                rows = [{"API": "3.7", "BOSer": "boser-openwrt 0.1.0-26ba61b9"}]
            case "devdetails":
                code, words, name = 69, "Device Details", "DEVDETAILS"
                rows = [{"DEVDETAILS": board, "ID": board + 1, "Model": model.name} for board in range(model.boards)]
            case "summary":
                code, words, name = 11, "Summary", "SUMMARY"
                rows = [{"Elapsed": int(machine.elapsed_s), "MHS 1m": machine.rate_ths * 1e6}]
            case "devs":
                code, words, name = 9, f"{model.boards} ASC(s)", "DEVS"
                rows = [{"ID": board + 1, "MHS 5s": rate * 1e6} for board, rate in enumerate(machine.rates_ths)]
            case _:
                return {"STATUS": [self._rpc_status("E", 14, "Invalid command")], "id": 1}
        return {"STATUS": [self._rpc_status("S", code, words)], name: rows, "id": 1}

    @staticmethod
    def _rpc_status(letter: str, code: int, words: str) -> dict[str, Any]:
        return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": words, "Description": RPC_DESCRIPTION}

    # Documents.

    @property
    def _status(self) -> int:
        machine = self.machine
        if machine.asleep:
            return NOT_STARTED if self.machine.settings.of("is_stopped") else PAUSED
        return 4 if machine.phase is Phase.PROTECTED else 2

    def _network(self) -> dict[str, Any]:
        return {
            "default_gateway": "",
            "dns_servers": ["127.0.0.1"],
            "hostname": self.machine.settings.hostname,
            "mac_address": self.machine.mac.lower(),
            "name": "eth0",
            "networks": [{"address": self.machine.address, "netmask": "255.0.0.0"}],
            "protocol": 1,
        }

    def _details(self) -> dict[str, Any]:
        machine = self.machine
        up_s = int(max(machine.at - machine.booted_at, 0))
        return {
            "bos_mode": 4,
            "bos_version": {
                "bos_plus": True,
                "current": self.machine.slots.version(VERSION),
                "major": "2022-09-13-0-11012d53-22.08-plus",
            },
            "bosminer_uptime_s": 0 if self._status == NOT_STARTED else int(machine.elapsed_s),
            "control_board_soc_family": 3,
            "hostname": self.machine.settings.hostname,
            "kernel_version": "4.9.113",
            "mac_address": machine.mac.lower(),
            "miner_identity": {"brand": 1, "miner_model": machine.model.name, "model": 0, "name": machine.model.name},
            "platform": 4,
            "psu_info": {
                "fw_version": 6920,
                "max_voltage": {"volt": 15.0},
                "min_voltage": {"volt": 12.0},
                "model_name": "APW171215a/c",
                "serial_number": f"P{machine.serial}",
                "version": 193,
            },
            "serial_number": machine.serial,
            "status": self._status,
            "sticker_hashrate": {"gigahash_per_second": machine.model.hashrate_ths * 1e3},
            "system_uptime": up_s,
            "system_uptime_s": up_s,
            "uid": f"{machine.serial}uid"[:16],
        }

    def _work(self, rate_ths: float, average_ths: float, nominal_ths: float) -> dict[str, Any]:
        spans = {f"last_{span}": rate_ths for span in ("5s", "15s", "30s", "1m", "5m")}
        spans |= dict.fromkeys(("last_15m", "last_30m", "last_1h", "last_24h", "since_restart"), average_ths)
        best = int(self.machine.best_share)
        return {
            "best_share": best,
            "best_share_str": str(best),
            "error_hashrate": {"megahash_per_second": 0.0},
            "found_blocks": 0,
            "nominal_hashrate": {"gigahash_per_second": nominal_ths * 1e3},
            "real_hashrate": {span: {"gigahash_per_second": rate * 1e3} for span, rate in spans.items()},
        }

    def _stats(self) -> dict[str, Any]:
        machine = self.machine
        nominal = machine.model.hashrate_ths * self.writes.frequency_share
        efficiency = machine.power_w / machine.rate_ths if machine.rate_ths > 0 else 0.0
        return {
            "miner_stats": self._work(machine.rate_ths, machine.average_ths, nominal),
            "pool_stats": self._shares(range(len(machine.tallies))),
            "power_stats": {
                "approximated_consumption": {"watt": round(machine.power_w)},
                "efficiency": {"joule_per_terahash": efficiency},
            },
        }

    def _shares(self, indexes: Any) -> dict[str, Any]:
        tallies = [self.machine.tallies[index] for index in indexes]
        newest = max(tallies, key=lambda tally: tally.last_share_at)
        best = int(max(tally.best_share for tally in tallies))
        at = newest.last_share_at
        return {
            "accepted_shares": sum(tally.accepted for tally in tallies),
            "best_share": best,
            "best_share_str": str(best),
            "generated_work": int(self.machine.elapsed_s * 250_000) if newest.accepted else 0,
            "last_difficulty": whole(newest.difficulty),
            "last_share_time": {"nanos": int(at % 1 * 1e9), "seconds": int(at)} if newest.accepted else None,
            "rejected_shares": sum(tally.rejected for tally in tallies),
            "stale_shares": sum(tally.stale for tally in tallies),
        }

    def _group(self) -> dict[str, Any]:
        writes, machine = self.writes, self.machine
        rows = [
            {
                "active": machine.works_for(index) and not machine.asleep,
                "alive": machine.tallies[index].is_alive,
                "enabled": True,
                "stats": self._shares([index]),
                "uid": writes.uid(index),
                "url": pool.url,
                "user": pool.user,
            }
            for index, pool in enumerate(machine.pools)
            if pool.url
        ]
        return {"name": writes.group_name, "pools": rows, "strategy": {"quota": {"value": 1}}, "uid": "0"}

    def _boards(self) -> dict[str, Any]:
        model = self.machine.model
        return {"hashboards": [self._board(board) for board in range(model.boards) if self.machine.alive(board)]}

    def _board(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        chip_c, rate = machine.chip_max_c(board), machine.rates_ths[board]
        air_c = max(chip_c - AIR_K, machine.inlet_c)
        elapsed = machine.elapsed_s
        average = machine.work_th[board] / elapsed if elapsed >= 1 else 0.0
        return {
            "board_name": BOARD_MODEL,
            "board_temp": {"degree_c": round(air_c, 3)},
            "chip_type": CHIP,
            "chips_count": model.chips_per_board,
            "current_frequency": {"hertz": model.frequency_mhz * machine.frequency_share * 1e6},
            "current_voltage": {"volt": model.voltage_v if rate > 0 else 0.0},
            "enabled": True,
            "highest_chip_temp": {"id": board + 1, "location": 1, "temperature": {"degree_c": round(chip_c, 3)}},
            "highest_outlet_temp": {"degree_c": round(air_c, 3)},
            "id": str(board + 1),
            "lowest_inlet_temp": {"degree_c": round(machine.inlet_c + 6.0, 3)},
            "model": BOARD_MODEL,
            "serial_number": machine.board_serials[board],
            "stats": self._work(rate, average, model.board_ths * self.writes.frequency_share),
        }

    def _errors(self) -> list[dict[str, Any]]:
        machine = self.machine
        found: list[tuple[str, str]] = []
        if machine.fault is Fault.BOARD_DEAD:
            found.append(("H2", f"Hashboard {machine.weak_board + 1} is not responding"))
        if machine.fault is Fault.FAN_DEAD or machine.stopped_by == "fan":
            found.append(("F1", f"Fan {machine.weak_fan} is not spinning"))
        if machine.stopped_by == "heat":
            found.append(("T1", "Dangerous temperature reached"))
        at = max(machine.fault_since, machine.mining_since) if found else 0.0
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(at + 1))
        codes = [[{"code": code, "hint": "", "reason": text}] for code, text in found]
        return [
            {"components": [], "error_codes": code, "message": text, "timestamp": stamp}
            for code, (_, text) in zip(codes, found, strict=True)
        ]

    def _cooling(self) -> dict[str, Any]:
        machine = self.machine
        fans = [
            {"position": index, "rpm": round(rpm), "target_speed_ratio": round(machine.duty, 2)}
            for index, rpm in enumerate(machine.rpm)
        ]
        hottest = {"id": None, "location": 1, "temperature": {"degree_c": round(machine.hottest_c, 3)}}
        return {"fans": fans, "highest_temperature": hottest}

    def _tuner_state(self) -> dict[str, Any]:
        machine, target = self.machine, {"watt": self.writes.power_target_w}
        profile = {
            "created": None,
            "estimated_power_consumption": {"watt": round(machine.power_w)},
            "measured_hashrate": {"gigahash_per_second": machine.rate_ths * 1e3},
            "target": target,
        }
        return {
            "mode_state": {"powertargetmodestate": {"current_target": target, "profile": profile}},
            "overall_tuner_state": TUNED,
        }

    def _configuration(self) -> dict[str, Any]:
        tuner = {
            "enabled": True,
            "hashrate_target": None,
            "power_target": {"watt": self.writes.power_target_w},
            "tuner_mode": 1,
        }
        return {"pool_groups": [self.writes.group()], "temperature": {"mode": self.writes.cooling}, "tuner": tuner}

    def _constraints(self) -> dict[str, Any]:
        low, default, high = ({"watt": watts} for watts in self.writes.watts)
        return {"tuner_constraints": {"default_mode": 1, "power_target": {"min": low, "default": default, "max": high}}}
