"""Targets as whole numbers, in their compact form, and as difficulties.

A block hash, read as a little-endian number, must not exceed the target. Source of the compact form: Bitcoin Core,
arith_uint256::SetCompact and GetCompact.
"""

import math
from fractions import Fraction
from typing import Final

from mbongi.wire.errors import WireError

DIFFICULTY_1_TARGET: Final = 0xFFFF << 208
TARGET_MAX: Final = (1 << 256) - 1


def target_of_bits(bits: int) -> int:
    """The target that a compact form stands for. Raises WireError for a negative, too large or zero one."""
    size, mantissa = bits >> 24, bits & 0x007F_FFFF
    if not 0 <= bits <= 0xFFFF_FFFF:
        raise WireError(f"bits {bits:#x}: expected 32 bits")
    if bits & 0x0080_0000 and mantissa:
        raise WireError(f"bits {bits:#010x}: a negative target")
    target = mantissa >> (8 * (3 - size)) if size <= 3 else mantissa << (8 * (size - 3))
    if not 0 < target <= TARGET_MAX:
        raise WireError(f"bits {bits:#010x}: a target of {target:#x}; expected 1..2**256-1")
    return target


def bits_of_target(target: int) -> int:
    """The compact form of a target (1..2**256-1); it keeps the 23 highest bits."""
    if not 0 < target <= TARGET_MAX:
        raise WireError(f"target {target:#x}: expected 1..2**256-1")
    size = (target.bit_length() + 7) // 8
    mantissa = target << (8 * (3 - size)) if size <= 3 else target >> (8 * (size - 3))
    if mantissa & 0x0080_0000:  # the sign's bit
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def target_of_difficulty(difficulty: float) -> int:
    """The target of a share difficulty (finite, > 0), exactly rounded down, 2**256-1 at most."""
    if not (math.isfinite(difficulty) and difficulty > 0):
        raise WireError(f"difficulty {difficulty}: expected a finite number above 0")
    return min(int(DIFFICULTY_1_TARGET / Fraction(difficulty)), TARGET_MAX)


def difficulty_of_target(target: int) -> float:
    """How many times harder than difficulty 1 it is to meet a target (1..2**256-1)."""
    return float(Fraction(DIFFICULTY_1_TARGET, target))


def work_of_target(target: int) -> int:
    """Hashes to try until one meets the target, on average. Source: Bitcoin Core, GetBlockProof."""
    return (1 << 256) // (target + 1)
