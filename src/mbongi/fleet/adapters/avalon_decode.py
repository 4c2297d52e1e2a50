"""Avalons' ``estats``, pools and version into readings and details. Pure.

The hashrate is ``GHSspd``, of now; ``GHSavg`` and the boards' ``MGHS`` are means since the start. Power is what the
supply draws (``PS``'s seventh figure), or gives out where the firmware states no more.
"""

import math
import re

from mbongi.fleet.reading import BoardDetail, ErrorDetail, MachineDetail, MachineReading, PoolDetail
from mbongi.fleet.rules.figures import finite, largest
from mbongi.wire.avalon import Figures, PoolRow, Stats, VersionRow

GHS_PER_THS = 1000.0
MODES = {"0": "low", "1": "normal", "2": "high"}
"""WORKMODE; the captured A1246 mines at its full rate in mode 1, and public scripts call 0 the low one."""
ERRORS = (
    ("ECMM", "the control board states an error"),
    ("POWS", "the power supply states an error"),
    ("ECHU", "the board states an error"),
    ("HASHS", "the board is abnormal"),
    ("POOLS", "no pool can be reached"),
)
ECHU_TEXTS = {513.0: "the board is abnormal", 128.0: "the board is too hot"}
"""Sources: MDK's Avalon worker (Apache-2.0)."""
_BOARDS = re.compile(r"Hash Board:\s*(\d+)")
_A_MODEL = re.compile(r"(\d+)-(\d+)")


def figures_of(stats: Stats) -> Figures:
    """The bracketed figures of the first row that has some."""
    for row in stats.rows:
        if row.text or row.text_q:
            return Figures(row.text or row.text_q)
    return Figures("")


def read_figures(figures: Figures, reading: MachineReading) -> None:
    """Fill a reading."""
    rate = figures.number("GHSspd")
    rate = rate if rate is not None else figures.number("GHSavg")
    reading.hashrate_ths = finite(rate) / GHS_PER_THS
    reading.hashrate_av_ths = finite(figures.number("GHSavg")) / GHS_PER_THS
    if nominal := figures.number("GHSmm"):
        reading.hashrate_nominal_ths = nominal / GHS_PER_THS
    reading.power_w, reading.power_limit_w = _power_w(figures), finite(figures.number("MPO"))
    inlet = figures.number("Temp")
    reading.inlet_temp_c = finite(inlet if inlet is not None else figures.number("ITemp"))
    reading.chip_temp_max_c = largest([finite(figures.number("TMax"))])
    reading.chip_temp_avg_c = largest([finite(figures.number("TAvg"))])
    reading.board_temp_max_c = largest(figures.numbers("MTavg"))
    fans = [finite(figures.number(f"Fan{number}")) for number in range(1, 5)]
    reading.fan1_rpm, reading.fan2_rpm, reading.fan3_rpm, reading.fan4_rpm = fans
    reading.fan_duty_pct, reading.frequency_mhz = finite(figures.number("FanR")), finite(figures.number("Freq"))
    reading.hw_errors, reading.uptime_s = finite(figures.number("HW")), finite(figures.number("Elapsed"))
    supply = figures.numbers("PS")
    reading.voltage_v = supply[2] / 100.0 if len(supply) > 2 else math.nan
    _read_boards(figures, reading)


def _power_w(figures: Figures) -> float:
    wall = figures.number("WALLPOWER")
    if wall is not None:
        return wall
    supply = figures.numbers("PS")
    if len(supply) > 6:
        return supply[6]
    return supply[4] if len(supply) > 4 else math.nan


def _read_boards(figures: Figures, reading: MachineReading) -> None:
    rates, temps = board_rates(figures), figures.numbers("MTmax")
    reading.chips = finite(figures.number("TA"))
    stated = _boards_stated(figures)
    hashing = sum(1 for rate in rates if rate > 0)
    reading.board_count = float(hashing if stated is None else min(hashing, stated))
    rates += [math.nan] * (3 - len(rates))
    temps += [math.nan] * (3 - len(temps))
    reading.board1_ths, reading.board2_ths, reading.board3_ths = rates[:3]
    reading.board1_temp_c, reading.board2_temp_c, reading.board3_temp_c = temps[:3]


