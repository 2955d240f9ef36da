"""`python -m delivery`: the delivery worker, until SIGTERM or SIGINT."""

from functools import partial

from bitloot import log
from delivery.app import SERVICE, serve
from delivery.process import run
from delivery.settings import WorkerSettings

if __name__ == "__main__":
    settings = WorkerSettings.load()
    log.configure(SERVICE, settings.service_instance, settings.log_level)
    run(partial(serve, settings))
