"""Settings: what is asked for, what is refused, and in which words."""

import subprocess
import sys
from pathlib import Path

import pytest

from edge import options
from edge.errors import SettingsError
from edge.main import check_files
from edge.settings import Settings

GOOD = {
    "ONEVOICE_HUB_SIGNING_KEY": "11" * 32,
    "ONEVOICE_EDGE_KEY": "edge-key-1234567890",
    "ONEVOICE_IDENTIFIER_KEY": "22" * 32,
}


def read(*arguments: str, **changed: str) -> Settings:
    environment = {**GOOD, **{f"ONEVOICE_{name.upper()}": value for name, value in changed.items()}}
    return options.read(Settings, "onevoice-edge", arguments, environment)


def test_an_edge_listens_on_loopback_with_two_workers_unless_told() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.workers, settings.hub_address) == (
        "127.0.0.1",
        8101,
        2,
        "127.0.0.1:8200",
    )
    assert (settings.allow_time_travel, settings.allowed_origins, settings.site_keys) == (False, (), ())


def test_the_command_line_wins_over_the_environment() -> None:
    assert read("--port", "9000", port="9001").port == 9000


def test_a_secret_comes_from_a_file_or_the_environment_never_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("33" * 32 + "\n")
    settings = options.read(
        Settings,
        "onevoice-edge",
        ["--identifier-key-file", str(file)],
        {name: value for name, value in GOOD.items() if "IDENTIFIER" not in name},
    )
    assert settings.identifier_key_bytes == b"\x33" * 32
    with pytest.raises(SystemExit):
        read("--identifier-key", "44" * 32)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edge_id", "two words"),
        ("host", "a b"),
        ("port", "65536"),
        ("port", "http"),
        ("workers", "0"),
        ("workers", "65"),
        ("hub_address", "hub.example"),
        ("hub_address", "http://hub:1"),
        ("hub_signing_key", "11" * 31),
        ("identifier_key", "no hex"),
        ("edge_key", "short"),
        ("site_keys", "short"),
        ("allow_time_travel", "maybe"),
        ("allowed_origins", "shop.example"),
        ("allowed_origins", "https://shop.example/path"),
        ("country_header", "two words"),
        ("in_flight_max", "0"),
        ("log_level", "loud"),
    ],
)
def test_a_bad_value_is_told_with_its_key_and_the_expected_form(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert f"ONEVOICE_{name.upper()}: expected" in str(caught.value)
    if name.endswith(("key", "keys")):
        assert value not in str(caught.value), "a secret is not repeated"


@pytest.mark.parametrize("name", sorted(GOOD))
def test_what_an_edge_cannot_do_without_is_asked_for(name: str) -> None:
    environment = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(SettingsError, match=f"{name}: expected a value"):
        options.read(Settings, "onevoice-edge", [], environment)


def test_a_hub_beyond_this_machine_needs_an_authority() -> None:
    with pytest.raises(SettingsError, match="ONEVOICE_HUB_CA"):
        read(hub_address="hub.example:443")
    assert read(hub_address="hub.example:443", hub_ca="/ca.pem").hub_ca == Path("/ca.pem")
    assert read(hub_address="[::1]:443").hub_ca is None


def test_help_lists_every_option_with_its_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.main", "--help"], capture_output=True, text=True, check=True
    )
    for name in Settings.__dataclass_fields__:
        assert f"ONEVOICE_{name.upper()}" in done.stdout


@pytest.mark.parametrize(
    ("name", "content"), [("user_token_keys", "no key"), ("user_token_keys", None), ("mmdb", "no database")]
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, name: str, content: str | None) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=f"ONEVOICE_{name.upper()}: expected"):
        check_files(read(**{name: str(file)}))


def test_a_start_without_settings_is_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.main"], capture_output=True, text=True, env={}, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("onevoice-edge: ONEVOICE_HUB_SIGNING_KEY: expected")
    assert done.stderr.count("\n") == 1
