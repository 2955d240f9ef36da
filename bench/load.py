"""An HTTP/1.1 load generator that costs little itself: prepared requests over a few open connections."""

import asyncio
import statistics
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of requests showed: seconds from first to last, latencies in seconds, answers by status."""

    seconds: float
    latencies: tuple[float, ...]
    statuses: Counter[int]

    @property
    def per_second(self) -> float:
        """Return answered requests per second."""
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the latency in seconds that `share` (0 to 1) of the requests stayed below."""
        return quantile(self.latencies, share)


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of `values` stay below, by linear interpolation."""
    if len(values) == 1:
        return values[0]
    cuts = statistics.quantiles(values, n=1000, method="inclusive")
    return cuts[min(max(round(share * 1000) - 1, 0), 998)]


def post(host: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """Return the bytes of a POST request on a connection that stays open."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


async def drive(host: str, port: int, requests: Sequence[bytes], *, connections: int) -> Load:
    """Send every request once, `connections` at a time, each as soon as the answer before it is there."""
    todo, latencies, statuses = deque(requests), list[float](), Counter[int]()
    links = [await asyncio.open_connection(host, port) for _ in range(connections)]

    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while todo:
            request = todo.popleft()
            begun = time.perf_counter()
            writer.write(request)
            statuses[await _answer(reader)] += 1
            latencies.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(work(*link) for link in links))
    seconds = time.perf_counter() - begun
    for _, writer in links:
        writer.close()
        await writer.wait_closed()
    return Load(seconds, tuple(latencies), statuses)


async def _answer(reader: asyncio.StreamReader) -> int:
    """Read one answer and return its status; the server must tell the length of its body."""
    head = (await reader.readuntil(_END_OF_HEAD)).lower()
    begin = head.find(_LENGTH)
    if begin >= 0:
        length = int(head[begin + len(_LENGTH) : head.index(b"\r", begin)])
        await reader.readexactly(length)
    return int(head[9:12])
