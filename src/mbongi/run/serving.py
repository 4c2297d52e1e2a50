"""What takes miners' connections in one process: the server, its log, its sessions, its ports."""

import asyncio
import contextlib
import dataclasses
import resource
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mbongi.base.config import Config
from mbongi.base.config import Pool as PoolConfig
from mbongi.base.errors import ConfigError
from mbongi.base.log import get_log
from mbongi.pool.daemon.counters import EXTRANONCE_NUMBERS, DurableCounter, Extranonces
from mbongi.pool.daemon.declarator import Declarator
from mbongi.pool.daemon.gate import Limits
from mbongi.pool.daemon.handover import Handover
from mbongi.pool.daemon.job_store import marks_of
from mbongi.pool.daemon.server import JOB_S_MAX, Difficulty, OnBlock, PoolServer
from mbongi.pool.daemon.share_log import ShareLog, shard_folder
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.daemon.v1 import V1Session
from mbongi.pool.rules.job import Job
from mbongi.run.connection_limits import limits_of
from mbongi.run.declaring import custom_jobs_of
from mbongi.wire.noise.certificate import PoolAddress
from mbongi.wire.noise.handshake import Responder

log = get_log(__name__)

LISTEN_LOOK_S: Final = 0.1
SAVE_S: Final = 4.0
"""How old the file of sessions may be."""
CERTIFICATE_LOOK_S: Final = 5.0
PART_S_MAX: Final = 3.0
"""So long a process that stops answers its miners."""


class Serving:
    """One process's part of the pool's connections. It listens while there is work.

    Raises ConfigError where a file of TLS cannot be used.
    """

    def __init__(
        self,
        config: Config,
        clock: SteadyClock,
        *,
        shard: int,
        on_block: OnBlock,
        responder: Callable[[], Responder],
        authority_key: bytes,
    ) -> None:
        self._config, self._responder, self._authority_key = config.pool, responder, authority_key
        folder = config.site.data_dir / "pool"
        self._sessions_file = folder / "sessions" / f"{shard}.sessions"
        numbers = DurableCounter(folder / "sessions" / f"{shard}.extranonces", below=EXTRANONCE_NUMBERS, step=4096)
        shares = shard_folder(folder / "shares", shard)
        self.server = PoolServer(
            ShareLog(shares),
            on_block=on_block,
            difficulty=difficulty_of(config.pool),
            limits=pool_limits(config.pool),
            shard=shard,
            extranonces=Extranonces(shard, numbers),
            clock=clock,
        )
        self.server.custom = custom_jobs_of(config, self.server)
        self.declarator: Declarator | None = None
        """Looks at declared blocks; None in a process that asks no nodes."""
        unix_s = self.server.clock.unix_s()
        self.server.expect(marks_of(shares, since_unix_s=unix_s - JOB_S_MAX))
        resumable = self.server.resumable.read(self._sessions_file)
        log.info("sessions_kept", shard=shard, sessions=resumable)
        shards = range(config.pool.shard, config.pool.shard + config.pool.processes)
        self._shard, self._others = shard, [each for each in shards if each != shard]
        self._tls_read = _versions(config.pool)
        self.tls = tls_of(config.pool)
        self.trouble = ""
        self._troubles = 0
        self._has_work = self._is_parting = False
        _allow_files()

    def take_job(self, job: Job) -> None:
        """New work; with the first, miners may connect: what was restored may be work on a tip of the past."""
        self.server.publish(job)
        self._has_work = True

    def take_trouble(self, reason: str) -> None:
        """Why there is no work, or an empty text when there is again."""
        self.trouble = reason
        self._troubles += bool(reason)
        if reason and self.server.gate.is_listening:
            self._take_no_sessions()
            self.server.gate.send_away(reason)

    def show(self, text: str, worker: str) -> int:
        """Show a message on miners of Stratum V1, all or those of one worker; on how many."""
        sessions = [each for each in self.server.sessions if isinstance(each, V1Session) and each.is_ready]
        chosen = [each for each in sessions if not worker or worker in each.workers]
        for each in chosen:
            each.show(text)
        return len(chosen)

    def reload_tls(self) -> None:
        """Read certificate and key again; what cannot be used is logged, and the former ones stay."""
        if self.tls is None:
            return
        try:
            load_certificate(self.tls, self._config)
        except ConfigError as error:
            log.error("certificate_not_read", error=str(error))  # noqa: TRY400
        else:
            log.info("certificate_read", file=self._config.tls_certificate)

    async def run(self) -> None:
        """Listen and keep everything up to date, until cancelled."""
        await asyncio.gather(self.server.run(), self._keep_listening(), self._keep_sessions(), self._keep_tls())

    async def stop(self) -> None:
        """Part from the miners, keep their sessions for the next process, close."""
        self._is_parting = True
        await self.server.part(within_s=PART_S_MAX)
        await self.server.save_sessions(self._sessions_file)
        self.server.log.close()

    @property
    def _may_listen(self) -> bool:
        return self._has_work and not self.trouble and not self._is_parting

    async def _keep_listening(self) -> None:
        while True:
            if self._may_listen and not self.server.gate.is_listening:
                troubles = self._troubles
                await self._listen()
                if troubles != self._troubles or not self._may_listen:
                    # Trouble in the midst of it closed only what was open by then: all ports, or none.
                    self._take_no_sessions()
                    self.server.gate.send_away(self.trouble or "trouble as ports were opened")
            await asyncio.sleep(LISTEN_LOOK_S)

    def _take_sessions(self) -> None:
        """Others may pass miners on to here: not before there is work, which else those would wait for."""
        if self._others and self.server.handover is None:
            folder = self._sessions_file.parent
            self.server.handover = Handover(folder, self._shard, self._others, self.server.take_over)

    def _take_no_sessions(self) -> None:
        if self.server.handover is not None:
            self.server.handover.close()
            self.server.handover = None

    async def _listen(self) -> None:
        pool = self._config
        self._take_sessions()
        port = await self.server.listen(pool.host, pool.port)
        v2_port = await self.server.listen_v2(pool.host, pool.v2_port, self._responder)
        if self.tls is not None:
            await self.server.listen(pool.host, pool.tls_port, tls=self.tls)
        if self.declarator is not None:
            await self.server.listen_declarations(pool.host, pool.jd_port, self._responder, self.declarator)
        url = PoolAddress(pool.host, v2_port, self._authority_key).url()
        log.info("pool_listens", host=pool.host, port=port, v2=url, tls=self.tls is not None)

    async def _keep_sessions(self) -> None:
        while True:
            await asyncio.sleep(SAVE_S)
            await self.server.save_sessions(self._sessions_file)

    async def _keep_tls(self) -> None:
        """Read renewed files once both have been left alone from one look to the next."""
        looked = self._tls_read
        while self.tls is not None:
            await asyncio.sleep(CERTIFICATE_LOOK_S)
            found = _versions(self._config)
            if found == looked != self._tls_read:
                self._tls_read = found
                self.reload_tls()
            looked = found


