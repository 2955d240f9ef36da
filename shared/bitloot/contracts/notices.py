"""What the reservation router reads: `kinguin.notices.v1`, keyed by reservation id."""

from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Instant, Record
from bitloot.contracts.events import Notice
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import ItemId, OrderId, ReservationId


class ReservationBound(Record):
    """The orders agent learned to which order a reservation belongs."""

    type: Literal["reservation.bound"] = "reservation.bound"
    reservation_id: ReservationId
    order_id: OrderId
    item_id: ItemId


class ReservationNotified(Record):
    """A Kinguin notification that names a reservation, but no order."""

    type: Literal["reservation.notified"] = "reservation.notified"
    reservation_id: ReservationId
    notice: Notice
    provider_status: str
    codes: tuple[SealedCode, ...] = ()
    provider_updated_at: Instant | None = None


class NoticesOverdue(Record):
    """Notices of this reservation have waited for its order for as long as they may (the router's own timer)."""

    type: Literal["notices.overdue"] = "notices.overdue"
    reservation_id: ReservationId


class ReservationReleased(Record):
    """The order of a reservation was retired: its route is not needed any more."""

    type: Literal["reservation.released"] = "reservation.released"
    reservation_id: ReservationId
    order_id: OrderId


NoticeRecord = Annotated[
    ReservationBound | ReservationNotified | NoticesOverdue | ReservationReleased, Field(discriminator="type")
]
