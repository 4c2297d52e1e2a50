"""What a device's record may say, by its protocol. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mbongi.facility.values import TAG_MAX, Protocol

PORTS = {
    Protocol.MODBUS: 502,
    Protocol.SUNSPEC: 502,
    Protocol.SNMP2: 161,
    Protocol.SNMP3: 161,
    Protocol.NUT: 3493,
    Protocol.BACNET: 47_808,
    Protocol.REDFISH: 443,
}
"""Where each protocol is usually spoken."""
SCHEMES = ("https", "https-unchecked", "http")
"""Redfish's ``map_name``: the certificate is checked, or only encrypted with, or nothing is encrypted."""
PERIOD_S = (1.0, 3600.0)
TIMEOUT_S = (0.2, 30.0)
SECRET_MAX = 128
SNMP3_SECRET_MIN = 8
"""RFC 3414 wants at least eight characters of a pass phrase."""
INSTANCE_MAX = 4_194_302
UNIT_MAX = 255
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
_UPS = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHASSIS = re.compile(r"[A-Za-z0-9_.:-]{0,100}")


@dataclass(frozen=True, slots=True)
class DeviceDraft:
    """A device as a person enters it. ``secret`` and ``privacy`` None: as they were. ``repr`` shows neither."""

    tag: str
    protocol: Protocol
    host: str
    port: int
    selector: str = ""
    map_name: str = ""
    period_s: float = 10.0
    timeout_s: float = 3.0
    user: str = ""
    secret: str | None = None
    privacy: str | None = None
    is_enabled: bool = True
    note: str = ""

    def __repr__(self) -> str:
        return f"DeviceDraft({self.tag}, {self.protocol})"


class Wrong(StrEnum):
    """What may be wrong with a draft."""

    TAG = "tag"
    HOST = "host"
    PORT = "port"
    SELECTOR_UNIT = "selector_unit"
    SELECTOR_UPS = "selector_ups"
    SELECTOR_INSTANCE = "selector_instance"
    SELECTOR_DIGEST = "selector_digest"
    SELECTOR_CHASSIS = "selector_chassis"
    MAP = "map"
    SCHEME = "scheme"
    PERIOD = "period"
    TIMEOUT = "timeout"
    COMMUNITY = "community"
    USER = "user"
    PASS_PHRASE = "pass_phrase"  # noqa: S105 -- what is wrong, not a secret
    PRIVACY_ALONE = "privacy_alone"
    SECRET_LONG = "secret_long"  # noqa: S105 -- likewise


def wrongs(draft: DeviceDraft, *, maps: frozenset[str], has_secret: bool) -> list[Wrong]:
    """Everything that is wrong with a draft. ``maps`` are those of its protocol; ``has_secret``: one is on record."""
    return [*_place(draft), *_selector(draft), *_map(draft, maps), *_times(draft), *_secrets(draft, has_secret)]


def _place(draft: DeviceDraft) -> Iterator[Wrong]:
    if not 1 <= len(draft.tag) <= TAG_MAX or not draft.tag.isprintable() or draft.tag != draft.tag.strip():
        yield Wrong.TAG
    if not _HOST.fullmatch(draft.host):
        yield Wrong.HOST
    if not 1 <= draft.port <= 65_535:
        yield Wrong.PORT


def _selector(draft: DeviceDraft) -> Iterator[Wrong]:
    text = draft.selector
    number = int(text) if text.isdecimal() and len(text) < 9 else -1
    match draft.protocol:
        case Protocol.MODBUS | Protocol.SUNSPEC if text and not 0 <= number <= UNIT_MAX:
            yield Wrong.SELECTOR_UNIT
        case Protocol.NUT if not _UPS.fullmatch(text):
            yield Wrong.SELECTOR_UPS
        case Protocol.BACNET if not 0 <= number <= INSTANCE_MAX:
            yield Wrong.SELECTOR_INSTANCE
        case Protocol.SNMP2 | Protocol.SNMP3 if text not in {"", "sha256"}:
            yield Wrong.SELECTOR_DIGEST
        case Protocol.REDFISH if not _CHASSIS.fullmatch(text) or ".." in text:
            yield Wrong.SELECTOR_CHASSIS


def _map(draft: DeviceDraft, maps: frozenset[str]) -> Iterator[Wrong]:
    if draft.protocol is Protocol.REDFISH:
        if draft.map_name not in SCHEMES:
            yield Wrong.SCHEME
    elif draft.protocol is not Protocol.SUNSPEC and draft.map_name not in maps:
        yield Wrong.MAP


def _times(draft: DeviceDraft) -> Iterator[Wrong]:
    if not PERIOD_S[0] <= draft.period_s <= PERIOD_S[1]:
        yield Wrong.PERIOD
    if not TIMEOUT_S[0] <= draft.timeout_s <= TIMEOUT_S[1]:
        yield Wrong.TIMEOUT


def _secrets(draft: DeviceDraft, has_secret: bool) -> Iterator[Wrong]:
    secret, privacy = draft.secret or "", draft.privacy or ""
    if max(len(secret), len(privacy), len(draft.user)) > SECRET_MAX:
        yield Wrong.SECRET_LONG
    if draft.protocol is Protocol.SNMP2 and not secret and not (has_secret and draft.secret is None):
        yield Wrong.COMMUNITY
    if draft.protocol is Protocol.SNMP3:
        if not draft.user:
            yield Wrong.USER
        if any(0 < len(word) < SNMP3_SECRET_MIN for word in (secret, privacy)):
            yield Wrong.PASS_PHRASE
        if privacy and not secret and draft.secret is not None:
            yield Wrong.PRIVACY_ALONE
