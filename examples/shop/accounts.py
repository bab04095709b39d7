"""Log-in of the example shop: no passwords, and user tokens signed with the shop's own Ed25519 key.

The keys that a first start makes are made here too.
"""

import base64
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from joserfc import jwt
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

TOKEN_SECONDS = 3000
SESSIONS_MAX = 10_000
DKIM_BITS = 2048

#: E-mail, first name and what is special, of the first sample customers (examples/shop/sample.py makes them).
SAMPLE_ACCOUNTS = (
    ("ada@example.com", "Ada", "a gold member with many orders"),
    ("ben@example.com", "Ben", "looked at tents, never ordered"),
    ("carla@example.com", "Carla", "waits for an answer from the service: no promotions"),
    ("dev@example.com", "Dev", "has withdrawn his consent"),
)


@dataclass(frozen=True)
class Session:
    """Somebody who is logged in. `visit` names the session to pages, which tell of it once."""

    email: str
    first_name: str = ""
    signed_up: bool = False
    visit: str = field(default_factory=lambda: secrets.token_hex(8))


class Accounts:
    """Sessions in memory; a restart of the shop logs everybody out. Any address may log in."""

    def __init__(self, key_file: Path, site: str) -> None:
        self._key = OKPKey.import_key(key_file.read_text(encoding="utf-8"))
        self._site = site
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._registry = JWSRegistry(algorithms=["EdDSA", "Ed25519"])

    def log_in(self, email: str, first_name: str = "", *, signed_up: bool = False) -> str:
        """Open a session and return its id. Sample customers keep their names."""
        email = email.strip().lower()
        known = {address: name for address, name, _ in SAMPLE_ACCOUNTS}
        session = secrets.token_urlsafe(24)
        self._sessions[session] = Session(email, known.get(email, first_name.strip()), signed_up)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session

    def log_out(self, session: str) -> None:
        self._sessions.pop(session, None)

    def session(self, session: str) -> Session | None:
        """The session of an id."""
        return self._sessions.get(session)

    def user_token(self, email: str) -> str:
        """A short-lived token that vouches for the person to the edges."""
        claims = {"aud": self._site, "sub": f"email:{email}", "exp": int(time.time()) + TOKEN_SECONDS}
        return jwt.encode({"alg": "Ed25519"}, claims, self._key, registry=self._registry)


def make_user_token_key(private: Path, public: Path) -> None:
    """Write a fresh pair as PEM; the private file can be read by its owner only."""
    key = Ed25519PrivateKey.generate()
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def make_dkim_key(private: Path, public: Path, selector: str, domain: str) -> None:
    """Write a fresh RSA key, which every receiver understands, and into the folder `public` what the DNS
    would say of it, under its name."""
    key = generate_private_key(public_exponent=65_537, key_size=DKIM_BITS)
    record = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = f"{selector}._domainkey.{domain}.txt"
    (public / name).write_text(f"v=DKIM1; k=rsa; p={base64.b64encode(record).decode()}\n", encoding="utf-8")
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
