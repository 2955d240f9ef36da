"""Free TCP ports on the loopback address."""

import random
import socket

# Below the ephemeral range of every system we know (Linux starts at 32768). A port from inside that range
# can be taken by any outgoing connection while its server is down for a restart; a client that keeps
# reconnecting to its dead server can even connect to itself there, and the server then never gets its port
# back.
FIRST, LAST = 15_000, 30_000
_ATTEMPTS = 1_000
# Not the seeded generator: tests seed it alike in every worker, which would then all pick the same ports.
_CHANCE = random.SystemRandom()


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` distinct ports of 127.0.0.1 that nobody listens on right now.

    Raises OSError if it finds too few. Between this answer and the server's own bind another program may
    take a port: servers that notice try again with new ones.
    """
    held: list[socket.socket] = []
    try:
        for candidate in _CHANCE.sample(range(FIRST, LAST), _ATTEMPTS):
            if len(held) == count:
                break
            if (listener := _bound(candidate)) is not None:
                held.append(listener)
        if len(held) < count:
            raise OSError(f"found only {len(held)} of {count} free ports between {FIRST} and {LAST}")
        return tuple(listener.getsockname()[1] for listener in held)
    finally:
        for listener in held:
            listener.close()


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
