"""Words for dispatch: who steers, the black-out sequence, why a step is as it is, what could not be kept."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.energy.rules.blackout import Phase
from mbongi.energy.rules.dispatch.explaining import REASONS
from mbongi.energy.rules.steering import Why

WHY: dict[str, Promise] = {
    Why.PLAN: _("the plan steers"),
    Why.NO_PLAN: _("no plan: the standing rules steer"),
    Why.LATE: _("the plan is late: the standing rules steer"),
    Why.LIMITS: _("the plan does not fit the plant as it is: the standing rules steer"),
    Why.BLACKOUT: _("the black-out sequence has the word"),
}
PHASES: dict[str, Promise] = {
    Phase.GRID: _("grid"),
    Phase.HOLD: _("UPS holds, genset starts"),
    Phase.ISLAND: _("on gensets"),
    Phase.BACK: _("grid is back, being watched"),
    Phase.RETURN: _("loads return"),
    Phase.DARK: _("no genset came"),
}
REASON: dict[str, Promise] = dict(
    zip(
        REASONS,
        (
            _("%(tag)s is away"),
            _("%(tag)s gives all it can"),
            _("%(tag)s is at its contract"),
            _("%(tag)s is above its contract, which pays"),
            _("all feeds together are at the site's limit"),
            _("%(tag)s gives more than is wanted"),
            _("%(tag)s is full"),
            _("%(tag)s is empty"),
            _("%(tag)s charges with all its power"),
            _("%(tag)s discharges with all its power"),
            _("the batteries hold the reserve for an outage"),
            _("%(tag)s runs at its minimum"),
            _("%(tag)s gives all it can"),
            _("%(tag)s runs in full: it earns more than energy costs"),
            _("%(tag)s rests: energy costs more than it earns"),
            _("%(tag)s is limited by what there is"),
            _("%(tag)s is shed"),
            _("firm load is not supplied"),
        ),
        strict=True,
    )
)
STATUS: dict[str, Promise] = {
    "optimal": _("as good as can be"),
    "time limit": _("the best that was found in time"),
}
RELAXED: dict[str, Promise] = {
    "end": _("%(tag)s ends %(amount)s kWh below what was wanted"),
    "reserve": _("the reserve for an outage is short in %(steps)s steps"),
    "fuel": _("%(tag)s falls %(amount)s l below its reserve"),
    "up_down": _("%(tag)s is switched sooner than its minimum times allow"),
    "load": _("%(amount)s kWh of firm load are not supplied"),
}


def reason_text(word: str, tag: str) -> str:
    """One thing that binds, in the present language."""
    return str(REASON[word]) % {"tag": tag} if word in REASON else word


def status_text(status: str) -> str:
    """How a try to plan ended, in the present language; a solver's other words as they are."""
    return str(STATUS.get(status, status))


def relaxed_text(kind: str, tag: str, amount: float, steps: int) -> str:
    """What could not be kept, in the present language."""
    values = {"tag": tag, "amount": round(amount, 1), "steps": steps}
    return str(RELAXED[kind]) % values if kind in RELAXED else kind