def difficulty_of(pool: PoolConfig) -> Difficulty:
    """How hard shares are."""
    return Difficulty(
        start=pool.difficulty_start, minimum=pool.difficulty_min, shares_per_minute=pool.shares_per_minute
    )


def pool_limits(pool: PoolConfig) -> Limits:
    """What connections, addresses and workers may use."""
    return dataclasses.replace(limits_of(pool), shares_per_s_per_worker=pool.shares_per_s_per_worker)


def tls_of(pool: PoolConfig) -> ssl.SSLContext | None:
    """What connections on the TLS port begin with; None where there is none. Raises ConfigError."""
    if not pool.tls_certificate:
        if pool.tls_key:
            raise ConfigError("pool.tls_key: set, but pool.tls_certificate is empty; expected both or neither")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, pool)
    return context


def load_certificate(context: ssl.SSLContext, pool: PoolConfig) -> None:
    """Use the configured files for connections from now on. Raises ConfigError; then the former ones stay."""
    for key, name in (("pool.tls_certificate", pool.tls_certificate), ("pool.tls_key", pool.tls_key)):
        if not name:
            raise ConfigError(f"{key}: empty; expected a PEM file, as the other of the two is set")
        try:
            Path(name).read_bytes()
        except OSError as error:
            raise ConfigError(f"{key}: {name}: cannot be read: {error.strerror}; expected a PEM file") from error
    try:
        # First into a context of its own, for a pair that does not fit would leave half of itself in the one in use.
        for each in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            each.load_cert_chain(pool.tls_certificate, pool.tls_key, password=_no_password)
    except (ssl.SSLError, ValueError, OSError) as error:
        raise ConfigError(
            f"pool.tls_certificate {pool.tls_certificate} with pool.tls_key {pool.tls_key}: {error}; "
            "expected a PEM certificate and its own key without a password"
        ) from error


def _versions(pool: PoolConfig) -> list[tuple[int, int, int] | None]:
    """What tells a renewed certificate or key from the one before; None for a file that is not there."""
    found: list[tuple[int, int, int] | None] = []
    for name in (pool.tls_certificate, pool.tls_key):
        try:
            file = Path(name).stat()
        except OSError:
            found.append(None)
        else:
            found.append((file.st_mtime_ns, file.st_ino, file.st_size))
    return found


def _no_password() -> str:
    """Without it OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted")


def _allow_files() -> None:
    """As many open files as the system lets this process have; each connection is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
