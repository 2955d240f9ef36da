"""What the two Kinguin APIs ask of orders: the one place that turns the dialect's name into rules."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from fulfillment.order.policy import LOOK_UPS, Retry
from fulfillment.purchases import LIMITS, Limits

Dialect = Literal["reservations", "esa"]
"""What Kinguin's API is spoken to in."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How orders go about buying.

    After an unknown outcome Kinguin is asked `look_ups.tries` times before nothing counts as nothing. `limits` are
    those of one purchase.
    """

    look_ups: Retry
    limits: Limits


_RULES: dict[Dialect, Rules] = {
    "reservations": Rules(look_ups=LOOK_UPS, limits=LIMITS["reservations"]),
    # How soon a search finds a new order is nowhere promised (contract "Kinguin", section 1, "A careful integrator
    # must"): seven searches over about five minutes.
    "esa": Rules(
        look_ups=Retry(timedelta(seconds=5), timedelta(minutes=2), tries=7, patience=timedelta(days=1)),
        limits=LIMITS["esa"],
    ),
}


def rules(dialect: Dialect) -> Rules:
    """Return the rules of a dialect."""
    return _RULES[dialect]
