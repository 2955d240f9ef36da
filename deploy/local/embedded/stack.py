"""The whole system on this machine: servers, simulators, services, supervised; described in stack.json."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx

from embedded.child import Child
from embedded.environment import Addresses, Settings, current, environment, environment_of, settings
from embedded.errors import EmbeddedError, PortTaken
from embedded.files import write_whole
from embedded.kafka import Kafka
from embedded.ports import HeldPorts
from embedded.postgres import Postgres
from embedded.report import Report, step
from embedded.rundir import RunDir
from embedded.runner import PROBE_TIMEOUT_SECONDS, ServiceProcess, Supervisor
from embedded.s3 import S3
from embedded.server import Server
from embedded.services import MIGRATIONS, TOPICS, Command, Instance, Stage, first, instances, tables_dir

BUCKET = "bitloot-keys"
# Several times what two busy cores were seen to need.
_READY_SECONDS = 60.0
_PORT_ATTEMPTS = 3

_log = logging.getLogger(__name__)


@asynccontextmanager
async def stack(
    run: RunDir, *, workers: Mapping[str, int], given: Mapping[str, str], report: Report
) -> AsyncIterator[None]:
    """Start everything, publish stack.json once all is ready, keep it running; stop it all on the way out.

    `workers` says how many of a kind to run, `given` is the person's environment. Raises EmbeddedError when
    something does not come up; what had come up is stopped again.
    """
    async with httpx.AsyncClient(timeout=PROBE_TIMEOUT_SECONDS, trust_env=False) as client:
        whole = _Stack(run, workers, given, client)
        try:
            await whole.start(report)
            yield
        finally:
            run.clear()
            await whole.stop()
            _log.info("everything is stopped")


class _Stack:
    def __init__(
        self, run: RunDir, workers: Mapping[str, int], given: Mapping[str, str], client: httpx.AsyncClient
    ) -> None:
        self._run = run
        self._client = client
        self._given = given
        self._workers = workers
        self._ports = HeldPorts()
        self._plan: tuple[Instance, ...] = ()
        self._kafka = Kafka(run.data_dir, log_dir=run.log_dir)
        self._postgres = Postgres(run.data_dir, log_dir=run.log_dir)
        self._s3 = S3(run.data_dir, log_dir=run.log_dir)
        self._servers: tuple[Server, ...] = (self._kafka, self._postgres, self._s3)
        self._running: dict[Instance, ServiceProcess] = {}
        self._settings: Settings = {}
        self._ready = False
        self._supervisor = Supervisor(self._changed)

    async def start(self, report: Report) -> None:
        """Start each server and prepare it for the services, side by side; then all services at once."""
        await _together(self._start_kafka(report), self._start_postgres(report), self._start_s3(report))
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                await self._start_services(report)
                break
            except PortTaken as error:
                if attempt == _PORT_ATTEMPTS:
                    raise
                _log.warning("%s", error)
                await self._stop_services()
        write_whole(self._run.environment_file, json.dumps(self._settings, indent=2) + "\n")
        self._ready = True
        self._changed()

    async def _start_services(self, report: Report) -> None:
        """Start all services, on ports chosen now. As settings name addresses, those are made now, too."""
        self._ports.close()
        self._plan = instances(self._workers, self._ports.take)
        self._settings = settings(self._addresses(), self._given)
        await self._s3.let_read(BUCKET, self._page_origins())
        await _together(*(self._start_service(instance, report) for instance in self._plan))

    async def stop(self) -> None:
        """Stop the doors first, so that nothing new comes in, and the servers last."""
        for server in self._servers:
            await self._supervisor.release(server)
        await self._stop_services()
        await asyncio.gather(*(server.stop() for server in self._servers))

    async def _stop_services(self) -> None:
        for process in self._running.values():
            await self._supervisor.release(process)
        for stage in sorted(Stage, reverse=True):
            group = [process for instance, process in self._running.items() if instance.service.stage == stage]
            await asyncio.gather(*(process.stop() for process in group))
        self._running.clear()
        self._ports.close()

    async def _start_kafka(self, report: Report) -> None:
        await self._start_server(self._kafka, "Kafka", report)
        await self._run_command(TOPICS, {"KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap}, report)

    async def _start_postgres(self, report: Report) -> None:
        await self._start_server(self._postgres, "PostgreSQL", report)
        await self._run_command(MIGRATIONS, {"DATABASE_URL": self._postgres.dsn}, report)

    async def _start_s3(self, report: Report) -> None:
        await self._start_server(self._s3, "S3", report)
        with step(report, "bucket"):
            await self._s3.create_bucket(BUCKET)

    def _page_origins(self) -> list[str]:
        """Return where people may open the order page: whatever name this machine goes by."""
        parts = urlsplit(self._given.get("PUBLIC_URL") or first(self._plan, "order-page").url)
        origins = [f"{parts.scheme}://{parts.netloc}"]
        if parts.hostname == "127.0.0.1":
            origins.append(f"{parts.scheme}://localhost:{parts.port}")
        return origins

    async def _start_server(self, server: Server, title: str, report: Report) -> None:
        with step(report, title):
            await server.start(_READY_SECONDS)
        self._changed()
        self._supervisor.watch(server)

    async def _run_command(self, command: Command, needed: Settings, report: Report) -> None:
        with step(report, command.name):
            child = Child(
                command.name,
                [sys.executable, "-m", command.module],
                log_file=self._run.log_dir / f"{command.name}.log",
                env=environment(needed, needed, self._given),
            )
            try:
                code = await child.wait()
            except asyncio.CancelledError:
                await child.kill()
                raise
            if code != 0:
                raise child.failure(f"failed with exit code {code}")

    async def _start_service(self, instance: Instance, report: Report) -> None:
        if "FAUST_DATADIR" in instance.service.needs:
            tables_dir(self._run.data_dir, instance).mkdir(
                parents=True, exist_ok=True
            )  # as a volume is there before its pod
        process = ServiceProcess(
            instance.name,
            instance.service.module,
            instance.url,
            env=environment_of(instance, self._settings, self._run.data_dir, self._given),
            log_dir=self._run.log_dir,
            work_dir=self._run.data_dir,
            client=self._client,
        )
        with step(report, instance.name):
            process.respawn()
            self._running[instance] = process
            self._changed()
            await process.until_ready(_READY_SECONDS)
        self._supervisor.watch(process)

    def _addresses(self) -> Addresses:
        return Addresses(
            kafka=self._kafka.bootstrap,
            postgres=self._postgres.dsn,
            s3_endpoint=self._s3.endpoint,
            s3_bucket=BUCKET,
            s3_access_key=self._s3.access_key,
            s3_secret_key=self._s3.secret_key,
            ingress=first(self._plan, "ingress").url,
            admin=first(self._plan, "admin-api").url,
            order_page=first(self._plan, "order-page").url,
            sandbox=first(self._plan, "sandbox").url,
        )

    def _changed(self) -> None:
        """Follow the process ids."""
        self._run.record([pid for pids in self._pids().values() for pid in pids])
        if self._ready:
            self._run.publish(self._facts())

    def _pids(self) -> dict[str, list[int]]:
        pids = {server.name: [server.pid] for server in self._servers if server.running}
        for instance in self._plan:
            if instance in self._running:
                pids.setdefault(instance.service.name, []).append(self._running[instance].pid)
        return pids

    def _facts(self) -> dict[str, object]:
        """Return stack.json: scripts outside the repository rely on these names."""
        addresses = self._addresses()
        return {
            "ingress_url": addresses.ingress,
            "admin_url": addresses.admin,
            "delivery_url": addresses.order_page,
            "sandbox_url": addresses.sandbox,
            "kafka": addresses.kafka,
            "postgres": addresses.postgres,
            "s3_endpoint": self._settings["R2_ENDPOINT_URL"],
            "s3_bucket": self._settings["R2_BUCKET"],
            "pids": self._pids(),
            "admin_token": current(self._settings["ADMIN_TOKEN"]),
            "shop_token": current(self._settings["SHOP_TOKEN"]),
            "data_dirs": {
                "kafka": str(self._kafka.data_dir),
                "tables": str(self._run.data_dir / "tables"),
                "postgres": str(self._postgres.data_dir),
                "s3": str(self._s3.data_dir),
            },
            "log_dir": str(self._run.log_dir),
        }


async def _together(*starts: Coroutine[None, None, None]) -> None:
    """Run them side by side; the first that fails ends the others and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* EmbeddedError as failures:
        raise failures.exceptions[0] from None
