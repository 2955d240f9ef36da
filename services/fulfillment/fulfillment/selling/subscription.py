"""Tells Kinguin where to send news of sales: at the worker's start when it differs, or by command.

`python -m fulfillment.selling.subscription` always writes it, so that a new secret reaches Kinguin, too. What is
queued at Kinguin by then still goes to the old address with the old secret: keep both valid for an hour.
"""

import asyncio
import sys
from typing import Final

from pydantic import SecretStr

from bitloot import log
from bitloot.breaker import CircuitBreaker
from bitloot.errors import BitLootError
from bitloot.rate_limit import Unpaced
from fulfillment.selling.desk import Limits, open_desk
from fulfillment.selling.sales_manager import SalesManager
from fulfillment.selling.settings import SellerSettings

EVENTS: Final = (
    "reserve",
    "give",
    "cancel",
    "delivered",
    "returned",
    "outofstock",
    "refunded",
    "reversed",
    "processingpreorder",
)
"""All that have a status. The others (`offerblocked`, `chatmessage`, `orderprocessing`) name no reservation."""

_log = log.get(__name__)


async def subscribe(manager: SalesManager, url: str, token: SecretStr, *, always: bool = False) -> bool:
    """See to it that all events go to `url`; tells whether anything was written. Raises `BitLootError`."""
    wanted = dict.fromkeys(EVENTS, url)
    known = await manager.subscription()
    if known == wanted and not always:
        return False
    await manager.subscribe(wanted, token.get_secret_value(), anew=known is None)
    _log.info("selling.subscribed", url=url, events=" ".join(EVENTS), anew=known is None)
    return True


async def run(settings: SellerSettings) -> int:
    """Write the subscription; returns the exit status."""
    wanted = settings.subscription
    if not settings.selling or wanted is None:
        sys.stderr.write("KINGUIN_SELLER_BASE_URL, KINGUIN_SELLER_WEBHOOK_URL and its _SECRET have to be set.\n")
        return 2
    try:
        async with open_desk(settings, Limits(Unpaced(), Unpaced(), CircuitBreaker("kinguin-seller"))) as manager:
            await subscribe(manager, *wanted, always=True)
    except BitLootError as error:
        sys.stderr.write(f"Kinguin was not told: {error}\n")
        return 1
    sys.stdout.write(f"Kinguin sends news of sales to {wanted[0]}.\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(run(SellerSettings.load())))
