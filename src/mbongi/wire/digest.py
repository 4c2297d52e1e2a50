"""HTTP digest authentication: the client's answer to a challenge, and the server's check of it. No I/O.

Algorithms MD5 and SHA-256, each also as ``-sess``; protection ``qop=auth``, or none at all as in RFC 2069.
Sources: RFC 7616, RFC 2617.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass

_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_HASHES: dict[str, Callable[[bytes], "hashlib._Hash"]] = {
    "MD5": lambda text: hashlib.md5(text, usedforsecurity=False),
    "SHA-256": hashlib.sha256,
}


class DigestError(ValueError):
    """A challenge or an answer that cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for in ``WWW-Authenticate``; ``stale`` says that only the nonce was too old."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client sends in ``Authorization``. ``nc`` counts the uses of the nonce; 0 where there is no qop."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    qop: str = ""
    nc: int = 0
    cnonce: str = ""
    opaque: str | None = None


def parse_challenge(header: str) -> Challenge:
    """The value of one ``WWW-Authenticate`` header that holds one Digest challenge.

    Raises DigestError for another scheme, missing fields, an algorithm or a protection that is not supported.
    """
    fields = _parameters(header)
    for name in ("realm", "nonce"):
        if name not in fields:
            raise DigestError(f"digest challenge: {name} is missing")
    qop = tuple(word.strip().lower() for word in fields.get("qop", "").split(",") if word.strip())
    if qop and "auth" not in qop:
        raise DigestError(f"digest challenge: qop {fields['qop']!r}; expected auth among them")
    return Challenge(
        realm=fields["realm"],
        nonce=fields["nonce"],
        algorithm=_algorithm(fields.get("algorithm", "MD5")),
        qop=qop,
        opaque=fields.get("opaque"),
        stale=fields.get("stale", "").lower() == "true",
    )


def authorization(
    challenge: Challenge, *, method: str, uri: str, user: str, password: str, nc: int, cnonce: str
) -> str:
    """The value of the ``Authorization`` header that answers a challenge.

    ``nc`` [1..0xffffffff] counts the requests sent with this nonce; a nonce may be used again with the next count
    without asking for a new one. ``cnonce`` is the client's own random text.
    Raises DigestError where a value cannot be sent inside a quoted text.
    """
    for name, value in (("user", user), ("uri", uri), ("cnonce", cnonce)):
        if any(character < " " or character == "\x7f" for character in value):
            raise DigestError(f"digest answer: {name} holds a control character")
    if not 1 <= nc <= 0xFFFFFFFF:
        raise DigestError(f"digest answer: nc is {nc}; expected 1..4294967295")
    qop = "auth" if challenge.qop else ""
    response = _response(
        algorithm=challenge.algorithm,
        user=user,
        realm=challenge.realm,
        password=password,
        nonce=challenge.nonce,
        method=method,
        uri=uri,
        counted=(f"{nc:08x}", cnonce) if qop else None,
        cnonce=cnonce,
    )
    text = (
        f"Digest username={_quoted(user)}, realm={_quoted(challenge.realm)}, nonce={_quoted(challenge.nonce)}, "
        f'uri={_quoted(uri)}, algorithm={challenge.algorithm}, response="{response}"'
    )
    if qop:
        text += f", qop=auth, nc={nc:08x}, cnonce={_quoted(cnonce)}"
    elif challenge.algorithm.endswith("-sess"):
        text += f", cnonce={_quoted(cnonce)}"
    return text if challenge.opaque is None else f"{text}, opaque={_quoted(challenge.opaque)}"


def challenge_header(challenge: Challenge) -> str:
    """The value of the ``WWW-Authenticate`` header that states a challenge."""
    text = f"Digest realm={_quoted(challenge.realm)}, nonce={_quoted(challenge.nonce)}"
    if challenge.qop:
        text += f', qop="{", ".join(challenge.qop)}"'
    if challenge.algorithm != "MD5":
        text += f", algorithm={challenge.algorithm}"
    if challenge.opaque is not None:
        text += f", opaque={_quoted(challenge.opaque)}"
    return text + ", stale=true" if challenge.stale else text


