"""What the pool proves itself with in Stratum V2; all its processes and machines of one site have the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from mbongi.base.clock import utc_now
from mbongi.base.keys import stored_key
from mbongi.pool.addresses import authority_secret
from mbongi.wire.noise.certificate import sign_certificate
from mbongi.wire.noise.handshake import Responder
from mbongi.wire.noise.secp import EllSwiftKey, new_secret, x_only_of_secret

CERTIFICATE_S: Final = 86_400
CLOCK_TOLERANCE_S: Final = 3_600
"""How far a miner's clock may be behind ours."""


class Identity:
    """What the pool proves itself with in Stratum V2: an authority's key, and a server key that it vouches for.

    Both are made on first use and kept; certificates are short, and made anew long before they end, by the clock
    ``unix_s``: a passing jump of the system's would make one that no miner takes.
    """

    def __init__(self, folder: Path, *, unix_s: Callable[[], float] = lambda: utc_now().timestamp()) -> None:
        self._unix_s = unix_s
        self._authority = authority_secret(folder)
        self._key = EllSwiftKey.of_secret(
            bytes.fromhex(stored_key(folder / "pool-server.key", new_secret().hex().encode()))
        )
        self.authority_key = x_only_of_secret(self._authority)
        self._renew_at_s = 0
        self._responder: Responder | None = None

    def responder(self) -> Responder:
        """The server's side of handshakes, with a certificate that is valid now."""
        now_s = int(self._unix_s())
        if self._responder is None or not self._renew_at_s - CERTIFICATE_S < now_s < self._renew_at_s:
            certificate = sign_certificate(
                self._authority,
                server_key=self._key.x_only(),
                valid_from_s=now_s - CLOCK_TOLERANCE_S,
                not_valid_after_s=now_s + CERTIFICATE_S,
            )
            self._renew_at_s = now_s + CERTIFICATE_S // 2
            self._responder = Responder(self._key, certificate)
        return self._responder
