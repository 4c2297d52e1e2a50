"""Onboarding on the virtual site: reported, placed, given passwords through a kill -9, and followed through DHCP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.fleet import credentials, onboarding_rows, operation_rows, placing
from mbongi.fleet.models import Action, Credential, Machine
from mbongi.fleet.placing import Spot
from mbongi.fleet.values import ActionStatus, OperationState
from tests.fleet.site_bed import SiteBed, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_site"),
]
MACHINES = 4


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[SiteBed]:
    with SiteBed(tmp_path, machines=MACHINES, hall=17, position="none") as running:
        yield running


def passwords(bed: SiteBed) -> dict[int, str]:
    """What the database holds, opened with the site's key."""
    cipher = Fernet((bed.config.site.data_dir / "secrets" / "machines.key").read_text())
    rows = Credential.objects.exclude(sealed="")
    return {row.machine_id: cipher.decrypt(row.sealed.encode()).decode().split(":", 1)[1] for row in rows}


def test_from_the_button_to_a_password_of_its_own_and_through_new_addresses(bed, people) -> None:
    bed.start_fleet()
    bed.wait_known(MACHINES)
    walker, manager = people(Role.TECHNICIAN), people(Role.SITE_MANAGER)
    assert onboarding_rows.progress().unplaced == MACHINES

    # The button: offered for the slot, placed, and given a password of its own.
    address = sorted(each["address"] for each in bed.twin("/machines"))[0]
    placing.walk_to(walker, Spot(30, 2, 1))
    wait_for(lambda: bed.status().report_ports, lambda: bed.log("fleet"))
    bed.twin(f"/machines/{address}/report", {})
    wait_for(lambda: onboarding_rows.walk(walker).offers, lambda: bed.log("fleet"))
    [offer] = onboarding_rows.walk(walker).offers
    assert offer.address == address
    placing.place(walker, offer.machine_id, Spot(30, 2, 1), rotate=True)
    wait_for(lambda: onboarding_rows.progress().changed == 1, lambda: f"{_ends()} {bed.log('fleet')}")

    # All others, with the process killed in the midst of it.
    operation = credentials.rotate(manager, reason="delivery", only_common=True).id
    wait_for(lambda: Credential.objects.exclude(pending="").exists() or onboarding_rows.progress().changed > 1)
    bed.kill("fleet")
    bed.start_fleet()
    wait_for(
        lambda: operation_rows.operation(operation).state is OperationState.DONE,
        lambda: f"{operation_rows.operation(operation)} {_ends()} {bed.log('fleet')}",
    )
    assert onboarding_rows.progress().changed == MACHINES, _ends()
    words = passwords(bed)
    assert len(set(words.values())) == MACHINES
    text = repr(ledger.entries(limit=1000)) + bed.log("fleet") + repr(_ends())
    assert not [word for word in words.values() if word in text]

    # Every address answers with another machine; each is followed by its MAC, and keeps its place.
    before = {row.mac: row.address for row in Machine.objects.all()}
    changes = bed.twin("/dhcp", {"rack": bed.twin("/machines")[0]["rack"]})
    wanted = {mac: changes[address] for mac, address in before.items()}

    def followed() -> bool:
        return {row.mac: row.address for row in Machine.objects.all()} == wanted

    wait_for(followed, lambda: f"{list(Machine.objects.values('mac', 'address', 'state_reason'))} {bed.log('fleet')}")
    placed = Machine.objects.get(pk=offer.machine_id)
    assert (placed.hall, placed.rack, placed.slot) == (30, 2, 1)
    assert Machine.objects.count() == MACHINES


def _ends() -> list[tuple[str, str]]:
    return list(Action.objects.exclude(status=ActionStatus.PLANNED).values_list("status", "message"))
