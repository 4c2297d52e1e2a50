"""LuxOS on an Antminer, TCP 4028: what can be read, rendered as in captured replies.

Joined commands (``summary+devs+pools``) are answered together. One request and one answer per connection.
"""

import time
from collections.abc import Callable
from typing import Any

from mbongi.twin.antminer_rpc import CHAIN_SLOTS, chip_map, clock_text, difficulties, percent
from mbongi.twin.firmware import Reply, encode, json_object, short_difficulty, unix_s, whole
from mbongi.twin.luxos_writes import LuxosWrites, done, refused
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import Fault, PoolEntry, PoolTally

BUILD = "2025.4.8.220305"
COMPILE_TIME = "Tue Apr  8 22:05:35 UTC 2025"
API_VERSION = "3.7"
BOARD_KIND = "BHB56903"
CONNECTORS = ("J7", "J9", "J8")
SIDE_K = 13.0
"""Intake corners of a board read so much less than its exhaust corners, as captured."""
AIR_K = 14.0
"""The exhaust air of a board is so much cooler than its hottest chip (chosen)."""
MILLION = 1e6


class LuxOs:
    """One machine's firmware. Port 4028 knows no password."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine, self.writes = machine, LuxosWrites(machine)
        self.tables: dict[str, Callable[[], dict[str, Any]]] = {
            "version": self._version,
            "summary": self._summary,
            "stats": self._stats,
            "devs": self._devs,
            "devdetails": self._devdetails,
            "pools": self._pools,
            "config": self._config,
            "fans": self._fans,
            "temps": self._temps,
            "power": lambda: done(311, "Power usage", POWER=[{"PSU": False, "Watts": round(machine.power_w)}]),
            "profiles": self.writes.profiles,
            "groups": self.writes.groups,
            "atm": self.writes.atm,
            "tempctrl": lambda: done(
                203, "Temp Control", TEMPCTRL=[{"Mode": "Automatic", "Target": 65, "Hot": 80, "Dangerous": 90}]
            ),
            "events": self._events,
            "session": self.writes.session,
        }

    def answer_rpc(self, request: bytes) -> Reply:
        """One complete request."""
        document = json_object(request.rstrip(b"\0\r\n "))
        self.machine.advance()
        if document is None:
            return Reply(encode(refused(23, "Invalid JSON")))
        command = document.get("command")
        if not isinstance(command, str):
            return Reply(encode(refused(24, "Missing JSON 'command'")))
        parameter = document.get("parameter", "")
        parts = [part.strip() for part in str(parameter).split(",")] if parameter != "" else []
        if self.writes.knows(command):
            return self.writes.answer(command, parts)
        if "+" in command:
            return Reply(encode({name: [self._read(name, [])] for name in command.split("+")} | {"id": 1}))
        return Reply(encode(self._read(command, parts)))

    def _read(self, command: str, parts: list[str]) -> dict[str, Any]:
        if command in {"healthchipget", "voltageget"}:
            board = int(parts[0]) if parts and parts[0].isdigit() else -1
            if not 0 <= board < self.machine.model.boards:
                return refused(14, "Invalid board")
            return self._chips(board) if command == "healthchipget" else self._voltage(board)
        handler = self.tables.get(command)
        return refused(14, "Invalid command") if handler is None else handler()

    # Tables.

    def _version(self) -> dict[str, Any]:
        row = {
            "API": API_VERSION,
            "CompileTime": COMPILE_TIME,
            "LUXminer": f"{BUILD}-57b389c7",
            "Miner": BUILD,
            "Type": self.machine.model.name,
        }
        return done(22, "LUXminer versions", VERSION=[row])

    def _summary(self) -> dict[str, Any]:
        machine = self.machine
        rate, average = round(machine.rate_ths * 1e3, 2), round(machine.average_ths * 1e3, 2)
        taken, refused_difficulty, stale = difficulties(machine.tallies)
        row = {
            "Accepted": machine.accepted,
            "Best Share": whole(machine.best_share),
            "Device Hardware%": 0.0,
            "Device Rejected%": 0.0,
            "Difficulty Accepted": whole(taken),
            "Difficulty Rejected": whole(refused_difficulty),
            "Difficulty Stale": whole(stale),
            "Discarded": 0,
            "Elapsed": int(machine.elapsed_s),
            "Found Blocks": 0,
            **{f"GHS {span}": rate for span in ("5s", "1m", "5m")},
            **{f"GHS {span}": average for span in ("15m", "30m", "24h", "av")},
            "Get Failures": 0,
            "Getworks": int(machine.elapsed_s / 5.3),
            "Hardware Errors": sum(machine.hw_errors),
            "Last getwork": unix_s(),
            "Local Work": 0,
            "Network Blocks": 0,
            "Pool Rejected%": percent(machine.rejected, machine.accepted),
            "Pool Stale%": percent(machine.stale, machine.accepted),
            "Rejected": machine.rejected,
            "Remote Failures": 0,
            "Stale": machine.stale,
            "Total MH": sum(machine.work_th) * MILLION,
            "Utility": 0.0,
            "Work Utility": 0.0,
        }
        return done(11, "Summary", SUMMARY=[row])

    def _devs(self) -> dict[str, Any]:
        rows = [self._dev(board) for board in range(self.machine.model.boards)]
        return done(9, f"{len(rows)} ASC(s)", DEVS=rows)

    def _dev(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        alive, rate = machine.alive(board), machine.rates_ths[board] * MILLION
        elapsed = machine.elapsed_s
        average = machine.work_th[board] / elapsed * MILLION if elapsed >= 1 else 0.0
        share_at = int(machine.last_share_at)
        return {
            "ASC": board,
            "Accepted": machine.accepted // model.boards,
            "Board": BOARD_KIND,
            "Connector": CONNECTORS[board % len(CONNECTORS)],
            "ControllerIPVersionHex": "0x18351835",
            "ControllerIPVersionStr": "N/A",
            "Device Elapsed": int(elapsed),
            "Device Hardware%": 0,
            "Device Rejected%": 0,
            "Diff1 Work": 0,
            "Difficulty Accepted": 0,
            "Difficulty Rejected": 0,
            "Enabled": "Y" if alive else "N",
            "Hardware Error MHS 15m": 0,
            "Hardware Errors": machine.hw_errors[board],
            "ID": board,
            "IsRamping": not machine.asleep and 0 < machine.frequency_share < self.writes.frequency_share - 0.01,
            "IsUserShutdown": machine.asleep,
            "Last Share Difficulty": 0,
            "Last Share Pool": 0,
            "Last Share Time": share_at,
            "Last Valid Work": share_at,
            **{f"MHS {span}": rate for span in ("5s", "1m", "5m")},
            **{f"MHS {span}": average for span in ("15m", "30m", "60m", "av")},
            "Name": "",
            "Nominal MHS": model.board_ths * self.writes.frequency_share * MILLION,
            "Profile": self.writes.profile,
            "Rejected": machine.rejected // model.boards,
            "SerialNumber": machine.board_serials[board],
            "Status": "Alive" if alive else "Dead",
            "Temperature": float(max(self._corners_c(board))),
            "Total MH": machine.work_th[board] * MILLION,
            "Utility": 0,
        }

    def _corners_c(self, board: int) -> list[int]:
        """Exhaust top and bottom, intake top and bottom; zeros where the board is lost."""
        machine = self.machine
        if not machine.alive(board):
            return [0, 0, 0, 0]
        exhaust = max(machine.chip_max_c(board) - AIR_K, machine.inlet_c)
        intake = max(exhaust - SIDE_K, machine.inlet_c)
        return [round(exhaust), round(exhaust), round(intake), round(intake)]

    def _devdetails(self) -> dict[str, Any]:
        rows = [
            {"DEVDETAILS": board, "Driver": "", "ID": board, "Kernel": "", "Model": self.machine.model.name, "Name": ""}
            for board in range(self.machine.model.boards)
        ]
        return done(69, "Device Details", DEVDETAILS=rows)

    def _fans(self) -> dict[str, Any]:
        duty = round(self.machine.duty * 100)
        rows = [
            {"FAN": f"FAN{index + 1}", "ID": index, "RPM": round(rpm / 30) * 30, "Speed": duty}
            for index, rpm in enumerate(self.machine.rpm)
        ]
        return done(202, f"{len(rows)} Fan(s)", FANCTRL=[{"MinFans": 3, "PowerOffSpeed": 20}], FANS=rows)

    def _temps(self) -> dict[str, Any]:
        places = {"TopLeft": "Exhaust (top)", "BottomLeft": "Exhaust (bottom)"}
        places |= {"TopRight": "Intake (top)", "BottomRight": "Intake (bottom)"}
        metadata = {
            name: {"Label": f"Board {label}", "Position": [int("bottom" in label), int("Intake" in label)]}
            for name, label in places.items()
        }
        rows = [
            {"ID": board, "TEMP": board} | dict(zip(places, map(float, self._corners_c(board)), strict=True))
            for board in range(self.machine.model.boards)
        ]
        return done(201, f"{len(rows)} Temp(s)", METADATA=[metadata], TEMPS=rows)

    def _pools(self) -> dict[str, Any]:
        rows = [self._pool(number, pool, group) for number, (pool, group) in enumerate(self.writes.pool_rows())]
        return done(7, f"{len(rows)} Pool(s)", POOLS=rows)

    def _pool(self, number: int, pool: PoolEntry, group: int) -> dict[str, Any]:
        machine = self.machine
        index = machine.pools.index(pool) if pool in machine.pools else -1
        tally = machine.tallies[index] if index >= 0 else PoolTally(is_alive=False)
        used = tally.is_active and not machine.asleep
        address = pool.url.split("://", 1)[-1]
        return {
            "Accepted": tally.accepted,
            "AsicBoost": True,
            "Bad Work": 0,
            "Best Share": whole(tally.best_share),
            "Current Block Height": 0,
            "Current Block Version": 536870912 if used else 0,
            "Diff": short_difficulty(tally.difficulty) if used else "0",
            "Diff1 Shares": whole(tally.difficulty_accepted),
            "Difficulty Accepted": whole(tally.difficulty_accepted),
            "Difficulty Rejected": whole(tally.difficulty_rejected),
            "Difficulty Stale": whole(tally.difficulty_stale),
            "Discarded": 0,
            "GROUP": group,
            "Get Failures": 0,
            "Getworks": int(machine.elapsed_s / 5.3) if used else 0,
            "Has GBT": False,
            "Has Stratum": True,
            "Has Vmask": True,
            "Last Share Difficulty": whole(tally.last_share_difficulty),
            "Last Share Time": clock_text(machine.at - tally.last_share_at) if tally.accepted else "00:00:00",
            "Long Pool": "N",
            "POOL": number,
            "Pool Rejected%": percent(tally.rejected, tally.accepted),
            "Pool Stale%": percent(tally.stale, tally.accepted),
            "Priority": number,
            "Proxy": "",
            "Proxy Type": "",
            "Quota": self.writes.quota(group),
            "Rejected": tally.rejected,
            "Remote Failures": 0,
            "Stale": tally.stale,
            # Asleep it has no connections, and calls every pool dead.
            "Status": tally.status if not machine.asleep else "Dead",
            "Stratum Active": used and machine.works_for(index),
            "Stratum Difficulty": whole(tally.difficulty) if used else 0,
            "Stratum URL": address,
            "URL": pool.url,
            "User": pool.user,
            "Work Difficulty": whole(tally.difficulty) if used else 0,
            "Works": 0,
        }

    def _stats(self) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        frequency = round(model.frequency_mhz * machine.frequency_share, 1)
        row: dict[str, Any] = {
            "Calls": 0,
            "Elapsed": int(machine.elapsed_s),
            "GHS 5s": round(machine.rate_ths * 1e3, 2),
            "GHS av": round(machine.average_ths * 1e3, 2),
            "ID": "BTM_SOC0",
            "Max": 0,
            "Min": 99999999,
            "Mode": 2,
            "STATS": 0,
            "Wait": 0,
            "fan_num": model.fans,
            "frequency": round(frequency),
            "miner_count": sum(machine.alive(board) for board in range(model.boards)),
            "miner_id": machine.mac.replace(":", "").lower(),
            "miner_version": BUILD,
            "no_matching_work": sum(machine.hw_errors),
            "rate_30m": round(machine.average_ths * 1e3, 2),
            "rate_unit": "GH",
            "temp_max": float(max(max(self._corners_c(board)) for board in range(model.boards))),
            "temp_num": model.boards,
            "total rate": round(machine.average_ths * 1e3, 2),
            "total_acn": 4,
            "total_freqavg": frequency,
            "total_rateideal": round(model.hashrate_ths * self.writes.frequency_share * 1e3, 1),
        }
        for index, rpm in enumerate(machine.rpm, start=1):
            row[f"fan{index}"] = round(rpm / 30) * 30
        for slot in range(CHAIN_SLOTS):
            row |= self._chain(slot, frequency)
        kind = {"CompileTime": COMPILE_TIME, "Miner": BUILD, "Type": model.name}
        return done(70, "LUXminer stats", STATS=[kind, row])

    def _chain(self, slot: int, frequency: float) -> dict[str, Any]:
        machine, model, number = self.machine, self.machine.model, slot + 1
        present = slot < model.boards and machine.alive(slot)
        corners = self._corners_c(slot) if present else [0, 0, 0, 0]
        text = "-".join(map(str, corners))
        found: dict[str, Any] = {
            f"chain_acn{number}": model.chips_per_board if present else 0,
            f"chain_acs{number}": chip_map(model.chips_per_board) if present else "",
            f"chain_hw{number}": machine.hw_errors[slot] if present else 0,
            f"chain_rate{number}": f"{machine.rates_ths[slot] * 1e3:.2f}" if present else "0",
            f"freq{number}": frequency if present else 0.0,
            **{f"temp_{part}{number}": text for part in ("chip", "pcb", "pic")},
        }
        if slot < model.boards:
            found |= {f"temp{number}": float(max(corners)), f"temp2_{number}": float(max(corners))}
        return found

    def _config(self) -> dict[str, Any]:
        machine, writes = self.machine, self.writes
        row = {
            "ASC Count": machine.model.boards,
            "BcastAddr": "127.255.255.255",
            "ControlBoardType": "cvitek",
            "Cooling": "Air",
            "CurtailMode": "Sleep" if machine.asleep else "None",
            "DHCP": True,
            "DNS Servers": "",
            "Device Code": "",
            "FPGABuildIdHex": "0x18351835",
            "FPGABuildIdStr": "2018-35-18 35:00",
            "FeeStatus": "Ok",
            "Gateway": "",
            "GreenLed": "auto",
            "Hostname": self.machine.settings.hostname,
            "Hotplug": "None",
            "IPAddr": machine.address,
            "ImmersionMode": False,
            "IsAtmEnabled": self.machine.settings.of("atm_enabled"),
            "IsPowerSupplyOn": not machine.asleep,
            "IsSingleVoltage": True,
            "IsTuning": False,
            "Log Interval": 0,
            "LogFileLevel": "info",
            "MACAddr": machine.mac.lower(),
            "Model": machine.model.name,
            "NameplateTHS": machine.model.hashrate_ths,
            "Netmask": "255.0.0.0",
            "OS": "LuxOS",
            "PGA Count": 0,
            "PSUHwVersion": "75",
            "PSULabel": "APW121215e",
            "Pool Count": len(writes.pool_rows()),
            "Profile": writes.profile,
            "ProfileStep": writes.profile_step,
            "RedLed": "blink" if machine.blinking else "auto",
            "SerialNumber": machine.serial,
            "Strategy": "Failover",
            "SystemStatus": "Normal",
            "UpdateOnStartup": "off",
            "UpdateOnTimeout": "off",
            "UpdateOnUser": "full",
            "UpdateSource": "",
            "UpdateTimeout": 60,
        }
        return done(33, "LUXminer config", CONFIG=[row])

    def _events(self) -> dict[str, Any]:
        machine = self.machine
        found: list[tuple[str, str, str]] = []
        if machine.fault is Fault.BOARD_DEAD:
            found.append(("BOARD_DEAD", "Board is not responding.", "BOARD"))
        if machine.fault is Fault.FAN_DEAD or machine.stopped_by == "fan":
            found.append(("FAN_FAILURE", "Fan is not spinning.", "MINER"))
        if machine.stopped_by == "heat":
            found.append(("OVERHEAT_PROTECTION", "Miner shutdown due to overheat protection.", "MINER"))
        since = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(machine.fault_since))
        rows = [
            {"Code": code, "CreatedAt": since, "Description": text, "DocUrl": "", "Target": target}
            for code, text, target in found
        ]
        return done(357, "Miner Events", EVENTS=rows)

    def _voltage(self, board: int) -> dict[str, Any]:
        volts = self.machine.model.voltage_v if self.machine.rates_ths[board] > 0 else 0.0
        return done(307, "Get Voltage", VOLTAGE=[{"Board": board, "Voltage": volts}])

    def _chips(self, board: int) -> dict[str, Any]:
        machine, model = self.machine, self.machine.model
        chips = model.chips_per_board if machine.alive(board) else 0
        rate = machine.rates_ths[board] * 1e3 / model.chips_per_board
        rows = [
            {
                "Board": board,
                "Chip": chip,
                "Column": chip % 11,
                "Domain": chip // 7,
                "Frequency": round(model.frequency_mhz * machine.frequency_share),
                **{f"GHS {span}": round(rate, 2) for span in ("1m", "5m", "15m")},
                "HashCount": 450,
                "HashExpected": 450,
                "HashMin": 91,
                "Healthy": "Y",
                "IsChecking": False,
                "Row": chip // 11,
                "Score": 100.0,
                "When": unix_s() * 1000,
            }
            for chip in range(chips)
        ]
        return done(308, "Chip Health", CHIPS=rows)
