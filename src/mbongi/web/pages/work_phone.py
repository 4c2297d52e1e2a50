"""The page that technicians carry: it opens and takes entries without a link, and hands them in later.

The page itself says nothing about anybody, so that the phone may keep it; what it shows comes as ``site.json`` and lies
in the browser's own database. The service worker is a static file with the names of what it keeps before it.
"""

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.templatetags.static import static
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors, work_order_rows, work_orders, work_wording
from mbongi.fleet.rules.work_orders import WorkState
from mbongi.fleet.selectors import MachineFilter
from mbongi.fleet.work_order_rows import OrderFilter, OrderRow
from mbongi.fleet.work_orders import NewWork, Receipt
from mbongi.web.assets import release
from mbongi.web.problems import json_answer, problem, title_of
from mbongi.web.sight import machine_name
from mbongi.web.templatetags.work import STYLES

MACHINES_MAX = 20_000
ORDERS_MAX = 1000
WORKER = "mbongi/js/phone_worker.js"
KEPT = (
    *("mbongi/css/tokens.css", "mbongi/css/dark.css", "mbongi/css/base.css", "mbongi/css/shell.css"),
    *("mbongi/css/parts.css", "mbongi/css/work.css", "mbongi/js/phone.js", "mbongi/js/phone_store.js"),
    *("mbongi/js/phone_view.js", "mbongi/mark.svg"),
)
"""Static files that the page needs."""


class Handed(msgspec.Struct, kw_only=True):
    """What the phone hands in: its entries, and when it sent them by its own clock."""

    sent_at: datetime
    entries: Annotated[list[NewWork], msgspec.Meta(max_length=work_orders.ENTRIES_MAX)]


@require_safe
def phone(request: HttpRequest) -> HttpResponse:
    """The page, the same for everybody."""
    return render(request, "pages/work_phone.html", {"phone_words": words(), "release": release().digest})


def words() -> dict[str, Any]:
    """The words that the page's scripts need, in the reader's language."""
    return {
        "language": get_language(),
        "faults": {fault.value: str(word) for fault, word in work_wording.FAULTS.items()},
        "states": {state.value: str(word) for state, word in work_wording.STATES.items()},
        "styles": {state.value: style for state, style in STYLES.items()},
        "entries": {kind.value: str(word) for kind, word in work_wording.ENTRIES.items()},
        "clashes": {clash.value: str(word) for clash, word in work_wording.CLASHES.items()},
        "take": _("Take"),
        "release": _("Give back"),
        "fix": _("It is fixed"),
        "note": _("Add a note"),
        "usePart": _("Use a part"),
        "report": _("Report a fault"),
        "kept": _("Kept on this phone."),
        "whatIsWrong": _("What is wrong?"),
        "whatSeen": _("What did you see or do?"),
        "part": _("Spare part"),
        "pieces": _("Pieces"),
        "inStock": _("{n} in stock"),
        "myOrders": _("My orders"),
        "openOrders": _("Open orders"),
        "noOrders": _("No open order."),
        "entriesHere": _("Entries on this phone"),
        "waiting": _("waits to be sent"),
        "sent": _("sent"),
        "joined": _("added to an order that was there already"),
        "conflict": _("conflict: {why}"),
        "refused": _("refused: {why}"),
        "dismiss": _("Seen"),
        "searchHint": _("position, serial number, model"),
        "search": _("Machine"),
        "unknownMachine": _("This label belongs to no machine that this phone knows of."),
        "back": _("Back"),
        "online": _("In touch with the site"),
        "offline": _("No link; entries are kept here"),
        "signedOut": _("Signed out; entries are kept here"),
        "signIn": _("Sign in"),
        "nWaiting": _("{n} waiting"),
        "send": _("Send now"),
        "asOf": _("As of {time}"),
        "never": _("This phone has not been in touch with the site yet."),
        "order": _("Order {n}"),
        "newOrder": _("New order"),
        "position": _("Position"),
        "serial": _("Serial number"),
        "model": _("Model"),
        "others": _("Entries of {name} wait until that person signs in."),
        "notKept": _("This browser could not keep the entry. Write it down."),
        "needText": _("Write a note first."),
    }


@require_safe
def worker(_request: HttpRequest) -> HttpResponse:
    """The service worker; a new release has new bytes, so that phones fetch its files."""
    kept = {"release": release().digest, "urls": ["/workshop/phone/", *(static(name) for name in KEPT)]}
    code = f"const KEPT = {json.dumps(kept)};\n".encode() + release().files[WORKER].content
    return HttpResponse(code, content_type="text/javascript; charset=utf-8", headers={"Cache-Control": "no-cache"})


def _refused(request: HttpRequest) -> HttpResponse | None:
    if not request.user.is_authenticated:
        return problem(401, title_of(401))
    return None if request.user.may(Permission.WORK_DO) else problem(403, title_of(403))


@require_safe
def site(request: HttpRequest) -> HttpResponse:
    """What the phone keeps of the site: machines, the orders that are not over, parts."""
    if refusal := _refused(request):
        return refusal
    user: Any = request.user
    live = [state for state in WorkState if not state.is_over]
    found = work_order_rows.orders(OrderFilter(states=live), limit=ORDERS_MAX)
    machines: list[list[Any]] = []
    offset = 0
    while offset < MACHINES_MAX:
        page = selectors.machines(MachineFilter(), limit=selectors.PAGE_MAX, offset=offset)
        machines += [_machine(row) for row in page.rows]
        offset += selectors.PAGE_MAX
        if offset >= page.total:
            break
    return json_answer({
        "at": utc_now(),
        "user": {"id": user.pk, "name": user.name},
        "csrf": get_token(request),
        "machines": machines,
        "orders": [_order(row) for row in found.rows],
        "parts": [[row.number, row.name, row.stock] for row in work_order_rows.parts()],
    })  # fmt: skip


def _machine(row: selectors.MachineRow) -> list[Any]:
    name = machine_name(row.rack_label, row.slot, row.address, row.id)
    return [row.id, name, row.model, row.serial, row.hall, row.rack, row.slot]


def _order(row: OrderRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "machine": row.machine_id,
        "fault": row.fault,
        "state": row.state,
        "note": row.note,
        "technician": row.technician_id,
        "technician_name": row.technician,
        "reported_at": row.reported_at,
        "conflicts": row.conflicts,
    }


@require_POST
def entries(request: HttpRequest) -> HttpResponse:
    """Take in what the phone kept; each entry gets its receipt, in the same order."""
    if refusal := _refused(request):
        return refusal
    user: Any = request.user
    try:
        handed = msgspec.json.decode(request.body, type=Handed)
    except RequestDataTooBig:
        return problem(413, title_of(413))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return problem(400, title_of(400), str(error))
    receipts: list[Receipt] = work_orders.enter(user, handed.entries, sent_at=handed.sent_at)
    return json_answer({"receipts": receipts})
