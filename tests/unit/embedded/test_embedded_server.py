"""What all servers share, shown on one that is a line of Python."""

import signal
import socket
import sys

import pytest

from embedded.errors import ServerFailed
from embedded.server import Server

LISTEN = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    listener.accept()[0].close()
"""


class LineServer(Server):
    name = "line"
    port_count = 1
    code = LISTEN

    def __init__(self, run_dir):
        super().__init__(run_dir)
        self.prepared = 0
        self.ready = True

    async def _prepare(self):
        self.data_dir.mkdir(parents=True)
        self.prepared += 1

    def _command(self):
        return [sys.executable, "-c", self.code, str(self.ports[0])]

    async def _handshake(self):
        return self.ready


@pytest.fixture
async def server(tmp_path):
    server = LineServer(tmp_path)
    yield server
    await server.stop()


async def test_it_prepares_once_and_keeps_its_port(server):
    await server.start()
    port, pid = server.ports, server.pid
    await server.restart()
    await server.kill()
    await server.start()
    assert server.prepared == 1
    assert server.ports == port
    assert server.pid != pid
    assert server.running


async def test_a_port_that_somebody_took_is_exchanged(server):
    with socket.create_server(("127.0.0.1", server.ports[0])) as rival:
        await server.start()
        assert server.running
        assert server.ports[0] != rival.getsockname()[1]


async def test_a_port_that_clients_know_is_not_exchanged(server):
    await server.start()
    await server.stop()
    server.ready = False  # or the rival's answer would do
    with socket.create_server(("127.0.0.1", server.ports[0])), pytest.raises(ServerFailed, match="already in use"):
        await server.start()


async def test_one_that_ends_at_its_start_shows_its_last_words(server):
    server.code = "import sys; sys.exit('no luck today')"
    with pytest.raises(ServerFailed, match=r"line ended at its start with exit code 1.*\n.*no luck today"):
        await server.start()
    assert not server.running


async def test_one_that_does_not_get_ready_is_killed(server):
    server.ready = False
    with pytest.raises(ServerFailed, match="line was not ready after 0 s"):
        await server.start(timeout_seconds=0.3)
    assert not server.running


class GivenUp(LineServer):
    async def _handshake(self):
        raise RuntimeError("given up")


async def test_a_start_that_is_given_up_leaves_nothing(tmp_path):
    server = GivenUp(tmp_path)
    with pytest.raises(RuntimeError, match="given up"):
        await server.start()
    assert not server.running


async def test_it_does_not_start_twice(server):
    await server.start()
    with pytest.raises(RuntimeError, match="runs already"):
        await server.start()


async def test_the_end_can_be_awaited_and_undone(server):
    await server.start()
    pid = server.pid
    await server.kill()
    assert await server.wait() == -signal.SIGKILL
    server.respawn()
    assert server.pid != pid
    assert await server.alive()


async def test_before_its_start_it_has_no_process(server):
    await server.stop()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.pid
