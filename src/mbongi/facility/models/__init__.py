"""Tables of the plant."""

from mbongi.facility.models.procedure import Procedure, ProcedureEntry, ProcedureRun, ProcedureVersion

__all__ = ["Procedure", "ProcedureEntry", "ProcedureRun", "ProcedureVersion"]
