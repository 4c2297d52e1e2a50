"""What decides about operations whose steps are not all known when they are planned."""

import functools

from mbongi.base.config import Config
from mbongi.core.telemetry.client import Store
from mbongi.fleet import campaign_work, healing_work
from mbongi.fleet.daemon.operating import Driver
from mbongi.fleet.values import OperationKind


def drivers(config: Config) -> dict[OperationKind, Driver]:
    """By the operation's kind; the telemetry store is opened with the first look that needs it."""
    store = functools.cache(lambda: Store.open(config))
    campaign = functools.partial(campaign_work.drive, store=store)
    return {OperationKind.HEAL: healing_work.recheck, OperationKind.CAMPAIGN: campaign}
