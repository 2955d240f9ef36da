"""The plainest server that does the work of a notification: `python -m bench.plain_ingress PORT BOOTSTRAP`.

The secret is `NOWPAYMENTS_IPN_SECRET`. It verifies the signature over the sorted JSON, sends the body to two topics and
answers when both have it. No model is checked and no event made, numbers are as Python writes them, nothing is logged,
counted, traced or limited, and an answer of Kafka's that fails is a 500.
"""

import asyncio
import hmac
import json
import os
import sys
from collections.abc import AsyncIterator

import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer

from bitloot.contracts.topics import ORDER_EVENTS, WEBHOOKS_LOG
from bitloot.kafka import BATCH_BYTES

_PRODUCER = web.AppKey("producer", AIOKafkaProducer)
_SECRET = os.environ["NOWPAYMENTS_IPN_SECRET"].encode()


async def _notified(request: web.Request) -> web.Response:
    body = await request.read()
    value = json.loads(body)
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    wanted = hmac.new(_SECRET, canonical.encode(), "sha512").hexdigest()
    if not hmac.compare_digest(wanted, request.headers.get("x-nowpayments-sig", "")):
        raise web.HTTPUnauthorized
    producer, key = request.app[_PRODUCER], value["order_id"].encode()
    await asyncio.gather(
        await producer.send(WEBHOOKS_LOG.name, body, key=key), await producer.send(ORDER_EVENTS.name, body, key=key)
    )
    return web.Response()


async def _producer(app: web.Application) -> AsyncIterator[None]:
    producer = AIOKafkaProducer(bootstrap_servers=sys.argv[2], max_batch_size=BATCH_BYTES, enable_idempotence=True)
    async with producer:
        app[_PRODUCER] = producer
        yield


def main() -> None:
    """Serve on the loopback address until killed."""
    app = web.Application()
    app.cleanup_ctx.append(_producer)
    app.router.add_post("/webhooks/nowpayments", _notified)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
