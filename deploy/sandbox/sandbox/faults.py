"""Rules that make provider calls and webhooks fail on purpose, the same way for the same seed."""

import random
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from sandbox.dials import ControlModel, Seconds, Share
from sandbox.distortions import Distortion

# Beside these, `unknown` is recorded for requests that no call of the provider takes; no rule applies to them.
# Every name that a rule may use, so that a typo is told at once and not by a test that proves nothing.
CALLS = {
    "kinguin": frozenset({"token", "reserve", "give", "delivered", "lookup"}),
    "kinguin-esa": frozenset(
        {
            "balance",
            "place",
            "order",
            "search",
            "keys",
            "return",
            "product",
            "products",
            "regions",
            "platforms",
            "genres",
        }
    ),
    "kinguin-seller": frozenset(
        {"create_offer", "change_offer", "offer", "offers", "stock", "subscribe", "subscription", "history"}
    ),
    "nowpayments": frozenset(
        {"auth", "payment", "invoice", "payment_status", "payments", "status", "min_amount", "estimate", "currencies"}
    ),
    "resend": frozenset({"send", "email"}),
}
EVENTS = {
    "kinguin": frozenset({"reserve", "give", "delivered", "cancel", "reversed"}),
    "kinguin-esa": frozenset({"order.status", "product.update"}),
    "kinguin-seller": frozenset(
        {
            "reserve",
            "give",
            "cancel",
            "delivered",
            "returned",
            "outofstock",
            "refunded",
            "reversed",
            "processingpreorder",
            "offerblocked",
            "chatmessage",
            "orderprocessing",
        }
    ),
    "nowpayments": frozenset(
        {
            "waiting",
            "confirming",
            "confirmed",
            "sending",
            "finished",
            "partially_paid",
            "failed",
            "refunded",
            "expired",
            "cancelled",
            "canceled",
        }
    ),
    "resend": frozenset({"email.sent", "email.delivered", "email.bounced", "email.complained", "email.suppressed"}),
}


class Kind(StrEnum):
    """What goes wrong."""

    ERROR = "error"  # refused with `status`, nothing happens
    ERROR_AFTER = "error_after"  # it happens, the answer is `status`
    TIMEOUT_BEFORE = "timeout_before"  # nothing happens, no answer: the connection ends after `delay`
    TIMEOUT_AFTER = "timeout_after"  # it happens, no answer: the connection ends after `delay`
    SLOW = "slow"  # `delay` before it happens
    MALFORMED = "malformed"  # it happens, the answer is cut in half, or is `body`
    DISTORTED = "distorted"  # it happens, the answer is well formed and wrong in the way of `how`
    DROP_WEBHOOK = "drop_webhook"  # the webhook named by `call` is never sent


class Rule(ControlModel):
    """One fault. The first rule that matches and draws true is the one that happens."""

    provider: Literal["kinguin", "kinguin-esa", "kinguin-seller", "nowpayments", "resend", "*"] = "*"
    # A call of `CALLS`, for drop_webhook an event of `EVENTS`.
    call: str = "*"
    kind: Kind
    # Only calls of orders whose id starts so.
    order_id: str | None = None
    status: int = Field(default=500, ge=200, le=599)
    # The machine word of the error body: Kinguin's kind, NOWPayments' code, Resend's name.
    code: str | None = None
    body: str | None = Field(default=None, max_length=2_000_000)
    # Only for `distorted`, and there always.
    how: Distortion | None = None
    retry_after: int | None = Field(default=None, ge=0)
    # Seconds. 30 is past the patience of any client we know of.
    delay: Seconds = 30.0
    probability: Share = 1.0
    # How often it may happen; absent is without end.
    count: int | None = Field(default=None, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        names = EVENTS if self.kind is Kind.DROP_WEBHOOK else CALLS
        known = names.get(self.provider) or frozenset().union(*names.values())
        if self.call != "*" and self.call not in known:
            raise ValueError(f"no such call for {self.provider}: one of {', '.join(sorted(known))} or *")
        if (self.how is None) is (self.kind is Kind.DISTORTED):
            raise ValueError("how belongs to distorted, and only there")
        return self


class ActiveRule:
    """A rule with its dice and how often it happened."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.hits = 0
        self._dice = random.Random(rule.seed)  # noqa: S311 - repeatable on purpose

    def strikes(self, provider: str, call: str, order_ids: Iterable[str]) -> bool:
        """Draw for one call and count it when the rule happens."""
        rule = self.rule
        if rule.provider not in ("*", provider) or rule.call not in ("*", call):
            return False
        if rule.order_id is not None and not any(each.startswith(rule.order_id) for each in order_ids):
            return False
        if rule.count is not None and self.hits >= rule.count:
            return False
        if self._dice.random() >= rule.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[ActiveRule] = []

    def replace(self, rules: Iterable[Rule]) -> None:
        """Forget the old rules and begin with these."""
        self._rules = [ActiveRule(rule) for rule in rules]

    def for_call(self, provider: str, call: str, order_ids: Iterable[str]) -> Rule | None:
        """Draw the fault of one provider call."""
        return self._draw(provider, call, order_ids, webhook=False)

    def drops_webhook(self, provider: str, event: str, order_ids: Iterable[str]) -> bool:
        """Draw whether this webhook is lost."""
        return self._draw(provider, event, order_ids, webhook=True) is not None

    def _draw(self, provider: str, call: str, order_ids: Iterable[str], *, webhook: bool) -> Rule | None:
        for each in self._rules:
            if (each.rule.kind is Kind.DROP_WEBHOOK) is webhook and each.strikes(provider, call, order_ids):
                return each.rule
        return None

    def shown(self) -> list[dict[str, object]]:
        """Return the rules with their hits as JSON."""
        return [
            {**each.rule.model_dump(mode="json", by_alias=True, exclude_none=True), "hits": each.hits}
            for each in self._rules
        ]
