"""The composition root of the fulfillment process: the only place that constructs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bitloot import faust_app, health
from bitloot.cluster import await_cluster
from bitloot.contracts.topics import KINGUIN_NOTICES, KINGUIN_SALES, ORDER_EVENTS
from bitloot.kafka import Producer
from fulfillment.agents import OrdersAgent, OrderTables, ReservationRouter
from fulfillment.due import DueIndex
from fulfillment.selling.agent import SalesAgent, of_sales
from fulfillment.set_aside import DeadLetters
from fulfillment.settings import Settings
from fulfillment.steady import SteadyClock
from fulfillment.timers import Timers, of_notices, of_orders

APP_ID = "fulfillment"


@dataclass(frozen=True, slots=True)
class Ports:
    """What the agents need of the world."""

    outputs: Producer
    partitions: int


@asynccontextmanager
async def open_ports(settings: Settings, partitions: int) -> AsyncIterator[Ports]:
    """Connect; close last in, first out. Needs no broker."""
    async with Producer(settings, client_id=APP_ID) as outputs:
        yield Ports(outputs, partitions)


def build(settings: Settings, ports: Ports, checks: health.Health) -> tuple[faust_app.App, Timers]:
    """Return the app with its agents and tables, and the timers that belong to it; `checks` gets what they tell."""
    app = faust_app.create_app(
        settings,
        app_id=APP_ID,
        datadir=settings.faust_datadir,
        partitions=ports.partitions,
        outputs=ports.outputs,
        replication=settings.topic_replication,
    )
    tables = OrderTables(faust_app.bytes_table(app, "orders"), faust_app.bytes_table(app, "retired"))
    routes, sales = faust_app.bytes_table(app, "routes"), faust_app.bytes_table(app, "sales")
    dead_letters, clock = DeadLetters(ports.outputs, consumer=APP_ID), SteadyClock()
    dead_letters.register(checks)
    due_orders, due_notices, due_sales = DueIndex[str](), DueIndex[str](), DueIndex[str]()
    orders_agent = OrdersAgent(tables, ports.outputs, dead_letters, due_orders, clock=clock, policy=settings.policy)
    router = ReservationRouter(
        routes, ports.outputs, dead_letters, due_notices, clock=clock, held_for=settings.notices_held_for
    )
    sales_agent = SalesAgent(sales, ports.outputs, dead_letters, due_sales, clock=clock)
    app.agent(faust_app.bytes_topic(app, ORDER_EVENTS), name="orders")(orders_agent.run)
    app.agent(faust_app.bytes_topic(app, KINGUIN_NOTICES), name="reservation-router")(router.run)
    app.agent(faust_app.bytes_topic(app, KINGUIN_SALES), name="sales")(sales_agent.run)
    sources = [
        of_orders(tables.orders, due_orders),
        of_notices(routes, due_notices, settings.notices_held_for),
        of_sales(sales, due_sales),
    ]
    timers = Timers(app, ports.outputs, sources, clock)
    faust_app.register(app, checks)
    checks.register("timers", timers.check, vital=True)
    return app, timers


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run until `stop` is set; end the process when anything in it has failed for good."""
    checks = health.Health()
    async with health.serve(checks, settings.http_host, settings.health_port):
        partitions = await _partitions(settings, checks.gate("topics", "Kafka was not asked yet"), stop)
        if partitions is None:
            return
        async with open_ports(settings, partitions) as ports:
            app, timers = build(settings, ports, checks)
            ports.outputs.register(checks)
            await faust_app.run(app, stop, background=[timers.run, ports.outputs.watch])


async def _partitions(settings: Settings, waiting: health.Gate, stop: asyncio.Event) -> int | None:
    """Wait for Kafka; return how many partitions the orders' topics have, or None when told to stop meanwhile.

    Tables must have as many.
    """
    names = (ORDER_EVENTS.name, KINGUIN_NOTICES.name, KINGUIN_SALES.name)
    asking = asyncio.ensure_future(await_cluster(settings, names, waiting))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            return None
        partitions = asking.result().partitions[ORDER_EVENTS.name]
    finally:
        asking.cancel()
        stopping.cancel()
    waiting.open()
    return partitions
