"""Bitaxe machines with AxeOS: an open HTTP interface, without any sign-in."""

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from mbongi.base.clock import monotonic_s
from mbongi.fleet.adapters import uploading
from mbongi.fleet.adapters.session import Session, SlowFigures
from mbongi.fleet.adapters.settings import Settings
from mbongi.fleet.adapters.verifying import Words, carry_out, checked_pools, pool_words, restart
from mbongi.fleet.device_errors import GarbledError, MissingPageError, RefusedError, RejectedError, UnreachableError
from mbongi.fleet.image_file import ImageFile
from mbongi.fleet.ports import Outcome, PoolSetting, Support
from mbongi.fleet.reading import (
    BoardDetail,
    ErrorDetail,
    Found,
    MachineDetail,
    MachineReading,
    PoolDetail,
    Stated,
    Verdict,
)
from mbongi.fleet.rules.figures import finite, verdict
from mbongi.fleet.values import Abilities, DesiredFan, Family
from mbongi.wire import axeos
from mbongi.wire.axeos import SystemInfo

WARM_UP_S = 120.0
"""Chosen: a Bitaxe hashes within seconds of its start; its average needs a little longer."""
POOLS_MAX = 2
MODELS = {"BM1397": "Bitaxe Max", "BM1366": "Bitaxe Ultra", "BM1368": "Bitaxe Supra", "BM1370": "Bitaxe Gamma"}
"""By mining chip, as the open hardware project names its boards."""
_SCHEMES = ("stratum+tcp://", "stratum+ssl://", "stratum+tls://")


async def _send_image(session: Session, image: ImageFile) -> None:
    """Send an image as it is; AxeOS asks for no sign-in."""
    response = await uploading.post(session, axeos.UPGRADE, image, uploading.RAW)
    if response.status in {404, 405}:
        raise MissingPageError(f"{session.address}: POST {axeos.UPGRADE}: HTTP {response.status}: no such page")
    if response.status != 200:
        words = response.body[:80].decode("utf-8", "replace").strip()
        raise RejectedError(f"{session.address}: flash: HTTP {response.status}: the machine answered {words}")


