"""What every route has in common: keys, methods, types, sizes, origins, probes, descriptions."""

import base64
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from core.intake import KINDS
from edge.http.decide import PLACEMENTS_MAX
from edge.http.openapi import document
from tests.catalogues import small
from tests.edge.fleet import OPERATOR, SERVER, SITE, Edge, anon, small_bundle

DECIDE = {"anonymous_id": anon(7), "placements": ["home.hero"]}
TRACK = {"type": "track", "event": "Order Completed", "anonymousId": anon(7)}
EVENTS = {"events": [TRACK]}
CONSENT = {
    "anonymous_id": anon(7),
    "purpose": "analytics",
    "state": "denied",
    "text_version": "v1",
    "source": "test",
}
OFREP = {"context": {"targetingKey": anon(7)}}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/decide": DECIDE,
    "/v1/events": EVENTS,
    "/v1/batch": {"batch": [TRACK]},
    "/v1/consent": CONSENT,
    "/v1/track": TRACK,
    "/v1/identify": {"anonymousId": anon(7), "traits": {"vip": True}},
    "/v1/page": {"anonymousId": anon(7), "name": "Home"},
    "/v1/screen": {"anonymousId": anon(7), "name": "Home"},
    "/v1/group": {"anonymousId": anon(7), "groupId": "g"},
    "/v1/alias": {"userId": "7", "previousId": anon(7)},
    "/ofrep/v1/evaluate/flags": OFREP,
    "/ofrep/v1/evaluate/flags/home.hero": OFREP,
}
PUBLIC = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/client.js"]


@pytest.mark.parametrize("path", ROUTES)
def test_a_well_formed_request_is_answered(edge: Edge, path: str) -> None:
    for key in (SITE, SERVER, OPERATOR):
        assert edge.post(path, ROUTES[path], key).status == 200


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer wrong-key-1234567890", f"Basic {SITE}", f"Bearer {SITE}x"],
)
def test_a_caller_without_a_known_key_is_refused(edge: Edge, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = edge.post(path, ROUTES[path], None, headers)
    assert (reply.status, reply.error["code"]) == (401, "unauthenticated")
    assert "Bearer" in reply.headers["www-authenticate"]


@pytest.mark.parametrize("spelling", ["bearer {}", "BEARER  {}", "Basic {b64}"])
def test_other_spellings_of_a_good_key_are_taken(edge: Edge, spelling: str) -> None:
    encoded = base64.b64encode(f"{SITE}:".encode()).decode()
    header = spelling.format(SITE, b64=encoded)
    assert edge.post("/v1/events", EVENTS, None, {"Authorization": header}).status == 200


@pytest.mark.parametrize("path", ["/v1/events", "/v1/consent", "/v1/decide", "/v1/track"])
def test_only_a_site_key_may_stand_in_the_address(edge: Edge, path: str) -> None:
    body = json.dumps(ROUTES[path]).encode()
    for key, status in ((SITE, 200), (SERVER, 401), (OPERATOR, 401), ("wrong", 401)):
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        assert edge.request("POST", f"{path}?key={key}", body, headers).status == status


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_another_method_is_405(edge: Edge, path: str, method: str) -> None:
    reply = edge.request(method, path, None, {"Authorization": f"Bearer {SITE}"})
    assert (reply.status, reply.error["code"], reply.headers["allow"]) == (405, "method_not_allowed", "POST")


@pytest.mark.parametrize(
    "path", ["/", "/v2/decide", "/v1/decide/", "/v1", "/v1/unknown", "/%00", "/v1/decide%2F"]
)
def test_another_path_is_404(edge: Edge, path: str) -> None:
    for method in ("GET", "POST"):
        reply = edge.request(method, path, b"{}" if method == "POST" else None)
        assert (reply.status, reply.error["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ROUTES)
def test_another_type_is_415(edge: Edge, path: str) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = edge.post(path, ROUTES[path], SITE, headers)
    assert (reply.status, reply.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_too_long_is_413_whether_or_not_it_says_so(edge: Edge, path: str) -> None:
    assert edge.post(path, b" " * 1_100_000).status == 413
    assert chunked(edge, path, b" " * 1_100_000) == 413


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"7", b"\xff\xfe", b'{"a":1}}'])
def test_a_body_that_is_no_object_is_400(edge: Edge, path: str, body: bytes) -> None:
    reply = edge.post(path, body)
    assert reply.status == 400
    if path.startswith("/ofrep"):
        assert reply.json["errorCode"] in ("PARSE_ERROR", "INVALID_CONTEXT")
    else:
        assert reply.error["expected"]


@pytest.mark.parametrize("path", ROUTES)
def test_text_that_is_no_utf8_is_400(edge: Edge, path: str) -> None:
    reply = edge.post(
        path, b'{"placements":["\xff"],"context":{"a":"\xff"},"events":["\xff"],"batch":["\xff"]}'
    )
    assert reply.status == 400
    if path.startswith("/ofrep"):
        assert reply.json["errorCode"] == "PARSE_ERROR"
    else:
        assert (reply.error["code"], reply.error["path"]) == ("invalid_json", "$")


def chunked(edge: Edge, path: str, body: bytes) -> int:
    """The status for a body of unsaid length."""
    host, port = edge.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        lines = ["Host: x", f"Authorization: Bearer {SITE}", "Transfer-Encoding: chunked"]
        head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""])
        connection.sendall(head.encode())
        try:
            for start in range(0, len(body), 50_000):
                part = body[start : start + 50_000]
                connection.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass  # it was refused before the end, as it should be
        return int(connection.recv(64).split()[1])


