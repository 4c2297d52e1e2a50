"""What the fleet tells the other domains, over the bus."""

import msgspec

from mbongi.core.bus.messages import message


@message("fleet.machine_found.v1")
class MachineFound(msgspec.Struct, frozen=True, kw_only=True):
    """A machine was seen for the first time. ``at_ms`` is milliseconds since 1970, UTC, here and below."""

    machine_id: int
    address: str
    family: str
    model: str
    tenant_id: int | None
    at_ms: int


@message("fleet.machine_moved.v1")
class MachineMoved(msgspec.Struct, frozen=True, kw_only=True):
    """A known machine answers at another address. Empty ``after``: another machine took its address."""

    machine_id: int
    before: str
    after: str
    tenant_id: int | None
    at_ms: int


@message("fleet.machine_changed.v1")
class MachineChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A machine was given to a tenant, retired, or came back; whoever keeps a list reads it anew."""

    machine_id: int
    tenant_id: int | None
    retired: bool
    at_ms: int


@message("fleet.machine_state.v1")
class MachineStateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A machine's state became another; states by their words."""

    machine_id: int
    before: str
    after: str
    reason: str
    tenant_id: int | None
    at_ms: int


@message("fleet.condition.v1")
class ConditionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A condition (alarm) of a machine opened or cleared."""

    event_id: int
    machine_id: int
    kind: str
    part: str
    severity: str
    opened: bool
    tenant_id: int | None
    at_ms: int


@message("fleet.action_requested.v1")
class ActionRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asked for an action; the fleet process looks for work when it hears this."""

    action_id: int
    machine_id: int
    kind: str
    tenant_id: int | None
    at_ms: int


@message("fleet.action_finished.v1")
class ActionFinished(msgspec.Struct, frozen=True, kw_only=True):
    """An action came to its end: ``status`` is done, failed or cancelled."""

    action_id: int
    machine_id: int
    kind: str
    status: str
    dry_run: bool
    message: str
    tenant_id: int | None
    at_ms: int


@message("fleet.group_changed.v1")
class GroupChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A group, its machines or a version of its profile changed; whoever keeps a copy reads it anew."""

    group_id: int
    profile_id: int | None
    state: str
    tenant_id: int | None
    at_ms: int


@message("fleet.diversion.v1")
class DiversionChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A machine began to work for a foreign pool or name, or is back; ``hashes_th`` is what went there."""

    machine_id: int
    url: str
    user: str
    opened: bool
    hashes_th: float
    tenant_id: int | None
    at_ms: int


@message("fleet.operation_changed.v1")
class OperationChanged(msgspec.Struct, frozen=True, kw_only=True):
    """An operation came into another state. Not sent for each of its steps."""

    operation_id: int
    kind: str
    state: str
    message: str
    tenant_id: int | None
    at_ms: int


@message("fleet.work_order.v1")
class WorkOrderChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A work order was reported or came into another state."""

    order_id: int
    machine_id: int
    fault: str
    state: str
    tenant_id: int | None
    at_ms: int


@message("fleet.healing_rule.v1")
class HealingRuleChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A healing rule was added, changed, switched or removed."""

    rule_id: int
    mode: str
    version: int
    at_ms: int


@message("fleet.healing_attempt.v1")
class HealingAttemptChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A healing rule began something on a machine, or it came to its end: ``outcome`` is open until then."""

    attempt_id: int
    rule_id: int
    machine_id: int
    cure: str
    outcome: str
    is_watch: bool
    tenant_id: int | None
    at_ms: int


@message("fleet.stock_low.v1")
class StockLow(msgspec.Struct, frozen=True, kw_only=True):
    """A part's stock fell to its reorder point or below."""

    part: str
    name: str
    pieces: int
    reorder_point: int
    at_ms: int
