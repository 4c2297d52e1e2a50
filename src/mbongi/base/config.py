"""Configuration: frozen dataclasses read from ``mbongi.toml`` and ``MBONGI_<SECTION>_<KEY>`` variables.

Only ``run/`` and ``settings.py`` load it; everything else receives the part that it needs as an argument.
The environment wins over the file, the file over the defaults below.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from mbongi.base.config_reader import build, read_toml
from mbongi.base.errors import ConfigError
from mbongi.base.keys import stored_key


@dataclass(frozen=True, slots=True)
class Site:
    """The site itself, and where its state lies."""

    name: str = "Mbongi"
    code: str = "pilot"
    country: str = "CG"
    """Where it stands: two letters of ISO 3166-1, as the public statement of its hashrate names it."""
    timezone: str = "Africa/Brazzaville"
    language: Literal["fr", "en"] = "fr"
    data_dir: Path = Path("var")


@dataclass(frozen=True, slots=True)
class Web:
    """The control room's listener. Loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = 8420
    public_url: str = ""
    """The address that people open, when a proxy stands in front; empty: ``http://localhost:PORT``."""
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Postgres:
    """Relational state. An empty ``url`` runs the embedded server on ``port``."""

    url: str = ""
    port: int = 8432


@dataclass(frozen=True, slots=True)
class Bus:
    """NATS. An empty ``url`` runs the embedded server on ``port``."""

    url: str = ""
    port: int = 8422
    fsync_always: bool = False
    """True survives power loss at about a ninth of the publishing speed; False survives any process's death."""
    bytes_max: int = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The telemetry store. An empty ``url`` runs the embedded engine behind its gateway on ``port``."""

    url: str = ""
    port: int = 8424
    keep_raw_days: int = 30
    keep_minute_days: int = 400
    keep_hour_days: int = 3650
    engine: str = "MergeTree"
    """Table engine clause; ``ReplicatedMergeTree`` on a cluster."""
    memory_bytes_max: int = 2_000_000_000
    query_s_max: int = 30


@dataclass(frozen=True, slots=True)
class Fleet:
    """Where the machines are and how often they are asked."""

    ranges: tuple[str, ...] = ()
    """CIDR ranges to scan, such as ``10.20.0.0/20``."""
    rpc_port: int = 4028
    http_port: int = 80
    framed_port: int = 4433
    """Whatsminers with API 3."""
    report_host: str = "127.0.0.1"
    """Where machines' own reports are heard; broadcasts need 0.0.0.0. Empty: nowhere."""
    report_port: int = 14235
    """UDP, of Antminers and other firmware for them."""
    report_whatsminer_port: int = 8888
    """UDP, of Whatsminers."""
    rotate_at_placement: bool = True
    """Whether a machine with the common password gets one of its own as soon as somebody says where it stands."""
    netbox_url: str = ""
    """Where inventories are imported from, such as https://netbox.site.example; empty: from files only."""
    netbox_token: str = ""
    processes: int = 1
    """Poller processes of this data folder; from 2 on they lease the machines over the bus."""
    workers: int = 200
    """Machines asked at the same time by each process, at most."""
    timeout_s: float = 5.0
    """The longest that one device may hold a worker."""
    actions_at_once: int = 1000
    """Machines written at the same time, at most; those that people ask for one by one are fewer."""
    fast_s: float = 10.0
    slow_s: float = 60.0
    static_s: float = 3600.0
    rescan_s: float = 300.0
    antminer_user: str = "root"
    antminer_password: str = "root"  # noqa: S105 -- the makers' factory setting, which machines are found with
    whatsminer_password: str = "admin"  # noqa: S105 -- the makers' factory setting; signs writes to Whatsminers
    whatsminer_v3_password: str = "super"  # noqa: S105 -- the makers' factory setting of the account ``super``
    vnish_password: str = "admin"  # noqa: S105 -- the firmware's factory setting
    braiins_user: str = "root"
    braiins_password: str = "root"  # noqa: S105 -- the firmware has none at delivery and takes any
    avalon_password: str = "root"  # noqa: S105 -- the makers' factory setting of the user ``root``
    meters: tuple[str, ...] = ()
    """The site's power meters, ``host:port`` of Modbus TCP with SunSpec; their sum is the site's power."""
    ramp_kw_s_max: float = 0.0
    """How fast the site's load may be changed by curtailment; 0 does not limit."""
    position: str = "octets"
    """How an address becomes a position: ``octets`` reads 10.HALL.RACK.SLOT, ``none`` leaves it open."""
    image_bytes_max: int = 256 * 1024 * 1024
    """Of one firmware image."""
    long_tail: bool = False
    """Ask ``pyasic_rs``, where installed, about machines that no own adapter recognises."""


