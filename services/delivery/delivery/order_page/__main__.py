"""`python -m delivery.order_page`: the order page, until SIGTERM or SIGINT."""

from functools import partial

from bitloot import log
from delivery.order_page.app import SERVICE, serve
from delivery.process import run
from delivery.settings import OrderPageSettings

if __name__ == "__main__":
    settings = OrderPageSettings.load()
    log.configure(SERVICE, settings.service_instance, settings.log_level)
    run(partial(serve, settings))
