"""`python -m fulfillment`: the orders agent, the reservation router and the sales agent."""

from bitloot import process
from fulfillment.app import APP_ID, serve
from fulfillment.settings import Settings

if __name__ == "__main__":
    process.run(APP_ID, Settings, serve)
