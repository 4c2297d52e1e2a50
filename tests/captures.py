"""Captured replies of real machines; where they come from is in the README beside each folder."""

from pathlib import Path

_TESTS = Path(__file__).parent
_FOLDERS = {
    "antminer": _TESTS / "twin/captures/antminer",
    "whatsminer": _TESTS / "twin/captures/whatsminer",
    "whatsminer_v1": _TESTS / "wire/vectors/whatsminer_v1",
    "whatsminer_v3": _TESTS / "twin/captures/whatsminer_v3",
    "avalon": _TESTS / "twin/captures/avalon",
    "bitaxe": _TESTS / "twin/captures/bitaxe",
    "braiins": _TESTS / "twin/captures/braiins",
    "luxos": _TESTS / "twin/captures/luxos",
}


def capture(family: str, name: str) -> bytes:
    """The bytes of one reply, such as ``capture("whatsminer", "summary")``."""
    return (_FOLDERS[family] / f"{name}.json").read_bytes()


def captures() -> list[tuple[str, str]]:
    """Every captured reply by family and name."""
    return [(family, path.stem) for family, folder in _FOLDERS.items() for path in sorted(folder.glob("*.json"))]
