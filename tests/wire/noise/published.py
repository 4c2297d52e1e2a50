"""The vectors, and keys made from them."""

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

from mbongi.wire.noise.certificate import Certificate, sign_certificate
from mbongi.wire.noise.handshake import Responder
from mbongi.wire.noise.secp import EllSwiftKey, x_only_of_secret

NOW_S = 1_800_000_000
AUTHORITY_SECRET = bytes.fromhex("b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef")
"""The second secret key of BIP 340's vectors."""
AUTHORITY = x_only_of_secret(AUTHORITY_SECRET)


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table of vectors."""
    path = Path(__file__).parent / "vectors" / name
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@cache
def keys() -> list[EllSwiftKey]:
    """The secrets of BIP 324's packet vectors with the encodings that they state."""
    return [
        EllSwiftKey(bytes.fromhex(row["in_priv_ours"]), bytes.fromhex(row["in_ellswift_ours"]))
        for row in rows("bip324_ecdh.csv")
    ]


def certificate(**changed: int) -> Certificate:
    """The authority's word for the third key, valid for an hour from NOW_S on."""
    terms = {"valid_from_s": NOW_S, "not_valid_after_s": NOW_S + 3600, **changed}
    return sign_certificate(AUTHORITY_SECRET, server_key=keys()[2].x_only(), **terms)


def responder(
    signed: Certificate | None = None, new_key: Callable[[], EllSwiftKey] = EllSwiftKey.generate
) -> Responder:
    """A server with the third key."""
    return Responder(keys()[2], signed or certificate(), new_key=new_key)
