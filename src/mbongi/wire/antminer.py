"""Stock Antminer firmware: the JSON pages under ``/cgi-bin`` and the cgminer commands. No I/O.

Rates are in the unit that ``rate_unit`` names, GH/s on all captured devices; temperatures degC.
Shapes: captured replies (``tests/wire/vectors``) and the public test data of asic-rs.
"""

from typing import Any

import msgspec

from mbongi.wire.cgminer import Status
from mbongi.wire.tolerant import TolerantDecoder

PAGE = "/cgi-bin/{}.cgi"
REALM_MARK = 'realm="antMiner'
WORK_MODES = {"0": "normal", "1": "sleep", "3": "low"}
SLEEP_MODE = "1"
NORMAL_MODE = "0"
LOW_MODE = "3"
_UNIT_THS = {"TH": 1.0, "GH": 1e-3, "MH": 1e-6, "KH": 1e-9, "H/": 1e-12}


def unit_ths(unit: str) -> float:
    """TH/s per unit of a ``rate_unit`` such as GH/s; GH/s where it is empty or unknown."""
    return _UNIT_THS.get(unit[:2].upper(), 1e-3)


class Chain(msgspec.Struct, gc=False):
    """One hash board in ``stats.cgi``."""

    index: int = -1
    freq_avg: float | None = None
    rate_ideal: float | None = None
    rate_real: float | None = None
    asic_num: int | None = None
    temp_pcb: list[float] = []
    temp_chip: list[float] = []
    hw: float | None = None
    sn: str = ""


class StatsRow(msgspec.Struct, gc=False, rename={"miner_mode": "miner-mode"}):
    """The one row of ``stats.cgi``."""

    elapsed: float | None = None
    rate_5s: float | None = None
    rate_avg: float | None = None
    rate_ideal: float | None = None
    rate_unit: str = ""
    chain_num: int | None = None
    fan_num: int | None = None
    fan: list[float] = []
    miner_mode: int | None = None
    chain: list[Chain] = []


class StatsPage(msgspec.Struct, gc=False, rename={"rows": "STATS"}):
    """``stats.cgi``; no rows while the miner program rests."""

    rows: list[StatsRow] | None = None


class Health(msgspec.Struct, gc=False):
    """One of the machine's own judgements: ``s`` fine, ``e`` error."""

    type: str = ""
    status: str = ""
    code: int = 0
    msg: str = ""


class SummaryRow(msgspec.Struct, gc=False):
    """The one row of ``summary.cgi``."""

    elapsed: float | None = None
    rate_5s: float | None = None
    rate_avg: float | None = None
    rate_ideal: float | None = None
    rate_unit: str = ""
    hw_all: float | None = None
    status: list[Health] = []


class SummaryPage(msgspec.Struct, gc=False, rename={"rows": "SUMMARY"}):
    """``summary.cgi``."""

    rows: list[SummaryRow] | None = None


class Pool(msgspec.Struct, gc=False):
    """One row of ``pools.cgi``."""

    index: int = -1
    url: str = ""
    user: str = ""
    status: str = ""
    priority: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    stale: int | None = None


class PoolsPage(msgspec.Struct, gc=False, rename={"rows": "POOLS"}):
    """``pools.cgi``."""

    rows: list[Pool] | None = None


class SystemInfo(msgspec.Struct, gc=False):
    """``get_system_info.cgi``."""

    minertype: str = ""
    macaddr: str = ""
    hostname: str = ""
    serinum: str = ""
    system_filesystem_version: str = ""


class MinerType(msgspec.Struct, gc=False):
    """``miner_type.cgi``; ``subtype`` names the control board."""

    subtype: str = ""
    fw_version: str = ""


class Blink(msgspec.Struct, gc=False):
    """``get_blink_status.cgi``."""

    blink: bool | None = None


class WriteReply(msgspec.Struct, gc=False):
    """What a write page answers."""

    stats: str = ""
    code: str = ""
    msg: str = ""


class RpcPool(msgspec.Struct, gc=False, rename={"active": "Stratum Active"}):
    """One row of the RPC command ``pools``."""

    POOL: int = -1
    URL: str = ""
    User: str = ""
    Status: str = ""
    Priority: int | None = None
    Accepted: int | None = None
    Rejected: int | None = None
    Stale: int | None = None
    active: bool | None = None


class RpcPools(msgspec.Struct, gc=False, rename={"rows": "POOLS"}):
    """The RPC command ``pools``."""

    rows: list[RpcPool] | None = None


class RpcStats(msgspec.Struct, gc=False, rename={"rows": "STATS", "status": "STATUS"}):
    """The RPC command ``stats``: its rows' fields are numbered by board (``chain_rate1`` …), so they stay a mapping."""

    rows: list[dict[str, Any]] | None = None
    status: list[Status] = []


class RpcSummary(msgspec.Struct, gc=False, rename={"rows": "SUMMARY"}):
    """The RPC command ``summary``."""

    rows: list[dict[str, Any]] | None = None


class RpcVersionRow(msgspec.Struct, gc=False):
    """What runs on the control board."""

    API: str = ""
    Miner: str = ""
    CompileTime: str = ""
    Type: str = ""


class RpcVersion(msgspec.Struct, gc=False, rename={"rows": "VERSION", "status": "STATUS"}):
    """The RPC command ``version``."""

    rows: list[RpcVersionRow] | None = None
    status: list[Status] = []


decode_stats = TolerantDecoder(StatsPage, what="antminer stats.cgi")
decode_summary = TolerantDecoder(SummaryPage, what="antminer summary.cgi")
decode_pools = TolerantDecoder(PoolsPage, what="antminer pools.cgi")
decode_system_info = TolerantDecoder(SystemInfo, what="antminer get_system_info.cgi")
decode_miner_type = TolerantDecoder(MinerType, what="antminer miner_type.cgi")
decode_blink = TolerantDecoder(Blink, what="antminer get_blink_status.cgi")
decode_write = TolerantDecoder(WriteReply, what="antminer write")
decode_rpc_stats = TolerantDecoder(RpcStats, what="antminer rpc stats")
decode_rpc_summary = TolerantDecoder(RpcSummary, what="antminer rpc summary")
decode_rpc_pools = TolerantDecoder(RpcPools, what="antminer rpc pools")
decode_rpc_version = TolerantDecoder(RpcVersion, what="antminer rpc version")
