"""The overview: the site at a glance."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mbongi.core.identity.values import Permission
from mbongi.fleet import selectors
from mbongi.fleet.values import MachineState
from mbongi.web import sight
from mbongi.web.guard import needs

ALARMS = 6
STATE_ORDER = (
    *(MachineState.MINING, MachineState.SLEEPING, MachineState.STARTING),
    *(MachineState.OFF, MachineState.UNKNOWN, MachineState.FAULT),
)


@require_safe
@needs(Permission.MACHINE_VIEW)
def overview(request: HttpRequest) -> HttpResponse:
    """Totals, states, hottest machines, newest alarms, and the last 24 hours."""
    counts, totals, hottest = selectors.counts(), sight.totals(), sight.hottest()
    by_state = sight.state_counts(counts.total, totals.states)
    ids = ",".join(str(one.id) for one in hottest)
    content = {
        "here": "overview",
        "totals": totals,
        "machine_count": counts.total,
        "rack_count": len([label for label in counts.by_rack if label]),
        "states": [(state, by_state[state.word], *_part(by_state, state, counts.total)) for state in STATE_ORDER],
        "hottest": hottest,
        "alarms": selectors.open_alarms(ALARMS),
        "live": f"figures=chip_temp_max_c,hashrate_ths&ids={ids}",
    }
    return render(request, "pages/overview.html", content)


@require_safe
@needs(Permission.MACHINE_VIEW)
def alarms(request: HttpRequest) -> HttpResponse:
    """The newest open alarms alone, for a page that heard of a change."""
    return render(request, "parts/alarms.html", {"alarms": selectors.open_alarms(ALARMS)})


def _part(by_state: dict[str, int], state: MachineState, total: int) -> tuple[str, str]:
    """Where a state's part of the bar begins and how wide it is, in per cent."""
    if not total:
        return "0", "0"
    before = sum(by_state[one.word] for one in STATE_ORDER[: STATE_ORDER.index(state)])
    width = 100 * by_state[state.word] / total
    return f"{100 * before / total:.2f}", f"{max(0.0, width - (0.4 if width > 1 else 0)):.2f}"
