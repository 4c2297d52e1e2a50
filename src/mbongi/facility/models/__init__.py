"""Tables of the plant. Private: other domains use services, selectors and values.

Django finds tables by importing this package, so every one is named here. All of them are the site's own: no tenant
sees a row of any.
"""

from mbongi.facility.models.alarm import Alarm, AlarmCursor, AlarmDefinition, AlarmEvent, AlarmNotice, AlarmRota
from mbongi.facility.models.device import Device
from mbongi.facility.models.inventory import Document, Element, Link, Place, Submission
from mbongi.facility.models.procedure import Procedure, ProcedureEntry, ProcedureRun, ProcedureVersion

__all__ = [
    "Alarm",
    "AlarmCursor",
    "AlarmDefinition",
    "AlarmEvent",
    "AlarmNotice",
    "AlarmRota",
    "Device",
    "Document",
    "Element",
    "Link",
    "Place",
    "Procedure",
    "ProcedureEntry",
    "ProcedureRun",
    "ProcedureVersion",
    "Submission",
]
