"""Governance: the audit record."""

from hub.rpc.ingest import page_size
from hub.rpc.interceptor import Context
from hub.store import audit
from hub.store.engine import Store
from onevoice.v1 import governance_pb2, governance_pb2_grpc


class Governance(governance_pb2_grpc.GovernanceServicer):
    """Who did what."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def Audit(
        self, request: governance_pb2.AuditRequest, context: Context
    ) -> governance_pb2.AuditResponse:
        """A page of the record, newest first."""
        count = page_size(request.count)
        entries = await self._store.read(
            lambda connection: audit.list_entries(connection, count, request.before_number)
        )
        return governance_pb2.AuditResponse(
            entries=[
                governance_pb2.AuditEntry(
                    number=entry.number,
                    at_ms=entry.at_ms,
                    who=entry.who,
                    action=entry.action,
                    subject=entry.subject,
                    before=entry.before,
                    after=entry.after,
                )
                for entry in entries
            ]
        )
