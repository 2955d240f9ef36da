"""`python -m ingress.payments`: the payments worker."""

from bitloot import process
from ingress.payments.app import SERVICE, serve
from ingress.payments.settings import PaymentsSettings

if __name__ == "__main__":
    process.run(SERVICE, PaymentsSettings, serve)
