"""A profile as people read it: its fields in words, two versions side by side, and what a form says of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mbongi.fleet.errors import ProfileRefusedError
from mbongi.fleet.rules.desired import PAID_FIELDS
from mbongi.fleet.values import Desired, PowerMode
from mbongi.web import figures

POOLS = 3
MODES: Mapping[PowerMode, Promise] = {
    PowerMode.NORMAL: gettext_lazy("normal"),
    PowerMode.LOW: gettext_lazy("low"),
    PowerMode.HIGH: gettext_lazy("high"),
    PowerMode.SLEEP: gettext_lazy("sleep"),
}
_FIELDS: Mapping[str, Promise] = {
    "account": gettext_lazy("Who is paid"),
    "owner": gettext_lazy("Owner"),
    "power": gettext_lazy("Power"),
    "fan": gettext_lazy("Fans"),
    "firmware": gettext_lazy("Firmware"),
    "hostname": gettext_lazy("Network name"),
    "may_sleep": gettext_lazy("May be put to sleep to save power"),
    "reassert": gettext_lazy("What drifts is set again by itself"),
    "limits": gettext_lazy("Limits"),
}


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field of two versions. ``pays``: it decides who is paid."""

    label: str
    before: str
    after: str
    pays: bool = False

    @property
    def differs(self) -> bool:
        """Whether the two are not alike."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class PoolLine:
    """The pool of one rank in two versions: address and user, empty where there is none."""

    number: int
    before: tuple[str, str]
    after: tuple[str, str]

    @property
    def differs(self) -> bool:
        """Whether the two are not alike."""
        return self.before != self.after


def pool_lines(before: Desired | None, after: Desired) -> list[PoolLine]:
    """The pools of two versions side by side, as many as either has."""
    left = [] if before is None else [(pool.url, pool.user) for pool in before.pools]
    right = [(pool.url, pool.user) for pool in after.pools]
    count = max(len(left), len(right))
    pairs = zip(_padded(left, count), _padded(right, count), strict=True)
    return [PoolLine(number, former, latter) for number, (former, latter) in enumerate(pairs, 1)]


def _padded(pools: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    return pools + [("", "")] * (count - len(pools))


def field_lines(before: Desired | None, after: Desired, tenants: Mapping[int, str]) -> list[FieldLine]:
    """Every field of two versions but the pools, in words; ``before`` None: there was none."""
    left, right = ({} if before is None else _words(before, tenants)), _words(after, tenants)
    return [
        FieldLine(str(label), left.get(name, ""), right[name], pays=name in PAID_FIELDS)
        for name, label in _FIELDS.items()
    ]


def _words(desired: Desired, tenants: Mapping[int, str]) -> dict[str, str]:
    untouched, yes_no = _("as it is"), {True: _("yes"), False: _("no")}
    power, fan, limits = desired.power, desired.fan, desired.limits
    owner = untouched if desired.owner is None else tenants.get(desired.owner, f"#{desired.owner}")
    told = [_("%(n)d at a time") % {"n": limits.batch}]
    told += [] if limits.ramp_kw_s is None else [f"{figures.number(limits.ramp_kw_s, 1)} kW/s"]
    if limits.out_of_service_max is not None:
        told.append(_("%(n)d out of service at most") % {"n": limits.out_of_service_max})
    told.append(_("halts at %(n)d failures") % {"n": limits.failures_max})
    told.append(_("back within %(age)s") % {"age": figures.span(limits.settle_s)})
    return {
        "account": desired.account,
        "owner": _("the site itself") if desired.owner == 0 else owner,
        "power": untouched if power is None else _power(power.mode, power.target_w),
        "fan": untouched if fan is None else _fan(fan.percent),
        "firmware": desired.firmware or untouched,
        "hostname": desired.hostname or untouched,
        "may_sleep": yes_no[desired.may_sleep],
        "reassert": yes_no[desired.reassert],
        "limits": " · ".join(told),
    }


def _power(mode: PowerMode | None, target_w: int | None) -> str:
    if mode is not None:
        return _("mode: %(mode)s") % {"mode": MODES[mode]}
    return f"{figures.number(target_w, 0)}{figures.NARROW_SPACE}W"


def _fan(percent: int | None) -> str:
    return _("left to the machine") if percent is None else f"{percent}{figures.NARROW_SPACE}%"


# The form.

_TYPED = (
    *("account", "power", "mode", "target_w", "fan", "fan_percent", "firmware", "hostname", "batch"),
    *("ramp_kw_s", "out_of_service_max", "failures_max", "settle_min"),
)


def document_of(form: QueryDict) -> dict[str, Any]:
    """The document that a form describes. Raises ProfileRefusedError for what is no number."""
    pairs = zip(form.getlist("url"), form.getlist("user"), strict=False)
    pools = [{"url": url.strip(), "user": user.strip()} for url, user in pairs if url.strip() or user.strip()]
    power = {"mode": {"mode": form.get("mode")}, "target": {"target_w": _whole(form, "target_w")}}
    fan = {"auto": {"percent": None}, "fixed": {"percent": _whole(form, "fan_percent")}}
    limits = {
        "batch": _whole(form, "batch"),
        "ramp_kw_s": _number(form, "ramp_kw_s"),
        "out_of_service_max": _whole(form, "out_of_service_max"),
        "failures_max": _whole(form, "failures_max"),
        "settle_s": None if (minutes := _number(form, "settle_min")) is None else minutes * 60.0,
    }
    owner = form.get("owner", "")
    return {
        "account": form.get("account", "").strip(),
        "pools": pools,
        "power": power.get(form.get("power", "")),
        "fan": fan.get(form.get("fan", "")),
        "firmware": form.get("firmware", "").strip(),
        "hostname": form.get("hostname", "").strip(),
        "owner": int(owner) if owner.isascii() and owner.isdigit() else None,
        "may_sleep": form.get("may_sleep") == "1",
        "reassert": form.get("reassert") == "1",
        "limits": {name: value for name, value in limits.items() if value is not None},
    }


def _whole(form: QueryDict, name: str) -> int | None:
    value = _number(form, name)
    if value is not None and value != int(value):
        raise ProfileRefusedError(
            f"profile: {name}: found {value}; expected a whole number",
            _("“%(found)s” is no whole number.") % {"found": value},
        )
    return None if value is None else int(value)


def _number(form: QueryDict, name: str) -> float | None:
    text = form.get(name, "").strip().replace(",", ".").replace("\u202f", "").replace("\u00a0", "")
    if not text:
        return None
    try:
        value = float(text)
        if abs(value) < 1e9:
            return value
    except ValueError:
        pass
    raise ProfileRefusedError(
        f"profile: {name}: found {text[:20]!r}; expected a number",
        _("“%(found)s” is no number.") % {"found": text[:20]},
    )


def form_of(desired: Desired) -> dict[str, Any]:
    """What the form shows of a version."""
    power, fan, limits = desired.power, desired.fan, desired.limits
    pools = [{"url": pool.url, "user": pool.user} for pool in desired.pools]
    return {
        "account": desired.account,
        "pools": pools + [{"url": "", "user": ""}] * (POOLS - len(pools)),
        "power": "" if power is None else "mode" if power.mode is not None else "target",
        "mode": PowerMode.NORMAL if power is None or power.mode is None else power.mode,
        "target_w": "" if power is None or power.target_w is None else power.target_w,
        "fan": "" if fan is None else "auto" if fan.percent is None else "fixed",
        "fan_percent": "" if fan is None or fan.percent is None else fan.percent,
        "firmware": desired.firmware,
        "hostname": desired.hostname,
        "owner": "" if desired.owner is None else desired.owner,
        "may_sleep": desired.may_sleep,
        "reassert": desired.reassert,
        "batch": limits.batch,
        "ramp_kw_s": "" if limits.ramp_kw_s is None else f"{limits.ramp_kw_s:g}",
        "out_of_service_max": limits.out_of_service_max or "",
        "failures_max": limits.failures_max,
        "settle_min": f"{limits.settle_s / 60:g}",
    }


def form_given(form: QueryDict) -> dict[str, Any]:
    """The same of what was typed, so that a refused form loses nothing."""
    pairs = list(zip(form.getlist("url"), form.getlist("user"), strict=False))[:POOLS]
    pools = [{"url": url, "user": user} for url, user in pairs]
    owner = form.get("owner", "")
    return {name: form.get(name, "") for name in _TYPED} | {
        "pools": pools + [{"url": "", "user": ""}] * (POOLS - len(pools)),
        "owner": int(owner) if owner.isascii() and owner.isdigit() else "",
        "may_sleep": form.get("may_sleep") == "1",
        "reassert": form.get("reassert") == "1",
    }
