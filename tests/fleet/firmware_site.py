"""Images with signatures, and telemetry as a gate reads it, for tests of campaigns."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mbongi.core.identity.models import User
from mbongi.fleet import images
from mbongi.fleet.image_rows import ImageRow
from mbongi.fleet.images import NewImage
from mbongi.fleet.values import Family
from mbongi.twin.images import build

# The first vector of RFC 8032, 7.1.
SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
SIGNER = Ed25519PrivateKey.from_private_bytes(SECRET)


def add_image(
    user: User,
    data_dir: Path,
    version: str,
    *,
    family: Family = Family.ANTMINER,
    data: bytes | None = None,
    models: tuple[str, ...] = (),
) -> ImageRow:
    """An image in the store, signed by the key that ``trust`` adds."""
    content = build(family, version, size_bytes=2000) if data is None else data
    stored = images.put_file(user, [content], data_dir=data_dir, bytes_max=1 << 24)
    wish = NewImage(
        sha256=stored.sha256,
        family=family,
        version=version,
        models=models,
        signature=SIGNER.sign(content).hex(),
    )
    return images.add_image(user, wish, data_dir=data_dir)


def trust(user: User) -> int:
    """Put the key on the site's list."""
    return images.add_key(user, "Site key", PUBLIC, reason="x").id


class FakeStore:
    """A telemetry store that holds rows of a gate's question: by machine, hashrates in blocks from a moment on."""

    def __init__(self) -> None:
        self.machines: dict[int, list[tuple[int, float]]] = {}

    def fill(self, machine_ids: Sequence[int], since_s: float, until_s: float, rate_ths: float, block_s: int) -> None:
        """Machines hash so much over a span, with some scatter."""
        first = -(-int(since_s) // block_s) * block_s
        for machine_id in machine_ids:
            rows = self.machines.setdefault(machine_id, [])
            for number, start in enumerate(range(first, int(until_s) - block_s, block_s)):
                rows.append((start, rate_ths * (1 + 0.004 * (number % 3 - 1))))

    def rows(self, sql: str, **span: Any) -> list[tuple[Any, ...]]:
        """The rows of the machines that are asked about, within the span."""
        asked = {int(each) for each in sql.partition(" IN (")[2].partition(")")[0].split(",")}
        return [
            (machine_id, start, rate, None, float(start), 0.0, 1e6 + start, 1e6 + start, 0)
            for machine_id, blocks in self.machines.items()
            if machine_id in asked
            for start, rate in blocks
            if span["since"] <= start * 1000 < span["until"]
        ]


def after_of(version: str, pools: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """What an upgrade's outcome says of a machine afterwards."""
    return {"firmware": version, "pools": [dict(pool) for pool in pools]}
