"""What the gate of a campaign asks: of the database here, of the telemetry on a thread of its own (``measure``).

With thousands of machines that are watched for days the telemetry has much to read, and all else of the fleet process
waits for the database's one thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Max

from mbongi.core.telemetry.client import Store
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.fleet.campaign_telemetry import MACHINES_MAX, Span, blocks, side
from mbongi.fleet.models import Action, Campaign, Machine
from mbongi.fleet.rules.gate import Criteria, Hard, Mark, Track
from mbongi.fleet.rules.stages import MachineStep
from mbongi.fleet.values import ActionKind, MachineState

TOGETHER = timedelta(minutes=5)
"""Machines that go dark by one cause are seen to within so long."""
TOGETHER_MAX = 50
"""Machines that the store is asked about at a time."""
WATCHED_S = 12 * 3600.0
"""Of a longer soak the gate judges the newest part: reading two weeks of it at every look would be in vain."""
TRIED = (MachineStep.FLASHED, MachineStep.FAILED)
_DARK = (MachineState.OFF.value, MachineState.UNKNOWN.value)

# Machines whose ``pairs`` of pools are others than before. Details are long: those of ten thousand machines stay there.
_OTHER_POOLS = """
SELECT flashed.machine_id FROM fleet_campaignmachine AS flashed JOIN fleet_machine AS machine
    ON machine.id = flashed.machine_id AND machine.detail_at > flashed.back_at
WHERE flashed.campaign_id = %s AND flashed.state = ANY(%s) AND flashed.pools <> '[]' AND flashed.pools <> (
    SELECT coalesce(jsonb_agg(jsonb_build_array(url, who) ORDER BY url COLLATE "C", who COLLATE "C"), '[]'::jsonb)
    FROM (SELECT coalesce(pool->>'url', '') AS url, coalesce(pool->>'user', '') AS who
        FROM jsonb_array_elements(coalesce(machine.detail->'pools', '[]')) AS pool) AS stated)
