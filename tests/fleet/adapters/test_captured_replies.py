"""The adapters read the captured replies of real machines. Expected figures are read off the captures by eye."""

import math
from datetime import UTC, datetime

import pytest

from mbongi.fleet.adapters import (
    antminer_decode,
    avalon_decode,
    bitaxe,
    braiins_decode,
    luxos_decode,
    whatsminer_decode,
    whatsminer_v3_decode,
)
from mbongi.fleet.reading import MachineDetail, MachineReading
from mbongi.fleet.rules.figures import complete
from mbongi.fleet.values import MachineState
from mbongi.wire import antminer, avalon, axeos, braiins, btminer, btminer_v3, cgminer, luxos
from tests.captures import capture


def blank(model: str = "") -> MachineReading:
    return MachineReading(ts=0, machine_id=1, model=model)


def test_a_captured_antminer_over_rpc() -> None:
    page = cgminer.decode(capture("antminer", "stats") + b"\0", antminer.decode_rpc_stats)
    assert page.rows is not None
    reading = blank("Antminer S19 Pro")
    antminer_decode.read_stats(antminer_decode.stats_of_rpc(page.rows[-1]), reading)
    complete(reading)

    assert reading.hashrate_ths == pytest.approx(110.56689)
    assert reading.hashrate_av_ths == pytest.approx(111.83463)
    assert reading.hashrate_nominal_ths == pytest.approx(110.0)
    assert (reading.board_count, reading.board_expected) == (3.0, 3.0)
    assert (reading.chips, reading.chips_expected) == (342.0, 342.0)
    assert reading.board1_ths == pytest.approx(37.6033)
    assert (reading.board1_temp_c, reading.board2_temp_c, reading.board3_temp_c) == (78.0, 71.0, 69.0)
    assert (reading.chip_temp_max_c, reading.board_temp_max_c) == (78.0, 73.0)
    assert (reading.fan1_rpm, reading.fan4_rpm) == (6000.0, 5040.0)
    assert (reading.frequency_mhz, reading.hw_errors, reading.uptime_s) == (525.0, 562.0, 50474.0)
    assert reading.power_estimated == 1
    assert reading.power_w == pytest.approx(3250 / 110 * 110.56689)


def test_captured_antminer_pools_and_system() -> None:
    page = cgminer.decode(capture("antminer", "pools"), antminer.decode_rpc_pools)
    pools = antminer_decode.rpc_pools(page.rows or [])
    assert [(pool.active, pool.accepted, pool.rejected, pool.stale) for pool in pools] == [
        (True, 4057, 11, 1),
        (False, 0, 0, 0),
        (False, 0, 0, 0),
    ]
    assert pools[0].url == "stratum+tcp://btc.global.luxor.tech:700"

    detail = MachineDetail()
    antminer_decode.put_detail(detail, antminer.decode_system_info(capture("antminer", "system_info")))
    assert (detail.mac, detail.serial, detail.model) == ("02:55:97:22:3M:72", "THQING0BDJAB024NF", "Antminer S21")
    assert detail.firmware == "FR-1.12(251009-S21)"


def test_a_captured_whatsminer_of_the_second_generation() -> None:
    reading = blank()
    whatsminer_decode.read_joined(_joined("whatsminer"), reading)
    complete(reading)
    assert reading.hashrate_ths == pytest.approx(124.5)
    assert reading.hashrate_av_ths == pytest.approx(125.0)
    assert reading.hashrate_nominal_ths == pytest.approx(126.0)
    assert (reading.power_w, reading.power_limit_w, reading.power_estimated) == (3200.0, 3300.0, 0)
    assert reading.efficiency_jth == pytest.approx(3200 / 124.5)
    assert (reading.inlet_temp_c, reading.chip_temp_max_c, reading.chip_temp_avg_c) == (28.5, 81.0, 72.5)
    assert (reading.fan1_rpm, reading.fan2_rpm) == (5400.0, 5280.0)
    assert (reading.board_count, reading.chips, reading.frequency_mhz) == (3.0, 405.0, 600.0)
    assert (reading.board1_ths, reading.board3_temp_c, reading.board_temp_max_c) == (41.5, 81.0, 67.0)
    assert (reading.accepted, reading.uptime_s) == (5412.0, 25000.0)
    assert math.isnan(reading.rejected)


