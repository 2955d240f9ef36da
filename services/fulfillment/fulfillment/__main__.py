"""`python -m fulfillment`: the orders agent and the reservation router."""

from fulfillment.app import main
from fulfillment.settings import Settings

if __name__ == "__main__":
    main(Settings.load())
