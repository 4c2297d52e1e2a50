"""What a miner says it is, as a name to count by. Pure."""

from typing import Final

NAME_MAX: Final = 48
UNNAMED: Final = "unnamed"


def firmware_name(agent: str) -> str:
    """The user agent of Stratum V1, or vendor and firmware of V2, without what no name holds, cut to NAME_MAX."""
    words = "".join(char if char.isprintable() else " " for char in agent).split()
    return " ".join(words)[:NAME_MAX].strip() or UNNAMED
