"""Keeps a client to the cluster that it met first.

A broker numbers its idempotent producers, and their batches, from zero. To a broker that came back empty, the
first batches of two producers can look like repeats of each other, and a repeat is acknowledged without being
written. So a producer must never send to another cluster, or to a topic made anew, than it began with.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError

from bitloot.cluster import Cluster, LogLost, asked, complaints, read


class Pin:
    """Looks at the other end of every new connection of `client` before anything is sent there.

    `on_lost` is told once that the cluster is another one; from then on the client connects nowhere.
    """

    def __init__(self, client: AIOKafkaClient, on_lost: Callable[[LogLost], None]) -> None:
        self._client = client
        self._on_lost = on_lost
        self._connect = client._get_conn  # noqa: SLF001 - there is no other place between connecting and sending
        self._known: Cluster | None = None
        self._lost = False
        self._seen: WeakSet[AIOKafkaConnection] = WeakSet()
        client._get_conn = self._get_conn  # noqa: SLF001

    async def watch(self, every: float) -> None:
        """Look again now and then, each `every` seconds: topics can be made anew while a connection lasts."""
        while not self._lost:
            await asyncio.sleep(every)
            node = self._client.get_random_node()
            connection = None if node is None else await self._get_conn(node)
            if connection is not None:
                await self._check(connection)

    async def _get_conn(
        self, node_id: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, no_hint: bool = False
    ) -> AIOKafkaConnection | None:
        """Take the place of the client's method: None means that there is no connection now."""
        connection = await self._connect(node_id, group=group, no_hint=no_hint)
        if connection is None or connection in self._seen:
            return None if self._lost else connection
        if not await self._check(connection):
            return None
        self._seen.add(connection)
        return connection

    async def _check(self, connection: AIOKafkaConnection) -> bool:
        try:
            cluster = read(await connection.send(asked(self._client._topics)))  # noqa: SLF001 - all it has sent to
        except (KafkaError, TimeoutError):
            return False
        before = self._known or cluster
        if found := complaints(before, cluster):
            if not self._lost:
                self._lost = True
                self._on_lost(LogLost(*found))
            return False
        self._known = Cluster(cluster.cluster_id, {**before.topic_ids, **cluster.topic_ids})
        return not self._lost
