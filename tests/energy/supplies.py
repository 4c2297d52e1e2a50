"""A supply that tests write: a grid feed, hydro, sun, a battery, a genset, mining, jobs and a critical load."""

import msgspec

from mbongi.energy.values import Reading, Supply

DOCUMENT = {
    "feeds": [
        {
            "tag": "FEED-A",
            "limit_kw": 3000,
            "contract_kw": 2500,
            "overrun_per_kw": 3000,
            "tariff": {"per_kwh": 54, "periods": [{"per_kwh": 85, "start": "18:00", "stop": "23:00"}]},
            "carbon_g_kwh": 600,
        },
        {"tag": "HYDRO", "limit_kw": 500, "tariff": {"per_kwh": 44}, "technology": "hydro", "certified": True},
    ],
    "solar": [{"tag": "PV", "peak_kw": 500, "latitude": -4.27, "longitude": 15.28}],
    "batteries": [{"tag": "BAT", "capacity_kwh": 1000, "charge_kw": 500, "discharge_kw": 500, "end_share": 0.3}],
    "tanks": [{"tag": "TANK", "capacity_l": 10000, "reserve_l": 2000, "price_per_l": 625}],
    "gensets": [
        {"tag": "GEN", "tank": "TANK", "min_kw": 150, "max_kw": 500, "curve": [[125, 38], [250, 69], [500, 135]]}
    ],
    "mining": [
        {"tag": "MINE", "max_kw": 2000, "step_kw": 50, "btc_price": 60000000, "btc_per_ths_day": 4.5e-7,
         "efficiency_j_th": 18}
    ],
    "loads": [{"tag": "CORE", "kw": 200, "on_ups": True}, {"tag": "JOBS", "kw": 300, "order": 1, "shed_per_kwh": 300}],
    "outage_p": [0.02] * 24,
    "critical_kw": 200,
    "carbon_per_t": 5000,
}  # fmt: skip


def supply(**changes):
    return msgspec.convert({**DOCUMENT, **changes}, Supply)


def readings(now_s, **changes):
    """What the plant says: ``BAT_charge_pct=80`` sets a point."""
    told = {"FEED-A voltage_l1_v": 230, "HYDRO voltage_l1_v": 230, "BAT charge_pct": 60, "TANK level_pct": 70,
            "GEN running": 0}  # fmt: skip
    told |= {name.replace("_", " ", 1): value for name, value in changes.items()}
    return {tuple(name.split(" ")): Reading(float(value), now_s) for name, value in told.items()}
