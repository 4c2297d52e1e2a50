"""Closed lists of the plant's domain."""

from enum import StrEnum


class VersionState(StrEnum):
    """How a version of a document stands that two people agree on."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    FORMER = "former"
    REFUSED = "refused"
