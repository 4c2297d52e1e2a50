"""The words of hosting, in the reader's language."""

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
