"""Puts the sandbox together; nothing else constructs its parts."""

import time
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client import CollectorRegistry

from sandbox import health
from sandbox.background import Background
from sandbox.calls import Front
from sandbox.cashier import Cashier
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.dials import Panel
from sandbox.esa.control import EsaControl
from sandbox.esa.shop import Esa
from sandbox.faults import Faults
from sandbox.invoice_page import InvoicePage
from sandbox.journal import Journal
from sandbox.kinguin import Kinguin
from sandbox.ledger import Ledger
from sandbox.nowpayments import NowPayments
from sandbox.payments import Book
from sandbox.problems import problem_documents
from sandbox.resend import Resend
from sandbox.seller.control import SellerControl
from sandbox.seller.envoy import Envoy
from sandbox.seller.market import Market
from sandbox.seller.sales_manager import SalesManager
from sandbox.settings import Settings
from sandbox.webhooks import Webhooks

# A mail with attachments; Resend itself takes about 40 MB.
_MAX_BODY = 16 * 1024 * 1024


def build(settings: Settings, clock: Clock = time.time) -> web.Application:
    """Return the application with all providers and the control plane mounted."""
    registry = CollectorRegistry()
    panel, faults, background, book = Panel(settings), Faults(), Background(), Book()
    ledger = Ledger(
        calls=Journal(settings.max_calls),
        purchases=Journal(settings.max_purchases),
        sales=Journal(settings.max_purchases),
        mails=Journal(settings.max_mails),
        webhooks=Journal(settings.max_calls),
    )
    webhooks = Webhooks(panel, faults, ledger, clock, background, registry)
    kinguin = Kinguin(panel, ledger, webhooks, background, clock)
    esa = Esa(panel, ledger, webhooks, background, clock)
    market = Market(panel, ledger, Envoy(panel, webhooks, ledger, clock), background, clock)
    seller = SalesManager(panel, market, kinguin.tokens, clock)
    nowpayments = NowPayments(panel, book, clock)
    resend = Resend(panel, ledger, webhooks, clock)
    cashier = Cashier(panel, book, webhooks, clock)

    async def connections(_: web.Application) -> AsyncIterator[None]:
        await webhooks.open()
        yield
        await background.close()
        await webhooks.close()

    app = web.Application(client_max_size=_MAX_BODY, middlewares=[problem_documents])
    app.cleanup_ctx.append(connections)
    front = Front(panel, faults, ledger, clock, registry)
    # Before the providers, which take everything below their base.
    app.router.add_get(r"/nowpayments/invoices/{id:\d{1,15}}", InvoicePage(book).show)
    for simulated in (kinguin, esa, seller, nowpayments, resend):
        app.add_routes(front.routes(simulated.provider()))
    app.add_routes(Control(panel, faults, ledger, cashier, kinguin).routes())
    app.add_routes([*EsaControl(esa).routes(), *SellerControl(market).routes()])
    app.add_routes(health.routes(registry))
    return app
