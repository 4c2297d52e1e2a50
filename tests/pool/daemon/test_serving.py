"""The TLS port, and what cannot be used for it."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mbongi.base.config import Config, Pool, Site
from mbongi.base.errors import ConfigError
from mbongi.pool.daemon.steady_clock import SteadyClock
from mbongi.pool.rules.custom import CustomCoinbase
from mbongi.run import serving
from mbongi.run.pool_identity import Identity
from mbongi.run.serving import Serving, tls_of
from tests.embedded import free_ports
from tests.pool.daemon.test_server import EASY, job
from tests.pool.practice import Miner


def write_pair(folder: Path, name: str, *, password: bytes = b"") -> tuple[str, str]:
    """A certificate for ``name`` and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    (folder / "pool.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "pool.key").write_bytes(private)
    return str(folder / "pool.pem"), str(folder / "pool.key")


def shown_name(miner: Miner) -> str:
    """The name in the certificate that a miner was shown."""
    shown = x509.load_der_x509_certificate(miner.certificate)
    return str(shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


class Bed:
    """What one process serves miners with, on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        certificate, key = write_pair(folder, "first.example")
        port, v2_port, tls_port = free_ports(3)
        pool = Pool(
            port=port,
            v2_port=v2_port,
            tls_port=tls_port,
            tls_certificate=certificate,
            tls_key=key,
            declarations="coinbase-only",
            difficulty_start=EASY,
            difficulty_min=EASY,
        )
        self.config = Config(site=Site(data_dir=folder / "var"), pool=pool)
        identity = Identity(folder / "var" / "secrets")
        self.serving = Serving(
            self.config,
            SteadyClock(),
            shard=0,
            on_block=lambda *_: None,
            responder=identity.responder,
            authority_key=identity.authority_key,
        )

    async def connect(self) -> tuple[Miner, str]:
        """A miner over TLS, and the name in the certificate that it was shown."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        miner = await Miner.connect(self.config.pool.tls_port, tls=context)
        return miner, shown_name(miner)


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    made.serving.take_job(job(made.serving.server))
    task = asyncio.create_task(made.serving.run())
    async with asyncio.timeout(20):
        while not made.serving.server.gate.is_listening:  # noqa: ASYNC110 -- it looks for work now and then
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)  # the ports after the first
    yield made
    await made.serving.stop()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_trouble_while_ports_are_opened_leaves_none_of_them_open_alone(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving, listen_v2 = bed.serving, bed.serving.server.listen_v2
    troubles = iter([True])

    async def in_trouble(*arguments: Any) -> int:
        if next(troubles, False):
            serving.take_trouble("no node")
            serving.take_trouble("")
        return await listen_v2(*arguments)

    monkeypatch.setattr(serving.server, "listen_v2", in_trouble)
    serving.take_trouble("no node")
    serving.take_trouble("")
    miner = None
    async with asyncio.timeout(20):
        while miner is None:
            with contextlib.suppress(OSError):
                miner = await Miner.connect(bed.config.pool.port)
            await asyncio.sleep(0.02)

    assert next(troubles, None) is None
    assert (await miner.submit(miner.solve()))["result"] is True
    miner.close()


async def test_the_age_of_a_custom_job_is_taken_by_the_clock_that_its_shares_are_judged_by(bed: Bed) -> None:
    server = bed.serving.server
    server.clock._offset_s += 3 * 3600  # as after a machine's wrong clock was set right
    current, custom = server.current_job, server.custom
    assert current is not None
    assert custom is not None
    coinbase = CustomCoinbase.of_fields(
        version=2, script_start=b"\x02\xf4\x01", sequence=0xFFFF_FFFF, outputs=custom.outputs, lock_time=0
    )

    made = custom.unnumbered(current.template, coinbase)

    assert made.made_at_s == pytest.approx(server.now_s(), abs=600)


async def test_a_miner_mines_over_tls_as_it_would_without(bed: Bed) -> None:
    miner, name = await bed.connect()
    plain = await Miner.connect(bed.config.pool.port)
    answers = [await each.submit(each.solve()) for each in (miner, plain)]

    assert name == "first.example"
    assert [answer["result"] for answer in answers] == [True, True]
    for each in (miner, plain):
        each.close()


async def test_a_renewed_certificate_is_shown_from_then_on_and_a_bad_one_changes_nothing(bed: Bed) -> None:
    before, _name = await bed.connect()
    write_pair(bed.folder, "second.example")
    bed.serving.reload_tls()
    renewed, name = await bed.connect()
    (bed.folder / "pool.key").write_text("nonsense")
    bed.serving.reload_tls()
    after, name_after = await bed.connect()

    assert (name, name_after) == ("second.example", "second.example")
    assert (await before.submit(before.solve()))["result"] is True
    for each in (before, renewed, after):
        each.close()


async def test_what_speaks_no_tls_there_is_let_go_and_others_mine_on(bed: Bed) -> None:
    miner, _name = await bed.connect()
    reader, writer = await asyncio.open_connection("127.0.0.1", bed.config.pool.tls_port)
    writer.write(b'{"id":1,"method":"mining.subscribe","params":[]}\n' * 10)
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            await reader.read()
    writer.close()

    assert (await miner.submit(miner.solve()))["result"] is True
    miner.close()


async def test_renewed_files_are_read_without_being_told_once_both_are_there(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (bed.folder / "pool.key").read_bytes()
    write_pair(bed.folder, "second.example")
    renewed = (bed.folder / "pool.key").read_bytes()
    (bed.folder / "pool.key").write_bytes(key)  # the new one is late
    monkeypatch.setattr(serving, "CERTIFICATE_LOOK_S", 0.05)
    keeping = asyncio.create_task(bed.serving._keep_tls())
    await asyncio.sleep(0.3)
    early, early_name = await bed.connect()
    (bed.folder / "pool.key").write_bytes(renewed)
    late, name = await bed.connect()
    async with asyncio.timeout(20):
        while name != "second.example":
            late.close()
            late, name = await bed.connect()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)

    assert early_name == "first.example"
    assert (await early.submit(early.solve()))["result"] is True
    for each in (early, late):
        each.close()


def test_files_that_cannot_be_used_are_named_with_the_cure(tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "a.example")
    (tmp_path / "other").mkdir()
    _other, other_key = write_pair(tmp_path / "other", "b.example")
    (tmp_path / "hidden").mkdir()
    _hidden, hidden_key = write_pair(tmp_path / "hidden", "c.example", password=b"secret")

    def refusal(certificate: str, key: str) -> str:
        with pytest.raises(ConfigError) as error:
            tls_of(Pool(tls_certificate=certificate, tls_key=key))
        return str(error.value)

    assert tls_of(Pool()) is None
    assert "both or neither" in refusal("", key)
    assert "pool.tls_key: empty" in refusal(certificate, "")
    assert "cannot be read: No such file" in refusal(str(tmp_path / "none.pem"), key)
    assert "its own key" in refusal(certificate, other_key)
    assert "without a password" in refusal(certificate, hidden_key)
    assert "its own key" in refusal(key, key)
