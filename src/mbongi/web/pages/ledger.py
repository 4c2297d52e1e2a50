"""The ledger: who did what, on what and why, and whether the record still holds."""

import base64
from collections.abc import Sequence
from typing import Any, Protocol

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from mbongi.core.identity import selectors as identity
from mbongi.core.identity.values import Permission
from mbongi.core.ledger import selectors
from mbongi.core.ledger.checkpoints import Keeper, checkpoint_file, signer_of
from mbongi.core.ledger.errors import LedgerError
from mbongi.core.ledger.values import Entry
from mbongi.pool import wording
from mbongi.web.exports import ROWS_MAX, download
from mbongi.web.filters import PAGE_SIZE, QueryError, before
from mbongi.web.guard import needs

EXPORT = ("index", "at", "actor", "action", "subject", "reason", "tenant_id", "before", "after")
SUBJECT_MAX = 80

_WORDS: dict[str, Promise] = {
    "facility.place.add": _("Place added"),
    "facility.place.change": _("Place changed"),
    "facility.place.remove": _("Place removed"),
    "facility.element.add": _("Element added"),
    "facility.element.change": _("Element changed"),
    "facility.element.remove": _("Element removed"),
    "facility.link.add": _("Link added"),
    "facility.link.change": _("Link changed"),
    "facility.link.remove": _("Link removed"),
    "facility.document.add": _("Document added"),
    "facility.document.change": _("Document changed"),
    "facility.document.remove": _("Document removed"),
    "facility.inventory.import": _("Inventory of the plant imported"),
    "fleet.machine.sleep.request": _("Sleep requested"),
    "fleet.machine.sleep.done": _("Put to sleep"),
    "fleet.machine.sleep.fail": _("Sleep failed"),
    "fleet.machine.sleep.rehearse": _("Sleep rehearsed"),
    "fleet.machine.sleep.cancel": _("Sleep cancelled"),
    "fleet.machine.wake.request": _("Wake requested"),
    "fleet.machine.wake.done": _("Woken"),
    "fleet.machine.wake.fail": _("Wake failed"),
    "fleet.machine.wake.rehearse": _("Wake rehearsed"),
    "fleet.machine.wake.cancel": _("Wake cancelled"),
    "fleet.machine.reboot.request": _("Reboot requested"),
    "fleet.machine.reboot.done": _("Rebooted"),
    "fleet.machine.reboot.fail": _("Reboot failed"),
    "fleet.machine.reboot.rehearse": _("Reboot rehearsed"),
    "fleet.machine.reboot.cancel": _("Reboot cancelled"),
    "fleet.machine.set_pools.request": _("Pools requested"),
    "fleet.machine.set_pools.done": _("Pools set"),
    "fleet.machine.set_pools.fail": _("Setting pools failed"),
    "fleet.machine.set_pools.rehearse": _("Pools rehearsed"),
    "fleet.machine.set_pools.cancel": _("Pools cancelled"),
    "fleet.machine.set_power.request": _("Power requested"),
    "fleet.machine.set_power.done": _("Power set"),
    "fleet.machine.set_power.fail": _("Setting power failed"),
    "fleet.machine.set_power.rehearse": _("Power rehearsed"),
    "fleet.machine.set_power.cancel": _("Power cancelled"),
    "fleet.machine.set_fan.request": _("Fans requested"),
    "fleet.machine.set_fan.done": _("Fans set"),
    "fleet.machine.set_fan.fail": _("Setting fans failed"),
    "fleet.machine.set_fan.rehearse": _("Fans rehearsed"),
    "fleet.machine.set_fan.cancel": _("Fans cancelled"),
    "fleet.machine.set_hostname.request": _("Network name requested"),
    "fleet.machine.set_hostname.done": _("Network name set"),
    "fleet.machine.set_hostname.fail": _("Setting the network name failed"),
    "fleet.machine.set_hostname.rehearse": _("Network name rehearsed"),
    "fleet.machine.set_hostname.cancel": _("Network name cancelled"),
    "fleet.machine.upgrade.request": _("Firmware requested"),
    "fleet.machine.upgrade.done": _("Firmware flashed"),
    "fleet.machine.upgrade.fail": _("Flashing firmware failed"),
    "fleet.machine.upgrade.cancel": _("Firmware cancelled"),
    "fleet.machine.set_credentials.request": _("New password requested"),
    "fleet.machine.set_credentials.done": _("Machine's password changed"),
    "fleet.machine.set_credentials.fail": _("Changing the machine's password failed"),
    "fleet.machine.set_credentials.cancel": _("New password cancelled"),
    "fleet.machine.password.show": _("Machine's password shown"),
    "fleet.machine.place": _("Machine placed"),
    "fleet.machine.place.undo": _("Placement taken back"),
    "fleet.inventory.import": _("Inventory entered"),
    "fleet.machine.group": _("Machine put into a group"),
    "fleet.machine.diversion.begin": _("Work goes to a foreign pool"),
    "fleet.machine.diversion.end": _("Work goes to a foreign pool no longer"),
    "fleet.group.add": _("Group added"),
    "fleet.group.change": _("Group changed"),
    "fleet.profile.write": _("Profile written"),
    "fleet.profile.propose": _("Profile proposed"),
    "fleet.profile.activate": _("Profile made active"),
    "fleet.profile.refuse": _("Profile refused"),
    "fleet.operation.plan": _("Operation planned"),
    "fleet.operation.approve": _("Operation approved"),
    "fleet.operation.refuse": _("Operation refused"),
    "fleet.operation.start": _("Operation started"),
    "fleet.operation.pause": _("Operation paused"),
    "fleet.operation.resume": _("Operation resumed"),
    "fleet.operation.halt": _("Operation halted"),
    "fleet.operation.cancel": _("Operation cancelled"),
    "fleet.operation.done": _("Operation done"),
    "fleet.operation.rolled_back": _("Operation rolled back"),
    "fleet.operation.extend": _("Operation extended"),
    "fleet.operation.reach": _("Curtailment: target reached"),
    "fleet.operation.retarget": _("Curtailment: another target"),
    "fleet.operation.shorten": _("Curtailment: steps dropped"),
    "fleet.operation.wake": _("Curtailment: machines are woken"),
    "fleet.operation.abort": _("Curtailment aborted"),
    "fleet.operation.gate": _("Campaign: the gate's verdict"),
    "fleet.operation.roll_back": _("Campaign rolled back"),
    "fleet.signal.price": _("Price told"),
    "fleet.signal.capacity": _("Power capacity told"),
    "fleet.trigger.write": _("Trigger written"),
    "fleet.trigger.approve": _("Trigger approved"),
    "fleet.trigger.on": _("Trigger switched on"),
    "fleet.trigger.off": _("Trigger switched off"),
    "fleet.trigger.retire": _("Trigger removed"),
    "fleet.trigger.begin": _("Trigger acts"),
    "fleet.trigger.end": _("Trigger acts no longer"),
    "fleet.image.add": _("Firmware image added"),
    "fleet.image.remove": _("Firmware image removed"),
    "fleet.image_key.add": _("Key trusted"),
    "fleet.image_key.remove": _("Key trusted no more"),
    "fleet.contract.propose": _("Contract's version proposed"),
    "fleet.contract.approve": _("Contract's version approved"),
    "fleet.contract.refuse": _("Contract's version refused"),
    "fleet.contract.follow": _("Contract's machines changed"),
    "fleet.excuse.enter": _("Excuse entered"),
    "facility.alarm.acknowledge": _("Alarm acknowledged"),
    "facility.alarm.reset": _("Alarm reset"),
    "facility.alarm.shelve": _("Alarm shelved"),
    "facility.alarm.unshelve": _("Alarm taken off the shelf"),
    "facility.alarm.suppress": _("Alarm suppressed by design"),
    "facility.alarm.release": _("Suppression of an alarm ended"),
    "facility.alarm.remove": _("Alarm taken out of service"),
    "facility.alarm.return": _("Alarm back in service"),
    "facility.alarm_definition.add": _("Alarm defined"),
    "facility.alarm_definition.change": _("Definition of an alarm changed"),
    "facility.alarm_definition.delete": _("Definition of an alarm removed"),
    "facility.alarm_definition.remove": _("Definition of an alarm out of service"),
    "facility.alarm_definition.return": _("Definition of an alarm back in service"),
    "facility.alarm_rota.change": _("Rota of alarms changed"),
    "fleet.excuse.approve": _("Excuse agreed to"),
    "fleet.excuse.refuse": _("Excuse refused"),
    "fleet.statement.ask": _("Closing asked for"),
    "fleet.statement.close": _("Month closed"),
    "fleet.statement.correct": _("Statement corrected"),
    "fleet.healing_rule.add": _("Healing rule added"),
    "fleet.healing_rule.change": _("Healing rule changed"),
    "fleet.healing_rule.remove": _("Healing rule removed"),
    "fleet.healing.begin": _("Healing begun"),
    "fleet.healing.order": _("Healing reported a fault"),
    "fleet.healing.recovered": _("Healing: machine recovered"),
    "fleet.healing.cleared": _("Healing: condition gone"),
    "fleet.healing.not_recovered": _("Healing: machine not recovered"),
    "fleet.healing.failed": _("Healing: the write failed"),
    "fleet.healing.protected": _("Healing: machine put to rest"),
    "fleet.healing.abandoned": _("Healing: left to others"),
    "fleet.machine.assign": _("Machine assigned"),
    "fleet.machine.retire": _("Machine retired"),
    "fleet.machine.register": _("Machine registered"),
    "fleet.machine.displace": _("Address taken by another machine"),
    "fleet.machine.return": _("Machine returned"),
    "fleet.machine.move": _("Machine moved"),
    "fleet.work_order.report": _("Fault reported"),
    "fleet.work_order.take": _("Work order taken"),
    "fleet.work_order.release": _("Work order given back"),
    "fleet.work_order.note": _("Note on a work order"),
    "fleet.work_order.part": _("Part used"),
    "fleet.work_order.fix": _("Fault fixed"),
    "fleet.work_order.reopen": _("Work order opened again"),
    "fleet.work_order.cancel": _("Work order cancelled"),
    "fleet.work_order.verify": _("Repair verified by telemetry"),
    "fleet.work_order.conflict": _("Conflicting entry on a work order"),
    "fleet.work_order.settle": _("Conflict settled"),
    "fleet.part.add": _("Part added"),
    "fleet.part.change": _("Part changed"),
    "fleet.stock.receive": _("Parts received"),
    "fleet.stock.use": _("Parts taken from stock"),
    "fleet.stock.scrap": _("Parts scrapped"),
    "fleet.stock.count": _("Stock counted"),
    "pool.payment.propose": _("Payout proposed"),
    "pool.payment.approve": _("Payout approved"),
    "pool.payment.export": _("Payout file fetched"),
    "pool.payment.sign": _("Payout signed"),
    "pool.payment.cancel": _("Payout cancelled"),
    "pool.payment.broadcast": _("Payout sent"),
    "pool.payment.confirm": _("Payout confirmed"),
    "pool.payment.unconfirm": _("Payout no longer confirmed"),
    "pool.payment.fail": _("Payout failed"),
    "pool.account.address": _("Payout address set"),
    "pool.account.change": _("Account's terms changed"),
    "pool.coin.forget": _("Coins of the former chain forgotten"),
    "pool.coin.spent_outside": _("Coin spent past the pool"),
    "pool.block.find": _("Block found"),
    "pool.block.adopt": _("Block adopted"),
    "pool.window.publish": _("Payout window published"),
    "pool.work.drop": _("Old details of the work dropped"),
    "pool.entry.credit": _("Earnings credited"),
    "pool.entry.debit": _("Payment debited"),
    "pool.entry.reversal": _("Entry undone"),
    "pool.scheme.change": _("Way of dividing changed"),
    "identity.sign_in": _("Signed in"),
    "identity.sign_in.fail": _("Sign-in failed"),
    "identity.sign_out": _("Signed out"),
    "identity.password.change": _("Password changed"),
    "identity.password.set": _("Password set"),
    "identity.password.reset": _("Password reset"),
    "identity.email.add": _("E-mail added"),
    "identity.email.change": _("E-mail changed"),
    "identity.email.remove": _("E-mail removed"),
    "identity.factor.add": _("Second factor added"),
    "identity.factor.remove": _("Second factor removed"),
    "identity.factor.renew": _("Second factor renewed"),
    "identity.first_link.create": _("First link made"),
    "identity.invitation.create": _("Invitation made"),
    "identity.invitation.withdraw": _("Invitation withdrawn"),
    "identity.user.create": _("Account created"),
    "identity.user.change": _("Account changed"),
    "identity.user.remove": _("Temporary account removed"),
    "identity.token.issue": _("API token issued"),
    "identity.token.revoke": _("API token revoked"),
    "identity.tenant.create": _("Tenant added"),
}