def test_pages_of_allowed_origins_may_read_the_answer(edge: Edge) -> None:
    for path, method in (("/v1/decide", "POST"), ("/v1/events", "POST"), ("/v1/client.js", "GET")):
        headers = {"Origin": "https://shop.example", "Authorization": f"Bearer {SITE}"}
        headers["Content-Type"] = "application/json"
        body = json.dumps(ROUTES[path]).encode() if method == "POST" else None
        reply = edge.request(method, path, body, headers)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        assert "origin" in reply.headers["vary"]
        other = edge.request(method, path, body, {**headers, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_a_refusal_can_be_read_by_the_page_too(edge: Edge) -> None:
    reply = edge.post("/v1/decide", b"{", SITE, {"Origin": "https://shop.example"})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (400, "https://shop.example")


@pytest.mark.parametrize("path", ROUTES)
def test_a_browsers_question_before_is_answered(edge: Edge, path: str) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    reply = edge.request("OPTIONS", path, None, headers)
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (204, "https://shop.example")
    assert "authorization" in reply.headers["access-control-allow-headers"]
    refused = edge.request("OPTIONS", path, None, {**headers, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers


def test_the_description_names_every_route(edge: Edge) -> None:
    described = edge.get("/openapi.json").json
    assert described == msgspec.json.decode(msgspec.json.encode(document()))
    paths = set(described["paths"])
    assert paths == {path.replace("/home.hero", "/{key}") for path in ROUTES} | set(PUBLIC)
    assert {f"/v1/{kind}" for kind in KINDS} <= paths
    for path in PUBLIC:
        assert edge.get(path).status == 200


def test_public_files_can_be_kept_by_the_browser(edge: Edge) -> None:
    first = edge.get("/v1/client.js")
    assert first.headers["content-type"].startswith("text/javascript")
    assert b"window.onevoice" in first.body
    assert edge.get("/v1/client.js", {"If-None-Match": first.headers["etag"]}).status == 304


def test_readiness_tells_of_each_stage(edge: Edge) -> None:
    ready = edge.get("/readyz").json
    assert (ready["ready"], ready["missing"], ready["bundle"]["revision"], ready["connected"]) == (
        True,
        [],
        1,
        False,
    )
    assert set(ready["stages"]) >= {"stream", "bundle", "snapshot", "frames", "journal", "decisions"}
    assert ready["stages"]["stream"]["error"] == "unavailable"


def test_figures_count_every_worker_and_name_nobody(edge: Edge) -> None:
    def figure(name: str) -> float:
        lines = edge.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = (
        figure('onevoice_edge_decisions_total{reason="no_consent"}'),
        figure("onevoice_edge_decision_seconds_count"),
    )
    for _ in range(20):
        edge.decide(7)
    after = (
        figure('onevoice_edge_decisions_total{reason="no_consent"}'),
        figure("onevoice_edge_decision_seconds_count"),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (20, 20)
    assert anon(7) not in edge.get("/metrics").body.decode()


def test_the_log_of_the_edge_names_nobody(edge: Edge) -> None:
    edge.track(31, "Order Completed", email="carl@example.com")
    edge.post("/v1/decide", {"anonymous_id": anon(31), "placements": ["home.hero"], "user_token": "x.y.z"})
    log = (edge.root / "edge.log").read_text("utf-8")
    assert anon(31) not in log
    assert "carl@" not in log


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/ofrep/v1/evaluate/flags/nowhere", OFREP, 404, "FLAG_NOT_FOUND"),
        ("/ofrep/v1/evaluate/flags/email.hero", OFREP, 404, "FLAG_NOT_FOUND"),
        ("/ofrep/v1/evaluate/flags/home.hero", {}, 400, "TARGETING_KEY_MISSING"),
        ("/ofrep/v1/evaluate/flags", {"context": {}}, 400, "TARGETING_KEY_MISSING"),
        ("/ofrep/v1/evaluate/flags/home.hero", {"context": {"targetingKey": 7}}, 400, "INVALID_CONTEXT"),
        ("/ofrep/v1/evaluate/flags/home.hero", {"context": {"targetingKey": "ada"}}, 400, "INVALID_CONTEXT"),
        ("/ofrep/v1/evaluate/flags/home.hero", {"context": []}, 400, "INVALID_CONTEXT"),
        ("/ofrep/v1/evaluate/flags/home.hero", b"{", 400, "PARSE_ERROR"),
    ],
)
def test_ofrep_refuses_in_its_own_words(edge: Edge, path: str, body: Any, status: int, code: str) -> None:
    reply = edge.post(path, body)
    assert (reply.status, reply.json["errorCode"]) == (status, code)


def test_a_placement_is_a_flag(edge: Edge) -> None:
    flag = edge.post("/ofrep/v1/evaluate/flags/home.notice", OFREP).json
    assert (flag["key"], flag["reason"], flag["variant"]) == (
        "home.notice",
        "TARGETING_MATCH",
        "free-returns-notice",
    )
    assert flag["value"]["offer"] == "free-returns"
    assert flag["metadata"]["reason"] == "ok"
    hero = edge.post("/ofrep/v1/evaluate/flags/home.hero", OFREP).json
    assert (hero["reason"], hero["variant"], hero["metadata"]["reason"]) == (
        "DEFAULT",
        "fallback",
        "no_consent",
    )
    every = edge.post("/ofrep/v1/evaluate/flags", OFREP)
    assert [one["key"] for one in every.json["flags"]] == ["home.banner", "home.hero", "home.notice"]
    again = edge.post("/ofrep/v1/evaluate/flags", OFREP, SITE, {"If-None-Match": every.headers["etag"]})
    assert again.status == 304


def test_every_placement_is_a_flag_however_many_there_are(tmp_path: Path) -> None:
    files = small()
    placements = yaml.safe_load(files["placements.yaml"])
    hero = next(one for one in placements["placements"] if one["id"] == "home.hero")
    more = [{**hero, "id": f"extra.p{number:03d}"} for number in range(2 * PLACEMENTS_MAX)]
    files["placements.yaml"] = yaml.safe_dump(
        {**placements, "placements": [*placements["placements"], *more]}
    )
    edge = Edge(tmp_path, workers=1)
    edge.seed(bundle=small_bundle(files=files))
    edge.start()
    try:
        flags = edge.post("/ofrep/v1/evaluate/flags", OFREP).json["flags"]
    finally:
        edge.kill()
    keys = [one["key"] for one in flags]
    assert len(keys) == len(set(keys)) == 3 + 2 * PLACEMENTS_MAX
    assert {one["id"] for one in more} < set(keys)
    assert all("value" in one for one in flags)
