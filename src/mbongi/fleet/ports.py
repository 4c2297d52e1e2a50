"""What the poller, the scan and the actions need of a device family, and of whoever listens to the poller."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mbongi.base.ids import MachineId
from mbongi.fleet.reading import DetailReport, Found, MachineDetail, MachineReading, StateChange, Stated, Verdict
from mbongi.fleet.rules.metering import Measured
from mbongi.fleet.values import Abilities, DesiredFan, DesiredPower, Family

if TYPE_CHECKING:
    from mbongi.fleet.adapters.session import Session
    from mbongi.fleet.image_file import ImageFile

OnBatch = Callable[[str, Sequence[MachineReading]], None]
"""Called with a rack and one reading of each of its machines. Must not block and must not raise."""
OnStates = Callable[[Sequence[StateChange]], None]
OnDetails = Callable[[Sequence[DetailReport]], None]
OnStrangers = Callable[[Sequence[MachineId]], None]


class PoolSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A pool to mine for. The password reaches the machine and nothing else: ``repr`` leaves it out."""

    url: str
    user: str
    password: str = "x"  # noqa: S105 -- what pools that need no password are sent by custom.

    def __repr__(self) -> str:
        return f"PoolSetting(url={self.url!r}, user={self.user!r})"


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A new password, and those that the machine may have besides the session's. ``repr`` shows none."""

    new: str = field(repr=False)
    known: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write did, or would do: readable settings before and after, without secrets.

    ``verified`` is True once the machine itself stated the new settings, False where it did not within the limit,
    None where nothing was written (a plan) or nothing can be read back (a reboot is seen by its uptime).
    """

    before: dict[str, Any]
    after: dict[str, Any]
    verified: bool | None
    message: str


@dataclass(frozen=True, slots=True)
class Support:
    """One line of a scorecard: ``done``, or ``exempt`` with the reason."""

    feature: str
    status: str
    reason: str = ""


class Meter(Protocol):
    """A meter of the site's power, or of one feeder of it."""

    name: str

    async def read(self) -> Measured:
        """What it measures now. Raises a DeviceError where it is silent, unreachable, or answers what is no meter."""

    def close(self) -> None:
        """Let go of it until it is read again."""


class Adapter(Protocol):
    """One device family.

    The poll methods fill the reading in place and return the state; each raises a DeviceError (``errors.py``) where
    the machine refused, was silent, or answered what cannot be read. Slow includes fast, static includes slow.
    Write methods read first, change only what was asked for, write, and read again until the machine states it;
    with ``dry_run`` they stop after the reading.
    """

    @property
    def family(self) -> Family:
        """Whose machines it speaks to."""

    @property
    def scorecard(self) -> tuple[Support, ...]:
        """What it supports."""

    @property
    def abilities(self) -> Abilities:
        """What of a profile its machines can be told."""

    async def identify(self, session: "Session") -> Found | None:
        """What the machine is; None where it is not of this family."""

    async def read_identity(self, session: "Session") -> Found | None:
        """Who it is, with as few questions as that takes; None where it is not of this family.

        Raises DeniedError where only who knows the password may hear it.
        """

    async def poll_fast(self, session: "Session", reading: MachineReading) -> Verdict:
        """The figures that move."""

    async def poll_slow(self, session: "Session", reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, and pools, errors, boards."""

    async def poll_static(self, session: "Session", reading: MachineReading, detail: MachineDetail) -> Verdict:
        """Those, and what hardly ever changes."""

    async def sleep(self, session: "Session", *, dry_run: bool = False) -> Outcome:
        """Stop mining."""

    async def wake(self, session: "Session", *, dry_run: bool = False) -> Outcome:
        """Mine again."""

    async def reboot(self, session: "Session", *, dry_run: bool = False) -> Outcome:
        """Restart the control board."""

    async def read_pools(self, session: "Session") -> list[dict[str, str]]:
        """The configured pools: ``url`` and ``user`` of each."""

    async def write_pools(self, session: "Session", pools: Sequence[PoolSetting], *, dry_run: bool = False) -> Outcome:
        """Replace the configured pools."""

    async def read_desired(self, session: "Session") -> Stated:
        """The settings that a profile speaks of, as the machine states them now."""

    async def write_power(self, session: "Session", power: DesiredPower, *, dry_run: bool = False) -> Outcome:
        """Set the power mode or limit of a machine that is awake, and nothing else.

        Raises RejectedError, before anything is written, for one that sleeps and for what the family cannot be told.
        """

    async def write_fan(self, session: "Session", fan: DesiredFan, *, dry_run: bool = False) -> Outcome:
        """Fix the fans, or give them back to the machine. Raises RejectedError where the family has no such setting."""

    async def upgrade(self, session: "Session", image: "ImageFile", *, back_s: float, dry_run: bool = False) -> Outcome:
        """Flash an image onto a machine that is awake; see ``adapters.upgrading.upgraded`` for what comes back.

        Raises RejectedError where the family takes no images, and where the machine refuses this one.
        """

    async def write_hostname(self, session: "Session", hostname: str, *, dry_run: bool = False) -> Outcome:
        """Set the network name. Raises RejectedError where the family has no such setting."""

    async def write_credentials(self, session: "Session", change: PasswordChange, *, dry_run: bool = False) -> Outcome:
        """Change the password that writes need. Verified once the machine accepts the new one and no longer the old.

        Raises RejectedError where the family has none, DeniedError where it accepts none of those that are known.
        """
