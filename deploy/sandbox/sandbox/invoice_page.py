"""The page behind `invoice_url`: a "Pay" button in place of a wallet."""

from html import escape
from urllib.parse import quote

from aiohttp import web

from sandbox.payments import Book
from sandbox.problems import Problem

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sandbox invoice {id}</title>
<body style="font:16px system-ui;max-width:32rem;margin:4rem auto;padding:0 1rem">
<h1>Sandbox invoice</h1>
<p>Order <code>{order}</code>: {amount} {currency}</p>
<form method="post" action="/_pay/{target}">
<input type="hidden" name="invoiceId" value="{id}"><button>Pay</button></form>
<p>No money moves. The button sends the signed notifications of a finished payment.</p>
"""


class InvoicePage:
    """Serves one invoice to a person."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def show(self, request: web.Request) -> web.Response:
        """`GET /nowpayments/invoices/{id}`."""
        invoice = self._book.invoices.get(int(request.match_info["id"]))
        if invoice is None or invoice.order_id is None:
            raise Problem(404, "no such invoice, or it names no order")
        page = _PAGE.format(
            id=invoice.id,
            order=escape(invoice.order_id),
            amount=invoice.price_amount,
            currency=escape(invoice.price_currency.upper()),
            target=escape(quote(invoice.order_id, safe="")),
        )
        return web.Response(text=page, content_type="text/html")
