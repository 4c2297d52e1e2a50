"""Address ranges as people write them: CIDR, ``first-last``, single addresses, and lists of these. Pure.

Never expanded into lists: a range is two numbers, and addresses are made one by one.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator

from mbongi.base.errors import MbongiError

ADDRESSES_MAX = 1 << 24
_SEPARATORS = re.compile(r"[,\s]+")


class ScanRangeError(MbongiError, ValueError):
    """A range that cannot be read, or too many addresses."""


class AddressRanges:
    """A set of IPv4 addresses in order, each once."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Raises ScanRangeError naming the text that cannot be used."""
        spans = [_span(part) for text in texts for part in _SEPARATORS.split(text.strip()) if part]
        self._spans = _merged(spans)
        if len(self) > ADDRESSES_MAX:
            raise ScanRangeError(f"scan ranges: {len(self)} addresses; at most {ADDRESSES_MAX} in one scan")

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._spans)

    def __contains__(self, address: object) -> bool:
        try:
            number = int(ipaddress.IPv4Address(str(address)))
        except ipaddress.AddressValueError:
            return False
        return any(first <= number <= last for first, last in self._spans)

    def __iter__(self) -> Iterator[str]:
        for first, last in self._spans:
            for number in range(first, last + 1):
                yield f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _span(text: str) -> tuple[int, int]:
    try:
        if "/" in text:
            network = ipaddress.IPv4Network(text, strict=False)
            return int(network.network_address), int(network.broadcast_address)
        first_text, dash, last_text = text.partition("-")
        first = ipaddress.IPv4Address(first_text)
        if dash and "." not in last_text:
            last_text = f"{first_text.rpartition('.')[0]}.{last_text}"
        last = ipaddress.IPv4Address(last_text) if dash else first
    except ValueError as error:
        raise ScanRangeError(
            f"scan range {text!r}: {error}; expected 10.20.0.0/20, 10.20.0.1-10.20.0.99, 10.20.0.1-99 or 10.20.0.1"
        ) from error
    if last < first:
        raise ScanRangeError(f"scan range {text!r}: ends before it begins")
    return int(first), int(last)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged
