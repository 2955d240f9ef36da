"""The composition root: everything is made here, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from aiohttp import web

from bitloot.code_hashes import hasher
from bitloot.health import Health
from bitloot.http import create_app, serve_until
from bitloot.incarnation import incarnation
from bitloot.kafka import Producer
from bitloot.keyring import Keyring
from bitloot.layout import Layout
from bitloot.ledger import EffectLedger, open_pool
from bitloot.schema import migrated
from bitloot.sealing import Sealer
from ingress import kinguin, kinguin_seller, nowpayments, resend
from ingress.billing import Billing
from ingress.broker import complaint
from ingress.checkout import Checkout, CheckoutPorts
from ingress.checkouts import PostgresCheckouts
from ingress.client import open_client
from ingress.coins import Coins
from ingress.first_bills import LedgerBills
from ingress.gateway import Bounds, Gateway
from ingress.order_request import Limits
from ingress.orders import Orders
from ingress.ports import Checkouts, CoinRules, FirstBills, Publisher
from ingress.refusals import PostgresSamples, Samples
from ingress.settings import Settings
from ingress.webhook import Webhook

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

_MORE_SECONDS = 1.0  # than a call takes: for the ledger


@dataclass(frozen=True, slots=True)
class Ports:
    """What the ingress has of the outside."""

    publisher: Publisher
    checkouts: Checkouts
    bills: FirstBills
    coins: CoinRules
    samples: Samples


def build(settings: Settings, ports: Ports, health: Health) -> web.Application:
    """Return the application on these ports."""
    app = create_app(health, probes=settings.probe_port is None)
    add = app.router.add_post
    placing = CheckoutPorts(ports.publisher, ports.checkouts, ports.bills, ports.coins)
    checkout = Checkout(placing, settings.addresses)
    limits = Limits(settings.order_max_items, settings.order_max_quantity)
    add("/orders", Orders(checkout, settings.shop_token, limits).handle)

    payments = nowpayments.reader(settings.nowpayments_ipn_secret)
    add(
        "/webhooks/nowpayments",
        Webhook("nowpayments", payments, ports.publisher, ports.samples, _ok, settings.proxy_networks).handle,
    )
    sealer = Sealer(settings.sealing_public_key, hasher(settings.code_hash_keys))
    notices = kinguin.reader(settings.kinguin_webhook_secret, sealer, settings.kinguin_networks)
    for path in ("/webhooks/kinguin", "/kinguin/webhook"):
        add(
            path,
            Webhook(
                "kinguin", notices, ports.publisher, ports.samples, _kinguin_answer, settings.proxy_networks
            ).handle,
        )
    add("/webhooks/kinguin-seller", _sales(settings, ports))
    mails = resend.reader(settings.resend_webhook_secret)
    add(
        "/webhooks/resend",
        Webhook("resend", mails, ports.publisher, ports.samples, _no_content, settings.proxy_networks).handle,
    )
    return app


def _sales(settings: Settings, ports: Ports) -> "Handler":
    """Return what answers news of our sales: they are refused where nothing is sold."""
    if settings.kinguin_seller_webhook_secret is None:
        return kinguin_seller.refuse
    sales = kinguin_seller.reader(settings.kinguin_seller_webhook_secret, settings.kinguin_networks)
    return Webhook("kinguin-seller", sales, ports.publisher, ports.samples, _ok, settings.proxy_networks).handle


@asynccontextmanager
async def open_ports(settings: Settings, health: Health) -> AsyncIterator[Ports]:
    """Open the real adapters, also while what they reach is away. Closed last in, first out.

    When the producer fails for good the body is canceled and `ProducerFailed` raised, in a group: the process
    must end, and the next one has a new producer.
    """
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(settings.database_url.get_secret_value(), max_size=4))
        client = await stack.enter_async_context(open_client(settings))
        gateway = Gateway(client, Bounds(settings.nowpayments_seconds))
        producer = await stack.enter_async_context(_producer(settings))
        producer.register(health)
        health.register("kafka", lambda: complaint(settings.kafka_bootstrap_servers))
        Layout(settings, "ingress").register(health)
        Keyring.of_sealer(pool, "orders", settings.sealing_public_key).register(health)
        health.register("postgres", migrated(pool), advisory=True)  # webhooks are accepted without it, orders are not
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watching = tasks.create_task(producer.watch())
        stack.callback(watching.cancel)
        samples = PostgresSamples(pool)
        keeping = tasks.create_task(samples.run())
        stack.callback(keeping.cancel)
        yield Ports(
            publisher=producer,
            checkouts=PostgresCheckouts(pool, patience=settings.order_index_seconds),
            bills=LedgerBills(
                Billing(gateway, settings.addresses),
                EffectLedger(pool, incarnation(settings.service_instance)),
                producer,
                within=timedelta(seconds=settings.nowpayments_seconds + _MORE_SECONDS),
                patience=settings.nowpayments_seconds + 2 * settings.order_index_seconds + _MORE_SECONDS,
            ),
            coins=Coins(gateway),
            samples=samples,
        )


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; raises when the process must end at once."""
    health = Health()
    async with open_ports(settings, health) as ports:
        app = build(settings, ports, health)
        await serve_until(
            stop,
            app,
            settings.http_host,
            settings.http_port,
            probe_port=settings.probe_port,
            base_path=settings.base_path,
        )


def _producer(settings: Settings) -> Producer:
    return Producer(settings, client_id="ingress", timeout_seconds=settings.publish_seconds)


def _ok(_request: web.Request) -> web.Response:
    return web.Response(text="OK")


def _no_content(_request: web.Request) -> web.Response:
    return web.Response(status=204)


def _kinguin_answer(request: web.Request) -> web.Response:
    return _no_content(request) if kinguin.is_esa(request.headers) else _ok(request)