@dataclass(frozen=True, slots=True)
class Facility:
    """The plant."""

    enabled: bool = True
    """Whether ``up`` runs the process that asks its devices."""
    breaker_pct: float = 80.0
    """Of a breaker's rating, what a lasting load may be; NFPA 70 says 80."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """How people are told of the plant's alarms. What is empty is not used, and a notice that needs it says so."""

    smtp_host: str = ""
    """The site's mail relay."""
    smtp_port: int = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_from: str = ""
    """The address that notices come from."""
    webhook_hosts: tuple[str, ...] = ()
    """Where webhooks may go: ``host``, on its usual port, or ``host:port``; none else."""
    webhook_secret: str = ""
    """What receivers know webhooks by."""
    sms_url: str = ""
    """The site's SMS gateway: takes JSON with ``to`` and ``text``."""
    sms_token: str = ""


@dataclass(frozen=True, slots=True)
class Energy:
    """Dispatch of the site's supply."""

    enabled: bool = False
    """Whether ``up`` runs the process that plans it; it hands nothing out before people switch it on."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The mining pool."""

    enabled: bool = True
    """Whether ``up`` runs it."""
    nodes: tuple[str, ...] = ()
    """The site's Bitcoin nodes, best first: http://user:password@host:port. None: the practice chain's node."""
    cookies: tuple[str, ...] = ()
    """Files with a node's user and password, as Bitcoin Core writes them: one for all nodes, or one each in their
    order, ``-`` for a node without. They win over what stands in ``nodes``."""
    zmq: tuple[str, ...] = ()
    """Where each node announces new tips (``zmqpubhashblock``), in the order of ``nodes``; ``-`` for one without."""
    node_quiet_s: float = 7200.0
    """A node whose last block is older is taken for cut off; 0: never, as on practice chains."""
    network: Literal["mainnet", "testnet", "regtest", "regtest-bcoin"] = "regtest-bcoin"
    address: str = ""
    """Where the pool's blocks pay to. Needed on every network but the practice chain."""
    host: str = "127.0.0.1"
    port: int = 3333
    """Stratum V1."""
    v2_port: int = 3336
    """Stratum V2, encrypted; its authority key is in the log."""
    template_provider: str = ""
    """Stratum V2's Template Distribution, beside the first of ``nodes``: stratum2+tcp://host:port/AUTHORITY_KEY. Empty:
    that node's own templates."""
    ipc: str = ""
    """The socket of the first node's own mining interface (Bitcoin Core 30 or 31), not with ``template_provider``."""
    declarations: Literal["off", "full-template", "coinbase-only"] = "off"
    """Whether hosted miners may bring blocks of their own, and whether the pool must see them whole."""
    jd_port: int = 3337
    """Stratum V2's Job Declaration, where ``declarations`` is not off."""
    tag: str = "/Mbongi/"
    """Written into the pool's blocks; at most 40 bytes."""
    difficulty_start: float = 0.0
    """Of a new connection's shares; 0: 16384, on a practice chain what the virtual machines' hashes allow."""
    difficulty_min: float = 0.0
    """No connection's shares are easier; 0: 1, on a practice chain next to nothing."""
    shares_per_minute: float = 6.0
    regtest_port: int = 8428
    """RPC of the practice chain's node, on 127.0.0.1."""
    block_difficulty_min: float = 0.0
    """On a practice chain, where every other hash would be a block: what a hash must reach to be handed in as one.

    0: so that the virtual site finds one every 45 s or so.
    """
    scheme: Literal["pplns", "tides", "solo", "fpps"] = "pplns"
    """How rewards are divided."""
    fee_ppm: int = 0
    """The pool's own part of every reward."""
    window: float = 8.0
    """The work that PPLNS and TIDES divide a reward by, in blocks of the network's present difficulty."""
    coinbase_outputs: int = 0
    """Accounts that a block pays directly, at most; with PPLNS and TIDES. 0: balances and payouts pay all."""
    reserve_sat: int = 0
    """What the operator has put aside to pay FPPS from; entered into the books once for each new value."""
    share_log_days: int = 7
    """How long files of shares stay after they are wholly taken in."""
    minute_days: int = 7
    """How long each worker's minutes stay."""
    proof_days: int = 400
    """How long miners may ask for the proof of a window, and each worker's part of the work stays; the roots stay."""
    tls_port: int = 3334
    """Stratum V1 over TLS, where ``tls_certificate`` is set."""
    tls_certificate: str = ""
    """PEM file of the certificate and those that vouch for it."""
    tls_key: str = ""
    """PEM file of its key."""
    processes: int = 1
    """Processes that take connections. From 2 on ``pool`` makes the work and ``pool-server`` processes share it."""
    shard: int = 0
    """Number of this machine's first such process; each machine of a pool has numbers of its own."""
    follows: bool = False
    """On a further machine: work comes over the bus, and shares go to the first machine over it."""
    without_work_s: float = 20.0
    """So long the last work goes on while no node, or nobody who asks one, is heard; then miners are sent away."""
    connections_max: int = 20_000
    """Of one process, as all limits here."""
    connections_per_address: int = 1_000
    connects_per_s_per_address: float = 100.0
    line_bytes_max: int = 16_384
    bytes_per_s: float = 32_768.0
    """Of one connection."""
    bytes_per_s_per_address: float = 4_000_000.0
    shares_per_s_per_worker: float = 2_000.0
    silent_s: float = 60.0
    """From connecting to the first worker's name."""
    idle_s: float = 3_600.0
    """Without a word from a miner that has work."""
    strikes_max: int = 5
    """So often an address may send nonsense or floods before it is shut out for ``ban_s``."""
    ban_s: float = 600.0
    spend_script: str = ""
    """In hex, what ``address`` is the hash of where it is a script's: the redeem script of p2sh, the witness script of
    p2wsh. Payouts need it to know what a signature weighs."""
    payout_minimum_sat: int = 100_000
    """Balances below it wait, unless their account asks for more."""
    payout_approvals: int = 1
    """How many persons beside the proposer must approve a payout."""
    payout_fee_sat_vb: float = 5.0
    """The fee rate of a payout where its proposer states none."""
    payout_fee_sat_vb_max: float = 200.0
    payout_fee_payer: Literal["recipients", "pool"] = "recipients"
    practice_payouts: bool = True
    """On the practice chain: practice persons propose, approve and sign payouts by themselves."""
    public_accounts: bool = False
    """Whether anybody who knows an account's name may open its page."""
    public_statement: bool = False
    """Whether anybody may fetch the signed statement of the pool's hashrate."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """The translation proxy: miners that speak Stratum V1 behind one encrypted Stratum V2 link."""

    upstreams: tuple[str, ...] = ()
    """The pools, best first: stratum2+tcp://host:port/AUTHORITYKEY."""
    host: str = "127.0.0.1"
    port: int = 3340
    aggregate: bool = False
    """True: one channel for all miners, under the name ``user``; False: a channel for each, under its own name."""
    user: str = "proxy"
    difficulty_start: float = 16_384.0
    difficulty_min: float = 1.0
    shares_per_minute: float = 6.0
    """Of each miner, where miners share a channel; else what a miner's hashrate is guessed from at its start."""
    hold_s: float = 30.0
    """How long miners are kept without a pool; then they are sent away."""
    metrics_port: int = 8430
    """Prometheus, on 127.0.0.1."""
    connections_max: int = 20_000
    connections_per_address: int = 1_000
    connects_per_s_per_address: float = 100.0
    line_bytes_max: int = 16_384
    bytes_per_s: float = 32_768.0
    """Of one connection."""
    bytes_per_s_per_address: float = 4_000_000.0
    silent_s: float = 60.0
    """From connecting to the first worker's name."""
    idle_s: float = 3_600.0
    """Without a word from a miner that has work."""
    strikes_max: int = 5
    """So often an address may send nonsense or floods before it is shut out for ``ban_s``."""
    ban_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Twin:
    """The virtual site."""

    machines: int = 60
    network: str = "127.20.0.0/16"
    per_rack: int = 12
    rpc_port: int = 4028
    http_port: int = 8080
    framed_port: int = 4433
    """Whatsminers with API 3."""
    families: tuple[str, ...] = ()
    """Families of the racks in turn; none: Antminer, Whatsminer, Bitaxe, Antminer, Whatsminer."""
    report_host: str = "127.0.0.1"
    """Where machines' own reports go."""
    report_port: int = 14235
    report_whatsminer_port: int = 8888
    seed: int = 1
    control_port: int = 8426
    """Where faults are set while it runs; 127.0.0.1 only."""
    meter_port: int = 8502
    """Where its power meter answers Modbus TCP, loopback only."""
    plant_port: int = 8430
    """First of five ports where its plant answers, at 127.HALL.255.N: Modbus TCP, SNMP, NUT, BACnet/IP, Redfish; 0: no
    plant."""
    time_scale: float = 1.0
    """How much faster than the world's its time passes: 60 reboots a machine in a second."""
    hash_scale: float = 4.0
    """On the practice chain: hashes really tried for each 10**12 that a machine states; 0: its shares are made up."""
    v2_share: float = 0.5
    """Of the Antminers, how many speak Stratum V2 with the site's pool, as with Braiins' firmware; all others V1."""


