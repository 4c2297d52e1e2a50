"""The digest authentication before an Antminer's web pages.

The nonce carries its own age, as lighttpd's does, so that one that is too old is answered with ``stale=true`` and the
client need not ask for the password again. Like lighttpd, it does not count the uses of a nonce.
"""

import hashlib
import hmac

from mbongi.twin.firmware import HttpReply, HttpRequest, unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.wire.digest import Challenge, DigestError, challenge_header, parse_answer, verify

REALM = "antMiner Configuration"
FACTORY_USER = "root"
NONCE_S = 600
UNAUTHORIZED = b"<html><head><title>401 - Unauthorized</title></head><body><h1>401 - Unauthorized</h1></body></html>"


class Gate:
    """One machine's gate; ``secret`` marks the nonces that it made."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine, self.secret = machine, machine.random.randbytes(16)

    def refusal(self, request: HttpRequest) -> HttpReply | None:
        """The 401 that a request earns; None where it may pass."""
        try:
            answer = parse_answer(request.headers.get("authorization", ""))
        except DigestError:
            return self._challenge(stale=False)
        challenge = Challenge(realm=REALM, nonce=answer.nonce, qop=("auth",))
        known = verify(
            answer, challenge, method=request.method, user=FACTORY_USER, password=self.machine.settings.password
        )
        if not known or answer.uri != request.path or not self._made_here(answer.nonce):
            return self._challenge(stale=False)
        if int(answer.nonce[:8], 16) + NONCE_S < unix_s():
            return self._challenge(stale=True)
        return None

    def nonce(self, made_at: int) -> str:
        """The nonce of a moment [unix seconds]."""
        stamp = f"{made_at:08x}"
        return stamp + hmac.new(self.secret, stamp.encode(), hashlib.sha256).hexdigest()[:32]

    def _challenge(self, *, stale: bool) -> HttpReply:
        challenge = Challenge(realm=REALM, nonce=self.nonce(unix_s()), qop=("auth",), stale=stale)
        return HttpReply(401, UNAUTHORIZED, "text/html", {"WWW-Authenticate": challenge_header(challenge)})

    def _made_here(self, nonce: str) -> bool:
        stamp = nonce[:8]
        is_stamp = len(stamp) == 8 and all(character in "0123456789abcdef" for character in stamp)
        return is_stamp and hmac.compare_digest(self.nonce(int(stamp, 16)).encode(), nonce.encode())
