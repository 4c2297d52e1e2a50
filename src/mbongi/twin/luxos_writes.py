"""LuxOS' writes: one session for the whole machine, pools in groups, profiles, curtailment.

A session is no protection, it only keeps programs from writing at the same time: ``logon`` gives it to one, and it
ends 60 s after its last use. Which commands need it, and the codes: the maker's public documents and tools; what those
leave open is marked as chosen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mbongi.twin.errors import WriteRefusedError
from mbongi.twin.firmware import Reply, encode, unix_s
from mbongi.twin.machine import VirtualMachine
from mbongi.twin.values import POOL_COUNT, PoolEntry

DESCRIPTION = "LUXminer 2025.4.8.220305-57b389c7"
SESSION_S = 60.0
CODE_BUSY, CODE_NO_SESSION = 402, 403
"""The second is chosen: the documents give no code for a command with a wrong session."""
STEP_MHZ = 25
STEPS_DOWN = 16
POOLS_HELD_MAX = 16
ATM_POST_RAMP_S = 60.0
"""With ATM on, another profile stands so long, and then ATM's own goes on (one minute in the maker's test data)."""
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
Write = Callable[[list[str]], Reply]


class WriteError(ValueError):
    """A write whose parameters cannot be used."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pools that share the work by quota with other groups."""

    name: str
    quota: float


def status(letter: str, code: int, message: str) -> list[dict[str, Any]]:
    """The status of every answer."""
    return [{"Code": code, "Description": DESCRIPTION, "Msg": message, "STATUS": letter, "When": unix_s()}]


def done(code: int, message: str, **rows: Any) -> dict[str, Any]:
    """An answer with its rows."""
    return {**rows, "STATUS": status("S", code, message), "id": 1}


def refused(code: int, message: str) -> dict[str, Any]:
    """An answer that says why not."""
    return {"STATUS": status("E", code, message), "id": 1}


