"""A small site in the database and on the board: six machines, two of them a tenant's, and people to look at them."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from mbongi.base.clock import utc_now
from mbongi.core.identity.models import Tenant, User
from mbongi.core.identity.scope import SITE, acting
from mbongi.core.identity.values import Role
from mbongi.fleet.models import Event, Machine
from mbongi.fleet.values import EventKind, MachineState, Severity
from mbongi.web.live.board import BOARD
from mbongi.web.live.hub import HUB
from mbongi.web.live.pool_board import POOL
from tests.web import pool_site
from tests.web.pool_site import Minutes, PoolSite

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@dataclass
class Pilot:
    """The site under test: machines by number from 0; 4 and 5 are the tenant's. Machine 3 is off, 2 is unknown."""

    machines: list[Machine]
    north: Tenant


@pytest.fixture(autouse=True)
def _empty_board() -> Iterator[None]:
    BOARD.__init__()
    yield
    BOARD.__init__()
    HUB.events.clear()


@pytest.fixture
def pilot(db: None, tenant: Callable[[str], Tenant]) -> Pilot:
    """Six machines with readings, an open alarm of the site and one of the tenant."""
    with acting(SITE):
        north = tenant("north")
        states = [MachineState.MINING, MachineState.MINING, MachineState.UNKNOWN, MachineState.OFF]
        states += [MachineState.MINING, MachineState.SLEEPING]
        machines = [machine(number, state, north if number >= 4 else None) for number, state in enumerate(states)]
        for one in (machines[3], machines[4]):
            alarm(one)
    show(machines)
    return Pilot(machines, north)


def machine(number: int, state: MachineState, owner: Tenant | None = None) -> Machine:
    """A recorded machine in rack 20/01."""
    now = utc_now()
    return Machine.objects.create(
        address=f"127.20.1.{number + 1}",
        family="antminer",
        model="Antminer S21",
        mac=f"02:00:00:00:00:{number:02x}",
        serial=f"SN{number}",
        hall=20,
        rack=1,
        slot=number + 1,
        tenant=owner,
        state=state,
        state_since=now - timedelta(minutes=5),
        last_seen_at=now,
        detail={
            "pools": [{"url": "stratum+tcp://pool.example:3333", "user": "site.w", "active": True}],
            "boards": [{"index": 1, "serial": "B1", "chips": 108}],
            "errors": [{"code": "E7", "text": "<script>alert(1)</script>", "since": ""}],
        },
        detail_at=now,
        added_at=now,
    )


def alarm(one: Machine) -> Event:
    """An open alarm of a machine."""
    return Event.objects.create(
        machine=one,
        tenant=one.tenant,
        kind=EventKind.OVER_TEMPERATURE,
        severity=Severity.CRITICAL,
        at=utc_now(),
        params={"temp_c": 96, "limit_c": 90},
    )


def show(machines: list[Machine], **columns: Any) -> None:
    """Put a fresh reading of each machine on the board."""
    count, at = len(machines), int(time.time() * 1000)
    BOARD.apply({
        "machine_id": [one.pk for one in machines],
        "ts": [at] * count,
        "tenant_id": [one.tenant_id or 0 for one in machines],
        "state": [int(one.state) for one in machines],
        "hashrate_ths": [200.0 + number for number in range(count)],
        "hashrate_nominal_ths": [200.0] * count,
        "power_w": [3500.0] * count,
        "efficiency_jth": [17.5] * count,
        "chip_temp_max_c": [60.0 + number for number in range(count)],
        "pool": ["pool.example:3333"] * count,
        **columns,
    })  # fmt: skip


@pytest.fixture
def sign_in(people: Callable[..., User]) -> Callable[..., Client]:
    """A browser signed in with a role: ``sign_in(Role.TECHNICIAN)``; French unless ``language`` says otherwise."""

    def make(role: Role = Role.SITE_MANAGER, *, owner: Tenant | None = None, language: str = "fr") -> Client:
        client = Client(headers={"accept-language": language})
        with acting(SITE):
            client.user = people(role, tenant=owner)
            client.force_login(client.user, backend=BACKEND)
        return client

    return make


@pytest.fixture(autouse=True)
def _empty_pool_board() -> Iterator[None]:
    POOL.__init__()
    yield
    POOL.__init__()


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    """The telemetry of two workers."""
    found = Minutes()
    pool_site.use(found, monkeypatch)
    return found


@pytest.fixture
def site(pilot: Pilot, minutes: Minutes) -> PoolSite:
    """A pool that speaks, with books."""
    with acting(SITE):
        made = pool_site.make_books(pilot.north)
    pool_site.speak()
    return made


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Opens pages to everybody."""

    def make(**changes: bool) -> None:
        config = dataclasses.replace(settings.CONFIG, pool=dataclasses.replace(settings.CONFIG.pool, **changes))
        monkeypatch.setattr(settings, "CONFIG", config)

    return make
