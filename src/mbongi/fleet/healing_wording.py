"""Healing in the reader's language."""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.rules.healing import Cure, Mode, Outcome

NAMES: dict[str, Promise] = {
    "over_temperature": _("Over-temperature"),
    "fan_failed": _("Fan failing"),
    "board_missing": _("Board missing"),
    "hung": _("Hung"),
    "not_woken": _("Does not wake"),
    "off": _("Off though it should mine"),
    "hashrate_low": _("Hashrate below its model"),
    "rejects_high": _("Reject ratio"),
    "asleep": _("Asleep though nobody asked"),
}
"""The names of the built-in rules, by key, as long as nobody renamed them."""
REASONS: dict[str, Promise] = {
    "over_temperature": _(
        "A hot machine is brought down to low power, else to sleep. The heat itself (a dirty filter, a dead fan) is"
        " for people, so a work order follows either way. It acts on a whole hall too."
    ),
    "fan_failed": _(
        "No command cures a fan. Without it boards are lost within hours, so the machine rests until the fan is"
        " changed."
    ),
    "board_missing": _(
        "A board that only lost its start comes back with one restart; one that does not is loose or dead."
    ),
    "hung": _("A stuck miner program is cured by a restart; one that is stuck again at once is for people."),
    "not_woken": _(
        "A machine that was told to wake and does not mine is told once more, then restarted; what stays asleep has a"
        " fault that people must find."
    ),
    "off": _("No command reaches a machine that is off: somebody must look at breaker, cable and supply."),
    "hashrate_low": _("A restart tunes the chips anew; a machine that stays low has a board or a supply to look at."),
    "rejects_high": _(
        "The profile puts a wrong pool right. Where many machines are rejected at once it is the pool, and no machine."
    ),
    "asleep": _(
        "Wakes machines that sleep although nobody here put them to sleep. Off at first: a person on the floor may"
        " have had a reason."
    ),
}
CURES: dict[Cure, Promise] = {
    Cure.REBOOT: _("Reboot"),
    Cure.WAKE: _("Wake"),
    Cure.LOWER: _("Lower power"),
    Cure.SLEEP: _("Sleep"),
    Cure.REAPPLY: _("Re-apply profile"),
    Cure.WORK_ORDER: _("Work order"),
}
MODES: dict[Mode, Promise] = {Mode.OFF: _("Not in use"), Mode.WATCH: _("Watch only"), Mode.ON: _("On")}
OUTCOMES: dict[Outcome, Promise] = {
    Outcome.OPEN: _("Under way"),
    Outcome.RECOVERED: _("Recovered"),
    Outcome.CLEARED: _("Condition gone"),
    Outcome.NOT_RECOVERED: _("Not recovered"),
    Outcome.FAILED: _("Failed"),
    Outcome.PROTECTED: _("Put to rest"),
    Outcome.ORDERED: _("Work order reported"),
    Outcome.ABANDONED: _("Left to others"),
}
ASIDES: dict[str, Promise] = {
    "asleep_by_us": _("We put it to sleep"),
    "asleep": _("It sleeps"),
    "profile": _("Its profile wants it asleep"),
    "order": _("It has an open work order"),
    "operation": _("An operation has it in hand"),
    "action": _("Somebody's action is under way"),
    "paused": _("Its group is paused"),
    "settling": _("It was told something within the last ten minutes"),
    "told": _("People were told of this trouble"),
    "exhausted": _("Everything was tried"),
}
"""Why a machine is left alone."""
HOLDS: dict[str, Promise] = {
    "under_way": _("An attempt is under way"),
    "common": _("Too many at once: a common cause"),
    "cool_down": _("It cools down after an attempt"),
    "hour": _("The limit of the hour is reached"),
    "at_once": _("The limit at once is reached"),
}
"""Why a rule does not act on a machine now."""


def rule_name(key: str, name: str) -> str:
    """A rule's name: a built-in one's in the reader's language, unless somebody gave it another."""
    return str(NAMES[key]) if key in NAMES and name == key else name


def kept_text(word: str) -> str:
    """Why a rule holds back or leaves alone, from ``move:why``."""
    why = word.partition(":")[2]
    return str(ASIDES.get(why) or HOLDS.get(why) or why)


_MESSAGES: dict[str, Promise] = {
    "it sleeps until somebody has looked": _("It sleeps until somebody has looked."),
    "it mines and the condition is gone, but it did not hold the rate that proves it": _(
        "It mines and the condition is gone, but it did not hold the rate that proves it."
    ),
    "the condition lasts": _("The condition lasts."),
    "it is not seen to mine": _("It is not seen to mine."),
    "nothing of its profile could be written again": _("Nothing of its profile could be written again."),
}
_LEFT = "left to others: "


def message_text(message: str) -> str:
    """What became of an attempt; a machine's own words stay as they are."""
    why = message.removeprefix(_LEFT)
    if why != message and why in ASIDES:
        return str(_("Left to others: %(why)s")) % {"why": ASIDES[why]}
    return str(_MESSAGES.get(message, message))


_REFUSALS: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (re.compile(r"healing rule \d+: nobody has switched it on"), _("Nobody has switched it on.")),
    (
        re.compile(r".*: the role \w+ does not permit it"),
        _("Whoever switched it on last may not do this any more; somebody else must switch it on again."),
    ),
    (
        re.compile(r".*: \d+ operations are not over"),
        _("Too many operations are not over; end some first."),
    ),
)


def refusal_text(message: str) -> str:
    """Why a rule could begin nothing, in the reader's language: it is stored as the error says it."""
    return next((str(text) for pattern, text in _REFUSALS if pattern.fullmatch(message)), message)
