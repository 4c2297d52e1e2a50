"""What a pool setting must look like before it goes to a machine. Pure but for the reader's language."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from mbongi.fleet.errors import ActionRefusedError
from mbongi.wire.errors import WireError
from mbongi.wire.noise.certificate import read_pool_url

POOLS_MAX = 3
"""Antminer and Whatsminer firmware hold three pools."""
URL_MAX = 200
USER_MAX = 128
SCHEMES = ("stratum+tcp", "stratum+ssl", "stratum+tls", "stratum2+tcp")
_KEYS = {"url", "user"}


def checked_pools(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``{"pools": [{"url", "user"}, …]}`` with 1 to POOLS_MAX pools, tidied.

    Raises ActionRefusedError naming the pool, what was found and what is expected. A password is refused, not
    dropped: nothing here may store one, and pools identify a worker by its user name.
    """
    pools = arguments.get("pools")
    if set(arguments) != {"pools"} or not isinstance(pools, list) or not 1 <= len(pools) <= POOLS_MAX:
        raise ActionRefusedError(
            f"set_pools: expected 1 to {POOLS_MAX} pools, as pools: [{{url, user}}]",
            _("Give between 1 and %(limit)d pools.") % {"limit": POOLS_MAX},
        )
    checked = [_checked_pool(number, pool) for number, pool in enumerate(pools, 1)]
    if len({pool["url"] for pool in checked}) < len(checked):
        raise ActionRefusedError("set_pools: the same pool twice", _("The same pool is given twice."))
    return {"pools": checked}


def _checked_pool(number: int, pool: object) -> dict[str, str]:
    if not isinstance(pool, Mapping) or not all(isinstance(value, str) for value in pool.values()):
        text = _("Pool %(number)d: give an address and a user.") % {"number": number}
        raise ActionRefusedError(f"set_pools: pool {number}: expected url and user as texts", text)
    if "password" in pool or "pass" in pool:
        text = _("Pool %(number)d: passwords are not taken; pools know a worker by its user name.")
        raise ActionRefusedError(f"set_pools: pool {number}: a password is not taken", text % {"number": number})
    if set(pool) != _KEYS:
        text = _("Pool %(number)d: give an address and a user.") % {"number": number}
        raise ActionRefusedError(f"set_pools: pool {number}: found {sorted(pool)}; expected url and user", text)
    return {"url": _checked_url(number, pool["url"].strip()), "user": _checked_user(number, pool["user"].strip())}


def _checked_url(number: int, url: str) -> str:
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = None, None, None
    plain = url.isascii() and url.isprintable() and not any(character in url for character in ' "\\@?#')
    bare = parts is not None and parts.scheme in SCHEMES and (parts.path in {"", "/"} or _names_authority(url))
    if not (plain and bare and port and host and len(url) <= URL_MAX):
        text = _("Pool %(number)d: “%(url)s” is no pool address; expected such as stratum+tcp://pool.example:3333.")
        # What was typed may hold a password before an @ sign; it is shown to nobody then.
        shown = "…" if "@" in url else url[:URL_MAX]
        raise ActionRefusedError(
            f"set_pools: pool {number}: found {shown!r}; expected SCHEME://HOST:PORT with scheme {', '.join(SCHEMES)}",
            text % {"number": number, "url": shown},
        )
    return url.rstrip("/")


def _names_authority(url: str) -> bool:
    """Whether it is an address of Stratum V2 with the key that vouches for the pool."""
    try:
        return read_pool_url(url).authority_key is not None
    except WireError:
        return False


def _checked_user(number: int, user: str) -> str:
    if not user or len(user) > USER_MAX or not (user.isascii() and user.isprintable()) or " " in user:
        text = _("Pool %(number)d: the user must be 1 to %(limit)d letters without spaces.")
        raise ActionRefusedError(
            f"set_pools: pool {number}: user of {len(user)} characters; expected 1 to {USER_MAX} of plain ASCII",
            text % {"number": number, "limit": USER_MAX},
        )
    return user
