"""The signed public statement: how much hash power the site's pool directs, and in which country.

The note is a signed note (C2SP signed-note) by the site's ledger key: its text is ``FORMAT``, a line's end, the
statement as JSON with sorted keys and without spaces, and a line's end. Hashrates are in hashes per second.
"""

from typing import Any, Final

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from mbongi.base.clock import utc_now
from mbongi.core.identity.values import Permission
from mbongi.core.ledger.checkpoints import signer_of
from mbongi.core.telemetry.errors import StoreRefused, StoreUnavailable
from mbongi.pool import telemetry
from mbongi.pool.rules.hashrate import LEVEL
from mbongi.web import pool_sight
from mbongi.web.problems import json_answer, problem, title_of

FORMAT: Final = "mbongi-hashrate-1"


class Hashrate(msgspec.Struct, frozen=True, kw_only=True):
    """A hashrate [hashes/s] over ``span_s``, and its interval at ``level``."""

    value: float
    low: float
    high: float
    span_s: float
    level: float


class SiteHashrate(msgspec.Struct, frozen=True, kw_only=True):
    """One site's part."""

    code: str
    name: str
    country: str
    hashrate_hs: Hashrate


class CountryHashrate(msgspec.Struct, frozen=True, kw_only=True):
    """All sites of one country (ISO 3166-1)."""

    country: str
    sites: int
    hashrate_hs: Hashrate


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated. ``newest_at`` is the end of the newest minute in it; None where there is none."""

    format: str
    at: str
    newest_at: str | None
    network: str
    shares: int
    blocks: int
    sites: tuple[SiteHashrate, ...]
    countries: tuple[CountryHashrate, ...]

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.format}\n{msgspec.json.encode(self, order='sorted').decode()}\n"


class SignedStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The statement, the note that signs it, and the key that checks the note."""

    statement: Statement
    note: str
    verifier: str


def signed_statement() -> SignedStatement:
    """The statement of this moment over the last 24 hours. Raises StoreUnavailable, StoreRefused."""
    config = settings.CONFIG
    day = telemetry.totals(pool_sight.site_store(), hours=24)
    rate = day.rate
    hashrate = Hashrate(value=rate.value, low=rate.low, high=rate.high, span_s=day.tally.span_s, level=LEVEL)
    site = SiteHashrate(code=config.site.code, name=config.site.name, country=config.site.country, hashrate_hs=hashrate)
    statement = Statement(
        format=FORMAT,
        at=_text(utc_now()) or "",
        newest_at=_text(day.newest_at),
        network=config.pool.network,
        shares=day.tally.shares,
        blocks=day.blocks,
        sites=(site,),
        countries=(CountryHashrate(country=site.country, sites=1, hashrate_hs=hashrate),),
    )
    signer = signer_of(config)
    return SignedStatement(statement=statement, note=signer.sign(statement.text()), verifier=str(signer))


def _text(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


@require_safe
def statement(request: HttpRequest) -> HttpResponse:
    """For who may see the pool; for everybody where the configuration says so."""
    if not settings.CONFIG.pool.public_statement:
        if not request.user.is_authenticated:
            return problem(401, title_of(401))
        if not request.user.may(Permission.POOL_VIEW):
            return problem(403, title_of(403))
    try:
        return json_answer(signed_statement())
    except (StoreUnavailable, StoreRefused):
        return problem(503, title_of(503))
