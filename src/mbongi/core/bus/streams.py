"""The streams of the site, and how they are made and kept in step with the configuration."""

import time
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from mbongi.base.config import Bus as BusConfig

TELEMETRY, EVENTS, DEAD = "TELEMETRY", "EVENTS", "DEAD"
JOBS, SHARES = "JOBS", "SHARES"
DAY_S = 86_400
DUPLICATE_WINDOW_S = 600.0
"""The bus remembers message ids this long, so no publisher may go on trying for longer."""
EPOCH = "epoch"
"""Stream metadata: set anew when the stream is made, or found to have lost its tail, so that sequence numbers that
were used twice cannot be taken for one another."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream. ``share`` is its part of ``bus.bytes_max``. At the limit a ``refuse`` stream refuses what is new;
    any other drops what is oldest. ``per_subject``: so many messages of each subject are kept, -1: all."""

    name: str
    subjects: tuple[str, ...]
    share: float
    age_s_max: float
    refuse: bool = True
    per_subject: int = -1


# Telemetry and events are refused at the limit: their publishers wait, and say so. Dead letters make room for newer
# ones: they are kept for people to look at, and must not stand in the way of what is well. Of the pool's jobs the
# newest few are kept, for processes that start; shares that other machines send wait there while there is no room.
STREAMS = (
    Stream(TELEMETRY, ("telemetry.>",), 0.64, 14 * DAY_S),
    Stream(EVENTS, ("event.>",), 0.25, 30 * DAY_S, refuse=False),
    Stream(DEAD, ("dead.>",), 0.04, 30 * DAY_S, refuse=False),
    Stream(JOBS, ("pool.job.>",), 0.02, DAY_S, refuse=False, per_subject=1),
    Stream(SHARES, ("share.>",), 0.04, 14 * DAY_S),
)


async def ensure_streams(js: JetStreamContext, config: BusConfig) -> None:
    """Make the streams that are missing and bring the limits of the others up to date."""
    for stream in STREAMS:
        try:
            info = await js.stream_info(stream.name)
        except NotFoundError:
            await js.add_stream(_wanted(stream, config, {EPOCH: str(int(time.time()))}))
            continue
        kept = dict(info.config.metadata or {})
        wanted = _wanted(stream, config, {EPOCH: kept.get(EPOCH, str(int(time.time())))})
        same = (info.config.max_bytes, info.config.max_age, sorted(info.config.subjects or ())) == (
            wanted.max_bytes,
            wanted.max_age,
            sorted(wanted.subjects or ()),
        )
        if not same or EPOCH not in kept:
            await js.update_stream(wanted)


async def renew_epoch(js: JetStreamContext, name: str) -> int:
    """Give the stream a new epoch, and return it."""
    info = await js.stream_info(name)
    previous = int((info.config.metadata or {}).get(EPOCH, 0))
    epoch = max(int(time.time()), previous + 1)
    info.config.metadata = {**(info.config.metadata or {}), EPOCH: str(epoch)}
    await js.update_stream(info.config)
    return epoch


def _wanted(stream: Stream, config: BusConfig, metadata: dict[str, str]) -> StreamConfig:
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW if stream.refuse else DiscardPolicy.OLD,
        max_msgs_per_subject=stream.per_subject,
        max_bytes=int(config.bytes_max * stream.share),
        max_age=stream.age_s_max,
        duplicate_window=DUPLICATE_WINDOW_S,
        metadata=metadata,
    )
