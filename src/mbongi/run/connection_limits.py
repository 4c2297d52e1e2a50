"""What miners' connections may use, out of the settings: the pool's and the proxy's have the same names."""

from mbongi.base.config import Pool, Proxy
from mbongi.pool.daemon.gate import Limits


def limits_of(part: Pool | Proxy) -> Limits:
    """The limits of one process."""
    return Limits(
        connections_max=part.connections_max,
        per_address_max=part.connections_per_address,
        connects_per_s_per_address=part.connects_per_s_per_address,
        line_bytes_max=part.line_bytes_max,
        bytes_per_s_max=part.bytes_per_s,
        bytes_per_s_per_address=part.bytes_per_s_per_address,
        silent_s_max=part.silent_s,
        idle_s_max=part.idle_s,
        strikes_max=part.strikes_max,
        ban_s=part.ban_s,
    )
