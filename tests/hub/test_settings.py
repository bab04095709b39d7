"""Settings: options and environment, secrets, what is refused and how; the keys of the data folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.sealing import seal, unseal
from hub.errors import SettingsError
from hub.keys import open_keys
from hub.options import read, variable
from hub.settings import Settings, is_loopback

KEY = "a-key-that-is-long-enough"


def settings(*arguments: str, **environment: str) -> Settings:
    return read(Settings, "onevoice-hub", arguments, environment)


def test_every_option_is_an_environment_variable_and_the_option_wins() -> None:
    found = settings("--grpc-port", "9001", ONEVOICE_GRPC_PORT="9002", ONEVOICE_HTTP_PORT="9003")
    assert (found.grpc_port, found.http_port) == (9001, 9003)
    assert settings().grpc_port == 8200


def test_help_lists_options_and_variables(capsys: pytest.CaptureFixture[str]) -> None:
    import dataclasses

    with pytest.raises(SystemExit) as caught:
        settings("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        assert variable(field) in text
        assert f"--{field.name.replace('_', '-')}" in text


def test_secrets_come_from_the_environment_or_a_file_and_never_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}-1\n{KEY}-2\n")
    assert settings(ONEVOICE_SERVER_KEYS=KEY).server_keys == (KEY,)
    assert settings(ONEVOICE_SERVER_KEYS_FILE=str(file)).server_keys == (f"{KEY}-1", f"{KEY}-2")
    assert settings("--server-keys-file", str(file)).server_keys == (f"{KEY}-1", f"{KEY}-2")
    with pytest.raises(SystemExit) as caught:
        settings("--server-keys", KEY)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ONEVOICE_GRPC_PORT": "x"}, r"ONEVOICE_GRPC_PORT: expected a port from 0 to 65535.*, got 'x'"),
        ({"ONEVOICE_GRPC_PORT": "65536"}, "ONEVOICE_GRPC_PORT: expected a port"),
        ({"ONEVOICE_SMTP_HOST": "mx.example"}, "ONEVOICE_MAIL_DOMAIN: expected a domain"),
        ({"ONEVOICE_BOUNCE_PORT": "25"}, "ONEVOICE_MAIL_DOMAIN: expected a domain"),
        ({"ONEVOICE_SMTP_TLS": "maybe"}, "ONEVOICE_SMTP_TLS: expected none, starttls or tls"),
        ({"ONEVOICE_PUBLIC_URL": "shop.example"}, "ONEVOICE_PUBLIC_URL: expected an http"),
        ({"ONEVOICE_SMTP_USERNAME": "shop"}, "ONEVOICE_SMTP_USERNAME: expected ONEVOICE_SMTP_PASSWORD"),
        (
            {
                "ONEVOICE_SMTP_HOST": "mx.example",
                "ONEVOICE_MAIL_DOMAIN": "shop.example",
                "ONEVOICE_SMTP_TLS": "none",
                "ONEVOICE_SMTP_USERNAME": "shop",
                "ONEVOICE_SMTP_PASSWORD": "not to be told",
            },
            "ONEVOICE_SMTP_TLS: expected starttls or tls where a password leaves this machine",
        ),
        (
            {
                "ONEVOICE_SMTP_HOST": "127.0.0.1",
                "ONEVOICE_MAIL_DOMAIN": "shop.example",
                "ONEVOICE_HTTP_HOST": "0.0.0.0",
            },
            "ONEVOICE_PUBLIC_URL: expected how the outside reaches the hub",
        ),
        ({"ONEVOICE_NODE": "a b"}, "ONEVOICE_NODE: expected 1 to 64 letters"),
        ({"ONEVOICE_DATA_DIR": ""}, "ONEVOICE_DATA_DIR: expected a folder"),
        ({"ONEVOICE_ALLOW_TIME_TRAVEL": "maybe"}, "ONEVOICE_ALLOW_TIME_TRAVEL: expected true or false"),
        ({"ONEVOICE_LOG_LEVEL": "loud"}, "ONEVOICE_LOG_LEVEL: expected debug"),
        ({"ONEVOICE_DECIDE_CONCURRENCY": "0"}, "ONEVOICE_DECIDE_CONCURRENCY: expected a number from 1"),
        ({"ONEVOICE_GRPC_HOST": "0.0.0.0"}, "ONEVOICE_GRPC_HOST: expected a loopback address"),
        ({"ONEVOICE_TLS_KEY": "/nowhere"}, "ONEVOICE_TLS_CERTIFICATE: expected ONEVOICE_TLS_KEY with it"),
        ({"ONEVOICE_USER_TOKEN_KEYS": "a,b,c"}, "ONEVOICE_USER_TOKEN_KEYS: expected one or two files"),
        ({"ONEVOICE_SERVER_KEYS_FILE": "/nowhere"}, "ONEVOICE_SERVER_KEYS_FILE: expected a readable file"),
        (
            {"ONEVOICE_SERVER_KEYS": KEY, "ONEVOICE_SERVER_KEYS_FILE": "/nowhere"},
            "ONEVOICE_SERVER_KEYS: expected either",
        ),
        ({"ONEVOICE_DATABASE_URL": "postgresql://db/onevoice"}, "ONEVOICE_NATS_URL: expected a nats"),
    ],
)
def test_a_bad_value_is_refused_with_key_value_and_form(environment: Mapping[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONEVOICE_SERVER_KEYS", "secret123"),
        ("ONEVOICE_IDENTIFIER_KEY", "secret123"),
        ("ONEVOICE_DATABASE_URL", "mysql://user:secret123@db/x"),
        ("ONEVOICE_NATS_URL", "http://user:secret123@nats"),
    ],
)
def test_a_secret_is_never_repeated(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: expected .*, got {len(value)} characters") as caught:
        settings(**{name: value})
    assert "secret123" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("hub.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = open_keys(Settings(data_dir=tmp_path))
    again = open_keys(Settings(data_dir=tmp_path))
    assert first.signing_public == again.signing_public
    assert first.identifier == again.identifier
    assert first.api == again.api
    assert unseal(again.sealing_private, seal(first.sealing_public, b"x")) == b"x"
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "keys").glob("*.key")}
    assert modes == dict.fromkeys(
        (
            "signing.key",
            "sealing.key",
            "identifier.key",
            "links.key",
            "server.key",
            "operator.key",
            "edge.key",
        ),
        0o600,
    )
    assert (tmp_path / "keys" / "signing.pub").read_text().strip() == first.signing_public.hex()
    assert "object at" in repr(first)


def test_keys_that_are_set_are_not_made(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"server_keys": (KEY,), "identifier_key": bytes(32)}
    keys = open_keys(Settings(data_dir=tmp_path, **fields))
    assert keys.api["server"] == (KEY,)
    assert keys.identifier == bytes(32)
    assert not (tmp_path / "keys" / "server.key").exists()


@pytest.mark.parametrize("text", ["", "zz", "00" * 31])
def test_a_damaged_key_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    open_keys(Settings(data_dir=tmp_path))
    (tmp_path / "keys" / "signing.key").write_text(text)
    with pytest.raises(SettingsError, match=r"signing.key: expected 32 bytes in hex"):
        open_keys(Settings(data_dir=tmp_path))


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    open_keys(Settings(data_dir=tmp_path))
    (tmp_path / "keys" / "operator.key").chmod(0o644)
    with pytest.raises(SettingsError, match=r"operator.key: expected a file that only its owner can read"):
        open_keys(Settings(data_dir=tmp_path))


def test_the_handbook_lists_every_setting_of_both_services() -> None:
    import dataclasses

    from edge.settings import Settings as EdgeSettings

    text = (Path(__file__).resolve().parent.parent.parent / "docs" / "operations.md").read_text()
    hub, edge = text.split("## Settings of an edge")
    for part, kind in ((hub, Settings), (edge, EdgeSettings)):
        for field in dataclasses.fields(kind):
            secret = " (secret)" if field.metadata["secret"] else ""
            form = (
                f"| `{variable(field)}`{secret} | {field.metadata['help']} | {field.metadata['expected']} |"
            )
            assert form in part, f"docs/operations.md lacks {form}"
