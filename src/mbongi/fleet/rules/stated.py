"""What a machine states of the settings that a profile speaks of, from what its polls found. Pure."""

from collections.abc import Mapping
from typing import Any

from mbongi.fleet.reading import MachineDetail, Stated

_PLAIN = tuple(name for name in Stated.__struct_fields__ if name != "pools")


def stated_of(detail: MachineDetail) -> Stated:
    """The settings in a machine's facts; what is empty there is unknown: no machine works without pools or name."""
    return Stated(
        pools=tuple((pool.url, pool.user) for pool in detail.pools) or None,
        mode=detail.work_mode or None,
        power_limit_w=detail.power_limit_w,
        fan_auto=detail.fan_auto,
        fan_percent=detail.fan_percent,
        firmware=detail.firmware or None,
        image=detail.image or None,
        hostname=detail.hostname or None,
    )


def stated_words(stated: Stated) -> dict[str, Any]:
    """Settings as actions and the ledger keep them; what is not stated is left out."""
    pools = {} if stated.pools is None else {"pools": [{"url": url, "user": user} for url, user in stated.pools]}
    return pools | {name: getattr(stated, name) for name in _PLAIN if getattr(stated, name) is not None}


def stated_in(words: Mapping[str, Any]) -> Stated:
    """The settings in what ``stated_words`` gave."""
    pools = tuple((str(pool["url"]), str(pool["user"])) for pool in words.get("pools") or ())
    return Stated(pools=pools or None, **{name: words[name] for name in _PLAIN if name in words})
