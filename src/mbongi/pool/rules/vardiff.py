"""The share difficulty of one channel, so that its shares come at the stated rate. Pure: no clock, no sockets.

Shares of a steady miner are a Poisson process. All shares since the connection or the last change of its hashrate, at
whatever difficulty they were found, are one sample of its rate. The difficulty follows at once where a few shares show
that the guess was far off, and is set again when the sample has 12, 24, 48 and 96 shares, each time only if it is off
by more than chance explains. All the while two cumulative sums of log-likelihood ratios (Page's test) ask whether the
rate has become RATIO times the goal, or that part of it. A sum that reaches EVIDENCE is more than chance, and what came
since it last was zero, the likeliest moment of the change, is the next sample. So a steady miner keeps its difficulty
although its shares come by chance, and a change is measured by what followed it. A channel keeps a dozen numbers.

Source of the test: E. S. Page, "Continuous Inspection Schemes", Biometrika 41 (1954).
"""

import math
from typing import Final

from mbongi.pool.errors import DifficultyError

SHARES_PER_MINUTE: Final = 6.0
"""The goal unless the configuration says otherwise: enough to tell within minutes what a machine does."""
HASHES_PER_DIFFICULTY: Final = float(1 << 48) / 0xFFFF
"""Hashes to try for one share of difficulty 1, on average."""
RATIO: Final = 3.0
EVIDENCE: Final = 13.0
"""A log-likelihood ratio. Of 2,700 simulated hours of steady work, each begun half an hour after the connection, 73 saw
the difficulty move at all and 13 more than twice."""
FIRST_LOOK_SHARES: Final = 12.0
LAST_LOOK_SHARES: Final = 96.0
OFF_DEVIATIONS: Final = 1.8
"""A look moves the difficulty where the rate is off by that many standard deviations of its logarithm (1 / sqrt n)."""
OFF_MIN: Final = math.log(1.3)
"""And by more than rounding to rungs can cause."""
FLOOD_SHARES: Final = 10.0
"""Before the first look: so many raise the difficulty where they came FLOOD_RATIO times too fast."""
FLOOD_RATIO: Final = 4.0
SILENCE: Final = 4.0
"""Before the first look: as many shares expected and none come lower the difficulty."""
SILENCE_PER_SHARE: Final = 2.5
"""And so many more for each that came."""
ALARM_SHRINK: Final = 0.7
"""Where chance passed for a rise, the rate since then shows too large: it is taken lower by these deviations."""
IDLE_FALL_MAX: Final = 64.0
"""How far silence alone lowers what a share has proven; a machine that wakes then floods us for an instant at most."""

_LN_RATIO: Final = math.log(RATIO)
_UP_EXPECTED: Final = RATIO - 1
_DOWN_EXPECTED: Final = 1 - 1 / RATIO
_DIFFICULTY_MIN: Final = 2.0**-32
_DIFFICULTY_MAX: Final = 2.0**192


def rung(difficulty: float) -> float:
    """The nearest difficulty (by ratio) of the ladder 1, 1.5, 2, 3, 4, 6, 8 ... and on below 1.

    Its steps are exact in binary, and so few that machines of one model mostly share a value.
    """
    mantissa, exponent = math.frexp(difficulty)
    if mantissa < 0.6123724356957945:  # the geometric mean of 1/2 and 3/4
        return math.ldexp(0.5, exponent)
    if mantissa < 0.8660254037844386:  # of 3/4 and 1
        return math.ldexp(0.75, exponent)
    return math.ldexp(1.0, exponent)


def difficulty_of_hashrate(hashrate_hs: float, shares_per_minute: float = SHARES_PER_MINUTE) -> float:
    """The difficulty at which a hashrate [hashes/s, > 0] finds that many shares a minute on average."""
    return hashrate_hs * 60.0 / (shares_per_minute * HASHES_PER_DIFFICULTY)


