"""`python -m admin_api`: the admin API."""

import asyncio
import signal

from admin_api.api.app import serve
from admin_api.settings import ApiSettings
from bitloot import log, metrics
from bitloot.http import loop_factory


async def main(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await serve(settings, stop)


if __name__ == "__main__":
    loaded = ApiSettings.load()
    log.configure("admin-api", loaded.service_instance, loaded.log_level)
    metrics.announce("admin-api")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(loaded))