def sentence(action: str) -> str:
    """An action's code in words; the code itself where no words are known."""
    return str(_WORDS.get(action, action))


@require_safe
@needs(Permission.LEDGER_VIEW)
def ledger(request: HttpRequest) -> HttpResponse:
    """One page of entries, newest first, with the newest checkpoint."""
    subject = request.GET.get("subject", "").strip()[:SUBJECT_MAX]
    try:
        start = before(request.GET)
    except QueryError as error:
        return render(request, "pages/refused.html", {"here": "ledger", "error": error}, status=400)
    found = selectors.entries(subject or None, start, PAGE_SIZE + 1)
    shown, names = found[:PAGE_SIZE], actor_names(found)
    query = request.GET.copy()
    query.pop("before", None)
    size, root = selectors.head()
    content = {
        "here": "ledger",
        "rows": [(entry, sentence(entry.action), names.get(entry.actor, entry.actor)) for entry in shown],
        "subject": subject,
        "query": request.GET,
        "export": query.urlencode(),
        "next_url": f"?{query.urlencode()}&before={shown[-1].index}" if len(found) > PAGE_SIZE else "",
        "continued": start is not None,
        "size": size,
        "root": base64.b64encode(root).decode(),
        "checkpoint": checkpoint(),
    }
    return render(
        request, "parts/ledger_rows.html" if request.headers.get("HX-Request") else "pages/ledger.html", content
    )


