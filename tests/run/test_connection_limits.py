"""Limits of connections are settings, of the pool and of the proxy alike."""

import pytest

from mbongi.base.config import Pool, Proxy
from mbongi.pool.daemon.gate import Limits
from mbongi.run.connection_limits import limits_of


@pytest.mark.parametrize("part", [Pool, Proxy])
def test_every_limit_comes_from_its_setting(part: type[Pool] | type[Proxy]) -> None:
    set_to = part(
        connections_max=1,
        connections_per_address=2,
        connects_per_s_per_address=3.0,
        line_bytes_max=4,
        bytes_per_s=5.0,
        bytes_per_s_per_address=6.0,
        silent_s=7.0,
        idle_s=8.0,
        strikes_max=9,
        ban_s=10.0,
    )

    assert limits_of(set_to) == Limits(
        connections_max=1,
        per_address_max=2,
        connects_per_s_per_address=3.0,
        line_bytes_max=4,
        bytes_per_s_max=5.0,
        bytes_per_s_per_address=6.0,
        silent_s_max=7.0,
        idle_s_max=8.0,
        strikes_max=9,
        ban_s=10.0,
    )


def test_without_settings_the_proxys_limits_are_the_pools() -> None:
    assert limits_of(Proxy()) == limits_of(Pool()) == Limits()