def test_a_captured_whatsminer_of_the_first_generation_states_its_errors_in_the_summary() -> None:
    joined = _joined("whatsminer_v1", summary="summary_with_errors")
    reading = blank()
    whatsminer_decode.read_joined(joined, reading)
    assert reading.hashrate_ths == pytest.approx(67.39480097)
    assert (reading.power_w, reading.voltage_v, reading.hw_errors) == (3427.0, 11.8, 69.0)
    assert (reading.board_temp_max_c, reading.error_count) == (71.5, 2.0)
    errors = whatsminer_decode.errors(None, whatsminer_decode.row_of(joined))
    assert [(error.code, error.text) for error in errors] == [
        ("110", "intake fan speed is wrong"),
        ("600", "surroundings are too hot"),
    ]
    state = btminer.decode_state(capture("whatsminer_v1", "status")).Msg
    assert state is not None
    assert not whatsminer_decode.rests(state)


def test_a_captured_whatsminer_of_the_third_generation() -> None:
    parts = [
        btminer_v3.decode_status(capture("whatsminer_v3", f"get_miner_status_{name}")).msg
        for name in ("summary", "edevs", "pools")
    ]
    assert all(isinstance(part, btminer_v3.Status) for part in parts)
    summary, edevs, pools = parts
    status = btminer_v3.Status(summary=summary.summary, edevs=edevs.edevs, pools=pools.pools)  # type: ignore[union-attr]
    info = btminer_v3.decode_info(capture("whatsminer_v3", "get_device_info_with_errors")).msg
    assert isinstance(info, btminer_v3.Info)
    reading, detail = blank(), MachineDetail()
    whatsminer_v3_decode.read_status(status, reading)
    whatsminer_v3_decode.put_info(detail, info)
    whatsminer_v3_decode.put_status(detail, status, info)
    complete(reading)

    assert (reading.hashrate_ths, reading.hashrate_av_ths, reading.hashrate_nominal_ths) == (171.259, 170.8, 181.051)
    assert (reading.power_w, reading.power_limit_w, reading.inlet_temp_c) == (3156.0, 3600.0, 28.5)
    assert (reading.chip_temp_max_c, reading.chip_temp_avg_c, reading.board_temp_max_c) == (82.0, 75.5, 41.5)
    assert (reading.fan1_rpm, reading.fan2_rpm, reading.frequency_mhz) == (5400.0, 5280.0, 625.0)
    assert (reading.board_count, reading.chips, reading.uptime_s) == (3.0, 225.0, 50000.0)
    assert (reading.board2_ths, reading.board2_temp_c) == (57.0, 82.0)
    assert math.isnan(reading.accepted)
    assert (detail.model, detail.mac, detail.firmware) == (
        "Whatsminer M60S VK40",
        "CE:02:01:00:8C:36",
        "20251209.16.Rel2",
    )
    assert (detail.serial, detail.control_board, detail.psu_model) == (
        "BTM3CS40HD24083100000000000000000",
        "CB6V10",
        "P221B",
    )
    assert (detail.work_mode, detail.light_on, detail.boards[1].serial) == ("normal", False, "BKM3CSE1404812K43675")
    assert [(pool.url, pool.status, pool.active) for pool in detail.pools] == [
        ("stratum+tcp://btc.example.pool:3333", "Alive", True),
        ("stratum+tcp://btc2.example.pool:3333", "Alive", False),
        ("stratum+tcp://btc3.example.pool:3333", "Alive", False),
    ]
    assert [error.code for error in detail.errors] == ["264", "265", "266", "267", "270"]
    # MicroBT's public list has words for 264; for 265 there are only the machine's own.
    assert detail.errors[0].text == "power supply communication fault"
    assert detail.errors[1].text.startswith("Power Unknow error")


