"""`python -m ingress`."""

from bitloot import process
from ingress.app import serve
from ingress.settings import Settings

if __name__ == "__main__":
    process.run("ingress", Settings, serve)
