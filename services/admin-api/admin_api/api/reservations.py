"""Reservations at Kinguin: the list."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, page
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, OrderIdText, Page, Paging, Words
from bitloot.contracts.state import ReservationStatus


class ReservationQuestion(Paging):
    """Which reservations."""

    order_id: OrderIdText | None = None
    status: ReservationStatus | None = None
    reservation_id: Words | None = None


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


async def list_reservations(ports: Ports, question: ReservationQuestion) -> Reservations:
    """Answer the list."""
    where = Filter()
    where.add("order_id = {}::uuid", question.order_id)
    where.add("status = {}", question.status)
    where.add("id = {}", question.reservation_id)
    rows, total = await page(ports.pool, "reservations", where, "reserved_at desc, id", question)
    items = [Reservation.model_validate(dict(each)) for each in rows]
    return Reservations(items=items, total=total, limit=question.limit, offset=question.offset)


def _route(path: str, name: str) -> AnyRoute:
    return Route(
        method="GET",
        path=path,
        name=name,
        summary="List reservations, newest first",
        tag="Reservations",
        question=ReservationQuestion,
        answer=Reservations,
        handle=list_reservations,
    )


ROUTES: tuple[AnyRoute, ...] = (
    _route("/admin/reservations", "listReservations"),
    _route("/admin/kinguin/reservations", "listKinguinReservations"),
)
