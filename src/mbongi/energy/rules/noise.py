"""Noise at the fence, by octave bands. Pure. Source: ISO 9613-2:1996, its numbers in brackets, and ISO 9613-1:1993.

The simple way: point sources, down-wind, the ground by the alternative method for A-weighted levels (7.3.2), one
barrier with a long top edge. Left out: reflections (7.5), foliage and buildings (annex A), meteorology (8).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BANDS_HZ = tuple(1000.0 * 10 ** (0.3 * band) for band in range(-4, 4))
"""63 Hz to 8 kHz, exact mid-band frequencies."""
A_WEIGHTS_DB = (-26.2, -16.1, -8.6, -3.2, 0.0, 1.2, 1.0, -1.1)
"""IEC 61672-1."""
SOUND_M_S = 340.0
BARRIER_DB_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Air:
    """Temperature, relative humidity and pressure."""

    temp_c: float = 25.0
    humidity_pct: float = 70.0
    pressure_kpa: float = 101.325


@dataclass(frozen=True, slots=True)
class NoiseSource:
    """Sound power by octave band [dB re 1 pW], directivity [dB], and where it stands: distance and height [m]."""

    tag: str
    power_db: tuple[float, ...]
    distance_m: float
    height_m: float
    directivity_db: float = 0.0


@dataclass(frozen=True, slots=True)
class Barrier:
    """The ways over the top edge: source to edge and edge to receiver [m]."""

    to_edge_m: float
    from_edge_m: float


def absorption_db_m(frequency_hz: float, air: Air) -> float:
    """Of the atmosphere, per metre. ISO 9613-1, equations (3) to (5) and annex B."""
    kelvin, pressure = air.temp_c + 273.15, air.pressure_kpa / 101.325
    ratio = kelvin / 293.15
    saturation = 10 ** (-6.8346 * (273.16 / kelvin) ** 1.261 + 4.6151)
    vapour = air.humidity_pct * saturation / pressure
    oxygen = pressure * (24 + 4.04e4 * vapour * (0.02 + vapour) / (0.391 + vapour))
    nitrogen = pressure * ratio**-0.5 * (9 + 280 * vapour * math.exp(-4.170 * (ratio ** (-1 / 3) - 1)))
    squared = frequency_hz**2
    relaxing = 0.01275 * math.exp(-2239.1 / kelvin) / (oxygen + squared / oxygen)
    relaxing += 0.1068 * math.exp(-3352.0 / kelvin) / (nitrogen + squared / nitrogen)
    return float(8.686 * squared * (1.84e-11 / pressure * math.sqrt(ratio) + ratio**-2.5 * relaxing))


def divergence_db(distance_m: float) -> float:
    """Over a sphere (7)."""
    return 20 * math.log10(distance_m) + 11


def ground_db(distance_m: float, mean_height_m: float) -> float:
    """Of porous or mostly porous ground, for A-weighted levels; never below 0 (10)."""
    return max(0.0, 4.8 - 2 * mean_height_m / distance_m * (17 + 300 / distance_m))


def solid_angle_db(distance_m: float, source_m: float, receiver_m: float) -> float:
    """What the ground near the source sends on (11); goes with ``ground_db``. ``distance_m`` along the ground."""
    near = distance_m**2 + (source_m - receiver_m) ** 2
    far = distance_m**2 + (source_m + receiver_m) ** 2
    return 10 * math.log10(1 + near / far)


def barrier_db(frequency_hz: float, distance_m: float, barrier: Barrier) -> float:
    """Over one top edge, 20 dB at most (14), (16), (18); a barrier that the line of sight clears gives nothing."""
    longer = barrier.to_edge_m + barrier.from_edge_m - distance_m
    if longer <= 0:
        return 0.0
    weather = math.exp(-math.sqrt(barrier.to_edge_m * barrier.from_edge_m * distance_m / (2 * longer)) / 2000)
    lengths = 20 * frequency_hz / SOUND_M_S * longer * weather
    return min(BARRIER_DB_MAX, 10 * math.log10(3 + lengths))


def level_db(source: NoiseSource, receiver_m: float, air: Air, barrier: Barrier | None = None) -> float:
    """A-weighted level of one source at a receiver of a height [dB(A)] (3) to (5)."""
    distance = math.hypot(source.distance_m, source.height_m - receiver_m)
    ground = ground_db(distance, (source.height_m + receiver_m) / 2)
    towards = source.directivity_db + solid_angle_db(source.distance_m, source.height_m, receiver_m)
    levels = []
    for frequency, weight, power in zip(BANDS_HZ, A_WEIGHTS_DB, source.power_db, strict=True):
        # A barrier takes the place of the ground, as far as it does more (12).
        screened = ground if barrier is None else max(ground, barrier_db(frequency, distance, barrier))
        lost = divergence_db(distance) + absorption_db_m(frequency, air) * distance + screened
        levels.append(power + towards - lost + weight)
    return total_db(levels)


def total_db(levels: Sequence[float]) -> float:
    """Levels added as energies; minus infinity of none."""
    energy = sum(10 ** (level / 10) for level in levels)
    return 10 * math.log10(energy) if energy > 0 else -math.inf
