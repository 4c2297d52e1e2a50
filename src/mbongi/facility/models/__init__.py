"""Tables of the plant."""

from mbongi.facility.models.alarm import Alarm, AlarmCursor, AlarmDefinition, AlarmEvent, AlarmNotice, AlarmRota

__all__ = ["Alarm", "AlarmCursor", "AlarmDefinition", "AlarmEvent", "AlarmNotice", "AlarmRota"]
