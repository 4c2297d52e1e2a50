"""A contract of the tenant north with a closed month, and one of south, for tests of pages and the API."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet import contracts, hosting_rows, statements
from mbongi.fleet.models import HostedDay, Machine
from mbongi.fleet.rules.hosting_days import days_of, month_span
from mbongi.fleet.rules.hosting_terms import CreditStep, ExcuseClass, Member, Terms
from mbongi.web import hosting_sight
from tests.web.conftest import Pilot


@dataclass
class HostingSite:
    """Numbers of what there is. ``month`` is the last one that is over; both contracts' statements of it are there."""

    month: str
    north: int
    south: int
    version: int
    statement: int
    anothers: int
    excuse: int
    closing: int


class NoStore:
    """A telemetry store that has no row."""

    def columns(self, sql: str, **parameters: Any) -> dict[str, Any]:
        return {}


def make_hosting(pilot: Pilot, author: Any) -> HostingSite:
    """Contracts, day records, an excuse, statements."""
    with acting(SITE):
        approver = User.objects.create(
            email=f"approver{User.objects.count()}@example.org", name="Grace", role=Role.SITE_MANAGER
        )
        writer = User.objects.create(
            email=f"writer{User.objects.count()}@example.org", name="Ada", role=Role.SHIFT_LEAD
        )
        south = Tenant.objects.create(code="south", name="South")
        Machine.objects.filter(pk=pilot.machines[0].pk).update(tenant=south)
        now = utc_now()
        month = previous(hosting_sight.this_month(now - timedelta(hours=8)))
        north = _contract(writer, approver, pilot.north, pilot.machines[4].pk, "North 1", month)
        other = _contract(writer, approver, south, pilot.machines[0].pk, "South 1", month)
        for contract_id, tenant, machine in (
            (north, pilot.north, pilot.machines[4]),
            (other, south, pilot.machines[0]),
        ):
            record(contract_id, tenant, machine, month)
        span = month_span(month, hosting_sight.site().zone)
        begin = datetime.fromtimestamp(span[0] + 86_400, UTC)
        excuse = contracts.enter_excuse(
            writer, ExcuseClass.GRID, begin, begin + timedelta(hours=3), note="feeder <lost>", evidence="notice 17"
        )
        contracts.approve_excuse(approver, excuse.id, reason="notice 17 seen")
        run = statements.ask_closing(approver, month, hosting_sight.site())
        store: Any = NoStore()
        while not statements.advance(run.id, store, hosting_sight.site()):
            pass
        found = {row.contract_id: row.id for row in hosting_rows.statements(month=month)}
        version = hosting_rows.versions(north)[0].id
        return HostingSite(month, north, other, version, found[north], found[other], excuse.id, run.id)


def previous(month: str) -> str:
    """The month before."""
    year, number = map(int, month.split("-"))
    return f"{year - 1}-12" if number == 1 else f"{year}-{number - 1:02d}"


def _contract(writer: User, approver: User, tenant: Tenant, machine_id: int, name: str, month: str) -> int:
    terms = Terms(
        valid_from="2026-01",
        starts=f"{month}-01",
        machines=(Member(machine_id=machine_id),),
        uptime_ppm=995_000,
        nominal_ppm=950_000,
        currency="USD",
        mwh_minor=5500,
        credits=(CreditStep(below_ppm=995_000, credit_ppm=50_000),),
    )
    made = contracts.add_contract(writer, tenant.pk, name, terms, reason="signed in private")
    contracts.approve_version(approver, made.id, reason="read in private")
    return made.contract_id


def record(contract_id: int, tenant: Tenant, machine: Machine, month: str) -> None:
    """Days of which one has five hours off, one an hour not seen."""
    zone = hosting_sight.site().zone
    for place, day in enumerate(days_of(month_span(month, zone), zone)):
        length = day.until - day.since
        runs = {1: f"d18000 u{length - 18_000}", 2: f"u{length - 3600} x3600"}.get(place, f"u{length}")
        up_h = sum(int(run[1:]) for run in runs.split() if run[0] == "u") / 3600
        HostedDay.objects.create(
            contract_id=contract_id, tenant=tenant, machine=machine, day=day.day,
            since=datetime.fromtimestamp(day.since, UTC), until=datetime.fromtimestamp(day.until, UTC), runs=runs,
            hash_milli=round(200_000 * up_h), energy_wh=round(3500 * up_h), power_s=round(up_h * 3600),
            read_at=utc_now() + timedelta(days=1),
        )  # fmt: skip


def number_for(path: str, user: Any, pilot: Pilot, otherwise: int) -> int:
    """The number that a route of hosting is asked for with."""
    if not path.startswith("/hosting"):
        return otherwise
    site = make_hosting(pilot, user)
    return {"contracts": site.north, "statements": site.statement, "closings": site.closing}.get(
        path.split("/")[2], site.excuse
    )
