"""Making sure that the machine at an address is the one that is known there, before anything is credited or written."""

from typing import Protocol

from mbongi.fleet.adapters.registry import adapter_of
from mbongi.fleet.adapters.session import Session
from mbongi.fleet.device_errors import DeniedError, GarbledError, MissingPageError, StrangerError
from mbongi.fleet.rules.identity import is_same
from mbongi.fleet.values import Family


class Known(Protocol):
    """A machine as it is recorded."""

    @property
    def family(self) -> Family:
        """What it spoke when it was last identified."""

    @property
    def mac(self) -> str:
        """Empty where it is not known."""

    @property
    def serial(self) -> str:
        """Empty where it is not known."""


def can_be_known(known: Known) -> bool:
    """Whether anything is on record that a machine could be told by."""
    return bool(known.mac or known.serial)


async def prove(session: Session, known: Known, *, must: bool) -> bool:
    """Ask the machine who it is. True: it is the known one; False: it does not say.

    ``must``: a machine that refuses the password that is its own counts as another one. Raises StrangerError where it
    is another one, and what its silence raises.
    """
    try:
        found = await adapter_of(known.family).read_identity(session)
    except DeniedError as error:
        if must:
            raise StrangerError(f"{session.address}: does not accept the password of the machine known here") from error
        return False
    except (MissingPageError, GarbledError):
        return False
    if found is None:
        raise StrangerError(f"{session.address}: answers, but is no {known.family} any more")
    same = is_same((known.mac, known.serial), (found.mac, found.serial))
    if same is False:
        stated = found.mac or found.serial
        raise StrangerError(f"{session.address}: another machine answers here: {stated} instead of {known.mac}")
    return bool(same)
