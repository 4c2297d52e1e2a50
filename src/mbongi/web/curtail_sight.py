"""What pages and the API see of curtailment: figures by machine from the newest readings, and the course of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from mbongi.base.clock import utc_now
from mbongi.fleet import curtail_rows, curtailing, selectors
from mbongi.fleet.curtail_rows import CurtailRow, SitePower
from mbongi.fleet.curtailing import Rehearsal
from mbongi.fleet.power_figures import MachinePower
from mbongi.fleet.rules.curtail import Ramp
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.values import ActionKind, ActionStatus, CurtailPhase, CurtailWish
from mbongi.web.live.board import BOARD

BEFORE = timedelta(seconds=60)
"""How much of the time before a curtailment its chart shows."""
QUIET = timedelta(minutes=30)
MEASURES = ("power_w", "efficiency_jth", "chip_temp_max_c")
STEPS = (ActionStatus.DONE, ActionStatus.FAILED, ActionStatus.CANCELLED)


def ramp_kw_s_max() -> float:
    """The site's limit on how fast its load changes [kW/s]; 0 does not limit."""
    limit: float = settings.CONFIG.fleet.ramp_kw_s_max
    return limit


def figures() -> Mapping[int, MachinePower]:
    """What each machine states now, as far as it is fresh."""
    now_s = utc_now().timestamp()
    ids = selectors.machine_ids(MachineFilter())
    (power, fresh), (efficiency, _same), (heat, _too) = (BOARD.values(name, ids, now_s) for name in MEASURES)
    return {
        int(one): MachinePower(float(power[place]), float(efficiency[place]), float(heat[place]), now_s)
        for place, one in enumerate(ids)
        if fresh[place]
    }


def rehearse(wish: CurtailWish) -> Rehearsal:
    """What a curtailment would do now. Raises OperationRefusedError."""
    return curtailing.rehearse(wish, figures(), ramp_kw_s_max=ramp_kw_s_max())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a curtailment is: ``share`` from 0 to 1 of the present phase, None while it holds or is over."""

    share: float | None
    under_way: int
    waiting: int
    failed: int


def progress(row: CurtailRow) -> Progress:
    """Of the steps of the phase; of the power, where the load comes down."""
    kind = ActionKind.WAKE if row.phase is CurtailPhase.WAKE else ActionKind.SLEEP
    total, ended = row.count(kind), row.count(kind, *STEPS)
    share: float | None = ended / total if total else 0.0
    if row.phase is CurtailPhase.SHED and row.power_w is not None and row.baseline_w > row.target_w:
        share = min(max((row.baseline_w - row.power_w) / (row.baseline_w - row.target_w), 0.0), 1.0)
    if row.phase is CurtailPhase.HOLD or row.is_over:
        share = None
    return Progress(
        share=share,
        under_way=row.count(kind, ActionStatus.REQUESTED, ActionStatus.RUNNING),
        waiting=row.count(kind, ActionStatus.PLANNED),
        failed=row.count(kind, ActionStatus.FAILED),
    )


def course(row: CurtailRow | None) -> dict[str, Any]:
    """The lines of the chart [W]: what was measured, the target, and the ramp that was planned; seconds since 1970."""
    now = utc_now()
    began = row.began_at or row.planned_at if row is not None else now - QUIET
    until = now if row is None or row.finished_at is None else min(now, row.finished_at + BEFORE)
    points = curtail_rows.power_series(began - BEFORE if row is not None else began, until)
    times = [at.timestamp() for at, _power in points]
    return {
        "at": times,
        "power_w": [power for _at, power in points],
        "target_w": [_target(row, at) for at, _power in points],
        "plan_w": [_planned(row, at) for at, _power in points],
    }


def _target(row: CurtailRow | None, at: datetime) -> float | None:
    if row is None or row.began_at is None or at < row.began_at or (row.wake_at is not None and at > row.wake_at):
        return None
    return row.target_w


def _planned(row: CurtailRow | None, at: datetime) -> float | None:
    if row is None or row.began_at is None:
        return None
    if row.wake_at is not None and at >= row.wake_at:
        start_w = row.target_w if row.wake_from_w is None else row.wake_from_w
        up = Ramp(row.wake_at.timestamp(), start_w, row.baseline_w, row.ramp_w_s)
        return up.at(at.timestamp())
    return Ramp(row.began_at.timestamp(), row.baseline_w, row.target_w, row.ramp_w_s).at(at.timestamp())


def asleep_by_us() -> int:
    """How many machines sleep because of curtailments."""
    row = curtail_rows.active()
    return len(curtail_rows.asleep_by_curtailment()) if row is None else len(curtail_rows.asleep_by(row.id))


def mw(power_w: float | None) -> float | None:
    """Megawatts."""
    return None if power_w is None else power_w / 1e6


def power_words(power: SitePower | None) -> dict[str, Any]:
    """The newest power for the page's script."""
    if power is None:
        return {"power_w": None, "at": None, "trouble": "silent", "source": "meter", "stale": True}
    return {
        "power_w": power.power_w,
        "machines_w": power.machines_w,
        "at": power.at.timestamp(),
        "trouble": power.trouble.value,
        "source": power.source,
        "hz": power.frequency_hz,
        "stale": power.is_stale,
    }