class Bitaxe(Settings):
    """The family's adapter; it keeps nothing itself."""

    family = Family.BITAXE
    scorecard = (
        Support("identify", "done"),
        Support("hashrate, chip, fan, temperatures", "done"),
        Support("power, voltage, pools, shares", "done"),
        Support("stale shares, hardware errors, inlet temperature", "exempt", "AxeOS states none"),
        Support("sleep, wake", "done", "pause and resume; firmware without them answers that there is no such page"),
        Support("reboot, set pools", "done"),
        Support("set fan, network name", "done"),
        Support("power mode, power limit", "exempt", "AxeOS sets frequency and voltage"),
        Support("flash a firmware image", "done"),
        Support("password", "exempt", "AxeOS has none; keep the machines' network closed"),
    )
    abilities = Abilities(pools_max=POOLS_MAX, fan=True, hostname=True, upgrade=True)
    send_image = staticmethod(_send_image)

    async def identify(self, session: Session) -> Found | None:
        """By the word AxeOS on the home page, or by a system page with a mining chip; None where it is neither."""
        try:
            response = await session.send("GET", "/")
        except RefusedError:
            return None
        if response.status != 200 or axeos.HOME_MARK not in response.body:
            return None
        info = await session.page(axeos.INFO, axeos.decode_info)
        if not info.asic_model:
            return None
        return Found(
            address=session.address,
            family=self.family,
            model=_model(info),
            mac=info.mac_addr.upper(),
            firmware=info.version,
            hostname=info.hostname,
        )

    # Reading: one page holds everything.

    async def poll_fast(self, session: Session, reading: MachineReading) -> Verdict:
        """The system page."""
        return await self._poll(session, reading, None)

    async def poll_slow(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The same page; it costs nothing to read all of it."""
        return await self._poll(session, reading, detail)

    async def poll_static(self, session: Session, reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The same page."""
        return await self._poll(session, reading, detail)

    async def _poll(self, session: Session, reading: MachineReading, detail: MachineDetail | None) -> Verdict:
        info = await session.page(axeos.INFO, axeos.decode_info)
        if info.hash_rate is None and not info.asic_model:
            raise GarbledError(f"{session.address}: {axeos.INFO}: neither hashRate nor ASICModel; is this AxeOS?")
        _read_info(info, reading)
        session.pools = _pools(info)
        if detail is not None:
            _put_detail(detail, info)
        session.slow = SlowFigures(at_s=monotonic_s(), error_count=float(len(_errors(info))))
        return verdict(
            hashrate_ths=reading.hashrate_ths,
            nominal_ths=reading.hashrate_nominal_ths,
            uptime_s=reading.uptime_s,
            warm_up_s=WARM_UP_S,
            resting=await self._rests(session, info),
        )

    async def _rests(self, session: Session, info: SystemInfo) -> bool:
        """Whether it is paused. Older firmware does not say; there a chip that is present and has no voltage rests."""
        if info.mining_paused is not None:
            return info.mining_paused
        if info.hash_rate or info.overheat_mode or info.power_fault or info.core_voltage_actual is None:
            return False
        if info.core_voltage_actual > 0.1 * (info.core_voltage or math.inf):
            return False
        try:
            chips = (await session.page(axeos.ASIC, axeos.decode_asic)).asic_count
        except MissingPageError:
            chips = info.asic_count
        return chips is None or chips > 0

    # Writing.

    async def sleep(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Pause mining."""
        return await self._switch(session, pause=True, dry_run=dry_run)

    async def wake(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Resume mining."""
        return await self._switch(session, pause=False, dry_run=dry_run)

    async def _switch(self, session: Session, *, pause: bool, dry_run: bool) -> Outcome:
        before = await self._paused(session)
        words: Words = {"paused": before}, {"paused": pause}

        async def taken() -> bool:
            return await self._paused(session) == pause

        page = axeos.PAUSE if pause else axeos.RESUME
        return await carry_out(
            session.address, words, lambda: session.exchange("POST", page, b""), taken, dry_run=dry_run
        )

    async def _paused(self, session: Session) -> bool:
        return await self._rests(session, await session.page(axeos.INFO, axeos.decode_info))

    async def reboot(self, session: Session, *, dry_run: bool = False) -> Outcome:
        """Restart it; proven by its silence or by a smaller uptime."""
        return await restart(lambda: self._uptime_s(session), lambda: self._restart(session), dry_run=dry_run)

    async def _restart(self, session: Session) -> None:
        with contextlib.suppress(UnreachableError, GarbledError):  # it may go down before its answer is out
            await session.exchange("POST", axeos.RESTART, b"")

    async def _uptime_s(self, session: Session) -> float:
        return (await session.page(axeos.INFO, axeos.decode_info)).uptime_seconds or 0.0

    async def read_pools(self, session: Session) -> list[dict[str, str]]:
        """Main and fallback pool; AxeOS never states their passwords."""
        info = await session.page(axeos.INFO, axeos.decode_info)
        return [pool_words(pool.url, pool.user) for pool in _pools(info)]

    async def write_pools(self, session: Session, pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace main and fallback pool, then restart, without which AxeOS goes on with the old ones."""
        new = checked_pools(pools, count_max=POOLS_MAX, address=session.address)
        fields = _pool_fields(session, new)
        before = await self.read_pools(session)
        after = [pool_words(f"stratum+tcp://{_host(pool.url)}:{_port(pool.url)}", pool.user) for pool in new]
        words: Words = {"pools": before}, {"pools": after}

        async def taken() -> bool:
            return await self.read_pools(session) == after

        patch = msgspec.json.encode(fields)
        written = await carry_out(
            session.address,
            words,
            lambda: session.exchange("PATCH", axeos.SYSTEM, patch),
            taken,
            dry_run=dry_run,
            always=True,
        )
        if not written.verified:
            return written
        restarted = await self.reboot(session)
        return Outcome(*words, verified=restarted.verified, message=f"{written.message}; {restarted.message}")

    async def read_desired(self, session: Session) -> Stated:
        """From the system page."""
        info = await session.page(axeos.INFO, axeos.decode_info)
        return Stated(
            pools=tuple((pool.url, pool.user) for pool in _pools(info)),
            mode="sleep" if await self._rests(session, info) else None,
            fan_auto=_fan_auto(info),
            fan_percent=_fan_percent(info),
            firmware=info.version or None,
            hostname=info.hostname or None,
        )

    async def write_fan(self, session: Session, fan: DesiredFan, *, dry_run: bool = False) -> Outcome:
        """Fix the fan, or give it back to the machine."""
        fields: dict[str, object] = {"autofanspeed": int(fan.percent is None)}
        if fan.percent is not None:
            # Newer firmware calls it manualFanSpeed, older one fanspeed; each passes over the name that it lacks.
            fields |= {"fanspeed": fan.percent, "manualFanSpeed": fan.percent}
        wanted = "auto" if fan.percent is None else float(fan.percent)
        return await self._patch(session, {"fan_percent": wanted}, fields, _fan_word, dry_run=dry_run)

    async def write_hostname(self, session: Session, hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name."""
        words, fields = {"hostname": hostname}, {"hostname": hostname}
        return await self._patch(session, words, fields, lambda info: info.hostname, dry_run=dry_run)

    async def _patch(
        self,
        session: Session,
        after: dict[str, Any],
        fields: Mapping[str, object],
        stated: Callable[[SystemInfo], object],
        *,
        dry_run: bool,
    ) -> Outcome:
        """Send some settings; AxeOS keeps those that are not named."""
        ((name, wanted),) = after.items()
        before = {name: stated(await session.page(axeos.INFO, axeos.decode_info))}

        async def taken() -> bool:
            return bool(stated(await session.page(axeos.INFO, axeos.decode_info)) == wanted)

        patch = msgspec.json.encode(fields)
        return await carry_out(
            session.address,
            (before, after),
            lambda: session.exchange("PATCH", axeos.SYSTEM, patch),
            taken,
            dry_run=dry_run,
        )


def _fan_auto(info: SystemInfo) -> bool | None:
    return None if info.autofanspeed is None else bool(info.autofanspeed)


def _fan_percent(info: SystemInfo) -> float | None:
    """What the fan is fixed at; None where it is not. Newer firmware states its present duty as ``fanspeed``."""
    if _fan_auto(info) is not False:
        return None
    return info.fanspeed if info.manual_fan_speed is None else info.manual_fan_speed


def _fan_word(info: SystemInfo) -> object:
    return "auto" if info.autofanspeed else _fan_percent(info)


def _read_info(info: SystemInfo, reading: MachineReading) -> None:
    reading.hashrate_ths = finite(info.hash_rate) / 1000.0
    nominal_ghs = info.expected_hashrate or _nominal_ghs(info)
    if nominal_ghs:
        reading.hashrate_nominal_ths = nominal_ghs / 1000.0
    reading.power_w = finite(info.power)
    reading.chip_temp_max_c = reading.chip_temp_avg_c = reading.board1_temp_c = _temp(info.temp)
    reading.psu_temp_c = _temp(info.vr_temp)
    reading.fan1_rpm, reading.fan2_rpm = finite(info.fanrpm), finite(info.fan2rpm)
    reading.fan_duty_pct = finite(info.fanspeed)
    reading.board1_ths = reading.hashrate_ths
    reading.board_count = float(reading.hashrate_ths > 0)
    reading.chips = finite(info.asic_count)
    reading.frequency_mhz = finite(info.frequency)
    reading.voltage_v = finite(info.core_voltage_actual) / 1000.0
    reading.accepted, reading.rejected = finite(info.shares_accepted), finite(info.shares_rejected)
    reading.uptime_s = finite(info.uptime_seconds)
    reading.model = _model(info) or reading.model
    for pool in _pools(info):
        if pool.active:
            reading.pool = pool.url.removeprefix(_SCHEMES[0])


def _nominal_ghs(info: SystemInfo) -> float:
    """Each small core does one hash a cycle: MHz times cores is MH/s."""
    return (info.frequency or 0.0) * (info.small_core_count or 0) * (info.asic_count or 1) / 1000.0


def _temp(value: float | None) -> float:
    """A sensor that is missing reads 0 or -1."""
    return math.nan if value is None or value <= 0 else value


def _model(info: SystemInfo) -> str:
    return MODELS.get(info.asic_model, f"Bitaxe {info.asic_model}".strip() if info.asic_model else "")


def _pools(info: SystemInfo) -> list[PoolDetail]:
    fallback = bool(info.is_using_fallback_stratum)
    rows = (
        (info.stratum_url, info.stratum_port, info.stratum_user, not fallback),
        (info.fallback_stratum_url, info.fallback_stratum_port, info.fallback_stratum_user, fallback),
    )
    return [
        PoolDetail(
            url=f"stratum+tcp://{host.removeprefix(_SCHEMES[0])}:{port or 0}",
            user=user,
            active=active,
            accepted=_count(info.shares_accepted) if active else None,
            rejected=_count(info.shares_rejected) if active else None,
        )
        for host, port, user, active in rows
        if host
    ]


def _count(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) else int(value)


def _errors(info: SystemInfo) -> list[ErrorDetail]:
    found = [ErrorDetail(code="overheat_mode", text="stopped: too hot")] if info.overheat_mode else []
    return found + ([ErrorDetail(code="power_fault", text=info.power_fault)] if info.power_fault else [])


def _put_detail(detail: MachineDetail, info: SystemInfo) -> None:
    detail.mac, detail.hostname, detail.firmware = info.mac_addr.upper(), info.hostname, info.version
    detail.model, detail.control_board = _model(info), info.board_version
    detail.pools, detail.errors = _pools(info), _errors(info)
    detail.fans_rpm = [rpm for rpm in (info.fanrpm, info.fan2rpm) if rpm is not None]
    detail.work_mode = "sleep" if info.mining_paused else ""
    detail.fan_auto = _fan_auto(info)
    detail.fan_percent = _fan_percent(info)
    detail.boards = [
        BoardDetail(
            index=1,
            hashrate_ths=None if info.hash_rate is None else info.hash_rate / 1000.0,
            chips=info.asic_count,
            chip_temp_max_c=info.temp,
            frequency_mhz=info.frequency,
        )
    ]


def _pool_fields(session: Session, pools: list[PoolSetting]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for prefix, pool in zip(("stratum", "fallbackStratum"), pools, strict=False):
        if not _host(pool.url) or not _port(pool.url):
            raise RejectedError(f"{session.address}: set pools: {pool.url!r}: expected host:port")
        if "://" in pool.url and not pool.url.startswith(_SCHEMES):
            raise RejectedError(f"{session.address}: set pools: {pool.url!r}: AxeOS speaks Stratum V1 only")
        fields |= {f"{prefix}URL": _host(pool.url), f"{prefix}Port": _port(pool.url), f"{prefix}User": pool.user}
        fields[f"{prefix}Password"] = pool.password
    if len(pools) < POOLS_MAX:
        fields |= {"fallbackStratumURL": "", "fallbackStratumUser": ""}
    return fields


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rpartition(":")[0]


def _port(url: str) -> int:
    text = url.split("://", 1)[-1].split("/", 1)[0].rpartition(":")[2]
    return int(text) if text.isdigit() and 0 < int(text) < 65536 else 0
