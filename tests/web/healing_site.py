"""Rules of healing with an attempt of each outcome, and a replay that is made, for tests of pages and the API."""

from datetime import timedelta
from typing import Any

from mbongi.base.clock import utc_now
from mbongi.core.identity.scope import SITE, acting
from mbongi.fleet import healing
from mbongi.fleet.models import HealingAttempt, HealingReplay, HealingRule, Machine
from mbongi.fleet.rules.healing import Cure, Outcome


def make_rules(machine: Machine) -> dict[str, int]:
    """The built-in rules by key, with one attempt of each outcome by the hung one."""
    now = utc_now()
    with acting(SITE):
        healing.ensure_built_in()
        found = {row.key: row.pk for row in HealingRule.objects.all()}
        for number, outcome in enumerate(Outcome):
            HealingAttempt.objects.create(
                rule_id=found["hung"],
                version=1,
                machine=machine,
                cure=Cure.WORK_ORDER if outcome is Outcome.ORDERED else Cure.REBOOT,
                since=now - timedelta(hours=number + 2),
                started_at=now - timedelta(hours=number + 1),
                outcome=outcome,
            )
    return found


def make_replay(user: Any, machine: int) -> int:
    """A replay of one rule over the last day, with what came of it."""
    now = utc_now()
    at = int((now - timedelta(hours=2)).timestamp() * 1000)
    with acting(SITE):
        number = healing.ask_replay(
            user, {"as <b>": {"kinds": ["fault"], "steps": ["reboot"]}}, since=now - timedelta(days=1), until=now
        )
        act = {"rule": -1, "machine": machine, "cure": "reboot", "step": 0, "at": at, "ended": at + 600_000}
        result = {
            "machines": 3,
            "rows": 1000,
            "population": {"-1": 3},
            "really_done": 1,
            "seconds": 0.5,
            "counts": {"-1": {"reboot": 1}},
            "attempts": [act | {"outcome": "not_recovered"}],
            "attempts_total": 1,
            "kept": [
                {
                    "rule": -1,
                    "why": "aside:asleep_by_us",
                    "first": at,
                    "machines": 1,
                    "minutes": 30,
                    "some": [[machine, 30]],
                }
            ],
            "names": {str(machine): [20, 3, 1, "10.20.0.1"]},
        }
        HealingReplay.objects.filter(pk=number).update(result=result, finished_at=now, done=1000, total=1000)
    return number


def number_for(path: str, user: Any, machine: Machine, otherwise: int) -> int:
    """The number that a route of healing is asked for with."""
    if path == "/healing-rules/{id}":
        return make_rules(machine)["hung"]
    return make_replay(user, machine.pk) if path == "/healing-replays/{id}" else otherwise
