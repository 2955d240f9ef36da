"""The admin API over HTTP, on a database of the test's own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from admin_api.access.oidc import Provider
from admin_api.api.app import LONGEST_LINE, build
from admin_api.api.intake import Intake
from admin_api.api.live import Live
from admin_api.api.originals import KafkaOriginals
from admin_api.api.ports import Originals, Ports, Publisher
from admin_api.api.settings_page import told
from admin_api.settings import ApiSettings
from admin_api.sink.batch import Batch, Decoder
from admin_api.sink.source import Topics
from admin_api.sink.store import Store
from bitloot.code_hashes import CodeHasher
from bitloot.contracts import codec
from bitloot.contracts.base import Record
from bitloot.contracts.events import OrderRecord
from bitloot.contracts.topics import Topic
from bitloot.errors import Cause, Transient
from bitloot.health import Health
from bitloot.ledger import open_pool
from tests.fakes.buyers import keep_key
from tests.integration.admin_api.read_model import ReadModel
from tests.unit.admin_api import records

TOKEN, OLD_TOKEN = "current-token", "previous-token"


class NoKafka:
    """A broker that is away."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["NoKafka"]:
        yield self

    async def send(self, topic: Topic, key: str, record: Record) -> None:
        raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka did not acknowledge")

    async def send_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: object = ()) -> None:
        raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka did not acknowledge")

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        raise Transient(Cause.BROKER_UNAVAILABLE, "Kafka gave no record")


@dataclass
class Api:
    """What a test asks with, and what it fills the read model with."""

    client: TestClient[Any, Any]
    ports: Ports
    seeded: int = 0

    async def ask(
        self, path: str, *, token: str | None = TOKEN, method: str = "GET", **query: object
    ) -> ClientResponse:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        params = {name: str(value) for name, value in query.items()}
        return await self.client.request(method, path, params=params, headers=headers)

    async def act(
        self,
        path: str,
        action: str | None = None,
        query: Mapping[str, str] | None = None,
        body: object = None,
    ) -> ClientResponse:
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": action} if action else {})
        return await self.client.post(path, headers=headers, params=query or {}, json=body)

    async def page(self, path: str, **query: object) -> dict[str, Any]:
        response = await self.ask(path, **query)
        answer = await response.json()
        assert response.status == 200, answer
        return answer

    async def ids(self, path: str, **query: object) -> list[object]:
        return [item["id"] for item in (await self.page(path, **query))["items"]]

    async def refusal(self, path: str, **query: object) -> list[str]:
        """Return which parameters are refused with 400."""
        response = await self.ask(path, **query)
        problem = await response.json()
        assert (response.status, response.content_type) == (400, "application/problem+json"), problem
        return [error["parameter"] for error in problem["errors"]]

    async def seed(self, topic: Topic, *values: Record) -> None:
        """Write records as the sink does, without Kafka between."""
        batch = Batch()
        for value in values:
            key = str(getattr(value, "order_id", None) or value.event_id)
            at = records.at(self.seeded)
            raw = records.taken(topic.name, key.encode(), codec.encode(value), offset=self.seeded, at=at)
            Decoder(self.ports.topics).add(batch, raw)
            if isinstance(value, OrderRecord):
                await keep_key(self.ports.pool, value.order_id)
            self.seeded += 1
        await Store(self.ports.pool).write(batch, {})


@asynccontextmanager
async def serve_api(
    database: str,
    *,
    publisher: Publisher | None = None,
    originals: Originals | None = None,
    topics: Topics | None = None,
    replayable: Mapping[str, Topic] | None = None,
    intake: Intake | None = None,
    hasher: CodeHasher | None = None,
    provider: Provider | None = None,
    live: Live | None = None,
    fresh_as_of: Callable[[], datetime | None] = lambda: None,
    port: int | None = None,
    **more: Any,
) -> AsyncIterator[Api]:
    settings = ApiSettings(
        kafka_bootstrap_servers="127.0.0.1:1",
        database_url=SecretStr(database),
        admin_token=(SecretStr(TOKEN), SecretStr(OLD_TOKEN)),
        **more,
    )
    async with open_pool(database, max_size=4) as pool:
        ports = Ports(
            pool=pool,
            publisher=publisher or NoKafka(),
            originals=originals or NoKafka(),
            topics=topics or Topics(),
            replayable=replayable or {Topics().events.name: Topics().events},
            intake=intake,
            hasher=hasher,
            settings=told(settings),
            fresh_as_of=fresh_as_of,
            **({} if live is None else {"live": live.events}),
        )
        server = TestServer(build(settings, ports, Health(), provider, live), port=port)
        await server.start_server(max_line_size=LONGEST_LINE)
        async with TestClient(server) as client:
            yield Api(client, ports)


def kafka_api(model: ReadModel):
    """Serve the API on the Kafka of a read model."""
    declared = Topics()
    return serve_api(
        model.settings.database_url.get_secret_value(),
        publisher=model.producer,
        originals=KafkaOriginals(model.settings),
        topics=model.topics,
        replayable={declared.events.name: model.topics.events, declared.webhooks.name: model.topics.webhooks},
    )
