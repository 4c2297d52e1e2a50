"""The words of hosting, in the reader's language."""

import re
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mbongi.fleet.rules.hosting_bill import ChargeKind
from mbongi.fleet.rules.hosting_terms import CurtailmentClass, ExcuseClass
from mbongi.fleet.values import ProfileState

CLASSES: Mapping[ExcuseClass, Promise] = {
    ExcuseClass.CUSTOMER: _("Customer"),
    ExcuseClass.GRID: _("Grid"),
    ExcuseClass.FORCE_MAJEURE: _("Force majeure"),
    ExcuseClass.CURTAILMENT: _("Agreed curtailment"),
    ExcuseClass.MAINTENANCE: _("Planned maintenance"),
    ExcuseClass.MONITORING: _("Our monitoring was blind"),
}
CURTAILMENTS: Mapping[CurtailmentClass, Promise] = {
    CurtailmentClass.FIRM: _("Firm: counts as downtime"),
    CurtailmentClass.AGREED: _("Agreed: is excused"),
}
STATES: Mapping[ProfileState, Promise] = {
    ProfileState.DRAFT: _("Draft"),
    ProfileState.PROPOSED: _("Proposed"),
    ProfileState.ACTIVE: _("Approved"),
    ProfileState.SUPERSEDED: _("Superseded"),
    ProfileState.REFUSED: _("Refused"),
}
CHARGES: Mapping[ChargeKind, Promise] = {
    ChargeKind.ENERGY: _("Energy"),
    ChargeKind.MACHINES: _("Machines hosted"),
}
COLUMNS: Mapping[str, Promise] = {
    "machine_id": _("Machine number"),
    "machine": _("Machine"),
    "model": _("Model"),
    "serial": _("Serial number"),
    "day": _("Day"),
    "since_utc": _("From (UTC)"),
    "until_utc": _("Until before (UTC)"),
    "contract_s": _("Under contract (s)"),
    "up_s": _("Up (s)"),
    "excused_customer_s": _("Excused: customer (s)"),
    "excused_grid_s": _("Excused: grid (s)"),
    "excused_force_majeure_s": _("Excused: force majeure (s)"),
    "excused_curtailment_s": _("Excused: curtailment (s)"),
    "excused_maintenance_s": _("Excused: maintenance (s)"),
    "unexcused_s": _("Down, not excused (s)"),
    "unknown_s": _("Unknown (s)"),
    "hash_hours_ths_h": _("Hash-hours (TH/s·h)"),
    "promised_ths_h": _("Promised (TH/s·h)"),
    "energy_kwh": _("Energy (kWh)"),
    "up_without_power_s": _("Up, power not stated (s)"),
    "pool_hash_hours_ths_h": _("Seen by the pool (TH/s·h)"),
}
"""The columns of a statement's sheet."""
TERMS: Mapping[str, Promise] = {
    "valid_from": _("Governs from the month"),
    "starts": _("Begins on"),
    "ends": _("Ends before"),
    "by_rule": _("All machines of the tenant"),
    "group_id": _("Only machines of the group"),
    "machines": _("Machines"),
    "uptime_ppm": _("Promised uptime"),
    "hash_hours": _("Promised hash-hours of a full month"),
    "nominal_ppm": _("Promised share of the nominal rate"),
    "currency": _("Currency"),
    "mwh_minor": _("Price of 1,000 kWh"),
    "machine_month_minor": _("Price of a machine and month"),
    "credits": _("Credits"),
    "curtailment": _("Curtailment"),
    "maintenance_s_max": _("Planned maintenance per machine and month"),
    "notes": _("Notes"),
}

_WHY: tuple[tuple[re.Pattern[str], Promise], ...] = (
    (
        re.compile(r".*: no approved version governs it"),
        _("No approved version of the contract governs this month."),
    ),
    (
        re.compile(r".*: excuse (?P<id>\d+) is proposed; decide on it first"),
        _("Excuse %(id)d is proposed; it must be decided on first."),
    ),
    (
        re.compile(r".*: it is closed \(version \d+\); a correction needs a reason"),
        _("The month is closed; a correction needs a reason."),
    ),
    (
        re.compile(r".*: nothing differs from version (?P<number>\d+)"),
        _("Nothing differs from version %(number)d."),
    ),
)


def why_text(message: str) -> str:
    """Why a statement could not be made, in the reader's language: it is stored as the error says it."""
    for pattern, text in _WHY:
        if found := pattern.fullmatch(message):
            numbers = {name: int(word) for name, word in found.groupdict().items()}
            return str(text) % numbers if numbers else str(text)
    return message
