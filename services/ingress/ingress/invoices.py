"""NOWPayments' invoices: the page where a buyer chooses a coin and pays.

https://documenter.getpostman.com/view/7907941/2s93JusNJt: `POST /invoice` has no idempotency key, so a
repeated call makes a second invoice. That is harmless: both name the same order, and an order is paid once.
"""

import asyncio
import json
from decimal import Decimal
from http import HTTPStatus

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bitloot.errors import BitLootError, Cause, Malformed, Refused, Transient, Unknown
from ingress.ports import Invoice, InvoiceRequest


class _Created(BaseModel):
    """What we read of the answer; `id` is documented as a string and has been seen as a number."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    id: str = Field(min_length=1, max_length=64)
    invoice_url: str = Field(pattern=r"^https?://[\x21-\x7e]+$", max_length=2000)


class NowPaymentsInvoices:
    """Creates invoices through `client`, which has the base address and the key, in `patience` seconds at most."""

    def __init__(self, client: httpx.AsyncClient, *, patience: float) -> None:
        self._client = client
        self._patience = patience

    async def create(self, request: InvoiceRequest) -> Invoice:
        """Create an invoice; raises one of the four families of `bitloot.errors`."""
        try:
            # The client's timeout is for each step; this one is for all of them.
            async with asyncio.timeout(self._patience):
                response = await self._client.post(
                    "invoice", content=_body(request), headers={"content-type": "application/json"}
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Transient(Cause.PROVIDER_UNAVAILABLE, type(error).__name__) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise Unknown(Cause.TIMEOUT, "no answer in time") from error
        except httpx.HTTPError as error:
            raise Unknown(Cause.PROVIDER_UNAVAILABLE, type(error).__name__) from error
        if not response.is_success:
            raise _refusal(response)
        try:
            created = _Created.model_validate_json(response.content)
        except ValidationError as error:
            raise Malformed(Cause.BAD_ANSWER, f"HTTP {response.status_code} without an invoice") from error
        return Invoice(id=created.id, url=created.invoice_url)


def _body(request: InvoiceRequest) -> bytes:
    fields = {
        "price_currency": request.currency,
        "order_id": request.order_id,
        "order_description": f"BitLoot order {request.order_id}",
        "ipn_callback_url": request.notify_url,
        "success_url": request.return_url,
        "cancel_url": request.return_url,
    }
    members = [f"{json.dumps(name)}:{json.dumps(value)}" for name, value in fields.items()]
    return ("{" + ",".join([f'"price_amount":{_number(request.total)}', *members]) + "}").encode()


def _number(amount: Decimal) -> str:
    """Return a JSON number with every digit of the amount: a float would round long ones."""
    return format(amount, "f")


def _refusal(response: httpx.Response) -> BitLootError:
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Transient(Cause.RATE_LIMITED, "HTTP 429")
    if status >= 500:
        return Unknown(Cause.PROVIDER_UNAVAILABLE, f"HTTP {status}")
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return Refused(Cause.AUTHORIZATION, f"HTTP {status}")
    return Refused(Cause.REJECTED, f"HTTP {status}")