def parse_answer(header: str) -> Answer:
    """The value of an ``Authorization`` header. Raises DigestError where it is not a complete digest answer."""
    fields = _parameters(header)
    for name in ("username", "realm", "nonce", "uri", "response"):
        if name not in fields:
            raise DigestError(f"digest answer: {name} is missing")
    qop = fields.get("qop", "").lower()
    if qop not in {"", "auth"}:
        raise DigestError(f"digest answer: qop is {qop!r}; expected auth")
    count = fields.get("nc", "0")
    if qop and (not re.fullmatch(r"[0-9a-fA-F]{8}", count) or not fields.get("cnonce")):
        raise DigestError("digest answer: qop=auth needs nc of eight hexadecimal digits, and cnonce")
    return Answer(
        username=fields["username"],
        realm=fields["realm"],
        nonce=fields["nonce"],
        uri=fields["uri"],
        response=fields["response"].lower(),
        algorithm=_algorithm(fields.get("algorithm", "MD5")),
        qop=qop,
        nc=int(count, 16) if qop else 0,
        cnonce=fields.get("cnonce", ""),
        opaque=fields.get("opaque"),
    )


def verify(answer: Answer, challenge: Challenge, *, method: str, user: str, password: str) -> bool:
    """Whether an answer fits a challenge and shows knowledge of the password.

    That the nonce is still good, ``nc`` was not used before and ``uri`` is the one asked for is for the caller
    to see to.
    """
    expected = _response(
        algorithm=challenge.algorithm,
        user=user,
        realm=challenge.realm,
        password=password,
        nonce=challenge.nonce,
        method=method,
        uri=answer.uri,
        counted=(f"{answer.nc:08x}", answer.cnonce) if answer.qop else None,
        cnonce=answer.cnonce,
    )
    same_challenge = (
        answer.username == user
        and answer.realm == challenge.realm
        and answer.nonce == challenge.nonce
        and answer.algorithm == challenge.algorithm
        and bool(answer.qop) == bool(challenge.qop)
    )
    return hmac.compare_digest(expected.encode(), answer.response.encode()) and same_challenge


def _response(  # noqa: PLR0913 -- the parts of RFC 7616 3.4.1, each by its name.
    *,
    algorithm: str,
    user: str,
    realm: str,
    password: str,
    nonce: str,
    method: str,
    uri: str,
    counted: tuple[str, str] | None,
    cnonce: str,
) -> str:
    make = _HASHES[algorithm.removesuffix("-sess")]

    def digest(text: str) -> str:
        return make(text.encode()).hexdigest()

    secret = digest(f"{user}:{realm}:{password}")
    if algorithm.endswith("-sess"):
        secret = digest(f"{secret}:{nonce}:{cnonce}")
    request = digest(f"{method}:{uri}")
    if counted is None:
        return digest(f"{secret}:{nonce}:{request}")
    return digest(f"{secret}:{nonce}:{counted[0]}:{counted[1]}:auth:{request}")


def _parameters(header: str) -> dict[str, str]:
    scheme, _, rest = header.strip().partition(" ")
    if scheme.lower() != "digest":
        raise DigestError(f"authentication scheme is {scheme[:20]!r}; expected Digest")
    fields: dict[str, str] = {}
    rest, position = rest.strip(), 0
    while position < len(rest):
        match = _PARAMETER.match(rest, position)
        if match is None:
            raise DigestError(f"digest header cannot be read from character {position} on")
        name, quoted, bare = match.groups()
        name = name.lower()
        if name in fields:
            raise DigestError(f"digest header states {name} twice")
        fields[name] = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
    return fields


def _algorithm(word: str) -> str:
    known = {"md5": "MD5", "md5-sess": "MD5-sess", "sha-256": "SHA-256", "sha-256-sess": "SHA-256-sess"}
    if word.lower() not in known:
        raise DigestError(f"digest algorithm is {word[:20]!r}; expected one of {', '.join(known.values())}")
    return known[word.lower()]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
