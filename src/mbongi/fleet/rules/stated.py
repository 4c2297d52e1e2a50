"""What a machine states of the settings that a profile speaks of, from what its polls found. Pure."""

from mbongi.fleet.reading import MachineDetail, Stated


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
