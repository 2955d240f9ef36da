"""`POST /orders`: the shop's backend places an order."""

import re
import time

from aiohttp import web
from pydantic import SecretStr, ValidationError

from bitloot import log
from bitloot.contracts.events import PaymentInstructions
from bitloot.errors import Cause, Refused, Transient
from bitloot.kafka import ProducerFailed
from bitloot.problem import Problem, from_validation
from bitloot.signing import bearer_token, token_equal
from ingress.body import read_body
from ingress.checkout import Checkout, Conflict, NotPayable, Placed
from ingress.notification import NotAccepted
from ingress.order_request import Limits, OrderRequest, read_order
from ingress.webhook import RETRY_AFTER_SECONDS

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_log = log.get(__name__)


class Orders:
    """The handler. `tokens` are the shop's bearer tokens, the current one first."""

    def __init__(self, checkout: Checkout, tokens: tuple[SecretStr, ...], limits: Limits) -> None:
        self._checkout = checkout
        self._tokens = tokens
        self._limits = limits

    async def handle(self, request: web.Request) -> web.Response:
        """Answer 201 with the order; raises `Problem` for everything else."""
        started = time.perf_counter()
        try:
            self._authorize(request)
            key = _idempotency_key(request)
            wanted = await self._read(request)
            placed = await self._place(key, wanted)
        except Problem as problem:
            _log_refused(problem, started)
            raise
        _log_accepted(placed, wanted, started)
        return _answer(placed)

    def _authorize(self, request: web.Request) -> None:
        if not token_equal(bearer_token(request.headers.get("Authorization")), self._tokens):
            raise Problem(401, "A valid bearer token is needed.", headers={"WWW-Authenticate": "Bearer"})

    async def _read(self, request: web.Request) -> OrderRequest:
        if request.content_type != "application/json":
            raise Problem(415, "An order is sent as application/json.")
        try:
            return read_order(await read_body(request), self._limits)
        except NotAccepted as error:
            raise Problem(error.status, error.detail) from error
        except ValidationError as error:
            raise from_validation(error, status=422) from error

    async def _place(self, key: str, wanted: OrderRequest) -> Placed:
        try:
            return await self._checkout.place(key, wanted)
        except Conflict as error:
            raise Problem(409, "Another order was placed under this Idempotency-Key.") from error
        except NotPayable as error:
            place = "#/payCurrency" if error.cause is Cause.COIN_UNAVAILABLE else "#/items"
            errors = [{"pointer": place, "detail": error.detail, "type": error.cause}]
            raise Problem(422, f"The order cannot be paid like this: {error.detail}.", errors=errors) from error
        except Refused as error:
            raise Problem(410, "This order was placed before, and its buyer's data was erased since.") from error
        except (Transient, ProducerFailed) as error:
            wait = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            raise Problem(503, "The order could not be stored; send it again.", headers=wait) from error


def _idempotency_key(request: web.Request) -> str:
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise Problem(400, "One Idempotency-Key header of 1 to 255 visible ASCII characters is needed.")
    return keys[0]


def _log_accepted(placed: Placed, wanted: OrderRequest, started: float) -> None:
    _log.info(
        "order.accepted",
        order_id=placed.order_id,
        items=len(wanted.items),
        total=wanted.total,
        currency=wanted.currency,
        replayed=placed.replayed,
        payable=placed.payment is not None,
        pay_currency=wanted.pay_currency,
        duration_ms=_milliseconds(started),
    )


def _log_refused(problem: Problem, started: float) -> None:
    errors = problem.document.get("errors", [])
    _log.warning(
        "order.refused",
        status=problem.status,
        detail=problem.document.get("detail"),
        # Kinds only: the place of an error may be a name of the sender's choice.
        errors=[each["type"] for each in errors] if isinstance(errors, list) else [],
        duration_ms=_milliseconds(started),
    )


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def _answer(placed: Placed) -> web.Response:
    headers = {"Location": placed.status_url}
    if placed.replayed:
        headers["Idempotency-Replayed"] = "true"
    document: dict[str, object] = {
        "orderId": placed.order_id,
        "statusUrl": placed.status_url,
        "payUrl": placed.pay_url,
    }
    if placed.payment is not None and placed.payment.payment_id is not None:
        document["payment"] = _payment(placed.payment)
    return web.json_response(document, status=201, headers=headers)


def _payment(payment: PaymentInstructions) -> dict[str, object]:
    """Show an address as its buyer needs it. Without its memo or tag a deposit of some coins is lost."""
    amount, until = payment.pay_amount, payment.valid_until
    return {
        "paymentId": payment.payment_id,
        "payCurrency": payment.pay_currency,
        "network": payment.network,
        "address": payment.pay_address,
        "memo": payment.memo,
        "amount": None if amount is None else format(amount, "f"),
        "validUntil": None if until is None else until.isoformat(),
    }
