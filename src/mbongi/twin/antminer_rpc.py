"""The cgminer API of a stock Antminer on TCP 4028, rendered as in captured replies.

One request and one answer per connection, the answer ends in NUL. Joined commands (``a+b``) are refused as the S19
and S21 do.
"""

from collections.abc import Callable
from typing import Any

from mbongi.twin.firmware import Reply, encode, host_and_port, json_object, short_difficulty, unix_s, whole
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Phase, PoolTally

COMPILE_TIME = "Thu Oct  9 18:55:45 CST 2025"
MINER_VERSION = "uart_trans.1.3"
DESCRIPTION = "cgminer 1.0.0"
SENSOR_OFFSETS_K = (-10.0, -8.0, 5.0, 8.0)
"""Four sensors a board, the first two at the inlet; the captured boards show this pattern."""
CHAIN_SLOTS = 4
ASIC_MAP_OK = " ooo"


def board_sensors_c(machine: VirtualMachine, board: int) -> list[int]:
    """The board's four chip sensors, whole degrees; zeros where the board is lost."""
    if not machine.alive(board):
        return [0, 0, 0, 0]
    share = min(machine.powers_w[board] / machine.model.board_power_w, 1.2)
    return [round(machine.temps_c[board] + offset * share) for offset in SENSOR_OFFSETS_K]


