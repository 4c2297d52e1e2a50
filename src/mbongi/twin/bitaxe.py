"""AxeOS of a Bitaxe: an open HTTP interface, rendered as in a captured reply."""

from typing import Any

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, host_and_port, json_object, whole
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, PoolEntry

HOME = b'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>AxeOS</title></head><body></body></html>'
NOT_FOUND = b"Nothing matches the given URI"
VERSION = "v2.4.5-3-gb5d1e36-dirty"
ASIC_MODEL = "BM1368"
SMALL_CORES = 1276


class Bitaxe:
    """One Bitaxe's firmware. It has no password: neither has the real one."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine = machine
        machine.deliver(
            hostname="bitaxe",
            ssid="Test",
            frequency=round(machine.model.frequency_mhz),
            coreVoltage=round(machine.model.voltage_v * 1000),
            autofanspeed=1,
            fanspeed=100,
            flipscreen=1,
            invertscreen=0,
            invertfanpolarity=1,
        )

    def answer_http(self, request: HttpRequest) -> HttpReply:
        """One request."""
        path = request.path.split("?", 1)[0]
        self.machine.advance()
        if request.method == "GET":
            return self._get(path)
        try:
            return self._write(request, path)
        except WriteRefusedError:
            return HttpReply(400, b"Wrong API input", "text/plain")

    def _write(self, request: HttpRequest, path: str) -> HttpReply:
        if request.method == "PATCH" and path == "/api/system":
            return self._patch(request.body)
        if request.method == "POST" and path == "/api/system/OTA":
            return self._flash(request.body)
        if request.method == "POST" and path.startswith("/api/system/"):
            return self._post(path.removeprefix("/api/system/"))
        return HttpReply(404, NOT_FOUND, "text/plain")

    def _post(self, action: str) -> HttpReply:
        machine = self.machine
        match action:
            case "restart":
                machine.change(then=machine.reboot)
                return HttpReply(200, b"System will restart shortly.", "text/plain")
            case "pause":
                machine.change(asleep=True, restarts=True)
                return HttpReply(200, b'{"message":"Mining paused"}')
            case "resume":
                machine.change(asleep=False, restarts=True)
                return HttpReply(200, b'{"message":"Mining resumed"}')
            case "identify":
                machine.change(blinking=not machine.blinking)
                return HttpReply(200, b'{"message":"The device says \\"Hi!\\"."}')
        return HttpReply(404, NOT_FOUND, "text/plain")

    def _flash(self, image: bytes) -> HttpReply:
        """The words of a success: ESP-Miner's; those of a refusal are chosen."""
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return HttpReply(500, f"Validation / Activation Error: {error}".encode(), "text/plain")
        return HttpReply(200, b"Firmware update complete, rebooting now!\n", "text/plain")

    def _get(self, path: str) -> HttpReply:
        if path in {"/", "/index.html"}:
            return HttpReply(200, HOME, "text/html")
        if path == "/api/system/info":
            return HttpReply(200, encode(self._info()))
        if path == "/api/system/asic":
            return HttpReply(200, encode(self._asic()))
        return HttpReply(404, NOT_FOUND, "text/plain")

    def _info(self) -> dict[str, Any]:
        machine, settings = self.machine, self.machine.settings
        main, fallback = machine.pools[0], machine.pools[1]
        main_host, main_port = host_and_port(main.url)
        fallback_host, fallback_port = host_and_port(fallback.url)
        hashing, fallback_used = machine.rate_ths > 0, machine.tallies[1].is_active
        return {
            "power": machine.power_w,
            "voltage": 5175.0 - 0.5 * machine.power_w,
            "current": machine.power_w / 5.175 * 1000.0,
            "temp": round(machine.temps_c[0], 3),
            "vrTemp": round(machine.temps_c[0] + 8),
            "hashRate": machine.rate_ths * 1000.0,
            "bestDiff": _difficulty_text(machine.best_share),
            "bestSessionDiff": _difficulty_text(machine.best_share),
            "stratumDiff": whole(machine.tallies[fallback_used].difficulty),
            "isUsingFallbackStratum": int(fallback_used),
            "freeHeap": 8_443_612,
            "coreVoltage": settings.of("coreVoltage"),
            "coreVoltageActual": round(settings.of("coreVoltage") * (1.005 if hashing else 0.0)),
            "frequency": settings.of("frequency"),
            "ssid": settings.of("ssid"),
            "macAddr": machine.mac,
            "hostname": settings.of("hostname"),
            "wifiStatus": "Connected!",
            "sharesAccepted": machine.accepted,
            "sharesRejected": machine.rejected,
            "uptimeSeconds": int(max(machine.at - machine.booted_at, 0)),
            "asicCount": 1,
            "smallCoreCount": SMALL_CORES,
            "ASICModel": ASIC_MODEL,
            "stratumURL": main_host,
            "fallbackStratumURL": fallback_host,
            "stratumPort": _port(main_port),
            "fallbackStratumPort": _port(fallback_port),
            "stratumUser": main.user,
            "fallbackStratumUser": fallback.user,
            "version": machine.slots.version(VERSION),
            "idfVersion": "v5.4",
            "boardVersion": "401",
            "runningPartition": "factory",
            "flipscreen": settings.of("flipscreen"),
            "overheat_mode": int(machine.stopped_by == "heat"),
            "invertscreen": settings.of("invertscreen"),
            "invertfanpolarity": settings.of("invertfanpolarity"),
            "autofanspeed": settings.of("autofanspeed"),
            "fanspeed": round(machine.duty * 100) if settings.of("autofanspeed") else settings.of("fanspeed"),
            "fanrpm": round(machine.rpm[0]),
        }

    def _asic(self) -> dict[str, Any]:
        return {
            "ASICModel": ASIC_MODEL,
            "deviceModel": "Supra",
            "swarmColor": "blue",
            "asicCount": 1 if self.machine.fault is not Fault.BOARD_DEAD else 0,
            "defaultFrequency": 490,
            "frequencyOptions": [400, 425, 450, 475, 485, 490, 500, 525, 550, 575],
            "defaultVoltage": 1166,
            "voltageOptions": [1100, 1150, 1166, 1200, 1250, 1300],
        }

    def _patch(self, body: bytes) -> HttpReply:
        document = json_object(body)
        if document is None:
            return HttpReply(400, b"Invalid JSON", "text/plain")
        settings = self.machine.settings
        wanted = {key: value for key, value in document.items() if key == "hostname" or key in settings.extra}
        for key, value in wanted.items():
            if type(value) is not type(settings.of(key)):
                return HttpReply(400, f"Invalid value for {key}".encode(), "text/plain")
        pools = [
            self._patched_pool(index, prefix, document) for index, prefix in enumerate(("stratum", "fallbackStratum"))
        ]
        if pools != list(self.machine.pools[:2]):
            wanted["pools"] = tuple(pools)
        self.machine.change(**wanted)
        return HttpReply(200, b"", "text/plain")

    def _patched_pool(self, index: int, prefix: str, document: dict[str, Any]) -> PoolEntry:
        pool = self.machine.pools[index]
        host, port = host_and_port(pool.url)
        host = str(document.get(f"{prefix}URL", host))
        port = str(document.get(f"{prefix}Port", port))
        user = str(document.get(f"{prefix}User", pool.user))
        password = str(document.get(f"{prefix}Password", pool.password))
        return PoolEntry(f"stratum+tcp://{host}:{port}" if host else "", user, password)


def _port(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _difficulty_text(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.2f}{letter}"
    return f"{value:.0f}" if value >= 1 or not value else f"{value:.3g}"