def test_a_captured_avalon_of_the_a_series() -> None:
    figures = avalon_decode.figures_of(cgminer.decode(capture("avalon", "avalon_a_stats"), avalon.decode_stats))
    reading, detail = blank("Avalon A1246 (83T)"), MachineDetail()
    avalon_decode.read_figures(figures, reading)
    avalon_decode.put_figures(detail, figures)
    complete(reading)

    assert reading.hashrate_ths == pytest.approx(81.07268)
    assert (reading.hashrate_av_ths, reading.hashrate_nominal_ths) == (79.65663, 83.92304)
    assert (reading.power_w, reading.power_limit_w, reading.power_estimated) == (3504.0, 3200.0, 0)
    assert (reading.inlet_temp_c, reading.chip_temp_max_c, reading.chip_temp_avg_c) == (30.0, 77.0, 65.0)
    assert (reading.fan1_rpm, reading.fan4_rpm, reading.fan_duty_pct) == (5344.0, 5309.0, 72.0)
    assert (reading.board_count, reading.board_expected) == (3.0, 3.0)
    assert (reading.chips, reading.chips_expected) == (360.0, 360.0)
    assert (reading.board2_ths, reading.board3_temp_c, reading.board_temp_max_c) == (26.02506, 76.0, 66.0)
    assert (reading.frequency_mhz, reading.voltage_v, reading.hw_errors) == (502.41, 13.16, 2735.0)
    assert reading.uptime_s == 24684.0
    assert [board.chips for board in detail.boards] == [120, 120, 120]
    assert (detail.work_mode, detail.light_on, detail.errors) == ("normal", False, [])
    assert not avalon_decode.rests(figures)


@pytest.mark.parametrize("name", ["stats", "litestats"])
def test_a_captured_avalon_for_the_home_that_is_told_to_rest(name: str) -> None:
    figures = avalon_decode.figures_of(cgminer.decode(capture("avalon", name), avalon.decode_stats))
    reading, detail = blank("Avalon Q"), MachineDetail()
    avalon_decode.read_figures(figures, reading)
    avalon_decode.put_figures(detail, figures)

    assert avalon_decode.rests(figures)
    assert (reading.hashrate_ths, reading.board1_ths, reading.board_count) == (0.0, 0.0, 0.0)
    assert reading.hashrate_nominal_ths == pytest.approx(55.03279)
    assert (reading.power_w, reading.power_limit_w, reading.inlet_temp_c) == (146.0, 800.0, 26.0)
    assert math.isnan(reading.chip_temp_max_c)
    assert (reading.chips, detail.work_mode, detail.light_on) == (160.0, "sleep", None)


def test_captured_avalon_pools_and_version() -> None:
    rows = cgminer.decode(capture("avalon", "pools"), avalon.decode_pools).rows
    assert [(pool.url, pool.user, pool.active, pool.accepted, pool.rejected) for pool in avalon_decode.pools(rows)] == [
        ("stratum+tcp://pool.example.com:4444", "worker1", True, 890, 2)
    ]
    [row] = cgminer.decode(capture("avalon", "version"), avalon.decode_version).rows
    detail = MachineDetail()
    avalon_decode.put_version(detail, row)
    assert (detail.model, detail.mac, detail.control_board) == ("Avalon Q", "AA:BB:CC:DD:EE:FF", "Q_MM1v1_X1")
    assert (detail.serial, detail.firmware) == ("01234567890123456789012345678901", "25052801_14a19a2")


