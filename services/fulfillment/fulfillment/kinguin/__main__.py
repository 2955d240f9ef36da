"""`python -m fulfillment.kinguin`: the kinguin worker."""

from bitloot import process
from fulfillment.kinguin.app import SERVICE, serve
from fulfillment.kinguin.settings import KinguinSettings

if __name__ == "__main__":
    process.run(SERVICE, KinguinSettings, serve)
