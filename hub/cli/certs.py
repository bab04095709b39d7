"""`onevoice certs`: an own certificate authority and a certificate for the hub."""

import argparse
import datetime as dt
import ipaddress
import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hub.cli.arguments import json_option
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 825
#: Clocks of edges may be behind.
BACKDATED: Final = dt.timedelta(minutes=5)
HOSTS: Final = ("localhost", "127.0.0.1", "::1")
OWNER_ONLY: Final = 0o600

Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "certs",
        parents=[json_option()],
        help="make a certificate authority (once) and a certificate for the hub (no hub needed)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("certs"), metavar="DIR", help="folder to write to (default certs)"
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help=f"further host name or IP address of the hub; {', '.join(HOSTS)} are always in it",
    )
    parser.set_defaults(run=certs)


def certs(arguments: argparse.Namespace, output: Output) -> int:
    """Write ca.pem, ca.key, hub.pem and hub.key; an authority that is there goes on being used."""
    folder: Path = arguments.out
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(folder)
        _hub_certificate(folder, authority, [*HOSTS, *arguments.host])
    except OSError as error:
        raise CommandError(f"{folder}: expected a folder to write to, got {error}") from error
    paths = {name: str(folder / name) for name in ("ca.pem", "hub.pem", "hub.key")}
    output.show(
        {"ca": paths["ca.pem"], "certificate": paths["hub.pem"], "key": paths["hub.key"]},
        [
            f"hub: ONEVOICE_TLS_CERTIFICATE={paths['hub.pem']} ONEVOICE_TLS_KEY={paths['hub.key']}",
            f"edges and `onevoice`: {paths['ca.pem']}; keep {folder / 'ca.key'} away from the hub",
        ],
    )
    return DONE


def _authority(folder: Path) -> Signer:
    certificate_path, key_path = folder / "ca.pem", folder / "ca.key"
    if certificate_path.exists() and key_path.exists():
        return _load(certificate_path, key_path)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Onevoice certificate authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key.public_key(), AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(certificate_path, key_path, certificate, key)
    return certificate, key


def _hub_certificate(folder: Path, authority: Signer, hosts: list[str]) -> None:
    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Onevoice hub")])
    certificate = (
        _builder(name, issuer.subject, key.public_key(), CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)]), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    _write(folder / "hub.pem", folder / "hub.key", certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise UsageError(f"--host: expected a host name or an IP address, got {text!r}") from error


def _load(certificate_path: Path, key_path: Path) -> Signer:
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise CommandError(
            f"{certificate_path.parent}: expected ca.pem and ca.key of `onevoice certs`, got others"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
        raise CommandError(f"{key_path}: expected the private key of {certificate_path}, got another")
    return certificate, key


def _write(
    certificate_path: Path, key_path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