@dataclass(frozen=True, slots=True)
class Log:
    """What the processes write about themselves."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    style: Literal["console", "json"] = "console"


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, one part per section of the file."""

    site: Site = field(default_factory=Site)
    web: Web = field(default_factory=Web)
    postgres: Postgres = field(default_factory=Postgres)
    bus: Bus = field(default_factory=Bus)
    telemetry: Telemetry = field(default_factory=Telemetry)
    fleet: Fleet = field(default_factory=Fleet)
    facility: Facility = field(default_factory=Facility)
    alarms: Alarms = field(default_factory=Alarms)
    energy: Energy = field(default_factory=Energy)
    pool: Pool = field(default_factory=Pool)
    proxy: Proxy = field(default_factory=Proxy)
    twin: Twin = field(default_factory=Twin)
    log: Log = field(default_factory=Log)

    @property
    def postgres_url(self) -> str:
        """The configured server, or the embedded one with the key that was made for it."""
        if self.postgres.url:
            return self.postgres.url
        key = quote(stored_key(self.site.data_dir / "secrets" / "postgres.key"), safe="")
        return f"postgresql://mbongi:{key}@127.0.0.1:{self.postgres.port}/mbongi"

    @property
    def bus_url(self) -> str:
        """The configured NATS server, or the embedded one."""
        return self.bus.url or f"nats://127.0.0.1:{self.bus.port}"

    @property
    def telemetry_url(self) -> str:
        """The configured ClickHouse HTTP interface, or the embedded gateway's."""
        return self.telemetry.url or f"http://127.0.0.1:{self.telemetry.port}"

    @property
    def public_url(self) -> str:
        """The address that people open."""
        return self.web.public_url or f"http://localhost:{self.web.port}"


def load_config(environ: Mapping[str, str] = os.environ) -> Config:
    """Read ``$MBONGI_CONFIG`` or ``./mbongi.toml`` (if it is there), then the environment.

    Raises ConfigError naming the file or variable, the key, what was found and what is expected.
    """
    named = environ.get("MBONGI_CONFIG", "")
    path = Path(named or "mbongi.toml")
    if named and not path.is_file():
        raise ConfigError(f"MBONGI_CONFIG: {named}: no such file; name an existing file or unset the variable")
    document = read_toml(path) if path.is_file() else {}
    return build(Config, document, str(path), environ)


def as_environment(config: Config) -> dict[str, str]:
    """The variables that make a child process read the same configuration, whatever its own file says."""
    variables: dict[str, str] = {}
    for part_field in dataclasses.fields(config):
        part = getattr(config, part_field.name)
        for key_field in dataclasses.fields(part):
            value = getattr(part, key_field.name)
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            variables[f"MBONGI_{part_field.name}_{key_field.name}".upper()] = text
    return variables
