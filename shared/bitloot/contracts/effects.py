"""What the orders agent asks its workers to do: `kinguin.calls.v1` and `deliveries.v1`.

Wishes, in the imperative. `effect_id` names one try; the worker claims it before it acts, and reports
the outcome as an event of the order.
"""

from typing import Annotated, Literal

from pydantic import Field

from bitloot.contracts.base import Model
from bitloot.contracts.events import MailKind, OrderRecord
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import EffectId, ItemId, MessageId, ProductId, ReservationId
from bitloot.money import Amount, Currency


class EffectRecord(OrderRecord):
    """One try of an effect; `event_id` equals the effect id. `attempt` counts from 1."""

    effect_id: EffectId
    attempt: Annotated[int, Field(ge=1)]


class ItemEffect(EffectRecord):
    """An effect for one item of an order."""

    item_id: ItemId


class BuyKey(ItemEffect):
    """Reserve `quantity` keys of a product and give at once. `external_id` is the same in every try."""

    type: Literal["buy_key"] = "buy_key"
    external_id: str
    product_id: ProductId
    quantity: Annotated[int, Field(ge=1)]
    unit_price: Amount
    currency: Currency


class GiveReservation(ItemEffect):
    """Buy what a reservation holds."""

    type: Literal["give_reservation"] = "give_reservation"
    reservation_id: ReservationId


class LookUpPurchase(ItemEffect):
    """Ask Kinguin what it has under our external id, because the outcome of a purchase is unknown."""

    type: Literal["look_up_purchase"] = "look_up_purchase"
    external_id: str


class FetchCodes(ItemEffect):
    """Ask for the codes of a purchase."""

    type: Literal["fetch_codes"] = "fetch_codes"
    reservation_id: ReservationId
    external_id: str
    quantity: Annotated[int, Field(ge=1)]


KinguinCall = Annotated[BuyKey | GiveReservation | LookUpPurchase | FetchCodes, Field(discriminator="type")]


class ItemKeys(Model):
    """The sealed codes of one item, `quantity` of them."""

    item_id: ItemId
    title: str
    codes: Annotated[tuple[SealedCode, ...], Field(min_length=1)]


class StoreKeys(EffectRecord):
    """Open the codes and write them to R2 as one object, items in order."""

    type: Literal["store_keys"] = "store_keys"
    items: Annotated[tuple[ItemKeys, ...], Field(min_length=1)]


class MailItem(Model):
    """A line of the mail: what was bought, never a code."""

    title: str
    quantity: int


class SendMail(EffectRecord):
    """Send a mail with a link to the order page, of that generation; `message_id` names the mail, not the try.

    `object_key` is set for mails that link to the stored keys as well. `about` says more of the kind: why an order is
    looked into, or what its end was.
    """

    type: Literal["send_mail"] = "send_mail"
    message_id: MessageId
    kind: MailKind = MailKind.KEYS
    email: str
    object_key: str
    items: tuple[MailItem, ...]
    link_generation: Annotated[int, Field(ge=0)] = 1
    about: str = ""


Delivery = Annotated[StoreKeys | SendMail, Field(discriminator="type")]
Effect = BuyKey | GiveReservation | LookUpPurchase | FetchCodes | StoreKeys | SendMail
"""Any effect that `decide` can ask for."""
