"""The words that a column may hold."""

from enum import StrEnum


def choices(kinds: type[StrEnum]) -> list[tuple[str, str]]:
    """Each member of an enumeration as Django wants choices: stored and shown by its value."""
    return [(kind.value, kind.value) for kind in kinds]
