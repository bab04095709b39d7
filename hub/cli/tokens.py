"""`onevoice token`: keys of user tokens, user tokens for tests and small shops, API keys."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from core.identifiers import KNOWN_TYPES, parse
from core.user_token import ALGORITHMS, LIFETIME_SECONDS_MAX
from hub.cli.arguments import json_option, number_between, person
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands
from hub.keys import ROLES, make_api_key

OWNER_ONLY: Final = 0o600
LIFETIME_SECONDS_DEFAULT: Final = 900
PRIVATE, PUBLIC = "user-token.private.jwk", "user-token.public.jwk"


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add_parser("token", help="make user tokens, their keys, and API keys (no hub needed)")
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    keys = kinds.add_parser(
        "keys", parents=[json_option()], help="make a pair of Ed25519 keys for user tokens"
    )
    keys.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder to write to")
    keys.set_defaults(run=make_keys)
    user = kinds.add_parser(
        "user", parents=[json_option()], help="make a user token, as the site's server does"
    )
    user.add_argument("person", type=person, metavar="PERSON", help="id:, loyalty:, email: or phone:")
    user.add_argument("--key", type=Path, required=True, metavar="FILE", help=f"the private key ({PRIVATE})")
    user.add_argument("--site", default="onevoice", metavar="NAME", help="the site's name (default onevoice)")
    user.add_argument(
        "--lifetime",
        type=number_between(1, LIFETIME_SECONDS_MAX),
        default=LIFETIME_SECONDS_DEFAULT,
        metavar="SECONDS",
        help=f"at most {LIFETIME_SECONDS_MAX}, default {LIFETIME_SECONDS_DEFAULT}",
    )
    user.set_defaults(run=make_user_token)
    api = kinds.add_parser("api", parents=[json_option()], help="make an API key")
    api.add_argument("role", choices=(*ROLES, "site"), help="who will call with it")
    api.set_defaults(run=make_key)


def make_keys(arguments: argparse.Namespace, output: Output) -> int:
    """Write the two JWK files; a private key that is there is never replaced."""
    private, public = arguments.out / PRIVATE, arguments.out / PUBLIC
    key = OKPKey.generate_key("Ed25519")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(descriptor, "w") as file:
            json.dump(key.as_dict(private=True), file)
        public.write_text(json.dumps(key.as_dict(private=False)), encoding="utf-8")
    except FileExistsError as error:
        raise CommandError(f"{private}: expected no file there, got one; move it away first") from error
    except OSError as error:
        raise CommandError(f"{arguments.out}: expected a folder to write to, got {error}") from error
    output.show(
        {"private": str(private), "public": str(public)},
        [f"site's server: {private}", f"hub and edges: ONEVOICE_USER_TOKEN_KEYS={public}"],
    )
    return DONE


def make_user_token(arguments: argparse.Namespace, output: Output) -> int:
    """Sign a token for one person."""
    kind, value = parse(arguments.person)
    if kind not in KNOWN_TYPES:
        raise UsageError(f"PERSON: expected one of {', '.join(sorted(KNOWN_TYPES))}, got {kind}")
    now = int(time.time())
    claims = {
        "aud": arguments.site,
        "sub": f"{kind}:{value}",
        "iat": now,
        "exp": now + arguments.lifetime,
    }
    algorithm = ALGORITHMS[-1]
    token = jwt.encode({"alg": algorithm}, claims, _private_key(arguments.key), algorithms=[algorithm])
    output.show({"token": token, "expires_at": now + arguments.lifetime}, [token])
    return DONE


def make_key(arguments: argparse.Namespace, output: Output) -> int:
    """Draw an API key."""
    key = make_api_key(arguments.role)
    output.show({"role": arguments.role, "key": key}, [key])
    return DONE


def _private_key(path: Path) -> OKPKey:
    expected = f"{path}: expected an Ed25519 private key as JWK or PEM"
    try:
        text = path.read_text(encoding="utf-8").strip()
        key = OKPKey.import_key(json.loads(text) if text.startswith("{") else text)
    except OSError as error:
        raise UsageError(f"{expected}, got {error}") from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{expected}, got other text") from error
    if not key.is_private or key.curve_name != "Ed25519":
        raise UsageError(f"{expected}, got another key")
    return key
