"""Where miners reach the pool, as its pages and the virtual machines name it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mbongi.base.config import Config
from mbongi.base.keys import stored_key
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.secp import new_secret, x_only_of_secret

EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 -- what is compared with, not what is listened on


@dataclass(frozen=True, slots=True)
class PoolAddresses:
    """URLs for miners. ``v1_tls`` is empty where there is no certificate; ``is_local``: from this machine alone."""

    v1: str
    v1_tls: str
    v2: str
    is_local: bool


def pool_addresses(config: Config, *, host_seen: str = "127.0.0.1") -> PoolAddresses:
    """Where miners connect; ``host_seen`` stands for the host where the pool listens on every address."""
    pool = config.pool
    host = host_seen if pool.host in EVERYWHERE else pool.host
    key = x_only_of_secret(authority_secret(config.site.data_dir / "secrets"))
    named = f"[{host}]" if ":" in host else host
    return PoolAddresses(
        v1=f"stratum+tcp://{named}:{pool.port}",
        v1_tls=f"stratum+ssl://{named}:{pool.tls_port}" if pool.tls_certificate else "",
        v2=PoolAddress(host, pool.v2_port, key).url(),
        is_local=pool.host.startswith("127.") or pool.host in {"localhost", "::1"},
    )


def authority_secret(folder: Path) -> bytes:
    """The key with which the pool vouches for its servers in Stratum V2; made on first use. Raises ConfigError."""
    return bytes.fromhex(stored_key(folder / "pool-authority.key", new_secret().hex().encode()))