def test_captured_whatsminer_error_codes_carry_words_and_times() -> None:
    found = btminer.decode_errors(capture("whatsminer", "get_error_code_with_errors")).Msg
    errors = whatsminer_decode.errors(found, btminer.SummaryRow())
    assert [(error.code, error.since) for error in errors] == [
        ("218", "2024-06-15 10:30:00"),
        ("110", "2024-06-15 09:15:00"),
    ]
    assert all(error.text for error in errors)


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("M50S_VH30", "Whatsminer M50S VH30"),
        ("M30S+_VE40", "Whatsminer M30S+ VE40"),
        ("M30S++VG30", "Whatsminer M30S++ VG30"),
        ("M50", "Whatsminer M50"),
        ("D1", "Whatsminer D1"),
    ],
)
def test_a_whatsminers_model_is_named_as_its_maker_does(stated: str, name: str) -> None:
    assert whatsminer_decode.model_name(stated) == name


def test_a_captured_bitaxe() -> None:
    info = axeos.decode_info(capture("bitaxe", "system_info"))
    reading, detail = blank(), MachineDetail()
    bitaxe._read_info(info, reading)
    bitaxe._put_detail(detail, info)
    complete(reading)
    assert reading.model == detail.model == "Bitaxe Supra"
    assert reading.hashrate_ths == pytest.approx(1.0)
    # 490 MHz times 1276 small cores.
    assert reading.hashrate_nominal_ths == pytest.approx(0.62524)
    assert reading.power_w == pytest.approx(2.65)
    assert (reading.chip_temp_max_c, reading.psu_temp_c, reading.fan1_rpm, reading.fan_duty_pct) == (
        59.875,
        78.0,
        3517.0,
        35.0,
    )
    assert (reading.voltage_v, reading.frequency_mhz, reading.uptime_s) == (1.172, 490.0, 4.0)
    assert reading.pool == "btc.example.pool:3333"
    assert (detail.mac, detail.firmware, detail.control_board) == (
        "AA:BB:CC:DD:EE:FF",
        "v2.4.5-3-gb5d1e36-dirty",
        "401",
    )
    assert [pool.url for pool in detail.pools] == [
        "stratum+tcp://btc.example.pool:3333",
        "stratum+tcp://btc2.example.pool:3333",
    ]


def _joined(family: str, *, summary: str = "summary") -> btminer.Joined:
    return btminer.Joined(
        summary=[cgminer.decode(capture(family, summary), btminer.decode_summary)],
        devs=[cgminer.decode(capture(family, "devs"), btminer.decode_devs)],
        pools=[cgminer.decode(capture(family, "pools"), btminer.decode_pools)],
    )


def test_a_captured_luxos() -> None:
    names = ("summary", "devs", "fans", "temps", "power", "stats", "pools", "config", "events")
    joined = luxos.Joined(**{name: [luxos.decode_answer(capture("luxos", name))] for name in names})
    reading, detail = blank("Antminer S19k Pro"), MachineDetail()
    luxos_decode.read_joined(joined, reading)
    luxos_decode.put_slow(detail, joined)
    luxos_decode.put_version(detail, luxos.decode_answer(capture("luxos", "version")).version)
    complete(reading)
    assert reading.hashrate_ths == pytest.approx(59.75606)
    assert reading.hashrate_av_ths == pytest.approx(56.91791)
    assert reading.hashrate_nominal_ths == pytest.approx(3 * 20.6514)
    assert (reading.power_w, reading.power_estimated) == (1051.0, 0)
    assert reading.efficiency_jth == pytest.approx(1051 / 59.75606)
    assert (reading.fan1_rpm, reading.fan3_rpm, reading.fan_duty_pct) == (1920.0, 2340.0, 20.0)
    assert (reading.board_count, reading.board_expected) == (3.0, 3.0)
    assert (reading.chips, reading.chips_expected) == (231.0, 231.0)
    assert reading.board1_ths == pytest.approx(19.77382571692016)
    assert reading.board_temp_max_c == 47.0
    assert math.isnan(reading.chip_temp_max_c)
    assert (reading.accepted, reading.rejected, reading.uptime_s) == (1483.0, 1.0, 3453.0)
    assert (reading.frequency_mhz, reading.hw_errors) == (300.0, 0.0)
    assert (detail.model, detail.mac, detail.serial) == ("Antminer S19k Pro", "62:F7:5E:B7:10:46", "JYZZB0UBDJABF06RB")
    assert (detail.firmware, detail.hostname, detail.control_board) == (
        "LuxOS 2025.4.8.220305",
        "UrlacherS19k",
        "cvitek",
    )
    assert (detail.work_mode, detail.light_on) == ("290MHz", False)
    assert [(pool.url, pool.active) for pool in detail.pools] == [
        ("stratum+tcp://ca.stratum.braiins.com:3333", True),
        ("stratum+tcp://stratum.braiins.com:3333", False),
        ("stratum+tcp://ca.stratum.braiins.com:3333", True),
        ("stratum+tcp://stratum.braiins.com:3333", False),
    ]
    assert [error.code for error in detail.errors] == ["NOPIC_PROTECTION", "REBOOT_NOT_HASHING"]


