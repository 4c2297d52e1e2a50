"""What operations say of themselves and of what they could not do, in the reader's language."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from mbongi.fleet import curtail_wording, firmware_wording, healing_wording
from mbongi.fleet.values import OperationState

_MESSAGES: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (
        re.compile(r"(?P<failed>\d+) machines failed; the limit is (?P<limit>\d+)"),
        _("%(failed)s machines failed; the limit is %(limit)s."),
    ),
    (
        re.compile(r"(?P<done>\d+) of (?P<total>\d+) steps done, (?P<failed>\d+) failed"),
        _("%(done)s of %(total)s steps done, %(failed)s failed."),
    ),
    (
        re.compile(
            r"(?P<done>\d+) of (?P<total>\d+) steps done, (?P<failed>\d+) failed; "
            r"(?P<lost>\d+) machines are not seen to mine since"
        ),
        _("%(done)s of %(total)s steps done, %(failed)s failed; %(lost)s machines have not been seen mining since."),
    ),
    (re.compile("an earlier step failed on this machine"), _("An earlier step failed on this machine.")),
    (re.compile("the machine has left the fleet"), _("The machine has left the fleet.")),
    (
        re.compile("it was planned for the machine's former owner"),
        _("It was planned for the machine's former owner."),
    ),
)
_ADDRESS = re.compile(r"^\s*(machine \d+|\d{1,3}(\.\d{1,3}){3})( \(\w+\))?:?\s*")

VERBS: Mapping[str, tuple[Promise, Promise]] = {
    "approve": (_("Approve and start"), _("You agree to exactly these steps; it starts at once.")),
    "start": (_("Start"), _("Steps begin as fast as the limits allow.")),
    "pause": (_("Pause"), _("Steps under way are seen through; no other begins until somebody lets it go on.")),
    "resume": (_("Go on"), _("Failures so far are forgiven: it halts again only after as many new ones.")),
    "cancel": (_("Cancel"), _("What has not begun is not done; what is under way is seen through.")),
}
"""What people do to an operation, and what that means."""

POSSIBLE: Mapping[OperationState, tuple[str, ...]] = {
    OperationState.AWAITING: ("approve", "cancel"),
    OperationState.PLANNED: ("start", "cancel"),
    OperationState.RUNNING: ("pause", "cancel"),
    OperationState.PAUSED: ("resume", "cancel"),
    OperationState.HALTED: ("resume", "cancel"),
}
"""What can be done to one in each state."""


def operation_text(message: str) -> str:
    """Why an operation halted or how it ended; what a person or a machine said stays in their words."""
    for pattern, text in _MESSAGES:
        if found := pattern.fullmatch(message):
            return str(text) % found.groupdict()
    for words in (healing_wording.message_text, firmware_wording.message_text, curtail_wording.message_text):
        if (told := words(message)) != message:
            return told
    return message


def reasons(messages: Iterable[str], most: int = 20) -> list[tuple[str, int]]:
    """The reasons of many failed steps and how often each, most frequent first, whichever machine said it."""
    counted = Counter(_ADDRESS.sub("", message) or _now("no reason given") for message in messages)
    return [(operation_text(text), count) for text, count in counted.most_common(most)]
