"""Checks one share proof of the pool with nothing but Python itself: python verify_share_proof.py proof.json [ROOT]

ROOT is the published root of the payout window, in hex; copy it from where it was published, not from the proof.
It shares no code with what makes proofs, and is short so that you can read it. H is SHA-256; "work" is 16 bytes:
leaf = H(0, worker, salt, work); node = H(1, left, its work, right, its work);
root = H(2, window, number of leaves in 8 bytes, top, total work).
"""

import hashlib
import json
import sys
from typing import Any, NoReturn

KEYS = {"format", "window", "root", "leaves", "total_work", "index", "worker", "salt", "work", "path"}


def fail(reason: str) -> NoReturn:
    """Stop: the proof does not hold."""
    raise ValueError(reason)


def h(kind: int, *parts: bytes | int) -> bytes:
    """SHA-256 of the kind's byte and the parts, one after the other; work as 16 bytes."""
    encoded = [part.to_bytes(16, "big") if isinstance(part, int) else part for part in parts]
    return hashlib.sha256(bytes([kind]) + b"".join(encoded)).digest()


def whole(name: str, value: object) -> int:
    """Work from decimal text."""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or str(int(value[:50])) != value:
        fail(f"{name}: {value!r} is not a whole number")
    if not 0 < int(value) < 2**128:
        fail(f"{name}: {value} is not between 1 and 2**128-1")
    return int(value)


def from_hex(name: str, value: object, size: int) -> bytes:
    """Bytes from hex."""
    if not isinstance(value, str) or len(value) != 2 * size or any(c not in "0123456789abcdef" for c in value):
        fail(f"{name}: {value!r} is not {size} bytes in lower-case hex")
    return bytes.fromhex(value)


def text(name: str, value: object) -> bytes:
    """A name as UTF-8."""
    if not isinstance(value, str) or not 0 < len(value.encode()) < 256:
        fail(f"{name}: expected a text of 1 to 255 bytes")
    return value.encode()


def climb(node: bytes, work: int, proof: dict[str, Any]) -> tuple[bytes, int]:
    """The top of the tree and its work, from a leaf along the path."""
    index, width, path = proof["index"], proof["leaves"], proof["path"]
    if type(index) is not int or type(width) is not int or not 0 <= index < width <= 2**32:
        fail(f"index: {index!r} is no leaf of {width!r}")
    if not isinstance(path, list) or any(not isinstance(step, list) or len(step) != 2 for step in path):
        fail("path: expected pairs of hash and work")
    steps = [(from_hex("path", one, 32), whole("path", each)) for one, each in path]
    while width > 1:
        if index % 2 == 1 or index + 1 < width:  # otherwise it is the last one, and has no neighbour
            if not steps:
                fail("path: too short for this number of leaves")
            other, more = steps.pop(0)
            pair = (other, more, node, work) if index % 2 == 1 else (node, work, other, more)
            node, work = h(1, *pair), work + more
            if work >= 2**128:
                fail("path: the work adds up to 2**128 or more")
        index, width = index // 2, (width + 1) // 2
    if steps:
        fail("path: too long for this number of leaves")
    return node, work


def verify(proof: dict[str, Any], published: str) -> None:
    """Return if the worker's work is in the published root and its total; ValueError says why it is not."""
    if not isinstance(proof, dict) or set(proof) != KEYS or proof["format"] != "mbongi-share-proof-1":
        fail("format: this is not a mbongi-share-proof-1")
    root = from_hex("root", proof["root"], 32)
    if published != proof["root"]:
        fail(f"root: the proof is for {proof['root']}, published is {published}")
    work = whole("work", proof["work"])
    leaf = h(0, text("worker", proof["worker"]), from_hex("salt", proof["salt"], 16), work)
    top, total = climb(leaf, work, proof)
    if total != whole("total_work", proof["total_work"]):
        fail(f"total_work: {proof['total_work']} stated, the work adds up to {total}")
    if h(2, text("window", proof["window"]), proof["leaves"].to_bytes(8, "big"), top, total) != root:
        fail("root: window, leaves, index, worker, salt, work or path are not what was published")


if __name__ == "__main__":
    try:
        with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
            found = json.load(file)
        verify(found, sys.argv[2] if len(sys.argv) > 2 else found["root"])
    except (OSError, IndexError, ValueError, KeyError, TypeError, RecursionError) as error:
        sys.exit(f"NOT PROVEN: {error}")
    print(
        f"PROVEN: {found['worker']} has {found['work']} of the {found['total_work']} hashes of window {found['window']}"
    )
    print(f"under root {found['root']}" + ("" if len(sys.argv) > 2 else ": compare it with the one that was published"))
