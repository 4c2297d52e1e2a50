"""VNish's writes: a token for the password, settings as partial documents, and buttons with empty answers.

Pools and presets that are saved wait for a restart of the miner program (chosen: the documents only say that a restart
may be required). A preset that does not exist is answered as if it were taken, as users report of real machines.
"""

import secrets
from collections.abc import Callable
from typing import Any

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
from mbongi.twin.flash import form_parts
from mbongi.twin.images import BadImageError
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.physics import frequency_share_for
from mbongi.twin.values import POOL_COUNT, PoolEntry

WRONG_MAX = 5
LOCKED_S = 60.0
"""After so many wrong passwords in a row nobody may try for so long (both chosen)."""
PRESET_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6)
DISABLED = "disabled"
SCHEME = "stratum+tcp://"
EMPTY = HttpReply(200, b"", "text/plain")


def json_reply(document: object, *, status: int = 200) -> HttpReply:
    """A reply that holds JSON."""
    return HttpReply(status, encode(document))


def short_url(url: str) -> str:
    """A pool's address as the firmware states it."""
    return url.removeprefix(SCHEME)


class VNishWrites:
    """The write side of one machine, and the settings that only VNish has."""

    def __init__(self, machine: VirtualMachine, *, password: str) -> None:
        self.machine = machine
        machine.deliver(
            password=password,
            hostname="antminer",
            preset=f"{self._watts(1.0)}",
            # What is saved and waits for a restart.
            saved_pools=None,
            saved_preset=None,
        )
        self.tokens: set[str] = set()
        self._wrong, self._locked_until = 0, 0.0
        self._booted_at = machine.booted_at
        self.buttons: dict[str, Callable[[HttpRequest], HttpReply]] = {
            "settings": self._save,
            "mining/stop": lambda _: self._stop(),
            "mining/pause": lambda _: self._stop(),
            "mining/start": lambda _: self._start(),
            "mining/resume": lambda _: self._start(),
            "mining/restart": lambda _: self._restart(),
            "system/reboot": lambda _: self._reboot(),
            "lock": self._lock,
            "firmware/update": self._flash,
        }

    def answer(self, name: str, request: HttpRequest) -> HttpReply:
        """Answer a POST."""
        if name == "unlock":
            return self._unlock(request)
        try:
            return self._write(name, request)
        except WriteRefusedError:
            return json_reply({"err": "Command failed"}, status=500)

    def _write(self, name: str, request: HttpRequest) -> HttpReply:
        if name == "find-miner":
            return self._find(request)
        button = self.buttons.get(name)
        if button is None:
            return json_reply({"err": "not found"}, status=404)
        if self._token(request) not in self.tokens:
            return json_reply({"unlock_timeout": None}, status=401)
        return button(request)

    def refresh(self) -> None:
        """What waited for a restart is in force after a reboot."""
        if self.machine.booted_at != self._booted_at:
            self._booted_at = self.machine.booted_at
            self.tokens.clear()
            self.machine.apply(**self._saved())

    # The password.

    @staticmethod
    def _token(request: HttpRequest) -> str:
        return request.headers.get("authorization", "").removeprefix("Bearer ").strip()

    def is_stale(self, request: HttpRequest) -> bool:
        """Whether a request carries a token that has died: refused even where none is needed (chosen)."""
        token = self._token(request)
        return bool(token) and token not in self.tokens

    def _unlock(self, request: HttpRequest) -> HttpReply:
        now = self.machine.clock()
        if now < self._locked_until:
            return json_reply({"unlock_timeout": round(self._locked_until - now)}, status=429)
        if (json_object(request.body) or {}).get("pw") != self.machine.settings.password:
            self._wrong += 1
            if self._wrong >= WRONG_MAX:
                self._wrong, self._locked_until = 0, now + LOCKED_S
            return json_reply({"unlock_timeout": None}, status=403)
        self._wrong = 0
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return json_reply({"token": token})

    def _lock(self, request: HttpRequest) -> HttpReply:
        self.tokens.discard(self._token(request))
        return EMPTY

    # Settings.

    @property
    def restart_required(self) -> bool:
        """Whether something that is saved is not in force."""
        return bool(self._saved())

    @property
    def preset(self) -> str:
        """The preset in force."""
        return str(self.machine.settings.of("preset"))

    @property
    def frequency_share(self) -> float:
        """The frequency of the preset in force over the nominal."""
        return self._share(self.preset)

    def _share(self, preset: str) -> float:
        model = self.machine.model
        if preset == DISABLED:
            return 1.0
        return min(frequency_share_for((int(preset) - model.idle_w) / (model.power_w - model.idle_w)), 1.0)

    def settings(self) -> dict[str, Any]:
        """Answer ``settings``: what is saved. Passwords of pools are stated, as the firmware does."""
        settings, model = self.machine.settings, self.machine.model
        pools = settings.pools if settings.of("saved_pools") is None else settings.of("saved_pools")
        return {
            "miner": {
                "pools": [
                    {"url": short_url(pool.url), "user": pool.user, "pass": pool.password} for pool in pools if pool.url
                ],
                "overclock": {
                    "preset": settings.of("saved_preset") or self.preset,
                    "globals": {"volt": round(model.voltage_v * 100), "freq": round(model.frequency_mhz)},
                    "chains": [],
                    "modded_psu": False,
                    "preset_switcher": {"enabled": False},
                },
                "cooling": {
                    "mode": {"name": "auto", "param": round(model.target_c)},
                    "fan_min_duty": 10,
                    "fan_max_duty": 100,
                    "fan_min_count": model.fans,
                },
                "misc": {"restart_temp": 84},
            },
            "network": {
                "hostname": settings.hostname,
                "dhcp": True,
                "ipaddress": self.machine.address,
                "netmask": "255.0.0.0",
                "gateway": "",
                "dnsservers": [],
            },
            "regional": {"timezone": {"current": "GMT"}},
            "ui": {"locale": "en"},
        }

    def presets(self) -> list[dict[str, Any]]:
        """Answer ``autotune/presets``."""
        model = self.machine.model
        rows = [
            {"name": str(watts), "pretty": f"{watts} watt ~ {round(model.hashrate_ths * share)} TH", "status": "tuned"}
            for share in PRESET_SHARES
            for watts in (self._watts(share),)
        ]
        rows.append({"name": DISABLED, "pretty": "Disabled", "status": "untuned"})
        return [row | {"modded_psu_required": False} for row in rows]

    def _watts(self, share: float) -> int:
        return round(self.machine.model.power_at_w(share) / 10) * 10

    def _save(self, request: HttpRequest) -> HttpReply:
        document = json_object(request.body)
        if document is None:
            return json_reply({"err": "Json deserialize error"}, status=400)
        try:
            wanted = self._password_of(document.get("password")) | self._miner_of(document.get("miner"))
        except _SettingError as error:
            return json_reply({"err": str(error)}, status=500)
        network = document.get("network")
        if isinstance(network, dict) and isinstance(network.get("hostname"), str):
            wanted["hostname"] = network["hostname"]
        self.machine.change(**wanted)
        if "password" in wanted:
            self.tokens.clear()
        return json_reply({"restart_required": self.restart_required, "reboot_required": False})

    def _password_of(self, change: object) -> dict[str, Any]:
        if not isinstance(change, dict):
            return {}
        new = change.get("pw")
        if change.get("current") != self.machine.settings.password or not isinstance(new, str) or not new:
            raise _SettingError("current password is wrong")
        return {"password": new}

    def _miner_of(self, miner: object) -> dict[str, Any]:
        wanted: dict[str, Any] = {}
        if not isinstance(miner, dict):
            return wanted
        if isinstance(miner.get("pools"), list):
            pools = tuple(_pool(item) for item in miner["pools"])
            if len(pools) > POOL_COUNT or None in pools:
                raise _SettingError("invalid pools")
            wanted["saved_pools"] = pools
        overclock = miner.get("overclock")
        preset = overclock.get("preset") if isinstance(overclock, dict) else None
        if preset in {row["name"] for row in self.presets()} and preset != self.preset:
            wanted["saved_preset"] = preset
        return wanted

    def _saved(self) -> dict[str, Any]:
        """The settings that wait for a restart, as they come into force; empty where none waits."""
        settings, waiting = self.machine.settings, dict[str, Any]()
        if settings.of("saved_pools") is not None:
            waiting |= {"pools": settings.of("saved_pools"), "saved_pools": None}
        if settings.of("saved_preset") is not None:
            preset = settings.of("saved_preset")
            limit_w = self.machine.model.power_at_w(self._share(preset))
            waiting |= {"preset": preset, "saved_preset": None, "power_limit_w": limit_w}
        return waiting

    # Buttons.

    def _stop(self) -> HttpReply:
        self.machine.change(asleep=True, restarts=True)
        return EMPTY

    def _start(self) -> HttpReply:
        if self.machine.asleep:
            self._restart()
        return EMPTY

    def _restart(self) -> HttpReply:
        self.machine.change(asleep=False, restarts=True, **self._saved())
        return EMPTY

    def _flash(self, request: HttpRequest) -> HttpReply:
        image = form_parts(request.headers.get("content-type", ""), request.body).get("file", b"")
        try:
            self.machine.slots.begin(self.machine, image)
        except BadImageError as error:
            return json_reply({"err": str(error)}, status=500)
        return json_reply({"after": 3})

    def _reboot(self) -> HttpReply:
        self.machine.change(then=self.machine.reboot)
        return json_reply({"after": 3})

    def _find(self, request: HttpRequest) -> HttpReply:
        asked = (json_object(request.body) or {}).get("on")
        wanted = asked if isinstance(asked, bool) else not self.machine.blinking
        self.machine.change(blinking=wanted)
        return json_reply({"on": wanted})


class _SettingError(ValueError):
    """A setting that cannot be saved."""


def _pool(item: object) -> PoolEntry | None:
    if not isinstance(item, dict):
        return None
    texts = [item.get(key, "") for key in ("url", "user", "pass")]
    if not all(isinstance(text, str) for text in texts):
        return None
    url = texts[0] if "://" in texts[0] or not texts[0] else SCHEME + texts[0]
    return PoolEntry(url, texts[1], texts[2])
