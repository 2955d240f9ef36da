"""TLS to Postgres is asked for in DATABASE_URL: it holds for pools, migrations and single connections.

The embedded server was built without TLS, so a front does it, as a connection pooler or a managed database's proxy
would: it speaks the protocol's own request for TLS and lets nobody in without.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import trustme

from admin_api.migrations import migrate
from bitloot.ledger import open_pool

pytestmark = pytest.mark.stack

# https://www.postgresql.org/docs/18/protocol-message-formats.html, SSLRequest
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass(frozen=True)
class Secured:
    """A database behind a front that demands TLS, and the authority that the front's certificate is from."""

    dsn: str
    ca_file: Path

    def asked(self, **query: object) -> str:
        return f"{self.dsn}?{'&'.join(f'{name}={value}' for name, value in query.items())}"


async def _front(context: ssl.SSLContext, behind: tuple[str, int]) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            if await reader.readexactly(len(_SSL_REQUEST)) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
                server_reader, server_writer = await asyncio.open_connection(*behind)
                await asyncio.gather(_pass(reader, server_writer), _pass(server_reader, writer))
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def secured(database: str, tmp_path: Path) -> AsyncIterator[Secured]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    parts = urlsplit(database)
    assert parts.hostname
    assert parts.port
    front = await _front(context, (parts.hostname, parts.port))
    host, port = front.sockets[0].getsockname()
    address = f"{parts.username}:{parts.password}@{host}:{port}"
    try:
        yield Secured(urlunsplit(parts._replace(netloc=address)), tmp_path / "ca.pem")
    finally:
        front.close()


async def test_whoever_comes_over_tls_is_served_and_nobody_else(secured: Secured):
    verified = secured.asked(sslmode="verify-full", sslrootcert=secured.ca_file)
    await migrate(verified)
    async with open_pool(verified, max_size=1) as pool:
        assert await pool.fetchval("select count(*) from orders") == 0
    with pytest.raises((ConnectionError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await asyncpg.connect(secured.asked(sslmode="disable"))


async def test_a_server_that_cannot_prove_its_name_is_refused(secured: Secured, tmp_path: Path):
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(secured.asked(sslmode="verify-full", sslrootcert=stranger))
