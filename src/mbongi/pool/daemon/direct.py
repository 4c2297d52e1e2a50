"""The outputs of the pool's coinbases: all to the pool, or some to accounts directly, by the accounts' last plan."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mbongi.base.log import get_log
from mbongi.pool.errors import PayoutError
from mbongi.pool.rules.payout.coinbase_plan import PLAN_S_MAX, CoinbasePlan, coinbase_outputs, decode_plan
from mbongi.wire.bitcoin.transaction import TxOut

log = get_log(__name__)


class DirectPayouts:
    """Reads the plan in ``path`` whenever it was replaced; at most ``limit`` accounts are paid directly."""

    def __init__(self, path: Path, pool_script: bytes, *, limit: int, now_s: Callable[[], float]) -> None:
        self._path, self._script, self._limit, self._now_s = path, pool_script, limit, now_s
        self._version = 0
        self._plan: CoinbasePlan | None = None
        self._said = ""

    def outputs(self, value_sat: int) -> Sequence[TxOut]:
        """The outputs of a coinbase worth so much; all to the pool where there is no plan that can be used."""
        try:
            plan = self._current()
            if plan is not None:
                found = coinbase_outputs(plan, value_sat, self._script, limit=self._limit)
                self._said = ""
                return found
        except (OSError, PayoutError) as error:
            self._say(str(error))
        return [TxOut(value_sat, self._script)]

    def _current(self) -> CoinbasePlan | None:
        try:
            version = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if version != self._version:
            self._plan, self._version = None, version
            self._plan = decode_plan(self._path.read_bytes())
        if self._plan is None:
            raise PayoutError("coinbase plan: cannot be used")
        age_s = self._now_s() - self._plan.made_at_ms / 1000
        if age_s > PLAN_S_MAX:
            raise PayoutError(f"coinbase plan: {age_s:.0f} s old; at most {PLAN_S_MAX}")
        return self._plan

    def _say(self, reason: str) -> None:
        if reason and not self._said:
            log.warning("coinbase_pays_the_pool_alone", reason=reason)
        self._said = self._said or reason