def test_a_captured_braiins() -> None:
    stats = braiins.decode_stats(capture("braiins", "miner_stats"))
    boards = braiins.decode_boards(capture("braiins", "miner_hw_hashboards")).hashboards
    cooling = braiins.decode_cooling(capture("braiins", "cooling_state"))
    details = braiins.decode_details(capture("braiins", "miner_details"))
    configuration = braiins.decode_configuration(capture("braiins", "configuration_miner"))
    reading, detail = blank("Antminer S21 Pro"), MachineDetail()
    braiins_decode.read_stats(stats, boards, cooling, reading)
    braiins_decode.put_details(detail, details)
    braiins_decode.put_configuration(detail, configuration)
    complete(reading)
    assert reading.hashrate_ths == pytest.approx(248.18667720002498)
    assert reading.hashrate_av_ths == pytest.approx(244.6012757139522)
    assert reading.hashrate_nominal_ths == pytest.approx(252.5975831472)
    assert (reading.power_w, reading.power_estimated) == (3480.0, 0)
    assert (reading.accepted, reading.rejected, reading.stale) == (848.0, 0.0, 0.0)
    assert (reading.fan1_rpm, reading.fan4_rpm, reading.fan_duty_pct) == (5943.0, 5973.0, 92.0)
    assert (reading.board_count, reading.chips, reading.chips_expected) == (3.0, 195.0, 195.0)
    assert (reading.chip_temp_max_c, reading.board1_temp_c, reading.board2_temp_c) == (65.375, 65.375, 63.5625)
    assert (reading.board_temp_max_c, reading.voltage_v) == (50.375, pytest.approx(13.738725))
    assert reading.board1_ths == pytest.approx(83.16843130521843)
    assert braiins_decode.judge(details, reading).state is MachineState.MINING
    assert (detail.model, detail.mac, detail.serial) == ("Antminer S21 Pro", "02:8F:77:EC:E7:E0", "THQGFKUBDJIAH0E9G")
    assert detail.firmware == "Braiins OS 2026-04-14-0-912d084c-26.04-plus"
    assert (detail.power_limit_w, detail.fan_auto) == (3500.0, None)
    pools = braiins_decode.pools(braiins.decode_groups(capture("braiins", "pools")))
    assert [(pool.url, pool.active, pool.accepted) for pool in pools] == [
        ("stratum+tcp://example.pool.com:3333", True, 848),
        ("stratum+tcp://example.pool2.com:3333", False, 0),
    ]
    assert braiins.decode_flag(capture("braiins", "actions_locate")) is False


def test_captured_braiins_errors_are_told_by_code_and_only_since_the_miner_started() -> None:
    rows = braiins.decode_errors(capture("braiins", "miner_errors")).errors
    now = datetime(2026, 3, 20, 22, 0, tzinfo=UTC)
    found = braiins_decode.errors(rows, now=now, uptime_s=3600.0)
    assert {error.code for error in found} >= {"V2", "H1"}
    assert len({error.code for error in found}) == len(found)
    assert all(error.text for error in found)
    assert braiins_decode.errors(rows, now=datetime(2027, 1, 1, tzinfo=UTC), uptime_s=3600.0) == []
