"""What stands in deploy/ is understood by the programs that it is for."""

import configparser
import datetime
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.*"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and its key under every name that the examples use."""
    folder = tmp_path_factory.mktemp("nats")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for one in ("hub.pem", "site.pem", "sites-ca.pem", "hub-ca.pem"):
        (folder / one).write_bytes(made.public_bytes(serialization.Encoding.PEM))
    for one in ("hub.key", "site.key"):
        (folder / one).write_bytes(private)
    return folder


@pytest.mark.parametrize("name", ["hub.conf", "leaf.conf"])
def test_nats_accepts_the_settings_of_hub_and_leaf(certificate: Path, name: str) -> None:
    text = (ROOT / "deploy/nats" / name).read_text(encoding="utf-8")
    path = certificate / name
    path.write_text(text.replace("/etc/nats", str(certificate)).replace("/srv/", f"{certificate}/srv/"))

    result = subprocess.run(
        [str(Path(sys.executable).with_name("nats-server")), "-t", "-c", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_well_formed_and_start_commands_that_there_are(path: Path) -> None:
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(path.read_text(encoding="utf-8"))

    assert unit.get("Unit", "Description")
    assert unit.has_section("Install")
    if path.suffix == ".service":
        assert unit.get("Service", "ExecStart").startswith("/srv/mbongi/app/mbongi ")
