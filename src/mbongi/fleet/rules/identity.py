"""Who a machine is, whatever address it has: its MAC, then its serial number. Pure."""

import math


def normal_mac(mac: str) -> str:
    """``aa-bb…``, ``AABB…`` and ``AA:BB…`` as ``AA:BB:CC:DD:EE:FF``; empty where it is no MAC or a blank one."""
    digits = "".join(character for character in mac if character.isalnum()).upper()
    is_mac = len(digits) == 12 and all(character in "0123456789ABCDEF" for character in digits)
    return ":".join(digits[i : i + 2] for i in range(0, 12, 2)) if is_mac and digits not in {"0" * 12, "F" * 12} else ""


def is_same(known: tuple[str, str], stated: tuple[str, str]) -> bool | None:
    """Whether two pairs of MAC and serial number are one machine's; None where nothing that both have tells."""
    known_mac, stated_mac = normal_mac(known[0]), normal_mac(stated[0])
    serials_differ = bool(known[1]) and bool(stated[1]) and known[1] != stated[1]
    if known_mac and stated_mac:
        return known_mac == stated_mac and not serials_differ
    return None if not (known[1] and stated[1]) else not serials_differ


UPTIME_SLACK_S = 5.0
UPTIME_SLACK_SHARE = 0.05
"""Chosen: by how much a machine's uptime may run apart from our clock between two polls."""


class Continuity:
    """Whether the machine at an address can still be the one that answered there at the poll before.

    A newcomer at the address cannot but break a kept connection, or state an uptime that does not follow. ``doubted``
    stays so until the machine has said who it is.
    """

    __slots__ = ("_at_s", "_dialled", "_uptime_s", "doubted")

    def __init__(self) -> None:
        self.doubted = True
        self._uptime_s = self._at_s = math.nan
        self._dialled = 0

    def note(self, uptime_s: float, at_s: float, dialled: int) -> None:
        """A poll stated this uptime, over the connection of this number.

        Without an uptime (NaN) the connection alone must be the one of the poll before.
        """
        if math.isnan(uptime_s):
            self.doubted = self.doubted or dialled != self._dialled
            self._dialled = dialled
        else:
            passed_s = at_s - self._at_s
            slack_s = UPTIME_SLACK_S + UPTIME_SLACK_SHARE * passed_s
            if not abs(uptime_s - self._uptime_s - passed_s) <= slack_s:
                self.doubted = True
            self._uptime_s, self._at_s = uptime_s, at_s
