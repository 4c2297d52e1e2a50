"""Figures over time from the telemetry store, as the API gives them and the charts draw them."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _

from mbongi.base.clock import utc_now
from mbongi.base.ids import TenantId
from mbongi.core.identity.scope import current_scope
from mbongi.core.telemetry.client import Store, tenant_store
from mbongi.fleet import telemetry
from mbongi.web.api.structs import Series
from mbongi.web.figures import stale_s
from mbongi.web.filters import QueryError

MACHINE_FIGURES = (
    *("hashrate_ths", "power_w", "efficiency_jth", "chip_temp_max_c", "board_temp_max_c", "inlet_temp_c"),
    *("fan1_rpm", "fan2_rpm", "fan3_rpm", "fan4_rpm", "pool_side_ths"),
    *("pool_side_low_ths", "pool_side_high_ths"),
)
SETTLE_S = 15
"""Readings of a minute are in the store this long after its end."""
GAP_STEPS = 3
"""A series breaks where more steps than this have no point."""


def of_machine(machine_id: int, hours: int, figures: tuple[str, ...] = ()) -> Series:
    """One machine; the asker may see it. Raises QueryError for a figure that is none, StoreUnavailable."""
    known = {column.name for column in telemetry.READING.columns if not column.is_text} - {
        "ts",
        "machine_id",
        "tenant_id",
    }
    unknown = set(figures) - known
    if unknown:
        raise QueryError("figures", _("“%(found)s” is no figure") % {"found": min(unknown)[:40]})
    store, tenant_id = _store()
    wanted = figures or MACHINE_FIGURES
    found = telemetry.series(store, machine_id, hours=hours, columns=wanted, tenant_id=tenant_id)
    missing = {name: np.full(len(found.at), np.nan) for name in wanted if name not in found.columns}
    return _answer(found, {**found.columns, **missing})


def of_site(hours: int) -> Series:
    """All machines of the present scope together."""
    store, tenant_id = _store()
    found = telemetry.site_totals(store, minutes=hours * 60, tenant_id=tenant_id)
    # The present minute has not heard every machine yet, and would look like a fall.
    whole = found.at < np.datetime64(int((utc_now().timestamp() - SETTLE_S) // 60 * 60), "s")
    columns = {name: column[whole] for name, column in found.columns.items()}
    return _answer(replace(found, at=found.at[whole], columns=columns), columns)


def _store() -> tuple[Store, TenantId | None]:
    scope = current_scope()
    if scope.site_wide:
        return _site_store(), None
    assert scope.tenant_id is not None, "somebody without a scope asked for telemetry"
    return _tenant_store(scope.tenant_id), scope.tenant_id


@cache
def _site_store() -> Store:
    return Store.open(settings.CONFIG)


@cache
def _tenant_store(tenant_id: TenantId) -> Store:
    return tenant_store(settings.CONFIG, tenant_id)


def _answer(found: telemetry.Series, columns: dict[str, Any]) -> Series:
    at = (found.at.astype(np.int64) // 1000).astype(np.int64)
    # A null after the last point before a gap makes charts break the line there instead of bridging it.
    limit = max(GAP_STEPS * found.step_s, stale_s())
    breaks = np.flatnonzero(np.diff(at) > limit) + 1
    times = np.insert(at, breaks, at[breaks - 1] + found.step_s) if len(breaks) else at
    return Series(
        step_s=found.step_s,
        at=times.tolist(),
        columns={
            name: _plain(np.insert(column.astype(np.float64), breaks, np.nan)) for name, column in columns.items()
        },
        units=found.units,
        newest_at=found.newest_at,
        age_s=found.age_s,
    )


def _plain(values: Any) -> list[float | None]:
    return [round(one, 3) if np.isfinite(one) else None for one in values.tolist()]
