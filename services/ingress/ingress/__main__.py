"""Run the ingress: `python -m ingress`."""

import asyncio
import signal

from bitloot import log, metrics
from bitloot.http import loop_factory
from ingress.app import serve
from ingress.settings import Settings


async def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await serve(settings, stop)


if __name__ == "__main__":
    loaded = Settings.load()
    log.configure("ingress", loaded.service_instance, loaded.log_level)
    metrics.announce("ingress")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(loaded))