class LuxosWrites:
    """The write side of one machine, and the settings that only LuxOS has."""

    def __init__(self, machine: VirtualMachine) -> None:
        self.machine = machine
        machine.deliver(
            hostname="LuxOS",
            atm_enabled=False,
            profile="default",
            groups=(Group("Default", 1.0),),
            group_of={},
            # Pools beyond the three that the machine's miner program uses, as while they are being replaced.
            waiting=(),
        )
        self._profile_at = machine.clock()
        self._session, self._used_at = "", 0.0
        self._plain: dict[str, Write] = {
            "logon": self._logon,
            "addpool": self._addpool,
            "removepool": self._removepool,
            "addgroup": self._addgroup,
            "removegroup": self._removegroup,
            "groupquota": self._groupquota,
        }
        self._in_session: dict[str, Write] = {
            "logoff": self._logoff,
            "curtail": self._curtail,
            "profileset": self._profileset,
            "atmset": self._atmset,
            "ledset": self._ledset,
            "rebootdevice": self._rebootdevice,
            "resetminer": self._resetminer,
        }

    def knows(self, command: str) -> bool:
        """Whether a command is a write."""
        return command in self._plain or command in self._in_session

    def answer(self, command: str, parts: list[str]) -> Reply:
        """Answer a write."""
        try:
            if command in self._plain:
                return self._plain[command](parts)
            if not self.session_id or not parts or parts[0] != self.session_id:
                return Reply(encode(refused(CODE_NO_SESSION, "Invalid session")))
            self._used_at = self.machine.clock()
            return self._in_session[command](parts[1:])
        except WriteError as error:
            return Reply(encode(refused(400, str(error))))
        except WriteRefusedError:
            return Reply(encode(refused(400, "Command failed")))

    # Sessions.

    @property
    def session_id(self) -> str:
        """The session under way; empty where there is none."""
        if self._session and self.machine.clock() - self._used_at > SESSION_S:
            self._session = ""
        return self._session

    def session(self) -> dict[str, Any]:
        """Answer ``session``."""
        return done(315, "Session information", SESSION=[{"SessionID": self.session_id}])

    def hold_session(self) -> str:
        """Log on as another program would, for drills; the session's name."""
        self._session = "".join(self.machine.random.choices(_ALPHABET, k=8))
        self._used_at = self.machine.clock()
        return self._session

    def _logon(self, _: list[str]) -> Reply:
        if self.session_id:
            return Reply(encode(refused(CODE_BUSY, "Another session is active")))
        return Reply(encode(done(316, "Session created", SESSION=[{"SessionID": self.hold_session()}])))

    def _logoff(self, _: list[str]) -> Reply:
        self._session = ""
        return Reply(encode(done(317, "Session terminated")))

    # Pools.

    def pool_rows(self) -> list[tuple[PoolEntry, int]]:
        """Every configured pool with its group, the preferred first."""
        return [(pool, self.machine.settings.of("group_of").get(pool, 0)) for pool in self._all() if pool.url]

    def groups(self) -> dict[str, Any]:
        """Answer ``groups``."""
        rows = [{"GROUP": number, "Name": one.name, "Quota": one.quota} for number, one in enumerate(self._groups)]
        return done(324, f"{len(rows)} Group(s)", GROUPS=rows)

    def quota(self, group: int) -> float:
        """A group's share of the work."""
        return self._groups[group].quota if group < len(self._groups) else 1.0

    @property
    def _groups(self) -> tuple[Group, ...]:
        return tuple(self.machine.settings.of("groups"))

    def _all(self) -> list[PoolEntry]:
        return [pool for pool in self.machine.pools if pool.url] + list(self.machine.settings.of("waiting"))

    def _put(self, rows: list[tuple[PoolEntry, int]], **wanted: Any) -> None:
        """Replace all pools, each with its group."""
        pools = tuple(pool for pool, _ in rows)
        wanted |= {"pools": pools[:POOL_COUNT], "waiting": pools[POOL_COUNT:], "group_of": dict(rows)}
        self.machine.change(**wanted)

    def _addpool(self, parts: list[str]) -> Reply:
        if not 2 <= len(parts) <= 4 or not parts[0]:
            raise WriteError("addpool: expected URL,USER,PASSWORD and perhaps GROUP")
        url, user, password = (*parts, "", "")[:3]
        group = _number(parts[3]) if len(parts) == 4 else 0
        pools = self._all()
        if not 0 <= group < len(self._groups):
            raise WriteError("addpool: no such group")
        if len(pools) >= POOLS_HELD_MAX:
            raise WriteError("addpool: too many pools")
        pool = PoolEntry(url, user, password)
        # The same pool twice is one row here: it moves to the end.
        rows = [row for row in self.pool_rows() if row[0] != pool]
        self._put([*rows, (pool, group)])
        return Reply(encode(done(55, f"Added pool {len(rows)}: '{url}'")))

    def _removepool(self, parts: list[str]) -> Reply:
        rows, number = self.pool_rows(), _number(parts[0] if parts else "")
        if not 0 <= number < len(rows):
            raise WriteError("removepool: no such pool")
        removed, _ = rows.pop(number)
        self._put(rows)
        return Reply(encode(done(68, f"Removed pool {number}: '{removed.url}'")))

    def _addgroup(self, parts: list[str]) -> Reply:
        if len(parts) != 2 or not parts[0]:
            raise WriteError("addgroup: expected NAME,QUOTA")
        groups = (*self._groups, Group(parts[0], float(_number(parts[1]))))
        self.machine.change(groups=groups)
        return Reply(encode(done(325, f"Added group {len(groups) - 1}")))

    def _removegroup(self, parts: list[str]) -> Reply:
        number = _number(parts[0] if parts else "")
        if not 0 <= number < len(self._groups):
            raise WriteError("removegroup: no such group")
        rows = [(pool, group - (group > number)) for pool, group in self.pool_rows() if group != number]
        self._put(rows, groups=tuple(one for index, one in enumerate(self._groups) if index != number))
        return Reply(encode(done(326, f"Removed group {number}")))

    def _groupquota(self, parts: list[str]) -> Reply:
        number = _number(parts[0] if parts else "")
        if len(parts) != 2 or not 0 <= number < len(self._groups):
            raise WriteError("groupquota: expected GROUP,QUOTA")
        changed = Group(self._groups[number].name, float(_number(parts[1])))
        groups = tuple(changed if index == number else one for index, one in enumerate(self._groups))
        self.machine.change(groups=groups)
        return Reply(encode(done(327, f"Group {number} changed")))

    # Power.

    @property
    def profile(self) -> str:
        """The profile in force; ATM takes back what was set over its head."""
        settings = self.machine.settings
        stood_s = self.machine.clock() - self._profile_at
        if settings.of("atm_enabled") and settings.of("profile") != "default" and stood_s > ATM_POST_RAMP_S:
            self.machine.apply(**self._with_profile("default"))
        return str(self.machine.settings.of("profile"))

    @property
    def frequency_share(self) -> float:
        """The frequency of the profile in force over the nominal."""
        return self._share(self.profile)

    @property
    def profile_step(self) -> str:
        """How many steps the profile in force lies below the default, as ``-12``."""
        return str(-self._names().index(self.profile))

    def profiles(self) -> dict[str, Any]:
        """Answer ``profiles``: those from the default down. Overclocking ones are left out (chosen)."""
        model = self.machine.model
        rows = [
            {
                "CanRestore": True,
                "Frequency": round(model.frequency_mhz) - step * STEP_MHZ,
                "HasOverrides": False,
                "Hashrate": round(model.hashrate_ths * self._share(name), 1),
                "IsDynamic": True,
                "IsTuned": name == self.machine.settings.of("profile"),
                "Profile Name": name,
                "Step": str(-step),
                "Voltage": model.voltage_v,
                "Watts": round(self._watts(name)),
            }
            for step, name in reversed(list(enumerate(self._names())))
        ]
        return done(323, f"{len(rows)} Profile(s)", PROFILES=rows)

    def atm(self) -> dict[str, Any]:
        """Answer ``atm``: thermal management that chooses the profile by itself."""
        row = {
            "Enabled": self.machine.settings.of("atm_enabled"),
            "MaxProfile": "default",
            "MinProfile": "",
            "PostRampMinutes": round(ATM_POST_RAMP_S / 60),
            "StartupMinutes": 1,
            "TempWindow": 3.0,
        }
        return done(339, "ATM", ATM=[row])

    def _names(self) -> list[str]:
        nominal = round(self.machine.model.frequency_mhz)
        return ["default", *(f"{nominal - step * STEP_MHZ}MHz" for step in range(1, STEPS_DOWN + 1))]

    def _share(self, name: str) -> float:
        nominal = round(self.machine.model.frequency_mhz)
        return 1.0 - self._names().index(name) * STEP_MHZ / nominal

    def _watts(self, name: str) -> float:
        return self.machine.model.power_at_w(self._share(name))

    def _with_profile(self, name: str) -> dict[str, Any]:
        return {"profile": name, "power_limit_w": self._watts(name)}

    def _profileset(self, parts: list[str]) -> Reply:
        if len(parts) != 1 or parts[0] not in self._names():
            raise WriteError("profileset: no such profile")
        self.machine.change(**self._with_profile(parts[0]))
        self._profile_at = self.machine.clock()
        rows = [
            {"Board": board, "FrequencyStep": 0, "Profile": parts[0], "VoltageStep": 0}
            for board in range(self.machine.model.boards)
        ]
        return Reply(encode(done(321, "Profile Set", PROFILE=rows)))

    def _atmset(self, parts: list[str]) -> Reply:
        for part in parts:
            name, _, value = part.partition("=")
            if name == "enabled" and value.lower() in {"true", "false"}:
                self.machine.change(atm_enabled=value.lower() == "true")
        return Reply(encode(done(340, "ATM set")))

    def _curtail(self, parts: list[str]) -> Reply:
        match parts:
            case ["sleep"]:
                self.machine.change(asleep=True, restarts=True)
                action = "sleep mode"
            case ["wakeup"]:
                self.machine.change(asleep=False, restarts=True)
                action = "wake up"
            case _:
                raise WriteError("curtail: expected sleep or wakeup")
        return Reply(encode(done(335, "Curtailment command sent", CURTAIL=[{"Action": action}])))

    def _ledset(self, parts: list[str]) -> Reply:
        if len(parts) != 2 or parts[0] not in {"red", "green"} or parts[1] not in {"blink", "auto", "on", "off"}:
            raise WriteError("ledset: expected red or green, and blink, auto, on or off")
        if parts[0] == "red":
            self.machine.change(blinking=parts[1] in {"blink", "on"})
        return Reply(encode(done(313, "LED set")))

    def _rebootdevice(self, _: list[str]) -> Reply:
        self.machine.change(then=self.machine.reboot)
        return Reply(encode(done(309, "Rebooting device")))

    def _resetminer(self, _: list[str]) -> Reply:
        self.machine.change(restarts=True)
        return Reply(encode(done(310, "Resetting miner")))


def _number(text: str) -> int:
    if not text.isdigit():
        raise WriteError("expected a number")
    return int(text)
