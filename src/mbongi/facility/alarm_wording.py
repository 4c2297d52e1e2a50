"""Words for alarms, in the reader's language."""

from django.utils.translation import gettext_lazy as _

from mbongi.facility.rules.alarm_flood import INFERRED
from mbongi.facility.rules.alarm_limits import Document, Follows, Kind, Priority, Supply
from mbongi.facility.rules.alarm_rota import Channel
from mbongi.facility.rules.alarm_state import Change, State

PRIORITIES = {Priority.HIGH: _("High"), Priority.MEDIUM: _("Medium"), Priority.LOW: _("Low")}
STATES = {
    State.NORMAL: _("Normal"),
    State.UNACKNOWLEDGED: _("Unacknowledged"),
    State.ACKNOWLEDGED: _("Acknowledged"),
    State.RETURNED: _("Returned, unacknowledged"),
    State.LATCHED: _("Latched, unacknowledged"),
    State.LATCHED_ACKNOWLEDGED: _("Latched, acknowledged"),
    State.SHELVED: _("Shelved"),
    State.SUPPRESSED: _("Suppressed by design"),
    State.OUT_OF_SERVICE: _("Out of service"),
}
CHANGES = {
    Change.RAISE: _("rose"),
    Change.CLEAR: _("cleared"),
    Change.ACKNOWLEDGE: _("was acknowledged"),
    Change.RESET: _("was reset"),
    Change.SHELVE: _("was shelved"),
    Change.UNSHELVE: _("came off the shelf"),
    Change.SUPPRESS: _("was suppressed"),
    Change.RELEASE: _("was released"),
    Change.REMOVE: _("was taken out of service"),
    Change.RETURN: _("came back to service"),
}
KINDS = {
    Kind.HIHI: _("Far too high"),
    Kind.HI: _("Too high"),
    Kind.LO: _("Too low"),
    Kind.LOLO: _("Far too low"),
    Kind.DISCRETE: _("State"),
    Kind.DEVIATION: _("Deviation"),
    Kind.RATE: _("Rate of change"),
    Kind.QUALITY: _("Bad or stale reading"),
    Kind.INFERRED: _("Concluded"),
}
SUPPLIES = {Supply.POWER: _("power"), Supply.COOLING: _("cooling")}
FOLLOWS = {
    Follows.POWER: _("all power lost"),
    Follows.POWER_PART: _("a power feed lost"),
    Follows.COOLING: _("all cooling lost"),
    Follows.COOLING_PART: _("a cooling feed lost"),
}
REASONS = {
    "cleared": _("its condition is gone"),
    "the time is over": _("the time is over"),
    "its cause is gone, it lasts": _("its root is gone, it lasts"),
}
"""Reasons that the process itself writes into the journal."""
CHANNELS = {Channel.EMAIL: _("E-mail"), Channel.SMS: _("SMS"), Channel.WEBHOOK: _("Webhook")}

_RESPONSE = _("Look at the element itself: its breaker, its supply, and the link to its device.")
_CAUSE = _("The element's own device is silent, and everything that it feeds lost its supply.")
BUILT_IN = {
    INFERRED[Supply.POWER]: {"title": _("Power lost, seen by what it feeds"), "cause": _CAUSE, "response": _RESPONSE},
    INFERRED[Supply.COOLING]: {
        "title": _("Cooling lost, seen by what it feeds"),
        "cause": _CAUSE,
        "response": _RESPONSE,
    },
}
"""What built-in definitions say, where people have not written it anew."""
_BUILT_IN_CONSEQUENCE = _("What it feeds stands without supply.")


def words_of(key: str, document: Document, field: str) -> str:
    """A text of a definition: built-in ones in the reader's language, people's as they wrote it."""
    own = str(getattr(document, field))
    built_in = {**BUILT_IN.get(key, {}), **({"consequence": _BUILT_IN_CONSEQUENCE} if key in BUILT_IN else {})}
    return str(built_in.get(field, own)) if document.kind is Kind.INFERRED else own
