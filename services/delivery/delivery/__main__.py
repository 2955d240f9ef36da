"""`python -m delivery`: the delivery worker."""

from bitloot import process
from delivery.app import SERVICE, serve
from delivery.settings import WorkerSettings

if __name__ == "__main__":
    process.run(SERVICE, WorkerSettings, serve)
