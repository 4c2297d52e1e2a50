"""What a setting of the right type may be for a site to run with."""

import ipaddress
import zoneinfo
from collections.abc import Mapping
from typing import Any, Final

from mbongi.base.errors import ConfigError

LIMITS: Final[Mapping[str, tuple[float, float]]] = {
    "web.workers": (1, 64),
    "bus.bytes_max": (64_000_000, 10**15),
    "telemetry.keep_raw_days": (1, 36_500),
    "telemetry.keep_minute_days": (1, 36_500),
    "telemetry.keep_hour_days": (1, 36_500),
    "telemetry.memory_bytes_max": (200_000_000, 10**15),
    "telemetry.query_s_max": (1, 3600),
    "fleet.processes": (1, 16),
    "fleet.workers": (1, 10_000),
    "fleet.actions_at_once": (1, 20_000),
    "fleet.timeout_s": (0.05, 60),
    "fleet.fast_s": (0.2, 3600),
    "fleet.slow_s": (0.2, 86_400),
    "fleet.static_s": (1, 604_800),
    "fleet.rescan_s": (1, 604_800),
    "fleet.ramp_kw_s_max": (0, 1e6),
    "facility.breaker_pct": (1, 100),
    "pool.node_quiet_s": (0, 1e9),
    "pool.difficulty_start": (0, 1e15),
    "pool.difficulty_min": (0, 1e15),
    "pool.shares_per_minute": (0.1, 600),
    "pool.block_difficulty_min": (0, 1e15),
    "pool.fee_ppm": (0, 1_000_000),
    "pool.window": (1e-3, 1000),
    "pool.coinbase_outputs": (0, 20),
    "pool.reserve_sat": (0, 21 * 10**14),
    "pool.share_log_days": (1, 36_500),
    "pool.minute_days": (1, 3660),
    "pool.proof_days": (1, 36_500),
    "pool.processes": (1, 64),
    "pool.shard": (0, 255),
    "pool.without_work_s": (1, 86_400),
    "pool.connections_max": (1, 1_000_000),
    "pool.connections_per_address": (1, 1_000_000),
    "pool.connects_per_s_per_address": (0.1, 1e9),
    "pool.line_bytes_max": (1_024, 1_048_576),
    "pool.bytes_per_s": (100, 1e12),
    "pool.bytes_per_s_per_address": (100, 1e12),
    "pool.shares_per_s_per_worker": (0.1, 1e9),
    "pool.silent_s": (1, 86_400),
    "pool.idle_s": (1, 604_800),
    "pool.strikes_max": (1, 1_000_000),
    "pool.ban_s": (0, 604_800),
    "pool.payout_minimum_sat": (0, 21 * 10**14),
    "pool.payout_approvals": (1, 5),
    "pool.payout_fee_sat_vb": (1, 10_000),
    "pool.payout_fee_sat_vb_max": (1, 10_000),
    "proxy.difficulty_start": (1e-9, 1e15),
    "proxy.difficulty_min": (1e-9, 1e15),
    "proxy.shares_per_minute": (0.1, 600),
    "proxy.hold_s": (0, 3600),
    "proxy.connections_max": (1, 65_535),
    "proxy.connections_per_address": (1, 1_000_000),
    "proxy.connects_per_s_per_address": (0.1, 1e9),
    "proxy.line_bytes_max": (1_024, 1_048_576),
    "proxy.bytes_per_s": (100, 1e12),
    "proxy.bytes_per_s_per_address": (100, 1e12),
    "proxy.silent_s": (1, 86_400),
    "proxy.idle_s": (1, 604_800),
    "proxy.strikes_max": (1, 1_000_000),
    "proxy.ban_s": (0, 604_800),
    "twin.machines": (0, 50_000),
    "twin.per_rack": (1, 254),
    "twin.plant_port": (0, 65_531),
    "twin.time_scale": (0.01, 10_000),
    "twin.hash_scale": (0, 1000),
    "twin.v2_share": (0, 1),
}
"""Lowest and highest value that a site can run with; other ports are 1..65535."""


def require_sense(value: Any, section: str, key: str, where: str) -> None:
    """Raise ConfigError for a value of the right type that no site can run with."""
    low, high = LIMITS.get(f"{section}.{key}", (1, 65_535) if key.endswith("port") else (None, None))
    if low is not None and high is not None and not low <= value <= high:
        raise ConfigError(f"{where}: found {value}; expected {low}..{high}")
    if (section, key) in {("fleet", "ranges"), ("twin", "network")}:
        for text in value if isinstance(value, tuple) else (value,):
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise ConfigError(f"{where}: {text!r}: {error}; expected a range such as 10.20.0.0/20") from error
    if (section, key) == ("fleet", "meters"):
        for text in value:
            host, _colon, port = text.rpartition(":")
            if not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
                raise ConfigError(f"{where}: {text!r}: expected host:port such as 10.20.0.9:502")
    if (section, key) == ("site", "country") and not (len(value) == 2 and value.isalpha() and value.isupper()):
        raise ConfigError(f"{where}: found {value!r}; expected two capital letters of ISO 3166-1 such as CG")
    if (section, key) == ("site", "timezone") and value not in zoneinfo.available_timezones():
        raise ConfigError(f"{where}: found {value!r}; expected a name such as Africa/Brazzaville")
