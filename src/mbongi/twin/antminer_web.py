"""The digest-protected web interface of a stock Antminer: ``/cgi-bin/NAME.cgi``.

Writes take the whole document, as the real firmware does.
"""

import time
from collections.abc import Callable
from typing import Any

from mbongi.twin.antminer_gate import Gate
from mbongi.twin.antminer_rpc import COMPILE_TIME, MINER_VERSION, board_sensors_c
from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object, short_difficulty, unix_s, whole
from mbongi.twin.flash import form_parts
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import POOL_COUNT, Fault, Phase, PoolEntry

WORK_MODES = {0: "normal", 1: "sleep", 3: "low"}
NOT_FOUND = b"<html><head><title>404 - Not Found</title></head><body><h1>404 - Not Found</h1></body></html>"
HOME = b"<!DOCTYPE html><html><head><title>Ant Miner</title></head><body></body></html>"
NET_TYPE = "DHCP"
FILESYSTEM_VERSION = "FR-1.12(251009-S21)"


class AntminerWeb:
    """Answers one machine's web requests; the password may be changed by its ``passwd`` page."""

    def __init__(self, machine: VirtualMachine, *, password: str = "root") -> None:  # noqa: S107 -- factory setting
        self.machine = machine
        machine.deliver(
            password=password, hostname="Antminer", fan_control={"bitmain-fan-ctrl": False, "bitmain-fan-pwm": "100"}
        )
        self.gate = Gate(machine)
        self.pages: dict[str, Callable[[HttpRequest], HttpReply]] = {
            "get_system_info": lambda _: _json(self._system_info()),
            "miner_type": lambda _: _json(self._miner_type()),
            "summary": lambda _: _json(self._summary()),
            "stats": lambda _: _json(self._stats()),
            "pools": lambda _: _json(self._pools()),
            "get_miner_conf": lambda _: _json(self._miner_conf()),
            "get_blink_status": lambda _: _json({"blink": self.machine.blinking}),
            "get_network_info": lambda _: _json(self._network_info()),
            "log": lambda _: HttpReply(200, self._log(), "text/plain"),
            "set_miner_conf": self._set_miner_conf,
            "blink": self._blink,
            "reboot": self._reboot,
            "passwd": self._passwd,
            "upgrade": self._upgrade,
        }

    def answer(self, request: HttpRequest) -> HttpReply:
        """One request: signed in or sent away."""
        refusal = self.gate.refusal(request)
        if refusal is not None:
            return refusal
        path = request.path.split("?", 1)[0]
        if path in {"/", "/index.html"}:
            return HttpReply(200, HOME, "text/html")
        page = self.pages.get(path.removeprefix("/cgi-bin/").removesuffix(".cgi")) if path.endswith(".cgi") else None
        if page is None:
            return HttpReply(404, NOT_FOUND, "text/html")
        self.machine.advance()
        try:
            return page(request)
        except WriteRefusedError:
            return _json({"stats": "error", "code": "M001", "msg": "Invalid configuration!"})

    # What can be read.

    def _envelope(self, message: str) -> dict[str, Any]:
        return {
            "STATUS": {"STATUS": "S", "when": unix_s(), "Msg": message, "api_version": "1.0.0"},
            "INFO": {"miner_version": MINER_VERSION, "CompileTime": COMPILE_TIME, "type": self.machine.model.name},
        }

    @property
    def _silent(self) -> bool:
        return self.machine.phase is Phase.SLEEPING

    def _system_info(self) -> dict[str, Any]:
        machine = self.machine
        return {
            "minertype": machine.model.name,
            "nettype": NET_TYPE,
            "netdevice": "eth0",
            "macaddr": machine.mac,
            "hostname": machine.settings.hostname,
            "ipaddress": machine.address,
            "netmask": "255.255.0.0",
            "gateway": "",
            "dnsservers": "",
            "system_mode": "GNU/Linux",
            "system_kernel_version": "Linux 4.9.113 #1 SMP PREEMPT Thu Oct 9 18:55:45 CST 2025",
            "system_filesystem_version": machine.slots.version(FILESYSTEM_VERSION),
            "firmware_type": "Release",
            "serinum": machine.serial,
        }

    def _miner_type(self) -> dict[str, Any]:
        version = self.machine.slots.version(FILESYSTEM_VERSION)
        return {"miner_type": self.machine.model.name, "subtype": "AMLCtrl_BHB68701", "fw_version": version}

    def _summary(self) -> dict[str, Any]:
        machine = self.machine
        row = {
            "elapsed": int(machine.elapsed_s),
            "rate_5s": round(machine.rate_ths * 1e3, 2),
            "rate_30m": round(machine.average_ths * 1e3, 2),
            "rate_avg": round(machine.average_ths * 1e3, 2),
            "rate_ideal": round(machine.model.hashrate_ths * 1e3, 1),
            "rate_unit": "GH/s",
            "hw_all": sum(machine.hw_errors),
            "bestshare": whole(machine.best_share),
            "status": self._health(),
        }
        return {**self._envelope("summary"), "SUMMARY": [] if self._silent else [row]}

    def _health(self) -> list[dict[str, Any]]:
        machine = self.machine
        dead = machine.fault is Fault.BOARD_DEAD
        slow = machine.phase is Phase.MINING and machine.rate_ths < 0.85 * machine.model.hashrate_ths
        fan = machine.fault is Fault.FAN_DEAD or machine.stopped_by == "fan"
        heat = machine.stopped_by == "heat" or machine.hottest_c >= machine.model.throttle_c
        return [
            _flag("rate", bad=dead or slow, message="hashboard lost" if dead else "low hashrate"),
            _flag("network", bad=not machine.has_work, message="all pools dead"),
            _flag("fans", bad=fan, message="fan lost"),
            _flag("temp", bad=heat, message="temperature too high"),
        ]

    def _stats(self) -> dict[str, Any]:
        machine = self.machine
        model = machine.model
        boards = [board for board in range(model.boards) if machine.alive(board)]
        row = {
            "elapsed": int(machine.elapsed_s),
            "rate_5s": round(machine.rate_ths * 1e3, 2),
            "rate_30m": round(machine.average_ths * 1e3, 2),
            "rate_avg": round(machine.average_ths * 1e3, 2),
            "rate_ideal": round(model.hashrate_ths * 1e3, 1),
            "rate_unit": "GH/s",
            "chain_num": len(boards),
            "fan_num": model.fans,
            "fan": [round(rpm / 10) * 10 for rpm in machine.rpm],
            "hwp_total": 0.0,
            "miner-mode": self._work_mode(),
            "freq-level": 100,
            "chain": [self._chain(board) for board in boards],
        }
        return {**self._envelope("stats"), "STATS": [] if self._silent else [row]}

    def _chain(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        sensors = board_sensors_c(machine, board)
        return {
            "index": board,
            "freq_avg": round(model.frequency_mhz * machine.frequency_share),
            "rate_ideal": round(model.board_ths * 1e3, 2),
            "rate_real": round(machine.rates_ths[board] * 1e3, 2),
            "asic_num": model.chips_per_board,
            "asic": "o" * model.chips_per_board,
            "temp_pic": [max(temp - 15, 0) for temp in sensors],
            "temp_pcb": [max(temp - 5, 0) for temp in sensors],
            "temp_chip": sensors,
            "hw": machine.hw_errors[board],
            "eeprom_loaded": True,
            "sn": machine.board_serials[board],
            "hwp": 0.0,
            "tpl": [],
        }

    def _pools(self) -> dict[str, Any]:
        rows = [self._pool(index) for index, pool in enumerate(self.machine.pools) if pool.url]
        return {**self._envelope("pools"), "POOLS": [] if self._silent else rows}

    def _pool(self, index: int) -> dict[str, Any]:
        machine, pool, tally = self.machine, self.machine.pools[index], self.machine.tallies[index]
        used = tally.is_active
        return {
            "index": index,
            "url": pool.url,
            "user": pool.user,
            "status": tally.status,
            "priority": index,
            "getworks": int(machine.elapsed_s / 12.8) if used else 0,
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "discarded": 0,
            "stale": tally.stale,
            "diff": short_difficulty(tally.difficulty) if used else "",
            "diff1": 0,
            "diffa": whole(tally.difficulty_accepted),
            "diffr": whole(tally.difficulty_rejected),
            "diffs": whole(tally.difficulty_stale),
            "lsdiff": whole(tally.last_share_difficulty),
            "lstime": time.strftime("%H:%M:%S", time.gmtime(tally.last_share_at)) if tally.accepted else "0",
        }

    def _work_mode(self) -> int:
        return 1 if self.machine.asleep else 3 if self.machine.power_mode == "low" else 0

    def _miner_conf(self) -> dict[str, Any]:
        return {
            "pools": [{"url": pool.url, "user": pool.user, "pass": pool.password} for pool in self.machine.pools],
            "api-listen": True,
            "api-network": True,
            "api-groups": "A:stats:pools:devs:summary:version",
            "api-allow": "A:0/0,W:*",
            **self.machine.settings.of("fan_control"),
            "bitmain-use-vil": True,
            "bitmain-freq": str(round(self.machine.model.frequency_mhz)),
            "bitmain-voltage": str(round(self.machine.model.voltage_v * 100)),
            "bitmain-ccdelay": "0",
            "bitmain-pwth": "0",
            "bitmain-work-mode": str(self._work_mode()),
            "bitmain-freq-level": "100",
        }

    def _network_info(self) -> dict[str, Any]:
        machine = self.machine
        return {
            "nettype": NET_TYPE,
            "netdevice": "eth0",
            "macaddr": machine.mac,
            "ipaddress": machine.address,
            "netmask": "255.255.0.0",
            "conf_nettype": NET_TYPE,
            "conf_hostname": machine.settings.hostname,
            "conf_ipaddress": "",
            "conf_netmask": "",
            "conf_gateway": "",
            "conf_dnsservers": "",
        }

    def _log(self) -> bytes:
        machine = self.machine
        started = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(machine.mining_since))
        chains = sum(map(machine.alive, range(machine.model.boards)))
        lines = [f"{started} miner start, {machine.model.name}, {chains} chains found"]
        lines += [f"{item['type']}: {item['msg']}" for item in self._health() if item["status"] == "e"]
        return "\n".join(lines).encode() + b"\n"

    # What can be written.

    def _set_miner_conf(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body)
        pools = _pools_of(document.get("pools")) if document is not None else None
        mode = _mode_of(document) if document is not None else None
        if request.method != "POST" or document is None or pools is None or mode is None:
            return _json({"stats": "error", "code": "M001", "msg": "Invalid configuration!"})
        fan_control = {key: document.get(key, value) for key, value in self.machine.settings.of("fan_control").items()}
        self.machine.change(
            pools=pools,
            power_mode="low" if mode == 3 else "normal",
            asleep=mode == 1,
            fan_control=fan_control,
            restarts=True,
        )
        return _json({"stats": "success", "code": "M000", "msg": "OK!"})

    def _blink(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body) or {}
        wanted = str(document.get("blink", "")).lower()
        if wanted not in {"true", "false"}:
            return _json({"code": "B001", "msg": "Invalid parameter"})
        self.machine.change(blinking=wanted == "true")
        return _json({"code": "B000" if wanted == "true" else "B100"})

    def _reboot(self, _: HttpRequest) -> HttpReply:
        self.machine.change(then=self.machine.reboot)
        return HttpReply(200, b'{"stats":"success"}')

    def _passwd(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body) or {}
        new = document.get("newPwd")
        if document.get("curPwd") != self.machine.settings.password:
            return _json({"stats": "error", "code": "P001", "msg": "Current password is wrong!"})
        if not isinstance(new, str) or not new or new != document.get("confirmPwd"):
            return _json({"stats": "error", "code": "P002", "msg": "New passwords differ!"})
        self.machine.change(password=new)
        return _json({"stats": "success", "code": "P000", "msg": "OK!"})

    def _upgrade(self, request: HttpRequest) -> HttpReply:
        """The answer's codes: as clients expect them; the message of a refusal is chosen."""
        image = form_parts(request.headers.get("content-type", ""), request.body).get("firmware", b"")
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return _json({"stats": "error", "code": "U001", "msg": str(error)})
        return _json({"stats": "success", "code": "U000", "msg": "OK!"})


def _json(document: dict[str, Any]) -> HttpReply:
    return HttpReply(200, encode(document))


def _flag(kind: str, *, bad: bool, message: str) -> dict[str, Any]:
    return {"type": kind, "status": "e" if bad else "s", "code": 1 if bad else 0, "msg": message if bad else ""}


def _pools_of(found: object) -> tuple[PoolEntry, ...] | None:
    if not isinstance(found, list) or not 1 <= len(found) <= POOL_COUNT:
        return None
    pools = []
    for item in found:
        if not isinstance(item, dict):
            return None
        texts = [item.get(key, "") for key in ("url", "user", "pass")]
        if not all(isinstance(text, str) for text in texts):
            return None
        pools.append(PoolEntry(*texts))
    return tuple(pools)


def _mode_of(document: dict[str, Any]) -> int | None:
    """The web page of the firmware writes ``miner-mode``, the file that it reads says ``bitmain-work-mode``."""
    found = document.get("miner-mode", document.get("bitmain-work-mode", 0))
    try:
        mode = int(found)
    except (TypeError, ValueError):
        return None
    return mode if mode in WORK_MODES else None