class AntminerRpc:
    """Answers one machine's cgminer commands."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine = machine
        self.commands: dict[str, Callable[[], dict[str, Any]]] = {
            "version": self._version,
            "summary": self._summary,
            "stats": self._stats,
            "pools": self._pools,
            "devs": self._devs,
            "config": self._config,
        }
        self.miner_id = f"{machine.random.randrange(16**16):016x}"

    def answer(self, request: bytes) -> Reply:
        """One complete request."""
        document = json_object(request.rstrip(b"\0\r\n "))
        if document is None:
            return Reply(self._end({"STATUS": [self._status("E", 23, "Invalid JSON")], "id": 1}))
        command = document.get("command")
        if not isinstance(command, str):
            return Reply(self._end({"STATUS": [self._status("E", 24, "Missing JSON 'command'")], "id": 1}))
        handler = self.commands.get(command)
        if handler is None:
            return Reply(self._end({"STATUS": [self._status("E", 14, "Invalid command")], "id": 1}))
        self.machine.advance()
        return Reply(self._end({**handler(), "id": 1}))

    @staticmethod
    def _end(document: dict[str, Any]) -> bytes:
        return encode(document) + b"\0"

    @staticmethod
    def _status(letter: str, code: int, message: str) -> dict[str, Any]:
        return {"STATUS": letter, "When": unix_s(), "Code": code, "Msg": message, "Description": DESCRIPTION}

    @property
    def _silent(self) -> bool:
        return self.machine.phase is Phase.SLEEPING

    def _version(self) -> dict[str, Any]:
        return {
            "STATUS": [self._status("S", 22, "CGMiner versions")],
            "VERSION": [
                {
                    "BMMiner": "1.0.0",
                    "API": "3.1",
                    "Miner": MINER_VERSION,
                    "CompileTime": COMPILE_TIME,
                    "Type": self.machine.model.name,
                }
            ],
        }

    def _summary(self) -> dict[str, Any]:
        return {
            "STATUS": [self._status("S", 11, "Summary")],
            "SUMMARY": [] if self._silent else [self._summary_row()],
        }

    def _summary_row(self) -> dict[str, Any]:
        machine = self.machine
        elapsed = machine.elapsed_s
        minutes = max(elapsed / 60.0, 1 / 60)
        taken, refused, late = difficulties(machine.tallies)
        works = int(elapsed * 90)
        return {
            "Elapsed": int(elapsed),
            "GHS 5s": round(machine.rate_ths * 1e3, 2),
            "GHS av": round(machine.average_ths * 1e3, 2),
            "GHS 30m": round(machine.average_ths * 1e3, 2),
            "Found Blocks": 0,
            "Getwork": int(elapsed / 12.8),
            "Accepted": machine.accepted,
            "Rejected": machine.rejected,
            "Hardware Errors": sum(machine.hw_errors),
            "Utility": round(machine.accepted / minutes, 2),
            "Discarded": works,
            "Stale": machine.stale,
            "Get Failures": 0,
            "Local Work": works + int(elapsed / 12.8),
            "Remote Failures": 0,
            "Network Blocks": int(elapsed / 600),
            "Total MH": round(sum(machine.work_th) * 1e6, 0),
            "Work Utility": round(taken / minutes, 2),
            "Difficulty Accepted": taken,
            "Difficulty Rejected": refused,
            "Difficulty Stale": late,
            "Best Share": whole(machine.best_share),
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Pool Rejected%": percent(machine.rejected, machine.accepted),
            "Pool Stale%": percent(machine.stale, machine.accepted),
            "Last getwork": unix_s(),
        }

    def _stats(self) -> dict[str, Any]:
        kind: dict[str, Any] = self._version()["VERSION"][0]
        del kind["API"]
        rows = [] if self._silent else [kind, self._stats_row()]
        return {"STATUS": [self._status("S", 70, "CGMiner stats")], "STATS": rows}

    def _stats_row(self) -> dict[str, Any]:
        machine = self.machine
        model = machine.model
        frequency = round(model.frequency_mhz * machine.frequency_share)
        alive = [board for board in range(model.boards) if machine.alive(board)]
        average = round(machine.average_ths * 1e3, 2)
        row: dict[str, Any] = {
            "STATS": 0,
            "ID": "BTM_SOC0",
            "Elapsed": int(machine.elapsed_s),
            "Calls": 0,
            "Wait": 0,
            "Max": 0,
            "Min": 99999999,
            "GHS 5s": round(machine.rate_ths * 1e3, 2),
            "GHS av": average,
            "rate_30m": average,
            "Mode": 2,
            "miner_count": len(alive),
            "frequency": frequency,
            "fan_num": model.fans,
            "temp_num": len(alive),
        }
        for index, rpm in enumerate(machine.rpm, start=1):
            row[f"fan{index}"] = round(rpm / 10) * 10
        for slot in range(CHAIN_SLOTS):
            row.update(self._chain(slot, frequency, present=slot in alive))
        hottest = [max(board_sensors_c(machine, board)) for board in range(model.boards)]
        for index, temp in enumerate(hottest, start=1):
            row[f"temp{index}"] = max(temp - 5, 0)
            row[f"temp2_{index}"] = temp
        row |= {
            "total_rateideal": round(model.hashrate_ths * 1e3, 1),
            "rate_unit": "GH",
            "total_freqavg": frequency,
            "total_acn": model.chips_per_board * len(alive),
            "total rate": average,
            "temp_max": 0,
            "no_matching_work": sum(machine.hw_errors),
            "miner_version": MINER_VERSION,
            "miner_id": self.miner_id,
        }
        return row

    def _chain(self, slot: int, frequency: int, *, present: bool) -> dict[str, Any]:
        number, machine = slot + 1, self.machine
        chips = machine.model.chips_per_board if present else 0
        sensors = board_sensors_c(machine, slot) if present else [0, 0, 0, 0]
        return {
            f"chain_acn{number}": chips,
            f"chain_acs{number}": chip_map(chips),
            f"chain_hw{number}": machine.hw_errors[slot] if present else 0,
            f"chain_rate{number}": f"{machine.rates_ths[slot] * 1e3:.2f}" if present else "",
            f"freq{number}": frequency if present else 0,
            f"temp_chip{number}": "-".join(map(str, sensors)),
            f"temp_pcb{number}": "-".join(str(max(temp - 5, 0)) for temp in sensors),
            f"temp_pic{number}": "-".join(str(max(temp - 15, 0)) for temp in sensors),
        }

    def _pools(self) -> dict[str, Any]:
        rows = [self._pool(index) for index, pool in enumerate(self.machine.pools) if pool.url]
        return {"STATUS": [self._status("S", 7, f"{len(rows)} Pool(s)")], "POOLS": [] if self._silent else rows}

    def _pool(self, index: int) -> dict[str, Any]:
        machine, pool, tally = self.machine, self.machine.pools[index], self.machine.tallies[index]
        used = tally.is_active
        return {
            "POOL": index,
            "URL": pool.url,
            "Status": tally.status,
            "Priority": index,
            "Quota": 1,
            "Long Poll": "N",
            "Getworks": int(machine.elapsed_s / 12.8) if used else 3,
            "Accepted": tally.accepted,
            "Rejected": tally.rejected,
            "Discarded": int(machine.elapsed_s * 90) if used else 0,
            "Stale": tally.stale,
            "Get Failures": 0,
            "Remote Failures": 0,
            "User": pool.user,
            "Last Share Time": clock_text(machine.at - tally.last_share_at) if tally.accepted else "0",
            "Diff": short_difficulty(tally.difficulty) if used else "",
            "Diff1 Shares": 0,
            "Proxy Type": "",
            "Proxy": "",
            "Difficulty Accepted": float(tally.difficulty_accepted),
            "Difficulty Rejected": float(tally.difficulty_rejected),
            "Difficulty Stale": float(tally.difficulty_stale),
            "Last Share Difficulty": float(tally.last_share_difficulty),
            "Has Stratum": True,
            "Stratum Active": machine.works_for(index),
            "Stratum URL": host_and_port(pool.url)[0] if used else "",
            "Has GBT": False,
            "Best Share": float(tally.best_share),
            "Pool Rejected%": percent(tally.rejected, tally.accepted),
            "Pool Stale%%": percent(tally.stale, tally.accepted),
        }

    def _devs(self) -> dict[str, Any]:
        machine = self.machine
        share_at = int(machine.last_share_at)
        taken, refused, _ = difficulties(machine.tallies)
        row = {
            "ASC": 0,
            "Name": "BTM_SOC",
            "ID": 0,
            "Enabled": "Y",
            "Status": "Alive",
            "Tenperature": 0.0,
            "MHS av": 0.0,
            "MHS 5s": 0.0,
            "Accepted": machine.accepted,
            "Rejected": machine.rejected,
            "Hardware Errors": 0,
            "Utility": 0.0,
            "Last Share Pool": 0,
            "Last Share Time": share_at,
            "Total MH": 0.0,
            "Diff1 Work": 0,
            "Difficulty Accepted": whole(taken),
            "Difficulty Rejected": whole(refused),
            "Last Share Difficulty": share_at,
            "Last Valid Work": share_at,
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Device Elapsed": int(machine.elapsed_s),
        }
        return {"STATUS": [self._status("S", 9, "1 ASC(s)")], "DEVS": [] if self._silent else [row]}

    def _config(self) -> dict[str, Any]:
        row = {
            "ASC Count": 1,
            "PGA Count": 0,
            "Pool Count": sum(1 for pool in self.machine.pools if pool.url),
            "Strategy": "Failover",
            "Log Interval": 5,
            "Device Code": "BTM_SOC",
            "OS": "Linux",
        }
        return {"STATUS": [self._status("S", 33, "CGMiner config")], "CONFIG": [row]}


def chip_map(chips: int) -> str:
    """One letter for each chip that answers, as ``chain_acs`` shows them."""
    whole, rest = divmod(chips, 3)
    return ASIC_MAP_OK * whole + (" " + "o" * rest if rest else "")


def difficulties(tallies: list[PoolTally]) -> tuple[float, float, float]:
    """Over all pools: of shares taken, refused, and late."""
    return (
        float(sum(tally.difficulty_accepted for tally in tallies)),
        float(sum(tally.difficulty_rejected for tally in tallies)),
        float(sum(tally.difficulty_stale for tally in tallies)),
    )


def percent(part: float, rest: float) -> float:
    """A part of the whole that it makes with the rest [%]; 0 of nothing."""
    return round(100.0 * part / (part + rest), 4) if part + rest else 0.0


def clock_text(age_s: float) -> str:
    """An age as hours, minutes and seconds."""
    seconds = max(int(age_s), 0)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