class Acted(Protocol):
    """Something that somebody did."""

    @property
    def actor(self) -> str:
        """Who: ``user:3`` or ``process:fleet``."""


def actor_names(entries: Sequence[Acted]) -> dict[str, str]:
    """The names of the people among the actors, and of the practice persons."""
    ids = {int(entry.actor.removeprefix("user:")) for entry in entries if entry.actor.startswith("user:")}
    people = {user.actor: user.name for user in identity.users().filter(pk__in=ids)} if ids else {}
    return people | {actor: str(words) for actor, words in wording.PERSONS.items()}


def checkpoint() -> dict[str, Any]:
    """The newest signed checkpoint, held against the tree as it is now; ``holds`` is None where there is none."""
    signer = signer_of(settings.CONFIG)
    try:
        former = Keeper(signer, checkpoint_file(settings.CONFIG)).former()
        if former is None:
            return {"holds": None, "verifier": str(signer)}
        size, _root = selectors.head()
        holds = former.size <= size and selectors.root_at(former.size) == former.root
    except LedgerError as error:
        return {"holds": False, "verifier": str(signer), "problem": str(error)}
    root = base64.b64encode(former.root).decode()
    return {"holds": holds, "verifier": str(signer), "size": former.size, "root": root, "note": former.note}


@require_safe
@needs(Permission.LEDGER_VIEW)
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """The entries with the same filter as CSV or JSON."""
    subject = request.GET.get("subject", "").strip()[:SUBJECT_MAX]
    rows: list[list[Any]] = []
    start: int | None = None
    while len(rows) < ROWS_MAX:
        page = selectors.entries(subject or None, start, 1000)
        rows += [export_row(entry) for entry in page]
        if len(page) < 1000:
            break
        start = page[-1].index
    return download("ledger", kind, EXPORT, rows, len(rows))


def export_row(entry: Entry) -> list[Any]:
    """An entry as a row of the download."""
    facts: list[Any] = [entry.index, entry.at, entry.actor, entry.action, entry.subject, entry.reason, entry.tenant_id]
    return [*facts, entry.before_json, entry.after_json]
