"""What the API takes and gives of onboarding."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from mbongi.web.api.group_structs import Reason

Number = Annotated[int, Meta(ge=0, le=32_767)]


class Onboarding(msgspec.Struct, kw_only=True):
    """How many machines have come how far."""

    found: int
    identified: int
    placed: int
    changed: Annotated[int, Meta(description="with a password of their own")]
    exempt: Annotated[int, Meta(description="of families whose machines take none")]


class WaitingMachine(msgspec.Struct, kw_only=True):
    """A machine that waits for something, or an address at which nobody is known."""

    machine_id: int | None
    address: str | None
    family: str
    model: str
    mac: str
    serial: str
    position: Annotated[str, Meta(description="hall/rack/slot; empty: open")]
    credential: Annotated[str, Meta(description="changed, common, running, failed or exempt")]
    heard_at: datetime | None
    claimed_address: Annotated[str, Meta(description="what it said of itself; only kept, never believed")]
    claimed_mac: str
    is_flagged: Annotated[bool, Meta(description="it says otherwise of itself than what was found")]


class WaitingList(msgspec.Struct, kw_only=True):
    """Part of those that wait."""

    items: list[WaitingMachine]
    total: int


class PlacementRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a machine stands. ``moved`` and ``replace`` answer the questions that are asked back otherwise."""

    hall: Number
    rack: Number
    slot: Number
    moved: bool = False
    replace: bool = False


class Placed(msgspec.Struct, kw_only=True):
    """The number by which it can be undone."""

    placement: int


class RotationRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which machines get a new password: these, or all; ``only_common``: that have the common one."""

    reason: Reason
    machines: list[int] | None = None
    only_common: bool = True


class MachinePassword(msgspec.Struct, kw_only=True):
    """A machine's password; empty: that of the settings. That it was shown is in the ledger.

    ``pending``: the one that the machine may have instead while a change is in doubt, as ``note`` says; else empty.
    """

    password: str
    pending: str
    note: str


class PasswordRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Why it must be seen."""

    reason: Reason
