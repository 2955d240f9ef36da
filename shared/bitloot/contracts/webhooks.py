"""The log of accepted notifications: `webhooks.log.v1`."""

from typing import Annotated, Any, Literal

from pydantic import Field

from bitloot.contracts.base import Record
from bitloot.ids import OrderId


class WebhookLogged(Record):
    """A notification whose signature or token was right, as it came.

    `body` is the raw text with codes replaced by `"[sealed]"`; `headers` has no secret token. `event`
    is the record that was published for it (None: nothing to do), with its topic and key, so that an
    admin can have it handled again. `event_id` is that of the content: repeats share it.
    """

    type: Literal["webhook.logged"] = "webhook.logged"
    provider: Literal["nowpayments", "kinguin", "kinguin-seller", "resend"]
    external_id: str
    event_type: str
    order_id: OrderId | None = None
    headers: dict[str, str]
    body: str
    body_sha256: str
    matched: Annotated[str, Field(description="Which secret and form verified it")] = ""
    remote_address: str = ""
    note: str = ""
    event_topic: str | None = None
    event_key: str | None = None
    event: dict[str, Any] | None = None
