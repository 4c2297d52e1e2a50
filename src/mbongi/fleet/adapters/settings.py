"""What an adapter does about a profile's settings unless its family can do more."""

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from mbongi.fleet.adapters.passwords import Accepts, Send, change_password
from mbongi.fleet.adapters.upgrading import SendImage, upgraded
from mbongi.fleet.adapters.verifying import power_word, unable
from mbongi.fleet.ports import Outcome, PasswordChange
from mbongi.fleet.reading import Found, MachineDetail, MachineReading, Stated, Verdict
from mbongi.fleet.rules.stated import stated_of
from mbongi.fleet.values import Abilities, DesiredFan, DesiredPower, Family

if TYPE_CHECKING:
    from mbongi.fleet.adapters.session import Session
    from mbongi.fleet.image_file import ImageFile

_CANNOT = "machines of this family cannot be told"


class Settings(ABC):
    """For adapters to build on: settings as the static poll reads them, and none that can be written.

    A family whose machines take images, or a new password, says how those are sent.
    """

    family: ClassVar[Family]
    abilities = Abilities()
    send_image: ClassVar[SendImage | None] = None
    accepts_password: ClassVar[Accepts | None] = None
    send_password: ClassVar[Send | None] = None

    @abstractmethod
    async def poll_static(self, session: "Session", reading: MachineReading, detail: MachineDetail) -> Verdict:
        """The family's own."""

    @abstractmethod
    async def identify(self, session: "Session") -> Found | None:
        """The family's own."""

    async def read_identity(self, session: "Session") -> Found | None:
        """As a scan finds it."""
        return await self.identify(session)

    async def read_desired(self, session: "Session") -> Stated:
        """From the static poll."""
        detail = MachineDetail()
        await self.poll_static(session, MachineReading(ts=0, machine_id=0), detail)
        return stated_of(detail)

    async def write_power(self, session: "Session", power: DesiredPower, *, dry_run: bool = False) -> Outcome:  # noqa: ARG002
        """Refused."""
        raise unable(session.address, power_word(power), _CANNOT)

    async def write_fan(self, session: "Session", fan: DesiredFan, *, dry_run: bool = False) -> Outcome:  # noqa: ARG002
        """Refused."""
        raise unable(session.address, f"fans {fan.percent}", _CANNOT)

    async def write_hostname(self, session: "Session", hostname: str, *, dry_run: bool = False) -> Outcome:  # noqa: ARG002
        """Refused."""
        raise unable(session.address, f"network name {hostname}", _CANNOT)

    async def upgrade(self, session: "Session", image: "ImageFile", *, back_s: float, dry_run: bool = False) -> Outcome:
        """Send an image over the family's own road, and see the machine back."""
        if self.send_image is None:
            raise unable(session.address, f"flash {image.version}", "machines of this family are sent no images")
        send = functools.partial(self.send_image, session, image)
        return await upgraded(session, image, self.read_desired, send, back_s=back_s, dry_run=dry_run)

    async def write_credentials(self, session: "Session", change: PasswordChange, *, dry_run: bool = False) -> Outcome:
        """Send a new password the family's own way, and see that it is accepted and the former one not."""
        if self.accepts_password is None or self.send_password is None:
            raise unable(session.address, "password", _CANNOT)
        ways = self.accepts_password, self.send_password
        return await change_password(session, self.family, change, *ways, dry_run=dry_run)
