"""`python -m delivery.order_page`: the buyer's page."""

from bitloot import process
from delivery.order_page.app import SERVICE, serve
from delivery.settings import OrderPageSettings

if __name__ == "__main__":
    process.run(SERVICE, OrderPageSettings, serve)
