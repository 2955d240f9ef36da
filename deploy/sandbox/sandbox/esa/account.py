"""The buyer's account: who may call how often, and the balance that orders are paid from."""

import hmac
from decimal import Decimal

from sandbox.calls import Call, Refusal
from sandbox.clock import Clock
from sandbox.dials import Panel
from sandbox.esa.errors import error, refused
from sandbox.rate import RateLimit

# EUR; no test that does not mean to comes near it.
_OPENING_BALANCE = Decimal("1000000.00")


class Account:
    """One store with one key."""

    def __init__(self, panel: Panel, clock: Clock) -> None:
        self._panel = panel
        self._rate = RateLimit(clock)
        # EUR
        self.balance = _OPENING_BALANCE

    def authorize(self, call: Call, *, guarded: bool = False) -> None:
        """Refuse who has no key, calls too often or, where `guarded`, comes from an address that is not on the list."""
        dials = self._panel.dials
        key = call.request.headers.get("X-Api-Key", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(key, dials.kinguin_api_key.get_secret_value().encode()):
            raise refused("Authorization", "Invalid authentication data.")
        if wait := self._rate.wait("store", dials.esa_rate_limit):
            answer = error(429, detail="Too many requests.")
            raise Refusal(answer.with_headers({"Retry-After": str(wait)}))
        if guarded and dials.buyer_ips and call.request.remote not in dials.buyer_ips:
            raise Refusal(error(403, detail=f"Access from {call.request.remote} is not allowed."))

    def charge(self, amount: Decimal) -> None:
        """Take `amount` EUR or refuse the order."""
        if amount > self.balance:
            raise refused("InsufficientBalance", "There are not enough funds to place an order.")
        self.balance -= amount
