"""Hosted months by hand and against a reckoning second by second: what is up, excused, unknown, owed, charged."""

import itertools
import random
from datetime import date

import msgspec
import numpy as np
import pytest

from mbongi.fleet.rules.hosting import DayRecord, Excuse, Readings, Seen, half_even, machine_month, seen, spans_of
from mbongi.fleet.rules.hosting_bill import bill, differences, promised, sums
from mbongi.fleet.rules.hosting_days import days_of, merged, midnight, month_span, overlap, seconds, split
from mbongi.fleet.rules.hosting_terms import (
    CreditStep,
    CurtailmentClass,
    ExcuseClass,
    Member,
    Terms,
    changes,
    faults_of,
)

NAN = float("nan")
HOUR, DAY = 3600, 86_400
TERMS = Terms(
    valid_from="2026-11",
    starts="2026-01-01",
    by_rule=True,
    uptime_ppm=995_000,
    nominal_ppm=950_000,
    currency="USD",
    mwh_minor=5500,
    credits=(CreditStep(below_ppm=995_000, credit_ppm=50_000), CreditStep(below_ppm=950_000, credit_ppm=200_000)),
    curtailment=CurtailmentClass.AGREED,
    maintenance_s_max=2 * HOUR,
)
UNKNOWN, OFF, MINING, SLEEPING = 0, 1, 2, 3


