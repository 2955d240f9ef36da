"""`python -m admin_api.sink`."""

import asyncio
import signal

from admin_api.settings import SinkSettings
from admin_api.sink.app import run
from bitloot import log, metrics
from bitloot.health import Health
from bitloot.http import loop_factory


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = SinkSettings.load()
    log.configure("sink", settings.service_instance, settings.log_level)
    metrics.announce("sink")

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        await run(settings, stop, Health())

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(until_stopped())


if __name__ == "__main__":
    main()
