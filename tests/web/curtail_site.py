"""A site whose power is known, with a curtailment and a trigger, for tests of pages and the API."""

from typing import Any

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.fleet import curtail_triggers, curtailing
from mbongi.fleet.models import PowerReading
from mbongi.fleet.rules.triggers import Condition, TriggerKind
from mbongi.fleet.values import CurtailWish


def measured(power_w: float | None = 12_000.0, **rest: Any) -> None:
    """The meter has spoken."""
    facts = {"at": utc_now(), "power_w": power_w, "machines_w": 11_500.0, "machines": 4, "source": "meter"}
    with acting(SITE):
        PowerReading.objects.create(**(facts | rest))


def begun(user: Any) -> int:
    """A curtailment under way."""
    measured()
    with acting(SITE):
        return curtailing.begin(user, CurtailWish(reduce_pct=25), {}, reason="the grid is weak", ramp_kw_s_max=0).id


def trigger(user: Any) -> int:
    """A trigger that nobody has approved yet."""
    with acting(SITE):
        wish = CurtailWish(reduce_pct=20)
        return curtail_triggers.write_trigger(
            user, "Evening peak", TriggerKind.SCHEDULE, Condition(), wish, reason="tariff"
        ).id


def number_for(path: str, user: Any, otherwise: int) -> int:
    """The number that a route of curtailment is asked for with."""
    return begun(user) if path.startswith("/curtailments/{id}") else otherwise
