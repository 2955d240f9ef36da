"""The audit log, for those who may read it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from admin_api.access.audit import Result
from admin_api.access.rights import Asker, Right
from admin_api.api.listing import Listing
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Answer, Moment, Page, Paging, Question, Words


class AuditFilter(Question):
    """Which entries."""

    actor: Words | None = None
    action: Words | None = None
    target: Words | None = None
    result: Result | None = None
    at_from: Annotated[Moment | None, Field(description="At or after")] = None
    at_to: Annotated[Moment | None, Field(description="Before")] = None


class AuditQuestion(Paging, AuditFilter):
    """Which page of which entries."""


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


def _where(question: AuditFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("actor = {}", question.actor)
    where.add("action = {}", question.action)
    where.add("target = {}", question.target)
    where.add("result = {}", question.result)
    where.add("at >= {}", question.at_from)
    where.add("at < {}", question.at_to)
    return where


LISTING = Listing(
    path="/admin/audit",
    name="listAudit",
    summary="List who did what, newest first",
    tag="Audit",
    filter=AuditFilter,
    paged=AuditQuestion,
    item=AuditEntry,
    page=AuditEntries,
    query="audit_entries",
    where=_where,
    sort=("bigint", "bigint"),
    right=Right.READ_AUDIT,
)

ROUTES: tuple[AnyRoute, ...] = LISTING.routes
