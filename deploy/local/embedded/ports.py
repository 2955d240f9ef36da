"""Free TCP ports on the loopback address."""

import random
import socket
import sys

# Below the ephemeral range of every system we know (Linux starts at 32768). A port from inside that range
# can be taken by any outgoing connection while its server is down for a restart; a client that keeps
# reconnecting to its dead server can even connect to itself there, and the server then never gets its port
# back.
FIRST, LAST = 15_000, 30_000
_ATTEMPTS = 1_000
# Not the seeded generator: tests seed it alike in every worker, which would then all pick the same ports.
_CHANCE = random.SystemRandom()


class HeldPorts:
    """Free ports that nobody else who looks for one is given, from `take` until `close`.

    Each stays bound by a socket that never listens. Linux lets a server bind and listen beside it, as servers do with
    SO_REUSEADDR, while a bind without that option, which is how free ports are found, fails. So the port is kept
    while its server is down, too. Other systems know no such thing: there the ports are only found.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self, count: int) -> tuple[int, ...]:
        """Return `count` distinct ports. Raises OSError if it finds too few."""
        found = _bind_free(count)
        ports = tuple(each.getsockname()[1] for each in found)
        for each in found:
            if sys.platform == "linux":
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._sockets.append(each)
            else:
                each.close()
        return ports

    def close(self) -> None:
        """Let all of them go."""
        while self._sockets:
            self._sockets.pop().close()


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` distinct ports of 127.0.0.1 that nobody listens on right now.

    Raises OSError if it finds too few. Between this answer and the server's own bind another program may
    take a port: servers that notice try again with new ones.
    """
    found = _bind_free(count)
    ports = tuple(each.getsockname()[1] for each in found)
    for each in found:
        each.close()
    return ports


def _bind_free(count: int) -> list[socket.socket]:
    """Return sockets that are bound to distinct ports. Raises OSError if it finds too few."""
    found: list[socket.socket] = []
    for candidate in _CHANCE.sample(range(FIRST, LAST), _ATTEMPTS):
        if len(found) == count:
            break
        if (listener := _bound(candidate)) is not None:
            found.append(listener)
    if len(found) < count:
        for each in found:
            each.close()
        raise OSError(f"found only {len(found)} of {count} free ports between {FIRST} and {LAST}")
    return found


def _bound(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        return None
    return listener


def is_free(port: int) -> bool:
    """Tell whether nobody listens on this port of 127.0.0.1 right now."""
    listener = _bound(port)
    if listener is not None:
        listener.close()
    return listener is not None


def free_port() -> int:
    """Return one free port of 127.0.0.1."""
    return free_ports(1)[0]
