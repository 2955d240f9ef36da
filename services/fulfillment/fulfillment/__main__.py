"""`python -m fulfillment`: the orders agent and the reservation router."""

from bitloot import process
from fulfillment.app import APP_ID, serve
from fulfillment.settings import Settings

if __name__ == "__main__":
    process.run(APP_ID, Settings, serve)
