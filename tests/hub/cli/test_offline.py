"""Commands that need no hub: validate, eval, token, certs; and how wrong use is answered."""

import argparse
import json
import re
import stat
from pathlib import Path

import pytest
from cryptography import x509

from core.user_token import load_user_token_key, verify_user_token
from hub.cli.main import COMMANDS, make_parser
from tests.hub.catalogues import SMALL, changed, small_files
from tests.hub.cli.conftest import Command, runner
from tests.oracle.approvals import block_hash


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty folder, without any hub named."""
    for name in ("ONEVOICE_HUB", "ONEVOICE_KEY", "ONEVOICE_CA", "ONEVOICE_USER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_validate_accepts_a_catalogue(offline: Command) -> None:
    result = offline("validate", str(SMALL))
    assert result.code == 0
    assert "no faults in 10 files" in result.out
    found = offline("validate", str(SMALL), "--json").json
    assert (found["valid"], found["files"]) == (True, 10)
    assert re.fullmatch("[0-9a-f]{64}", found["content_hash"])


def test_validate_lists_what_runs_in_the_general_evaluator(offline: Command, tmp_path: Path) -> None:
    files = changed(
        "offers.yaml", "profile.orders_90d >= 1", 'context.url.matches("^https:") && profile.orders_90d >= 1'
    )
    folder = write(tmp_path / "catalogue", files)
    [part] = offline("validate", str(folder), "--json").json["generals"]
    assert (part["path"], part["part"], part["decides"]) == ("$.offers[0].eligibility", "`matches()`", True)
    place = f"{folder}/offers.yaml:{part['line']}:{part['column']}"
    shown = f"{place}: $.offers[0].eligibility: `matches()` runs in the general evaluator, in decisions"
    assert shown in offline("validate", str(folder)).out.splitlines()
    line = files["offers.yaml"].splitlines()[part["line"] - 1]
    assert line[part["column"] - 1 :].startswith('matches("^https:")')
    governance = files["governance.yaml"]
    forbidding = governance.replace("settings:\n", "settings:\n  general_expressions: off_decision_path\n", 1)
    (folder / "governance.yaml").write_text(forbidding, encoding="utf-8")
    result = offline("validate", str(folder))
    assert result.code == 1
    assert (
        f"{place}: $.offers[0].eligibility: expected what the tables hold on the decision path" in result.out
    )


def test_validate_checks_what_the_core_cannot_know(offline: Command, tmp_path: Path) -> None:
    text = (SMALL / "governance.yaml").read_text(encoding="utf-8")
    assert text.count("Europe/Berlin") == 1
    folder = tmp_path / "catalogue"
    folder.mkdir()
    governance = text.replace("Europe/Berlin", "Europe/Atlantis")
    (folder / "governance.yaml").write_text(governance, encoding="utf-8")
    result = offline("validate", str(folder))
    assert result.code == 1
    expected = "$.settings.time_zone: expected a time zone of the IANA database, got 'Europe/Atlantis'"
    assert expected in result.out + result.err


def test_validate_tells_which_blocks_wait_for_approval(offline: Command, tmp_path: Path) -> None:
    image = {"id": "hero-image", "type": "url", "value": "/img/hero.webp", "tags": ["imagery"]}
    given = f"approved_blocks: [{{block: hero-image, hash: {block_hash(image)}, by: ben}}]"
    files = changed("governance.yaml", "  people:\n", f"  {given}\n  people:\n")
    files = changed("offers.yaml", "image: hero-shoes-image", "image: {tags: [imagery]}", files)
    folder = write(tmp_path / "tagged", files)
    result = offline("validate", str(folder))
    assert result.code == 0
    waiting = [line for line in result.out.splitlines() if ": note: " in line]
    assert len(waiting) == 2
    assert f"{folder}/blocks.yaml:" in waiting[0]
    found = offline("validate", str(folder), "--json").json["unapproved_blocks"]
    assert [one["block"] for one in found] == ["hero-shoes-image", "wine-image"]
    assert f"{{block: wine-image, hash: {found[1]['hash']}, by: YOU}}" in waiting[1]


def test_validate_prints_every_fault_with_file_and_line(offline: Command, tmp_path: Path) -> None:
    files = changed("offers.yaml", "profile.orders_90d >= 1", "profile.nonsense >= 1")
    files["rules.yaml"] = files["rules.yaml"].replace("max: 3", "max: many")
    folder = write(tmp_path / "broken", files)
    result = offline("validate", str(folder))
    assert result.code == 1
    lines = result.out.splitlines()
    offers = next(line for line in lines if "offers.yaml" in line)
    number = 1 + small_files()["offers.yaml"].splitlines().index(
        '    eligibility: profile.orders_90d >= 1 && context.device in ["mobile", "desktop"]'
    )
    assert offers.startswith(f"{folder}/offers.yaml:{number}:")
    assert ": $.offers[0].eligibility: expected " in offers
    assert ", got " in offers
    assert any("rules.yaml" in line and "$.caps[0].max" in line for line in lines)
    found = offline("validate", str(folder), "--json").json
    assert found["valid"] is False
    assert len(found["faults"]) == len(lines) == found["count"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate", "nowhere"], "nowhere: expected a folder"),
        (["validate", "."], "expected 1 to 1000 .yaml or .yml files"),
        (["publish", str(SMALL)], "nobody named"),
        (["fleet"], "no hub named"),
        (["fleet", "--address", "127.0.0.1:1"], "no key"),
        (["decide", "--hub", "home.hero"], "nobody named"),
        (["decide", "--edge", "ftp://x", "home.hero", "--anonymous", "x"], "expected an http"),
        (["decide", "--hub", "home.hero", "--anonymous", "x", "--context", "x"], "expected NAME=VALUE"),
        (["events", "import", "nowhere"], "expected a readable file"),
        (["eval", "x", "--vars", "nowhere"], "expected a JSON object"),
        (["token", "user", "id:1", "--key", "nowhere"], "expected an Ed25519 private key"),
    ],
)
def test_wrong_use_is_said_in_one_line_with_exit_2(
    offline: Command, arguments: list[str], message: str
) -> None:
    result = offline(*arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    as_json = offline(*arguments, "--json")
    assert as_json.code == 2
    assert message in as_json.json["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["decide", "home.hero", "--person", "id:1"],
        ["why"],
        ["why", "ada@example.com"],
        ["consent", "set", "id:1", "email", "perhaps"],
        ["rollback", "minus"],
        ["token", "user", "id:1", "--key", "x", "--lifetime", "3601"],
        ["fleet", "--jso"],
    ],
)
def test_what_argparse_refuses_exits_2(offline: Command, arguments: list[str]) -> None:
    result = offline(*arguments)
    assert result.code == 2
    assert "usage: onevoice" in result.err
    assert "ada@example.com" not in result.err.replace("such as email:ada@example.com", "")


def test_a_hub_that_is_not_there_is_said_in_one_line(
    offline: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEVOICE_KEY", "a-key-of-nobody-at-all")
    result = offline("fleet", "--address", "127.0.0.1:1")
    assert result.code == 1
    assert result.err == "onevoice: no hub answers at 127.0.0.1:1: start it, or name it with --address\n"


def test_every_command_has_help_and_json(offline: Command) -> None:
    def leaves(parser: object, words: list[str]) -> list[list[str]]:
        import argparse

        assert isinstance(parser, argparse.ArgumentParser)
        groups = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        if not groups:
            assert "--json" in parser._option_string_actions, words
            return [words]
        return [leaf for name, one in groups[0].choices.items() for leaf in leaves(one, [*words, name])]

    found = leaves(make_parser(), [])
    assert len(found) > len(COMMANDS)
    for words in found:
        result = offline(*words, "--help")
        assert result.code == 0
        assert result.out.startswith("usage: onevoice " + " ".join(words))


@pytest.mark.parametrize(
    ("expression", "value", "kind"),
    [
        ("1 + 2 * 3", 7, "int"),
        ("7.0 / 2.0", 3.5, "float"),
        ("profile.age >= 18 && context.device in ['mobile', 'desktop']", True, "bool"),
        ("size(profile.tags) + size('äöü')", 5, "int"),
        ("'a' in profile.tags", True, "bool"),
        ("profile.city == 'Bonn' || x > 0", True, "bool"),
        ("has(profile.city)", False, "bool"),
        ("x > 0 ? 'yes' : 'no'", "yes", "string"),
        ("profile.birthday + duration('24h')", "1990-05-02T00:00:00.000Z", "timestamp"),
        ("now - profile.birthday > duration('1h')", True, "bool"),
        ("-9223372036854775808", -(2**63), "int"),
    ],
)
def test_eval_prints_value_and_type(
    offline: Command, tmp_path: Path, expression: str, value: object, kind: str
) -> None:
    variables = {
        "profile": {"age": 30, "tags": ["a", "b"], "birthday": "1990-05-01T00:00:00Z"},
        "context": {"device": "mobile"},
        "x": 1,
        "types": {"profile.birthday": "timestamp", "profile.city": "string"},
    }
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    result = offline("eval", expression, "--vars", "vars.json", "--json")
    expected = {"type": kind, "value": value, "catalogue_refusal": None, "generals": []}
    assert (result.code, result.json) == (0, expected)


@pytest.mark.parametrize(
    ("expression", "value", "kind", "refusal", "part"),
    [
        ("profile.tags.exists(t, t.startsWith('b'))", True, "bool", None, "1:14: the macro `exists`"),
        ("profile.birthday.getDayOfWeek('Europe/Berlin')", 2, "int", "UTC or an offset", None),
        ("profile.birthday.getDayOfWeek('+02:00')", 2, "int", None, "1:18: `getDayOfWeek()`"),
        ("{'a': [1, 2u, 1.5], 'b': null}", {"a": [1, 2, 1.5], "b": None}, "map", None, "a map literal"),
        ("blob + b'c'", "YWJj", "bytes", "a type that attributes do not have", None),
        ("wait.getMinutes() + int(count)", 95, "int", "a type that attributes do not have", None),
        ("profile.nested.deep.x", 3, "int", "a type that attributes do not have", None),
        ("[1.0 / 0.0, -1.0 / 0.0]", ["inf", "-inf"], "list", None, "a list literal"),
        ("now", "2026-11-24T00:00:00.000Z", "timestamp", None, None),
        ("now + duration('1us')", "2026-11-24T00:00:00.000001Z", "timestamp", None, '"1us"'),
        ("duration('90m')", "5400s", "duration", None, None),
        ("type(1u)", "uint", "type", None, "`type()`"),
        ("size(profile.tags) > 1 && 'a'.matches('b')", False, "bool", None, "1:31: `matches()`"),
    ],
)
def test_eval_takes_the_whole_language_and_says_what_a_catalogue_makes_of_it(
    offline: Command,
    tmp_path: Path,
    expression: str,
    value: object,
    kind: str,
    refusal: str | None,
    part: str | None,
) -> None:
    variables = {
        "profile": {"tags": ["a", "b"], "birthday": "1990-04-30T23:00:00Z", "nested": {"deep": {"x": 3}}},
        "blob": "YWI=",
        "wait": "90m",
        "count": 5,
        "types": {
            "profile.birthday": "timestamp",
            "blob": "bytes",
            "wait": "duration",
            "count": "uint",
        },
    }
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    result = offline("eval", expression, "--vars", "vars.json", "--now", "2026-11-24T00:00:00Z", "--json")
    assert (result.code, result.json["type"], result.json["value"]) == (0, kind, value)
    said = result.json["catalogue_refusal"]
    assert said is None if refusal is None else refusal in said
    assert [part in one for one in result.json["generals"]] == ([] if part is None else [True])
    shown = offline("eval", expression, "--vars", "vars.json").out
    assert ("a catalogue refuses this expression" in shown) is (refusal is not None)
    assert ("in the general evaluator" in shown) is (part is not None)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"x": 1, "types": {"x": "number"}}, "expected one of bool, int"),
        ({"x": "a", "types": {"x": "int"}}, "expected int for x, got str"),
        ({"x": True, "types": {"x": "int"}}, "expected int for x, got bool"),
        ({"x": -1, "types": {"x": "uint"}}, "expected uint for x"),
        ({"x": "?", "types": {"x": "bytes"}}, "expected bytes for x"),
        ({"x": "3d", "types": {"x": "duration"}}, "expected duration for x"),
        ({"x": [1], "types": {"x": "strings"}}, "expected strings for x"),
        ({"x": 2**63}, "expected a value of CEL for x"),
        ({"types": 3}, "expected an object of names and types"),
        ([], "expected a JSON object"),
    ],
)
def test_variables_that_do_not_fit_their_types_are_wrong_use(
    offline: Command, tmp_path: Path, variables: object, message: str
) -> None:
    (tmp_path / "vars.json").write_text(json.dumps(variables))
    result = offline("eval", "true", "--vars", "vars.json")
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("1 / 0", "error"),
        ("profile.city == 'Bonn'", "error"),
        ("9223372036854775807 + 1", "error"),
        ("math.abs(x)", "the extension function `math.abs()`"),
        ("'a'.charAt(0)", "the extension function `charAt()`"),
        ("1 +", "EXPR:1:"),
        ("unknown", "`unknown`"),
        ("1 + 1.0", "`+`"),
        ("google.protobuf.Value{}", "the protocol-buffer message `google.protobuf.Value{}`"),
        ("{'a': 1}[?'a']", "an optional value `?`"),
        ("[1].map(1, 2)", "a name for the variable of a macro"),
    ],
)
def test_eval_refuses_by_name(offline: Command, tmp_path: Path, expression: str, message: str) -> None:
    (tmp_path / "vars.json").write_text('{"types": {"profile.city": "string"}}')
    result = offline("eval", expression, "--vars", "vars.json")
    assert result.code == 1
    assert message in result.err


def test_a_user_token_is_accepted_by_every_node(offline: Command, tmp_path: Path) -> None:
    import time

    assert offline("token", "keys", "--out", "keys").code == 0
    private = tmp_path / "keys" / "user-token.private.jwk"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    again = offline("token", "keys", "--out", "keys")
    assert again.code == 1
    assert "expected no file there" in again.err
    result = offline(
        "token", "user", "email:Ada@Example.com", "--key", str(private), "--site", "shop", "--json"
    )
    key = load_user_token_key((tmp_path / "keys" / "user-token.public.jwk").read_text())
    now = int(time.time())
    assert verify_user_token(result.json["token"], [key], "shop", now) == ("email", "ada@example.com")
    assert offline("token", "user", "anon:x", "--key", str(private)).code == 2


def test_api_keys_are_drawn(offline: Command) -> None:
    first, second = (offline("token", "api", "edge").out.strip() for _ in range(2))
    assert first != second
    assert first.startswith("edge_")


def test_certs_makes_an_authority_once_and_renews_the_certificate(offline: Command, tmp_path: Path) -> None:
    assert offline("certs", "--out", "c", "--host", "hub.example.com", "--host", "10.1.2.3").code == 0
    folder = tmp_path / "c"
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    first = x509.load_pem_x509_certificate((folder / "hub.pem").read_bytes())
    first.verify_directly_issued_by(authority)
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "hub.example.com"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.1.2.3"]
    for name in ("ca.key", "hub.key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert offline("certs", "--out", "c").code == 0
    assert x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes()) == authority
    assert x509.load_pem_x509_certificate((folder / "hub.pem").read_bytes()) != first
    (folder / "ca.key").write_bytes((folder / "hub.key").read_bytes())
    refused = offline("certs", "--out", "c")
    assert refused.code == 1
    assert "ca.key: expected the private key of" in refused.err


def commands() -> list[str]:
    """Every command and subcommand, as the parsers themselves list them."""
    found = [""]

    def walk(parser: argparse.ArgumentParser, words: str) -> None:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    found.append(f"{words} {name}".strip())
                    walk(inner, found[-1])

    walk(make_parser(), "")
    return found


@pytest.mark.parametrize("name", [*commands(), "nope", "profile nope"])
def test_wrong_arguments_are_a_document_with_json_and_a_line_without(offline: Command, name: str) -> None:
    wrong = [*name.split(), "--no-such-option"]
    result = offline(*wrong, "--json")
    assert (result.code, result.err, result.out.count("\n")) == (2, "", 1)
    assert result.json["error"]["code"] == "usage"
    assert result.json["error"]["message"]
    result = offline(*wrong)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("usage: onevoice")
    assert ": error: " in result.err.splitlines()[-1]


def test_a_user_token_is_read_from_a_file_and_never_from_the_command_line(
    offline: Command, tmp_path: Path
) -> None:
    asked = ("decide", "--hub", "home.hero")
    for options, said in (
        (("--user-token", "a.b.c"), "--user-token a.b.c"),
        (("--user-token-file", str(tmp_path / "none")), "--user-token-file: expected a readable file"),
        (("--user-token-file", str(tmp_path)), "--user-token-file: expected a readable file"),
        (("--user-token-file", "/dev/null"), "--user-token-file: expected a user token"),
        ((), "--user-token-file"),
    ):
        result = offline(*asked, *options)
        assert result.code == 2
        assert said in result.err
