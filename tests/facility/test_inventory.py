"""Writes to the inventory: permissions, the lock, the ledger, the event; all or nothing."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import connection

from mbongi.core.bus.models import OutboxMessage
from mbongi.core.identity.models import User
from mbongi.core.identity.scope import acting, scope_of
from mbongi.core.identity.values import Role
from mbongi.core.ledger import selectors as ledger
from mbongi.facility import inventory, models, selectors, submissions
from mbongi.facility.errors import InventoryRefusedError, NotPermittedError, UnknownElementError
from mbongi.facility.inventory import InventoryFaultyError
from mbongi.facility.rules import netbox_writing
from mbongi.facility.rules.inventory_files import FILES, parts, write
from mbongi.facility.rules.netbox_reading import FILES as NETBOX_FILES
from mbongi.facility.rules.trace import trace
from mbongi.facility.values import ElementKind, LinkKind, PlaceKind

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("as_site")]
People = Callable[..., User]
TEXTS = {
    "places": "code,kind,parent,slots\nR1,rack,H1,42\nBZV,site,,\nH1,hall,BZV,\n",
    "elements": "tag,kind,place,slot,rated_kva,machine_id\nF,utility_feed,BZV,,,\nTR-1,transformer,H1,,630,\n"
    "PDU-1,pdu,R1,1,,\nM-1,machine,R1,5,,7\n",
    "links": "tag,source,target,kind,phases\nc1,F,TR-1,power,L1L2L3\nc2,TR-1,PDU-1,power,L1L2L3\n"
    "c3,PDU-1,M-1,power,L2\n",
    "documents": "element,title,reference\nTR-1,Test report,reports/tr1.pdf\n",
}


def entered(user: User, texts: dict[str, str] | None = None) -> int:
    number = submissions.hand_in(user, "plant", "mbongi", texts or TEXTS)
    submissions.enter(user, number, reason="first inventory")
    return number


def test_files_are_entered_in_whatever_order_their_lines_stand(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    number = submissions.hand_in(user, "plant", "mbongi", TEXTS)
    dry = submissions.dry_run(number)
    assert [dry.count(file, added=True) for file in FILES] == [3, 4, 3, 1]
    assert models.Element.objects.count() == 0
    submissions.enter(user, number, reason="first inventory")
    assert selectors.element("PDU-1").place == "R1"
    assert [(place.code, depth, count) for place, depth, count in selectors.tree()] == [
        ("BZV", 0, 4), ("H1", 1, 3), ("R1", 2, 2),
    ]  # fmt: skip
    net, _cooling = selectors.networks()
    assert [net.tags[node] for node in trace(net, net.number["M-1"]).nodes] == ["M-1", "PDU-1", "TR-1", "F"]
    assert selectors.machine_tags([7, 8]) == {7: "M-1"}
    assert submissions.submissions()[0].entered_at is not None
    assert submissions.dry_run(number).changes == ()


def test_what_is_entered_comes_out_of_both_exports_the_same(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    found = selectors.inventory()
    ours = {file: write(file, rows) for file, rows in parts(found).items()}
    assert submissions.dry_run(submissions.hand_in(user, "again", "mbongi", ours)).changes == ()
    theirs = {file: netbox_writing.write(file, found) for file in NETBOX_FILES}
    plan = submissions.dry_run(submissions.hand_in(user, "netbox", "netbox", theirs))
    assert (plan.changes, plan.problems, plan.same) == ((), (), 11)


def test_one_fault_anywhere_and_nothing_is_entered(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    number = submissions.hand_in(user, "plant", "mbongi", TEXTS | {"links": TEXTS["links"] + "c4,M-1,X,power,L1\n"})
    with pytest.raises(InventoryFaultyError) as refused:
        submissions.enter(user, number, reason="x")
    assert [(each.file, each.line, each.field) for each in refused.value.plan.problems] == [("links", 5, "target")]
    assert models.Place.objects.count() == models.Element.objects.count() == 0
    assert ledger.entries(subject="element:F") == []


def test_each_change_is_in_the_ledger_with_before_and_after_and_told_on_the_bus(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    OutboxMessage.objects.all().delete()
    inventory.write(user, "elements", {"tag": "TR-1", "rated_kva": 1000.0}, version=1, reason="name plate read again")
    entry = selectors.history("TR-1")[0]
    assert (entry.actor, entry.action, entry.reason) == (user.actor, "facility.element.change", "name plate read again")
    assert (entry.before, entry.after) == ({"rated_kva": 630.0}, {"rated_kva": 1000.0})
    assert [each.action for each in selectors.history("TR-1")[1:]] == [
        "facility.document.add", "facility.element.add",
    ]  # fmt: skip
    (message,) = OutboxMessage.objects.all()
    assert message.subject == "event.facility.inventory.v1"
    assert b'"TR-1"' in bytes(message.payload)


def test_a_form_that_somebody_else_has_overtaken_changes_nothing(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    version = selectors.version("elements", "TR-1")
    inventory.write(user, "elements", {"tag": "TR-1", "serial": "S1"}, version=version, reason="one")
    with pytest.raises(InventoryRefusedError, match="made for version 1; found 2"):
        inventory.write(user, "elements", {"tag": "TR-1", "serial": "S2"}, version=version, reason="two")
    assert selectors.element("TR-1").serial == "S1"


def test_the_arrays_are_made_anew_once_something_is_written(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    before, _ = selectors.networks()
    assert selectors.networks()[0] is before
    inventory.write(user, "elements", {"tag": "TR-1", "status": "retired"}, version=1, reason="scrapped")
    after, _ = selectors.networks()
    assert "TR-1" not in after.number
    assert [link.tag for link in selectors.graph()] == ["c3"]


@pytest.mark.parametrize(
    ("values", "field", "code"),
    [
        ({"tag": "M-2", "kind": ElementKind.MACHINE, "machine_id": 7}, "machine_id", "machine_twice"),
        ({"tag": "M-2", "kind": ElementKind.MACHINE, "place": "nowhere"}, "place", "unknown_place"),
        ({"tag": "M-2", "kind": ElementKind.MACHINE, "rated_kw": -1.0}, "rated_kw", "range"),
    ],
)
def test_one_row_is_judged_against_all_that_is_there(people: People, values: Any, field: str, code: str) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    with pytest.raises(InventoryFaultyError) as refused:
        inventory.write(user, "elements", values, version=None, reason="x")
    assert [(each.field, each.code) for each in refused.value.plan.problems] == [(field, code)]


def test_one_row_of_each_kind_is_added_changed_and_removed(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    inventory.write(user, "places", {"code": "H2", "kind": PlaceKind.HALL, "parent": "BZV"}, version=None, reason="x")
    inventory.write(user, "places", {"code": "H2", "name": "Salle 2"}, version=1, reason="x")
    facts = {"tag": "c9", "source": "F", "target": "PDU-1", "kind": LinkKind.DATA}
    inventory.write(user, "links", facts, version=None, reason="x")
    inventory.write(user, "links", {"tag": "c9", "target": "M-1"}, version=1, reason="x")
    inventory.write(user, "documents", {"element": "F", "title": "T", "reference": "r"}, version=None, reason="x")
    assert selectors.places()[-2].name == "Salle 2"
    assert next(link for link in selectors.links(LinkKind.DATA)).target == "M-1"
    inventory.remove(user, "links", ["c9"], version=2, reason="cut")
    inventory.remove(user, "places", ["H2"], version=2, reason="never built")
    inventory.remove(user, "documents", ["F", "T"], version=1, reason="x")
    assert selectors.history("F")[0].action == "facility.document.remove"
    assert (len(selectors.links()), len(selectors.places()), len(selectors.documents("F"))) == (3, 3, 0)


def test_what_something_else_stands_on_is_not_removed(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    with pytest.raises(InventoryRefusedError, match="in use"):
        inventory.remove(user, "elements", ["TR-1"], version=1, reason="x")
    with pytest.raises(UnknownElementError):
        inventory.remove(user, "elements", ["TR-7"], version=1, reason="x")
    with pytest.raises(UnknownElementError):
        selectors.element("TR-7")


def test_a_row_that_is_there_is_not_added_again_and_one_that_is_not_there_not_changed(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    entered(user)
    with pytest.raises(InventoryRefusedError, match="known already"):
        inventory.write(user, "elements", {"tag": "F", "kind": ElementKind.PDU}, version=None, reason="x")
    with pytest.raises(UnknownElementError):
        inventory.write(user, "elements", {"tag": "G", "kind": ElementKind.PDU}, version=1, reason="x")


@pytest.mark.parametrize("role", [Role.TECHNICIAN, Role.AUDITOR])
def test_who_may_look_may_not_write(people: People, role: Role) -> None:
    user = people(role)
    with pytest.raises(NotPermittedError):
        submissions.hand_in(user, "plant", "mbongi", TEXTS)
    with pytest.raises(NotPermittedError):
        inventory.write(user, "places", {"code": "S", "kind": PlaceKind.SITE}, version=None, reason="x")


def test_nothing_is_written_without_a_reason_and_nothing_handed_in_without_a_file(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    with pytest.raises(InventoryRefusedError, match="reason"):
        inventory.write(user, "places", {"code": "S", "kind": PlaceKind.SITE}, version=None, reason=" ")
    with pytest.raises(InventoryRefusedError, match="no known file"):
        submissions.hand_in(user, "plant", "mbongi", {"elephants": "x"})
    with pytest.raises(InventoryRefusedError, match="not kept"):
        submissions.dry_run(12345)


def test_tenants_see_nothing_of_the_plant(people: People, tenant: Any) -> None:
    entered(people(Role.SITE_MANAGER))
    with acting(scope_of(people(Role.TENANT, tenant=tenant("north")))):
        assert selectors.elements() == []
        assert selectors.places() == []
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM facility_link")
            assert cursor.fetchone() == (0,)


def test_maintenance_falls_due_an_interval_after_the_last_one(people: People) -> None:
    user = people(Role.SITE_MANAGER)
    texts = {
        "elements": "tag,kind,maintenance_days,maintenance_last,maintenance_next\nG-1,genset,30,2026-01-01,\n"
        "G-2,genset,,,2026-03-01\nG-3,genset,30,,\nG-4,genset,30,2026-01-01,2026-06-01\n"
    }
    entered(user, texts)
    due = selectors.overdue(date(2026, 3, 1))
    assert [(each.tag, each.maintenance_due) for each in due] == [
        ("G-1", date(2026, 1, 31)), ("G-2", date(2026, 3, 1)),
    ]  # fmt: skip
    assert [each.tag for each in selectors.overdue(date(2026, 2, 28))] == ["G-1"]
