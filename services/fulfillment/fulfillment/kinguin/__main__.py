"""`python -m fulfillment.kinguin`: the kinguin worker, until SIGTERM or SIGINT."""

import asyncio
import signal

from bitloot import log
from bitloot.http import loop_factory
from fulfillment.kinguin.app import SERVICE, serve
from fulfillment.kinguin.settings import KinguinSettings


async def main(settings: KinguinSettings) -> None:
    """Serve until a signal asks for the end."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await serve(settings, stop)


if __name__ == "__main__":
    settings = KinguinSettings.load()
    log.configure(SERVICE, settings.service_instance, settings.log_level)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(settings))