def readings(*rows):
    """(end, span, state, TH/s, W)."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Readings(
        *(table[:, 0].astype(np.int64), table[:, 1], table[:, 2].astype(np.int64), table[:, 3], table[:, 4]),
        np.full(len(table), NAN),
    )


def day(runs, since=0, hash_milli=0, energy_wh=0, number=1):
    length = sum(int(run[1:]) for run in runs.split())
    return DayRecord(date(2026, 11, number), (since, since + length), Seen(runs, hash_milli, energy_wh, 0))


# Readings.


def test_rows_become_runs_that_add_up_and_what_nobody_asked_is_not_seen():
    found = seen(
        readings(
            (10, 10, MINING, 100, 3600), (20, 10, MINING, 100, 3600), (30, 10, UNKNOWN, NAN, NAN),
            (60, 10, SLEEPING, 0, 36), (70, 10, OFF, NAN, NAN),
        ),
        (0, 100),
    )  # fmt: skip
    assert found.runs == "u20 n10 x20 s10 d10 x30"
    assert found.hash_milli == round(100 * 20 / 3600 * 1000)
    assert found.energy_wh == round((3600 * 20 + 36 * 10) / 3600)
    assert found.power_s == 30


def test_a_second_that_two_pollers_speak_of_counts_once_and_rows_are_cut_at_the_borders():
    found = seen(readings((5, 10, MINING, 60, NAN), (12, 10, MINING, 60, NAN), (25, 10, OFF, NAN, NAN)), (0, 20))
    assert found.runs == "u12 x3 d5"
    assert found.hash_milli == round(60 * 12 / 3600 * 1000)


def test_a_span_without_rows_is_not_seen_and_strange_rows_are_not_taken_for_up():
    assert seen(readings(), (0, 60)).runs == "x60"
    assert seen(readings((10, NAN, MINING, 1, 1), (20, 10, 77, 1, 1)), (0, 20)).runs == "x10 n10"


# Days and months at the site.


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        ("2026-11", "Africa/Brazzaville", 720),
        ("2028-02", "Africa/Brazzaville", 29 * 24),
        ("2027-02", "Africa/Brazzaville", 28 * 24),
        ("2026-03", "Europe/Paris", 31 * 24 - 1),
        ("2026-10", "Europe/Paris", 31 * 24 + 1),
    ],
)
def test_months_have_the_hours_of_their_clocks(month, zone, hours):
    span = month_span(month, zone)
    assert span[1] - span[0] == hours * HOUR
    days = list(days_of(span, zone))
    assert (days[0].since, days[-1].until) == span
    assert all(one.until == other.since for one, other in itertools.pairwise(days))
    assert {(one.until - one.since) // HOUR for one in days} <= {23, 24, 25}


def test_a_midnight_that_the_clocks_skip_is_the_days_first_second():
    # Beirut: on 29 March 2026 the clocks went from 00:00 to 01:00 (tz database, rule of 1993 on).
    assert midnight(date(2026, 3, 30), "Asia/Beirut") - midnight(date(2026, 3, 29), "Asia/Beirut") == 23 * HOUR


def test_no_month_is_an_error():
    for word in ("2026-13", "november", ""):
        with pytest.raises(ValueError, match=r"[Ii]nvalid|month"):
            month_span(word, "UTC")


def test_spans_are_split_as_second_by_second():
    draw = random.Random(7)
    for _turn in range(200):
        one, other = (
            merged([(at, at + draw.randint(0, 9)) for at in (draw.randint(0, 60) for _n in range(draw.randint(0, 6)))])
            for _side in range(2)
        )
        first, second = ({s for a, b in spans for s in range(a, b)} for spans in (one, other))
        within, without = split(one, other)
        assert {s for a, b in within for s in range(a, b)} == first & second
        assert {s for a, b in without for s in range(a, b)} == first - second
        assert seconds(within) + seconds(without) == seconds(one)
    assert overlap((0, 5), (5, 9)) is None


# A machine's month.


def test_a_day_with_each_kind_of_second():
    # 24 h: 20 h up, 1 h off of which half is the grid's, 1 h asleep by curtailment, 1 h silent, 1 h not seen.
    record = day(f"u{20 * HOUR} d{HOUR} s{HOUR} n{HOUR} x{HOUR}", hash_milli=4_000_000, energy_wh=70_000)
    excuses = [
        Excuse(ExcuseClass.GRID, (20 * HOUR, 20 * HOUR + 1800)),
        Excuse(ExcuseClass.CURTAILMENT, (21 * HOUR - 60, 30 * HOUR), is_sleep=True),
    ]
    [line] = machine_month(9, [record], excuses, TERMS, 200_000)
    assert (line.up_s, line.unknown_s) == (20 * HOUR, HOUR)
    # The sleep was asked for a minute before the machine slept, and nobody woke it: its silence is excused with it.
    assert line.excused_s == {ExcuseClass.GRID: 1800, ExcuseClass.CURTAILMENT: HOUR + HOUR + 60}
    assert line.unexcused_s == HOUR - 1800 - 60
    assert line.seconds == line.up_s + sum(line.excused_s.values()) + line.unexcused_s + line.unknown_s
    # 200 TH/s × 95 % × owed hours, to a thousandth.
    assert line.promised_milli == round(200_000 * 0.95 * line.owed_s / 3600)


def test_a_sleep_ends_where_the_machine_is_seen_to_hash_whatever_was_asked_later():
    record = day(f"u100 s1000 u500 d{DAY - 1600}")
    [line] = machine_month(1, [record], [Excuse(ExcuseClass.CUSTOMER, (90, DAY), is_sleep=True)], TERMS, None)
    assert line.excused_s == {ExcuseClass.CUSTOMER: 1000}
    assert line.unexcused_s == DAY - 1600
    assert line.promised_milli is None


def test_a_sleep_of_the_month_before_goes_on_until_the_machine_hashes():
    record = day(f"s3600 u{DAY - 7200} d3600")
    [line] = machine_month(1, [record], [Excuse(ExcuseClass.CUSTOMER, (-9999, DAY), is_sleep=True)], TERMS, None)
    assert line.excused_s == {ExcuseClass.CUSTOMER: 3600}


def test_firm_contracts_are_not_curtailed_for_nothing():
    firm = msgspec.structs.replace(TERMS, curtailment=CurtailmentClass.FIRM)
    [line] = machine_month(1, [day("s3600 u3600")], [Excuse(ExcuseClass.CURTAILMENT, (0, 3600))], firm, None)
    assert (line.excused_s, line.unexcused_s) == ({}, 3600)


def test_maintenance_is_excused_up_to_what_the_contract_allows_in_the_order_of_time():
    records = [day(f"d{HOUR + 1800} u{DAY - HOUR - 1800}", since=at * DAY, number=1 + at) for at in range(2)]
    lines = machine_month(1, records, [Excuse(ExcuseClass.MAINTENANCE, (0, 2 * DAY))], TERMS, None)
    assert [line.excused_s[ExcuseClass.MAINTENANCE] for line in lines] == [HOUR + 1800, 1800]
    assert [line.unexcused_s for line in lines] == [0, HOUR]


def test_our_own_blindness_makes_silence_unknown_and_excuses_no_fault():
    excuse = Excuse(ExcuseClass.MONITORING, (0, DAY))
    [line] = machine_month(1, [day("n600 d600 u1200")], [excuse], TERMS, None)
    assert (line.unknown_s, line.unexcused_s, line.up_s) == (600, 600, 1200)


def test_of_several_reasons_for_one_second_the_first_in_order_counts():
    excuses = [Excuse(ExcuseClass.FORCE_MAJEURE, (0, 100)), Excuse(ExcuseClass.CUSTOMER, (50, 150))]
    [line] = machine_month(1, [day("d200")], excuses, TERMS, None)
    assert line.excused_s == {ExcuseClass.CUSTOMER: 100, ExcuseClass.FORCE_MAJEURE: 50}
    assert line.unexcused_s == 50


def test_random_months_agree_with_a_reckoning_second_by_second():
    draw = random.Random(3)
    order = [each for each in ExcuseClass if each not in {ExcuseClass.MAINTENANCE, ExcuseClass.MONITORING}]
    for _turn in range(60):
        runs, length = [], 0
        for _run in range(draw.randint(1, 12)):
            runs.append((draw.choice("udsnx"), draw.randint(1, 50)))
            length += runs[-1][1]
        record = day(" ".join(f"{letter}{count}" for letter, count in runs))
        excuses = [
            Excuse(draw.choice([*order, ExcuseClass.MONITORING]), (at, at + draw.randint(1, 80)))
            for at in (draw.randint(-20, length) for _n in range(draw.randint(0, 5)))
        ]
        [line] = machine_month(1, [record], excuses, TERMS, None)
        letters = "".join(letter * count for letter, count in runs)
        tally = {"up": 0, "unknown": 0, "unexcused": 0} | dict.fromkeys(order, 0)
        for at, letter in enumerate(letters):
            held = {one.klass for one in excuses if one.span[0] <= at < one.span[1]}
            if letter == "u":
                tally["up"] += 1
            elif letter == "x" or (letter == "n" and ExcuseClass.MONITORING in held):
                tally["unknown"] += 1
            else:
                tally[next((each for each in order if each in held), "unexcused")] += 1
        assert (line.up_s, line.unknown_s, line.unexcused_s) == (tally["up"], tally["unknown"], tally["unexcused"])
        assert {each: line.excused_s.get(each, 0) for each in order} == {each: tally[each] for each in order}


def test_runs_that_do_not_add_up_are_an_error():
    with pytest.raises(ValueError, match="runs of 60 s; expected 61"):
        spans_of(DayRecord(date(2026, 11, 1), (0, 61), Seen("u60", 0, 0, 0)))


# Money.


def month_lines(up_s, down_s, *, machines=1):
    return [
        line
        for machine_id in range(machines)
        for line in machine_month(
            machine_id, [day(f"u{up_s} d{down_s}", hash_milli=7, energy_wh=1_234_567)], [], TERMS, 1000
        )
    ]


def test_a_month_is_charged_by_the_kilowatt_hour_and_credited_by_the_step_it_falls_to():
    # 1,234.567 kWh at 55.00 USD per 1,000 kWh: 67.901185 → 67.90 USD.
    total = sums(month_lines(994_999, 5001))
    found = bill(total, TERMS, (0, 1_000_000))
    assert [charge.amount_minor for charge in found.charges] == [6790]
    # 99.4999 % is below 99.5 %: 5 % of 67.90 is 3.395, half to even 3.40.
    assert (found.credit_ppm, found.credit_minor, found.total_minor) == (50_000, 340, 6450)
    assert total.uptime_ppm == 994_999


def test_uptime_at_a_step_exactly_is_not_below_it():
    assert bill(sums(month_lines(995_000, 5000)), TERMS, (0, 10)).credit_ppm == 0
    assert bill(sums(month_lines(949_999, 50_001)), TERMS, (0, 10)).credit_ppm == 200_000


def test_nothing_owed_is_no_uptime_and_no_credit():
    lines = machine_month(1, [day("x3600")], [], TERMS, 1000)
    total = sums(lines)
    assert (total.uptime_ppm, total.uptime_low_ppm, total.uptime_high_ppm) == (None, 0, 1_000_000)
    assert bill(total, TERMS, (0, 3600)).credit_minor == 0


def test_machine_months_are_charged_for_the_time_under_contract():
    terms = msgspec.structs.replace(TERMS, mwh_minor=0, machine_month_minor=3000, currency="XAF")
    month = month_span("2026-11", "Africa/Brazzaville")
    # Two machines: one for the whole of November, one for its last ten days.
    whole, part = (30 * DAY, 10 * DAY)
    lines = [
        machine_month(number, [DayRecord(date(2026, 11, 1), (0, length), Seen(f"u{length}", 0, 0, 0))], [], terms, None)
        for number, length in enumerate((whole, part))
    ]
    found = bill(sums(itertools.chain(*lines)), terms, month)
    assert [charge.amount_minor for charge in found.charges] == [3000 + 1000]


def test_promised_hash_hours_of_a_month_shrink_with_the_contracts_part_and_with_what_was_not_owed():
    terms = msgspec.structs.replace(TERMS, nominal_ppm=None, hash_hours=72_000)
    # Half of the month under contract, a quarter of it excused: 72,000 × 1/2 × 3/4.
    [line] = machine_month(1, [day("u3000 d1000")], [Excuse(ExcuseClass.GRID, (3000, 4000))], terms, None)
    assert promised(sums([line]), terms, month=(0, 8000), under_contract_s=4000) == 27_000_000


@pytest.mark.parametrize(
    ("above", "below", "found"),
    [(5, 2, 2), (7, 2, 4), (6, 4, 2), (-5, 2, -2), (1, 3, 0), (2, 3, 1), (10**30 + 1, 2, 5 * 10**29)],
)
def test_halves_are_rounded_to_even(above, below, found):
    assert half_even(above, below) == found


def test_differences_are_named_by_their_place():
    found = differences({"sums": {"up_s": 1, "seconds": 9}, "gone": 1}, {"sums": {"up_s": 2, "seconds": 9}, "new": [1]})
    assert [(one.name, one.before, one.after) for one in found] == [
        ("gone", 1, None), ("new", None, [1]), ("sums.up_s", 1, 2),
    ]  # fmt: skip


# Terms.


def test_terms_that_can_be_used_have_no_faults():
    assert faults_of(TERMS) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"valid_from": "2026-13"}, "valid_from"),
        ({"starts": "2026-02-29"}, "starts"),
        ({"ends": "2026-01-01"}, "ends"),
        ({"by_rule": False}, "machines"),
        ({"machines": (Member(machine_id=1),)}, "machines"),
        ({"uptime_ppm": 1_000_001}, "uptime_ppm"),
        ({"hash_hours": 5}, "hash_hours"),
        ({"nominal_ppm": 0}, "nominal_ppm"),
        ({"currency": "FCFA"}, "currency"),
        ({"mwh_minor": 0}, "mwh_minor"),
        ({"mwh_minor": -1}, "mwh_minor"),
        ({"maintenance_s_max": -1}, "maintenance_s_max"),
        ({"credits": (CreditStep(below_ppm=0, credit_ppm=1),)}, "credits"),
        (
            {"credits": (CreditStep(below_ppm=9, credit_ppm=5), CreditStep(below_ppm=5, credit_ppm=4))},
            "credits",
        ),
        ({"notes": "x" * 2001}, "notes"),
    ],
)
def test_terms_that_cannot_be_used_name_the_field(change, field):
    assert field in {name for name, _fault in faults_of(msgspec.structs.replace(TERMS, **change))}


def test_a_machine_may_come_back_but_not_be_in_twice_at_once():
    def listed(*members):
        return faults_of(msgspec.structs.replace(TERMS, by_rule=False, machines=members))

    first = Member(machine_id=1, until="2026-11-10")
    assert listed(first, Member(machine_id=1, since="2026-11-10")) == []
    assert listed(first, Member(machine_id=1, since="2026-11-09")) != []
    assert listed(Member(machine_id=1, since="2026-11-10", until="2026-11-10")) != []


def test_changes_name_what_differs():
    assert changes(None, {"a": 1}) == [("a", None, 1)]
    assert changes({"a": 1, "b": 2}, {"a": 1, "b": 3}) == [("b", 2, 3)]
