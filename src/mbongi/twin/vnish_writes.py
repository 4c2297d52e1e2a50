"""VNish's writes: a token for the password, settings as partial documents, and buttons with empty answers.

Pools and presets that are saved wait for a restart of the miner program (chosen: the documents only say that a restart
may be required). A preset that does not exist is answered as if it were taken, as users report of real machines.
"""

import secrets
from collections.abc import Callable
from typing import Any

from mbongi.twin.firmware import HttpReply, HttpRequest, encode, json_object
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
        self.machine, self.password = machine, password
        self.hostname, self.preset = "antminer", f"{self._watts(1.0)}"
        self.tokens: set[str] = set()
        self._wrong, self._locked_until = 0, 0.0
        self._pools: tuple[PoolEntry, ...] | None = None
        self._preset: str | None = None
        """What is saved and waits for a restart."""
        self._booted_at = machine.booted_at
        self.buttons: dict[str, Callable[[HttpRequest], HttpReply]] = {
            "settings": self._save,
            "mining/stop": lambda _: self._stop(),
            "mining/pause": lambda _: self._stop(),
            "mining/start": lambda _: self._start(),
            "mining/resume": lambda _: self._start(),
            "mining/restart": lambda _: self._restart(),
            "system/reboot": lambda _: HttpReply(200, b'{"after":3}', then=machine.reboot),
            "lock": self._lock,
        }

    def answer(self, name: str, request: HttpRequest) -> HttpReply:
        """Answer a POST."""
        if name == "unlock":
            return self._unlock(request)
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
            self._apply()

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
        if (json_object(request.body) or {}).get("pw") != self.password:
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
        return self._pools is not None or self._preset is not None

    @property
    def frequency_share(self) -> float:
        """The frequency of the preset in force over the nominal."""
        model = self.machine.model
        if self.preset == DISABLED:
            return 1.0
        return min(frequency_share_for((int(self.preset) - model.idle_w) / (model.power_w - model.idle_w)), 1.0)

    def settings(self) -> dict[str, Any]:
        """Answer ``settings``: what is saved. Passwords of pools are stated, as the firmware does."""
        pools = self.machine.pools if self._pools is None else self._pools
        model = self.machine.model
        return {
            "miner": {
                "pools": [
                    {"url": short_url(pool.url), "user": pool.user, "pass": pool.password} for pool in pools if pool.url
                ],
                "overclock": {
                    "preset": self.preset if self._preset is None else self._preset,
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
                "hostname": self.hostname,
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
        problem = self._save_password(document.get("password")) or self._save_miner(document.get("miner"))
        if problem:
            return json_reply({"err": problem}, status=500)
        network = document.get("network")
        if isinstance(network, dict) and isinstance(network.get("hostname"), str):
            self.hostname = network["hostname"]
        return json_reply({"restart_required": self.restart_required, "reboot_required": False})

    def _save_password(self, change: object) -> str:
        if not isinstance(change, dict):
            return ""
        new = change.get("pw")
        if change.get("current") != self.password or not isinstance(new, str) or not new:
            return "current password is wrong"
        self.password = new
        self.tokens.clear()
        return ""

    def _save_miner(self, miner: object) -> str:
        if not isinstance(miner, dict):
            return ""
        if isinstance(miner.get("pools"), list):
            pools = [_pool(item) for item in miner["pools"]]
            if len(pools) > POOL_COUNT or None in pools:
                return "invalid pools"
            self._pools = tuple(pool for pool in pools if pool is not None)
        overclock = miner.get("overclock")
        preset = overclock.get("preset") if isinstance(overclock, dict) else None
        if preset in {row["name"] for row in self.presets()} and preset != self.preset:
            self._preset = str(preset)
        return ""

    def _apply(self) -> None:
        if self._pools is not None:
            self.machine.set_pools(self._pools)
        if self._preset is not None:
            self.preset = self._preset
            self.machine.set_power_limit(self.machine.model.power_at_w(self.frequency_share))
        self._pools = self._preset = None

    # Buttons.

    def _stop(self) -> HttpReply:
        self.machine.sleep()
        return EMPTY

    def _start(self) -> HttpReply:
        if self.machine.asleep:
            self._apply()
            self.machine.wake()
        return EMPTY

    def _restart(self) -> HttpReply:
        self._apply()
        self.machine.wake()
        return EMPTY

    def _find(self, request: HttpRequest) -> HttpReply:
        wanted = (json_object(request.body) or {}).get("on")
        self.machine.blinking = wanted if isinstance(wanted, bool) else not self.machine.blinking
        return json_reply({"on": self.machine.blinking})


def _pool(item: object) -> PoolEntry | None:
    if not isinstance(item, dict):
        return None
    texts = [item.get(key, "") for key in ("url", "user", "pass")]
    if not all(isinstance(text, str) for text in texts):
        return None
    url = texts[0] if "://" in texts[0] or not texts[0] else SCHEME + texts[0]
    return PoolEntry(url, texts[1], texts[2])
