"""Catalogue over gRPC: faults, approvals, rollback, reading back, and malformed requests."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from hub.cli.errors import from_rpc
from onevoice.v1 import catalogue_pb2, fleet_pb2, governance_pb2
from tests.hub.catalogues import changed, small_files
from tests.hub.running import RunningHub, source_files, status_of


@pytest.fixture
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub of its own, for tests that publish."""
    with RunningHub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def publish(hub: RunningHub, files: dict[str, str], user: str = "ada") -> catalogue_pb2.PublishResponse:
    with hub.client() as opened:
        request = catalogue_pb2.PublishRequest(files=source_files(files), user=user)
        return opened.catalogue.Publish(request, timeout=30)


def active(hub: RunningHub) -> tuple[int, str]:
    with hub.client() as opened:
        status = opened.fleet.Status(fleet_pb2.StatusRequest(), timeout=20).hub
        return status.bundle_revision, status.bundle_hash


def test_a_catalogue_is_validated_submitted_approved_changed_and_rolled_back(office: RunningHub) -> None:
    with office.client() as hub:
        validated = hub.catalogue.Validate(
            catalogue_pb2.ValidateRequest(files=source_files(small_files())), timeout=30
        )
        assert not validated.faults
        assert validated.content_bytes > 1_000
        assert not validated.generals
        named = changed("offers.yaml", "profile.orders_90d >= 1", 'context.url.matches("^https:")')
        request = catalogue_pb2.ValidateRequest(files=source_files(named))
        [part] = hub.catalogue.Validate(request, timeout=30).generals
        assert (part.file, part.path, part.part) == ("offers.yaml", "$.offers[0].eligibility", "`matches()`")
        assert part.decides
        waiting = publish(office, small_files())
        assert (waiting.revision, waiting.approvals_missing) == (0, 1)
        assert waiting.content_hash == validated.content_hash
        request = catalogue_pb2.ApproveRequest(content_hash=waiting.content_hash, user="ben")
        assert hub.catalogue.Approve(request, timeout=30).revision == 1
    first = active(office)
    assert office.publish(changed("blocks.yaml", "value: Free returns}", "value: Returns are free}")) == 2
    with office.client() as hub:
        back = hub.catalogue.Rollback(catalogue_pb2.RollbackRequest(user="ada"), timeout=30)
        assert (back.revision, back.content_hash) == (3, first[1])
        assert active(office) == (3, first[1])
        found = hub.catalogue.Get(catalogue_pb2.GetCatalogueRequest(), timeout=20)
        assert {file.path: file.text for file in found.files} == small_files()
        assert [(one.user, one.role) for one in found.approvals] == [("ben", "approver")]
        second = hub.catalogue.Get(catalogue_pb2.GetCatalogueRequest(revision=2), timeout=20)
        assert "Returns are free" in "".join(file.text for file in second.files)
        audit = hub.governance.Audit(governance_pb2.AuditRequest(count=1), timeout=20).entries[0]
        assert (audit.who, audit.action, audit.subject) == ("ada", "catalogue.rollback", "revision 3")


def test_faults_come_back_with_file_line_path_expected_and_got(running: RunningHub) -> None:
    before = active(running)
    files = changed("offers.yaml", "profile.orders_90d >= 1", "profile.nonsense >= 1")
    files["rules.yaml"] = files["rules.yaml"].replace("max: 3", "max: many")
    for faults in (publish(running, files).faults, validate(running, files)):
        found = {(fault.file, fault.line > 0, fault.path) for fault in faults}
        assert ("offers.yaml", True, "$.offers[0].eligibility") in found
        assert ("rules.yaml", True, "$.caps[0].max") in found
        assert all(fault.expected and fault.got for fault in faults)
    assert active(running) == before


def validate(running: RunningHub, files: dict[str, str]) -> Any:
    with running.client() as hub:
        return hub.catalogue.Validate(
            catalogue_pb2.ValidateRequest(files=source_files(files)), timeout=30
        ).faults


@pytest.mark.parametrize(
    ("method", "request_", "status", "path"),
    [
        ("Validate", catalogue_pb2.ValidateRequest(), "INVALID_ARGUMENT", "$.files"),
        ("Publish", catalogue_pb2.PublishRequest(user="ada"), "INVALID_ARGUMENT", "$.files"),
        (
            "Publish",
            catalogue_pb2.PublishRequest(files=source_files(small_files())),
            "INVALID_ARGUMENT",
            "$.user",
        ),
        (
            "Validate",
            catalogue_pb2.ValidateRequest(files=source_files({"../a.yaml": "x"})),
            "INVALID_ARGUMENT",
            "$.files[0].path",
        ),
        (
            "Validate",
            catalogue_pb2.ValidateRequest(files=[*source_files({"a.yaml": "x"})] * 2),
            "INVALID_ARGUMENT",
            "$.files[1].path",
        ),
        (
            "Publish",
            catalogue_pb2.PublishRequest(
                files=source_files(changed("blocks.yaml", "value: 10", "value: 11")), user="nobody"
            ),
            "PERMISSION_DENIED",
            "$.user",
        ),
        ("Approve", catalogue_pb2.ApproveRequest(user="ben"), "INVALID_ARGUMENT", "$.content_hash"),
        (
            "Approve",
            catalogue_pb2.ApproveRequest(content_hash="0" * 64, user="ben"),
            "NOT_FOUND",
            "$.content_hash",
        ),
        ("Rollback", catalogue_pb2.RollbackRequest(to_revision=99), "NOT_FOUND", "$.to_revision"),
        (
            "Rollback",
            catalogue_pb2.RollbackRequest(to_revision=2**64 - 1),
            "INVALID_ARGUMENT",
            "$.to_revision",
        ),
        ("Rollback", catalogue_pb2.RollbackRequest(to_revision=1, user="lea"), "PERMISSION_DENIED", "$.user"),
        ("Get", catalogue_pb2.GetCatalogueRequest(revision=99), "NOT_FOUND", "$.revision"),
        ("Get", catalogue_pb2.GetCatalogueRequest(revision=2**64 - 1), "INVALID_ARGUMENT", "$.revision"),
    ],
)
def test_a_request_that_cannot_be_done_is_refused_with_one_clear_error(
    running: RunningHub, method: str, request_: Any, status: str, path: str
) -> None:
    with running.client() as hub, pytest.raises(grpc.RpcError) as caught:
        getattr(hub.catalogue, method)(request_, timeout=30)
    assert status_of(caught.value).name == status
    assert from_rpc(caught.value, "").detail["path"] == path
