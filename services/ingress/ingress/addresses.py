"""Where buyers and the payment provider reach us."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from bitloot import links
from bitloot.ids import OrderId

_FIRST_LINK = 1  # the generation of an order's page links; raising it revokes the earlier ones
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The address of order pages, and for how long a link to one works; where notifications are sent."""

    public_url: str
    notify_url: str
    link_secrets: Sequence[SecretStr]
    link_lifetime: timedelta

    def status_url(self, order: OrderId, placed_at: datetime) -> str:
        """Return the order page's address, the same one for every answer about the order."""
        # Up to the end of a day: an instance that does not know the first answer gives the same link.
        end = _end_of_day(placed_at + self.link_lifetime)
        return f"{self.public_url}/o/{links.mint(order, _FIRST_LINK, end, self.link_secrets)}"


def _end_of_day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
