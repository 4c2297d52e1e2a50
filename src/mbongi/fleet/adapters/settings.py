"""What an adapter does about a profile's settings unless its family can do more."""

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from mbongi.fleet.adapters.passwords import change_password
from mbongi.fleet.adapters.upgrading import upgraded
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

    A family whose machines take images, or a new password, says so in its abilities, and how those are sent.
    """

    family: ClassVar[Family]
    abilities = Abilities()

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
        if not self.abilities.upgrade:
            raise unable(session.address, f"flash {image.version}", "machines of this family are sent no images")
        send = functools.partial(self.send_image, session, image)
        return await upgraded(session, image, self.read_desired, send, back_s=back_s, dry_run=dry_run)

    async def write_credentials(self, session: "Session", change: PasswordChange, *, dry_run: bool = False) -> Outcome:
        """Send a new password the family's own way, and see that it is accepted and the former one not."""
        if not self.abilities.password_length:
            raise unable(session.address, "password", _CANNOT)
        ways = self.accepts_password, self.send_password
        return await change_password(session, self.family, change, *ways, dry_run=dry_run)

    @staticmethod
    async def send_image(session: "Session", image: "ImageFile") -> None:
        """Send an image. The family's own where its machines take some."""
        raise unable(session.address, f"flash {image.version}", "nobody knows how")

    @staticmethod
    async def accepts_password(session: "Session") -> None:
        """Do something harmless that the password is needed for. The family's own where it has one."""
        raise unable(session.address, "password", _CANNOT)

    @staticmethod
    async def send_password(session: "Session", old: str, new: str) -> None:  # noqa: ARG004
        """Tell the machine its new password. The family's own where it has one."""
        raise unable(session.address, "password", _CANNOT)
