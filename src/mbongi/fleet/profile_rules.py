"""What a profile must look like before it is written down. Pure but for the reader's language."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from mbongi.fleet.errors import ActionRefusedError, ProfileRefusedError
from mbongi.fleet.pool_rules import checked_pools
from mbongi.fleet.rules.desired import TemplateError, filled, template_fields
from mbongi.fleet.values import Desired, Limits

ACCOUNT_MAX = 80
HOSTNAME_MAX = 63
TARGET_W = (100, 20_000)
FAN_PERCENT = (0, 100)
_SAMPLE = {
    "group": "g",
    "position": "01-01-01",
    "hall": "01",
    "rack": "01",
    "slot": "01",
    "serial": "s",
    "mac": "aabbccddeeff",
    "id": "1",
}


def checked_desired(document: Mapping[str, Any] | Desired) -> Desired:
    """A profile's document, checked. Raises ProfileRefusedError naming the field, what was found and expected."""
    try:
        desired = msgspec.convert(msgspec.to_builtins(document), Desired)
    except msgspec.ValidationError as error:
        text = _("This profile cannot be read: %(error)s") % {"error": error}
        raise ProfileRefusedError(f"profile: {error}", text) from error
    _check_pools(desired)
    _check_power(desired)
    percent = None if desired.fan is None else desired.fan.percent
    if percent is not None and not FAN_PERCENT[0] <= percent <= FAN_PERCENT[1]:
        raise ProfileRefusedError(
            f"profile: fan {percent} %; expected {FAN_PERCENT[0]} to {FAN_PERCENT[1]}",
            _("Fans can be fixed between 0 and 100 %."),
        )
    if desired.hostname:
        _check_hostname(desired.hostname)
    checked_limits(desired.limits)
    return desired


def _check_pools(desired: Desired) -> None:
    account = desired.account
    if len(account) > ACCOUNT_MAX or not (account.isascii() and account.isprintable()) or " " in account:
        text = _("The account must have up to %(limit)d letters without spaces.") % {"limit": ACCOUNT_MAX}
        raise ProfileRefusedError(f"profile: account of {len(account)} characters", text)
    samples = []
    for number, pool in enumerate(desired.pools, 1):
        user = _sample(pool.user, account)
        paid = pool.user.partition(".")[0]
        # Everything else that can stand in a name is written by machines or changes with their place.
        if set(template_fields(paid)) - {"account"}:
            text = _("Pool %(number)d: what stands before the first point is who is paid: an account, or {account}.")
            raise ProfileRefusedError(
                f"profile: pool {number}: {pool.user!r}: before the first point only {{account}} is filled in",
                text % {"number": number},
            )
        samples.append({"url": pool.url, "user": user})
    if samples:
        try:
            checked_pools({"pools": samples})
        except ActionRefusedError as error:
            raise ProfileRefusedError(f"profile: {error}", error.text) from error


def _sample(template: str, account: str = "") -> str:
    try:
        return filled(template, _SAMPLE | {"account": account})
    except TemplateError as error:
        if error.name == "account":
            raise ProfileRefusedError(f"profile: {error}", _("Name the account that {account} stands for.")) from error
        text = _("The template “%(template)s” cannot be read.") % {"template": template}
        raise ProfileRefusedError(f"profile: {error}", text) from error


def _check_power(desired: Desired) -> None:
    power = desired.power
    if power is None:
        return
    if (power.mode is None) == (power.target_w is None):
        raise ProfileRefusedError(
            "profile: power: expected a mode or a limit, and not both", _("Give a power mode or a limit, not both.")
        )
    if power.target_w is not None and not TARGET_W[0] <= power.target_w <= TARGET_W[1]:
        text = _("The power limit must be between %(low)d and %(high)d W.") % {"low": TARGET_W[0], "high": TARGET_W[1]}
        raise ProfileRefusedError(f"profile: power limit {power.target_w} W; expected {TARGET_W}", text)


def _check_hostname(template: str) -> None:
    name = _sample(template, "a")
    letters = name.replace("-", "a")
    if not (name and len(name) <= HOSTNAME_MAX and letters.isascii() and letters.isalnum()) or name.strip("-") != name:
        raise ProfileRefusedError(
            f"profile: network name {template!r}: expected letters, digits and hyphens, {HOSTNAME_MAX} at most",
            _("A network name has letters, digits and hyphens, 63 at most."),
        )


def checked_limits(limits: Limits) -> Limits:
    """Limits that an operation can go by. Raises ProfileRefusedError."""
    counts = [limits.batch, limits.failures_max]
    counts += [] if limits.out_of_service_max is None else [limits.out_of_service_max]
    rates = [limits.settle_s, *([] if limits.ramp_kw_s is None else [limits.ramp_kw_s])]
    if min(counts) < 1 or not all(rate > 0 and math.isfinite(rate) for rate in rates):
        raise ProfileRefusedError(
            f"limits: found {limits}; expected counts from 1 up, and rates and times above 0",
            _("Limits must be above zero."),
        )
    return limits