"""


@dataclass(frozen=True, slots=True)
class Flashed:
    """A flashed machine: when its flash began, and when it was back [unix s]."""

    machine_id: int
    begun_s: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """What is measured for one look of a gate: flashed machines beside ``control``, up to ``until_s`` [unix s].

    ``mark`` is of the stage, so that an answer is taken for no other.
    """

    mark: tuple[int, int]
    criteria: Criteria
    flashed: Sequence[Flashed]
    control: Sequence[int]
    until_s: float


class _Tried(NamedTuple):
    """A machine that an image was sent to: its pools before and now, and how it is. Its other details stay unread."""

    machine_id: int
    begun_at: datetime | None
    back_at: datetime | None
    before: list[list[str]]
    state: int
    state_since: datetime
    detail_at: datetime | None
    now: list[dict[str, Any]] | None


_PATHS = (
    *("machine_id", "begun_at", "back_at", "pools"),
    *("machine__state", "machine__state_since", "machine__detail_at", "machine__detail__pools"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """The answer: machines before and after. Empty where the store gave none."""

    flashed: Sequence[Track] = ()
    control: Sequence[Track] = ()


def question(campaign: Campaign, criteria: Criteria, now: datetime) -> Question:
    """What the gate asks now; of the newest flashed machines, MACHINES_MAX on either hand at most."""
    rows = campaign.machines.filter(state=MachineStep.FLASHED, begun_at__isnull=False, back_at__isnull=False)
    times = rows.order_by("-pk").values_list("machine_id", "begun_at", "back_at")[:MACHINES_MAX]
    rest = campaign.machines.filter(state=MachineStep.WAITING).order_by("pk")
    return Question(
        mark=(campaign.pk, campaign.stage),
        criteria=criteria,
        flashed=[
            Flashed(pk, begun.timestamp(), back.timestamp()) for pk, begun, back in times if begun is not None and back
        ],
        control=list(rest.values_list("machine_id", flat=True)[:MACHINES_MAX]),
        until_s=now.timestamp(),
    )


def measure(asked: Question, store: Store) -> Measured:
    """Ask the telemetry; touches no database. Without the store there is no measurement, and nothing is raised.

    A machine that was not flashed is measured over the times of the first flash and of the last return.
    """
    if not asked.flashed:
        return Measured()
    begun, back = min(each.begun_s for each in asked.flashed), max(each.back_s for each in asked.flashed)
    control = [Flashed(machine_id, begun, back) for machine_id in asked.control]
    try:
        return Measured(_tracks(asked, asked.flashed, store), _tracks(asked, control, store))
    except (StoreUnavailable, StoreRefused):
        return Measured()


def _tracks(asked: Question, machines: Sequence[Flashed], store: Store) -> list[Track]:
    """Some machines at a time, those together that were flashed together: so little is read that nobody needs."""
    found: list[Track] = []
    ordered = sorted(machines, key=lambda each: each.begun_s)
    size, criteria = asked.criteria.block_s, asked.criteria
    for start in range(0, len(ordered), TOGETHER_MAX):
        part = ordered[start : start + TOGETHER_MAX]
        ids = [each.machine_id for each in part]
        since_s = max(min(each.back_s for each in part) + criteria.warm_s, asked.until_s - WATCHED_S)
        before = blocks(store, ids, Span(part[0].begun_s - criteria.baseline_s, part[-1].begun_s), size)
        after = blocks(store, ids, Span(since_s, asked.until_s), size)
        found += [
            Track(
                each.machine_id,
                side(before.get(each.machine_id, ()), size, Span(each.begun_s - criteria.baseline_s, each.begun_s)),
                side(
                    after.get(each.machine_id, ()),
                    size,
                    Span(max(each.back_s + criteria.warm_s, since_s), asked.until_s),
                ),
            )
            for each in part
        ]
    return found


def hard(campaign: Campaign, criteria: Criteria, now: datetime) -> Hard:
    """Machines that did not come back, went dark since, or mine for others than before.

    Those of which a person knew who let the campaign on, stop it no second time.
    """
    lost, robbed = [], []
    known = {
        machine_id
        for findings in campaign.verdicts.filter(outcome="override").values_list("findings", flat=True)
        for finding in findings
        if finding["mark"] in {Mark.LOST, Mark.POOLS}
        for machine_id in finding["machines"]
    }
    rows = campaign.machines.filter(state__in=TRIED, machine__in=_suspects(campaign))
    tried = [_Tried(*row) for row in rows.exclude(machine__in=known).values_list(*_PATHS)]
    ids = [each.machine_id for each in tried]
    steps = Action.objects.filter(operation=campaign.operation_id, machine__in=ids).order_by("pk")
    after = dict(steps.values_list("machine_id", "after"))
    dark = _dark(campaign, tried, timedelta(seconds=criteria.back_s), now)
    begun = [each.begun_at for each in tried if each.begun_at is not None]
    written = Action.objects.filter(kind=ActionKind.SET_POOLS, dry_run=False, claimed_at__gt=min(begun, default=now))
    last = written.filter(machine__in=ids).values_list("machine_id").annotate(last=Max("claimed_at")).order_by()
    asked = dict(last)
    for each in tried:
        told: dict[str, Any] = after.get(each.machine_id) or {}
        if each.machine_id in dark or (told and told.get("firmware") is None):
            lost.append(each.machine_id)
        elif _is_robbed(each, told, asked.get(each.machine_id)):
            robbed.append(each.machine_id)
    return Hard(lost, robbed)


def _suspects(campaign: Campaign) -> set[int]:
    """The machines that are worth a look: dark, with other pools than before, or whose flash was not verified wholly.

    Of a verified flash whose machine stated its pools before it, these were the same afterwards.
    """
    rows = campaign.machines.filter(state__in=TRIED).order_by()
    steps = Action.objects.filter(operation=campaign.operation_id).exclude(verified=True, before__has_key="pools")
    found = (rows.filter(machine__state__in=_DARK), rows.filter(machine__in=steps.values("machine")))
    with connection.cursor() as cursor:
        cursor.execute(_OTHER_POOLS, [campaign.pk, list(TRIED)])
        others = {machine_id for (machine_id,) in cursor.fetchall()}
    return others.union(*(each.values_list("machine_id", flat=True) for each in found))


def _dark(campaign: Campaign, tried: Sequence[_Tried], back: timedelta, now: datetime) -> set[int]:
    """Those that are dark for ``back`` since they were seen back; none where half of the others went dark with them.

    Then the grid or a link is gone, which is no image's doing.
    """
    found = {
        each.machine_id: each.state_since
        for each in tried
        if each.state in _DARK and now - max(each.state_since, each.back_at or each.begun_at or now) > back
    }
    if not found:
        return set()
    flashed = campaign.machines.filter(state__in=TRIED).values("machine")
    rest = Machine.objects.filter(retired_at=None, address__isnull=False).exclude(pk__in=flashed)
    with_them = rest.filter(state__in=_DARK, state_since__gt=min(found.values()) - TOGETHER).count()
    is_common = with_them > 0 and with_them >= rest.filter(state=MachineState.MINING).count()
    return set() if is_common else set(found)


def _is_robbed(each: _Tried, told: dict[str, Any], asked_at: datetime | None) -> bool:
    if not each.before:
        return False
    if told.get("pools") and pairs(told["pools"]) != each.before:
        return True
    if each.back_at is None or each.detail_at is None or each.detail_at <= each.back_at:
        return False
    if asked_at is not None and each.begun_at is not None and asked_at > each.begun_at:
        return False  # We changed them ourselves since.
    return each.now is not None and pairs(each.now) not in ([], each.before)


def pairs(pools: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Pools as a machine states them, as pairs of address and user in an order of their own."""
    return sorted([str(pool.get("url", "")), str(pool.get("user", ""))] for pool in pools)
