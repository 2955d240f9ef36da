"""A scripted buyer API and what it says; the purchases that we make of it."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bitloot import ids
from bitloot.ids import OrderId, ProductId
from fulfillment.purchases import Line, Purchase
from tests.unit.kinguin.scripted import Says

API_KEY = "api-key-2f81cd"
ORDER: OrderId = ids.order_id("kinguin-esa-tests")
EXTERNAL = f"{ORDER}-1"
KINGUIN_ID = "PHS84FJAG5U"
APPLE, PEAR = ProductId("5c9b68662539a4e8f17ae2fe"), ProductId("5c9b5f6b2539a4e8f172916a")
OFFER = "5f7efe3b369b4a0001c5b46f"

Purchases = Callable[..., Purchase]


def line(product: str = APPLE, quantity: int = 2, *, price: str = "10", **more: Any) -> Line:
    position = 1 if product == APPLE else 2
    known = {"currency": "eur"} | more
    return Line(ids.item_id(ORDER, position), ProductId(product), quantity, Decimal(price), **known)


def purchase(*lines: Line) -> Purchase:
    return Purchase(EXTERNAL, lines or (line(),))


def offer(price: str = "5.79", qty: int = 100, offer_id: str = OFFER, **more: object) -> dict[str, object]:
    return {"offerId": offer_id, "price": Decimal(price), "qty": qty, "textQty": qty} | more


def product(product_id: str = APPLE, *offers: dict[str, object], **more: object) -> Says:
    known = offers or (offer(),)
    told: dict[str, object] = {
        "productId": product_id,
        "kinguinId": 1949,
        "name": "Game",
        "price": min((each["price"] for each in known), default=None),  # type: ignore[type-var]
        "qty": known[0]["qty"],
        "textQty": known[0]["textQty"],
        "isPreorder": False,
        "offers": list(known),
    }
    return says(200, told | more)


def order(
    standing: str = "processing",
    *lines: tuple[str, int],
    keys: dict[str, list[str]] | None = None,
    status_code: int = 200,
    **more: object,
) -> Says:
    known = lines or ((APPLE, 2),)
    products = [
        {
            "kinguinId": 1949,
            "offerId": OFFER,
            "productId": product_id,
            "qty": quantity,
            "price": Decimal("5.79"),
            "isPreorder": False,
            "releaseDate": "2004-11-01",
            "keys": [{"id": f"k{n}", "status": each} for n, each in enumerate((keys or {}).get(product_id, []))],
        }
        for product_id, quantity in known
    ]
    quantity = sum(each for _, each in known)
    told: dict[str, object] = {
        "orderId": KINGUIN_ID,
        "kinguinOrderId": 20549751,
        "orderExternalId": EXTERNAL,
        "status": standing,
        "totalPrice": Decimal("5.79") * quantity,
        "requestTotalPrice": Decimal("5.79") * quantity,
        "paymentPrice": str(Decimal("5.79") * quantity),
        "totalQty": quantity,
        "isPreorder": False,
        "preorderReleaseDate": None,
        "products": products,
    }
    return says(status_code, told | more)


def placed(*lines: tuple[str, int], **more: object) -> Says:
    return order("processing", *lines, status_code=201, **more)  # type: ignore[arg-type]


def key(number: int, product_id: str = APPLE, **more: object) -> dict[str, object]:
    known = {
        "id": f"key-{number}",
        "serial": f"SECRET-{number}",
        "type": "text/plain",
        "name": "Game",
        "kinguinId": 1949,
        "offerId": OFFER,
        "productId": product_id,
    }
    return known | more


def keys(*entries: dict[str, object]) -> Says:
    return says(200, list(entries))


def found(*orders: tuple[str, str], external: str = EXTERNAL) -> Says:
    results = [{"orderId": order_id, "status": status, "orderExternalId": external} for order_id, status in orders]
    return says(200, {"results": results, "item_count": len(results)})


def problem(status: int, kind: str | None, headers: dict[str, str] | None = None, **more: object) -> Says:
    told = {"kind": kind, "status": status, "title": "x", "detail": "SECRET-9", "trace": "ab12", "retryable": True}
    return Says(status, told | more, headers or {})


def says(status: int, told: object) -> Says:
    """Answer with decimals as the numbers that they are."""
    numbers: list[str] = []

    def number(value: object) -> str:
        assert isinstance(value, Decimal)
        numbers.append(f"{value:f}")
        return f"@{len(numbers) - 1}@"

    text = json.dumps(told, default=number)
    for index, each in enumerate(numbers):
        text = text.replace(f'"@{index}@"', each)
    return Says(status, text.encode(), {"Content-Type": "application/json"})
