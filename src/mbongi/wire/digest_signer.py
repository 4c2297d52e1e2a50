"""The client's side of digest authentication over many requests: one challenge kept, the parts that stay hashed once.

Without it each request would cost a second one (the 401) and three hashes. No I/O.
"""

import hashlib
import secrets

from mbongi.wire.digest import Challenge, authorization, parse_challenge

_COUNT_MAX = 0xFFFFFFFF


class DigestSigner:
    """Signs requests for one device with one user and password; ``ready`` once a challenge is known."""

    __slots__ = ("_challenge", "_cnonce", "_count", "_password", "_prefix", "_requests", "_secret", "_user")

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user, password
        self._challenge: Challenge | None = None
        self._cnonce, self._count, self._secret, self._prefix = "", 0, "", ""
        self._requests: dict[str, str] = {}

    @property
    def ready(self) -> bool:
        """Whether a request can be signed without asking the device first."""
        return self._challenge is not None and self._count < _COUNT_MAX

    def challenged(self, header: str) -> None:
        """Take the ``WWW-Authenticate`` of a 401. Raises DigestError where it cannot be used."""
        challenge = parse_challenge(header)
        self._challenge, self._count, self._cnonce = challenge, 0, secrets.token_hex(8)
        self._secret = _md5(f"{self._user}:{challenge.realm}:{self._password}")
        # A first answer by the ordinary way is the pattern for the quick one, so both quote alike.
        self._prefix = authorization(
            challenge, method="GET", uri="/", user=self._user, password=self._password, nc=1, cnonce=self._cnonce
        ).partition(", uri=")[0]

    def forget(self) -> None:
        """Drop the challenge: the device no longer takes it."""
        self._challenge = None

    def sign(self, method: str, uri: str) -> str:
        """The next ``Authorization`` value; empty while no challenge is known."""
        challenge = self._challenge
        if challenge is None or self._count >= _COUNT_MAX:
            return ""
        self._count += 1
        if challenge.algorithm != "MD5" or not challenge.qop:
            return authorization(
                challenge,
                method=method,
                uri=uri,
                user=self._user,
                password=self._password,
                nc=self._count,
                cnonce=self._cnonce,
            )
        request = self._requests.get(key := f"{method}:{uri}")
        if request is None:
            request = self._requests[key] = _md5(key)
        response = _md5(f"{self._secret}:{challenge.nonce}:{self._count:08x}:{self._cnonce}:auth:{request}")
        opaque = "" if challenge.opaque is None else f', opaque="{challenge.opaque}"'
        return (
            f'{self._prefix}, uri="{uri}", algorithm=MD5, response="{response}", qop=auth, '
            f'nc={self._count:08x}, cnonce="{self._cnonce}"{opaque}'
        )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
