"""A sink in a process of its own, to be killed: its settings come from the environment, prefix and group from argv."""

import asyncio
import sys

from admin_api.settings import SinkSettings
from admin_api.sink.app import run
from bitloot import log
from bitloot.health import Health
from tests.integration.admin_api.read_model import own_topics

if __name__ == "__main__":
    settings = SinkSettings.load()
    log.configure("sink", settings.service_instance, settings.log_level)
    asyncio.run(run(settings, asyncio.Event(), Health(), topics=own_topics(sys.argv[1]), group=sys.argv[2]))
