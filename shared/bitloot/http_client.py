"""What our HTTP clients have in common."""

from typing import Final

import httpx

_KEPT: Final = 10


def connections(at_once: int) -> httpx.Limits:
    """Return limits for so many connections at once, of which only a few are kept while nothing goes over them.

    httpcore asks the system about each idle connection before and after every call (`has_expired`): with 64 of them
    that was half of what the kinguin worker did. What is opened anew is opened only where more calls than that come
    together.
    """
    return httpx.Limits(max_connections=at_once, max_keepalive_connections=min(at_once, _KEPT))
