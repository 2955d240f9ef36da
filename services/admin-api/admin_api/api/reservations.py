"""Reservations at Kinguin: the list."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Asker
from admin_api.api.listing import Listing
from admin_api.api.reading import Filter
from admin_api.api.routing import AnyRoute
from admin_api.api.schemas import Answer, OrderIdText, Page, Paging, Question, Words
from bitloot.contracts.state import ReservationStatus


class ReservationFilter(Question):
    """Which reservations."""

    order_id: OrderIdText | None = None
    status: ReservationStatus | None = None
    reservation_id: Words | None = None


class ReservationQuestion(Paging, ReservationFilter):
    """Which page of which reservations."""


class Reservation(Answer):
    """A purchase at Kinguin and how far it came."""

    id: str
    order_id: str
    order_item_id: Annotated[str, Field(description="The first of its items")]
    order_item_ids: list[str]
    status: ReservationStatus
    reserved_at: datetime
    given_at: datetime | None
    delivered_at: datetime | None
    ended_at: datetime | None


class Reservations(Page[Reservation]):
    """A page of reservations, newest first."""


def _where(question: ReservationFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("status = {}", question.status)
    where.add("id = {}", question.reservation_id)
    return where


def _listing(path: str, name: str) -> Listing[ReservationFilter]:
    return Listing(
        path=path,
        name=name,
        summary="List reservations, newest first",
        tag="Reservations",
        filter=ReservationFilter,
        paged=ReservationQuestion,
        item=Reservation,
        page=Reservations,
        query="reservations",
        where=_where,
        sort=("timestamptz", "text"),
    )


ROUTES: tuple[AnyRoute, ...] = (
    *_listing("/admin/reservations", "listReservations").routes,
    *_listing("/admin/kinguin/reservations", "listKinguinReservations").routes,
)
