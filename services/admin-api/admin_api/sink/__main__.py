"""`python -m admin_api.sink`: the sink."""

import asyncio
import signal

from admin_api.settings import SinkSettings
from admin_api.sink.app import run
from bitloot import log, metrics
from bitloot.health import Health
from bitloot.http import loop_factory


async def main(settings: SinkSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await run(settings, stop, Health())


if __name__ == "__main__":
    loaded = SinkSettings.load()
    log.configure("sink", loaded.service_instance, loaded.log_level)
    metrics.announce("sink")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(loaded))