def board_rates(figures: Figures) -> list[float]:
    """TH/s of each board: its mean since the start while the machine hashes; 0 for one that is lost, or at rest."""
    means = figures.numbers("MGHS")
    if not figures.number("GHSspd"):
        return [0.0] * len(means)
    lost = figures.numbers("HASHS")
    lost += [0.0] * (len(means) - len(lost))
    return [0.0 if flag else mean / GHS_PER_THS for mean, flag in zip(means, lost, strict=False)]


def mode(figures: Figures) -> str:
    """The work mode in the makers' common words; an unknown one keeps its number."""
    word = figures.text("WORKMODE")
    return MODES.get(word, word)


def rests(figures: Figures) -> bool:
    """Whether the machine is told not to mine."""
    return bool(figures.number("SoftOFF"))


def errors(figures: Figures) -> list[ErrorDetail]:
    """What it states against itself."""
    found: list[ErrorDetail] = []
    supply = figures.numbers("PS")
    if supply and supply[0]:
        found.append(ErrorDetail(code=f"PS {supply[0]:g}", text="the power supply states an error"))
    for key, text in ERRORS:
        numbers = figures.numbers(key)
        for place, number in enumerate(numbers):
            if number:
                where = f" (board {place + 1})" if len(numbers) > 1 else ""
                words = ECHU_TEXTS.get(number, text) if key == "ECHU" else text
                found.append(ErrorDetail(code=f"{key}[{place}] {number:g}", text=f"{words}{where}"))
    return found


def put_figures(detail: MachineDetail, figures: Figures) -> None:
    """Fill in boards, fans, mode, light and errors."""
    rates, temps, means = board_rates(figures), figures.numbers("MTmax"), figures.numbers("MTavg")
    detail.fans_rpm = [rpm for number in range(1, 5) if (rpm := figures.number(f"Fan{number}")) is not None]
    detail.boards = [
        BoardDetail(
            index=place + 1,
            hashrate_ths=rate,
            chips=_chips(figures, place),
            chip_temp_max_c=temps[place] if place < len(temps) else None,
            board_temp_c=means[place] if place < len(means) else None,
        )
        for place, rate in enumerate(rates)
    ]
    detail.work_mode = "sleep" if rests(figures) else mode(figures)
    detail.power_limit_w = figures.number("MPO")
    light = figures.number("Led")
    detail.light_on = None if light is None else bool(light)
    detail.errors = errors(figures)


def _chips(figures: Figures, board: int) -> int | None:
    temps = figures.numbers(f"PVT_T{board}")
    return sum(1 for temp in temps if temp > 0) if temps else None


def _boards_stated(figures: Figures) -> int | None:
    """How many boards the machine says it has."""
    found = _BOARDS.search(figures.text("SYSTEMSTATU"))
    return None if found is None else int(found[1])


def pools(rows: list[PoolRow]) -> list[PoolDetail]:
    """The pools in their order of preference; never their passwords, which this interface does state."""
    ordered = sorted(rows, key=lambda row: (row.Priority if row.Priority is not None else row.POOL, row.POOL))
    return [
        PoolDetail(
            url=row.URL,
            user=row.User,
            status=row.Status,
            active=row.active,
            accepted=row.Accepted,
            rejected=row.Rejected,
            stale=row.Stale,
        )
        for row in ordered
        if row.URL
    ]


def put_version(detail: MachineDetail, row: VersionRow) -> None:
    """Fill in what never changes."""
    detail.model, detail.serial = model_name(row), row.serial
    detail.firmware, detail.control_board = row.firmware or row.loader, row.hardware
    mac = row.mac.strip().upper()
    bare = len(mac) == 12 and ":" not in mac
    detail.mac = ":".join(mac[place : place + 2] for place in range(0, 12, 2)) if bare else mac


def model_name(row: VersionRow) -> str:
    """``1246-83`` as ``Avalon A1246 (83T)``; what is not of that form keeps its own words."""
    found = _A_MODEL.fullmatch(row.model.strip())
    if found is not None:
        return f"Avalon A{found[1]} ({found[2]}T)"
    return f"Avalon {row.model.strip()}" if row.model.strip() else row.product.strip()