class Vardiff:
    """The difficulty of one channel.

    ``difficulty`` is the value in force. Call ``share`` for every share that proves work (stale ones too, they are a
    sign of life) and ``idle`` at ``falls_at_s`` or from time to time; both return the new value where it changes, None
    where it stays. Times are seconds of any one monotonic clock; a step back counts as no time.

    ``minimum`` is the port's, the client's may raise it (``require``); a bound that is no rung is used as it is.
    """

    __slots__ = (
        "_down",
        "_down_expected",
        "_down_shares",
        "_expected",
        "_goal_hz",
        "_maximum",
        "_minimum",
        "_next_look",
        "_proven",
        "_seen_s",
        "_shares",
        "_up",
        "_up_expected",
        "_up_shares",
        "difficulty",
    )

    def __init__(
        self,
        now_s: float,
        *,
        start: float,
        minimum: float,
        maximum: float,
        shares_per_minute: float = SHARES_PER_MINUTE,
    ) -> None:
        if not _DIFFICULTY_MIN <= minimum <= maximum <= _DIFFICULTY_MAX:
            raise DifficultyError(f"difficulty bounds {minimum}..{maximum}: expected 2**-32 <= minimum <= maximum")
        if not 0.01 <= shares_per_minute <= 6000:
            raise DifficultyError(f"goal of {shares_per_minute} shares a minute: expected 0.01..6000")
        self._goal_hz = shares_per_minute / 60.0
        self._minimum = minimum
        self._maximum = maximum
        self._proven: float | None = None
        self._shares = self._expected = self._next_look = 0.0
        self._up = self._up_shares = self._up_expected = 0.0
        self._down = self._down_shares = self._down_expected = 0.0
        self._seen_s = now_s
        self.difficulty: float = min(max(_valid(start), minimum), maximum)
        self._restart(now_s)

    def share(self, now_s: float, difficulty: float) -> float | None:
        """Count a share that was found under ``difficulty``, which may still be an earlier one."""
        before = self.difficulty
        expected = (now_s - self._seen_s) * self._goal_hz
        if expected > 0.0:
            down = self._down + _DOWN_EXPECTED * expected
            if (down >= EVIDENCE or self._shares < FIRST_LOOK_SHARES) and self._is_silence(expected):
                self._break_silence(now_s, expected)
            else:
                self._seen_s = now_s
                self._expected += expected
                self._down = down
                self._down_expected += expected
                up = self._up - _UP_EXPECTED * expected
                if up > 0.0:
                    self._up = up
                    self._up_expected += expected
                else:
                    self._up = self._up_shares = self._up_expected = 0.0
        self._proven = difficulty
        # Of a share found under an easier difficulty, the part that the present one would have made of it.
        weight = 1.0 if difficulty >= self.difficulty else difficulty / self.difficulty
        self._shares += weight
        self._up += _LN_RATIO * weight
        self._up_shares += weight
        down = self._down - _LN_RATIO * weight
        if down > 0.0:
            self._down = down
            self._down_shares += weight
        else:
            self._down = self._down_shares = self._down_expected = 0.0
        too_fast = self._up >= EVIDENCE and self.difficulty < self._maximum
        if too_fast or self._shares < FIRST_LOOK_SHARES or self._shares >= self._next_look:
            self._judge()
        return None if self.difficulty == before else self.difficulty

    def idle(self, now_s: float) -> float | None:
        """Fall where no share came for longer than chance explains."""
        expected = (now_s - self._seen_s) * self._goal_hz
        if self.difficulty <= self._floor() or not self._is_silence(expected):
            return None
        before = self.difficulty
        self._fall(now_s, expected)
        return None if self.difficulty == before else self.difficulty

    @property
    def minimum(self) -> float:
        """No easier work is given: the port's minimum, or the client's own."""
        return self._minimum

    @property
    def falls_at_s(self) -> float:
        """When ``idle`` will lower the difficulty if no share comes before; infinite where it can fall no further."""
        if self.difficulty <= self._floor():
            return math.inf
        expected = (EVIDENCE - self._down) / _DOWN_EXPECTED
        if self._shares < FIRST_LOOK_SHARES:
            expected = min(expected, SILENCE + SILENCE_PER_SHARE * self._shares - self._expected)
        # A microsecond more, so that rounding does not call too early.
        return self._seen_s + max(expected, 0.0) / self._goal_hz + 1e-6

    def suggest(self, now_s: float, difficulty: float) -> float | None:
        """Begin anew from the client's guess (mining.suggest_difficulty, a channel's nominal hashrate)."""
        before = self.difficulty
        self.difficulty = self._bounded(rung(_valid(difficulty)))
        self._restart(now_s)
        return None if self.difficulty == before else self.difficulty

    def require(self, now_s: float, minimum: float) -> float | None:
        """Take on the client's own minimum (BIP 310 minimum-difficulty, a channel's max_target).

        It never goes below the port's minimum nor above its maximum.
        """
        self._minimum = min(max(self._minimum, _valid(minimum)), self._maximum)
        if self.difficulty >= self._minimum:
            return None
        self.difficulty = self._minimum
        self._restart(now_s)
        return self.difficulty

    def _judge(self) -> None:
        """After a share: rise if it comes too fast, look if it is time to."""
        if self._up >= EVIDENCE and self.difficulty < self._maximum:
            self._sample(self._up_shares, self._up_expected)
            self._rise(shrink=math.exp(-ALARM_SHRINK / math.sqrt(self._shares)))
        elif self._shares >= self._next_look:
            self._look()
        elif self._shares >= FLOOD_SHARES and self._shares - 1.0 >= FLOOD_RATIO * self._expected:
            self._rise(shrink=1.0)

    def _look(self) -> None:
        """Set what is off by more than chance now that the rate is known from twice as many shares as last time."""
        shares = self._shares
        self._next_look = 2 * self._next_look if self._next_look < LAST_LOOK_SHARES else math.inf
        rate = (shares - 1.0) / max(self._expected, 1e-9)
        if abs(math.log(rate)) > max(OFF_MIN, OFF_DEVIATIONS / math.sqrt(shares)):
            self._move(rate)

    def _rise(self, shrink: float) -> None:
        # The n-th share ends the n-1-th interval between shares: so the estimate has no bias.
        self._move(max((self._shares - 1.0) / max(self._expected, 1e-9) * shrink, 1.0))

    def _is_silence(self, expected: float) -> bool:
        """Whether chance does not explain that nothing came while so many shares were expected."""
        if self._down + _DOWN_EXPECTED * expected >= EVIDENCE:
            return True
        return (
            self._shares < FIRST_LOOK_SHARES and self._expected + expected >= SILENCE + SILENCE_PER_SHARE * self._shares
        )

    def _break_silence(self, now_s: float, expected: float) -> None:
        if self.difficulty <= self._floor():
            self._restart(now_s)  # It slept at the lowest difficulty; how long says nothing of its rate now.
        else:
            self._fall(now_s, expected)

    def _fall(self, now_s: float, expected: float) -> None:
        if self._down + _DOWN_EXPECTED * expected >= EVIDENCE:
            self._sample(self._down_shares, self._down_expected)
        self._expected += expected
        self._seen_s = now_s
        floor = self._floor()
        rate = (self._shares + 1.0) / self._expected
        self._move(max(min(rate, 1.0), floor / self.difficulty))

    def _floor(self) -> float:
        if self._proven is None:
            return self._minimum
        return max(self._minimum, self._bounded(rung(self._proven / IDLE_FALL_MAX)))

    def _move(self, ratio: float) -> None:
        """Go to the rung nearest to so many times the present difficulty; what is known stays known."""
        difficulty = self._bounded(rung(self.difficulty * ratio))
        self._expected *= difficulty / self.difficulty
        self.difficulty = difficulty
        self._up = self._up_shares = self._up_expected = 0.0
        self._down = self._down_shares = self._down_expected = 0.0

    def _sample(self, shares: float, expected: float) -> None:
        """Begin anew with what came since a change."""
        self._shares, self._expected = shares, expected
        look = FIRST_LOOK_SHARES
        while look <= shares:
            look *= 2
        self._next_look = look if look <= LAST_LOOK_SHARES else math.inf

    def _bounded(self, difficulty: float) -> float:
        return min(max(difficulty, self._minimum), self._maximum)

    def _restart(self, now_s: float) -> None:
        self._seen_s = now_s
        self._sample(0.0, 0.0)
        self._up = self._up_shares = self._up_expected = 0.0
        self._down = self._down_shares = self._down_expected = 0.0


def _valid(difficulty: float) -> float:
    if not _DIFFICULTY_MIN <= difficulty <= _DIFFICULTY_MAX:
        raise DifficultyError(f"difficulty {difficulty}: expected 2**-32..2**192")
    return difficulty
