"""`python -m fulfillment.selling`: the seller worker."""

from bitloot import process
from fulfillment.selling.app import SERVICE, serve
from fulfillment.selling.settings import SellerSettings

if __name__ == "__main__":
    process.run(SERVICE, SellerSettings, serve)
