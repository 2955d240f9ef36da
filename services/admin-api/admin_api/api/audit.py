"""The audit log, for those who may read it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from admin_api.access.audit import Result
from admin_api.access.rights import Right
from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, page
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Moment, Page, Paging, Words


class AuditQuestion(Paging):
    """Which entries."""

    actor: Words | None = None
    action: Words | None = None
    target: Words | None = None
    result: Result | None = None
    at_from: Annotated[Moment | None, Field(description="At or after")] = None
    at_to: Annotated[Moment | None, Field(description="Before")] = None


class AuditEntry(Answer):
    """Who did what, and with what result."""

    number: int
    at: datetime
    actor: str
    via: Literal["setting", "token", "password", "oidc", "command", "nobody"]
    action: str
    target: str
    reason: str
    result: Result
    details: dict[str, JsonValue]
    hash: Annotated[str, Field(description="Over this entry and the hash of the one before it, in hex")]


class AuditEntries(Page[AuditEntry]):
    """A page of the audit log, newest first."""


async def list_audit(ports: Ports, question: AuditQuestion) -> AuditEntries:
    """Answer the list."""
    where = Filter()
    where.add("actor = {}", question.actor)
    where.add("action = {}", question.action)
    where.add("target = {}", question.target)
    where.add("result = {}", question.result)
    where.add("at >= {}", question.at_from)
    where.add("at < {}", question.at_to)
    rows, total = await page(ports.pool, "audit_entries", where, "number desc", question)
    items = [AuditEntry.model_validate(dict(each)) for each in rows]
    return AuditEntries(items=items, total=total, limit=question.limit, offset=question.offset)


ROUTES: tuple[AnyRoute, ...] = (
    Route(
        method="GET",
        path="/admin/audit",
        name="listAudit",
        summary="List who did what, newest first",
        tag="Audit",
        question=AuditQuestion,
        answer=AuditEntries,
        handle=list_audit,
        right=Right.READ_AUDIT,
    ),
)
