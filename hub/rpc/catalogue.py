"""Catalogue: validate, publish, approve, roll back, read back."""

import re
from collections.abc import Iterable
from typing import Final

from core.authoring import Fault
from hub.decisioning.publishing import CatalogueError, Publisher
from hub.errors import InvalidError
from hub.rpc.interceptor import Context
from onevoice.v1 import catalogue_pb2, catalogue_pb2_grpc

#: Faults beyond this are not sent; the first ones say what to do.
FAULTS_MAX: Final = 1_000
GENERALS_MAX: Final = 1_000
PATH_PATTERN: Final = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_./ -]{0,199}")
REVISION_MAX: Final = 2**63 - 1
HASH_PATTERN: Final = re.compile(r"[0-9a-f]{64}")


class Catalogue(catalogue_pb2_grpc.CatalogueServicer):
    """Faults of a catalogue are an answer, not an error: all of them come back at once."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def Validate(
        self, request: catalogue_pb2.ValidateRequest, context: Context
    ) -> catalogue_pb2.ValidateResponse:
        """Compile without storing."""
        try:
            compiled = await self._publisher.validate(_files(request.files))
        except CatalogueError as error:
            return catalogue_pb2.ValidateResponse(faults=_faults(error.faults))
        return catalogue_pb2.ValidateResponse(
            content_hash=compiled.content_hash,
            content_bytes=len(compiled.content),
            generals=[
                catalogue_pb2.GeneralPart(**part._asdict()) for part in compiled.generals[:GENERALS_MAX]
            ],
        )

    async def Publish(
        self, request: catalogue_pb2.PublishRequest, context: Context
    ) -> catalogue_pb2.PublishResponse:
        """Submit files; with enough approvals they are active when this answers."""
        try:
            outcome = await self._publisher.publish(_files(request.files), request.user)
        except CatalogueError as error:
            return catalogue_pb2.PublishResponse(faults=_faults(error.faults))
        return catalogue_pb2.PublishResponse(
            content_hash=outcome.content_hash,
            revision=outcome.revision,
            approvals_missing=outcome.approvals_missing,
            unchanged=outcome.unchanged,
        )

    async def Approve(
        self, request: catalogue_pb2.ApproveRequest, context: Context
    ) -> catalogue_pb2.ApproveResponse:
        """Approve one content hash."""
        if not HASH_PATTERN.fullmatch(request.content_hash):
            expected = "a content hash of 64 hex digits"
            raise InvalidError(expected=expected, got="another form", path="$.content_hash")
        outcome = await self._publisher.approve(request.content_hash, request.user)
        return catalogue_pb2.ApproveResponse(
            revision=outcome.revision, approvals_missing=outcome.approvals_missing
        )

    async def Rollback(
        self, request: catalogue_pb2.RollbackRequest, context: Context
    ) -> catalogue_pb2.RollbackResponse:
        """Publish earlier content again."""
        _check_revision(request.to_revision, "$.to_revision")
        outcome = await self._publisher.rollback(request.to_revision, request.user)
        return catalogue_pb2.RollbackResponse(revision=outcome.revision, content_hash=outcome.content_hash)

    async def Get(
        self, request: catalogue_pb2.GetCatalogueRequest, context: Context
    ) -> catalogue_pb2.GetCatalogueResponse:
        """Files and approvals of a revision."""
        _check_revision(request.revision, "$.revision")
        published = await self._publisher.get(request.revision)
        return catalogue_pb2.GetCatalogueResponse(
            revision=published.revision.revision,
            content_hash=published.revision.content_hash,
            files=[catalogue_pb2.SourceFile(path=path, text=text) for path, text in published.sources],
            approvals=[
                catalogue_pb2.Approval(user=one.user, role=one.role, at_ms=one.at_ms)
                for one in published.revision.approvals
            ],
        )


def _check_revision(revision: int, path: str) -> None:
    """The stores hold signed numbers of 64 bits."""
    if revision > REVISION_MAX:
        raise InvalidError(expected=f"a revision up to {REVISION_MAX}", got=f"{revision}", path=path)


def _files(files: Iterable[catalogue_pb2.SourceFile]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, file in enumerate(files):
        if not PATH_PATTERN.fullmatch(file.path):
            expected = "a relative path of letters, digits and ._/- without .."
            raise InvalidError(expected=expected, got=repr(file.path[:80]), path=f"$.files[{index}].path")
        if file.path in found:
            got = f"{file.path} twice"
            raise InvalidError(expected="each file once", got=got, path=f"$.files[{index}].path")
        found[file.path] = file.text
    return found


def _faults(faults: list[Fault]) -> list[catalogue_pb2.Fault]:
    return [
        catalogue_pb2.Fault(
            file=fault.file,
            line=fault.line,
            column=fault.column,
            path=fault.path,
            expected=fault.expected,
            got=fault.got,
        )
        for fault in faults[:FAULTS_MAX]
    ]
