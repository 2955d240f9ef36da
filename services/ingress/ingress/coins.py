"""The coins that buyers may choose, and the least that can be paid in each: asked of NOWPayments, and kept for a while.

What cannot be asked does not stop an order: the provider itself refuses what it cannot take.
"""

import time
from collections.abc import Awaitable, Callable, Hashable
from decimal import Decimal
from typing import Final, Generic, TypeVar

from bitloot import log
from bitloot.canonical_json import JsonValue
from bitloot.errors import BitLootError, Cause, Malformed, Refused
from ingress import fields
from ingress.gateway import Gateway
from ingress.notification import NotAccepted

V = TypeVar("V")

_COINS_SECONDS: Final = 300.0
_MINIMUM_SECONDS: Final = 60.0  # it moves with the market
_RETRY_SECONDS: Final = 5.0  # while the provider does not answer, not every order waits for it
_MOST_KEPT: Final = 2000

_log = log.get(__name__)


class _Kept(Generic[V]):
    """Values by key, each asked for again after `seconds`. What was known stays when it cannot be asked for."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._values: dict[Hashable, tuple[V | None, float]] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[V]]) -> V | None:
        known, until = self._values.get(key, (None, 0.0))
        if self._clock() < until:
            return known
        try:
            value: V | None = await ask()
            until = self._clock() + self._seconds
        except BitLootError as error:
            _log.warning("coins.not_known", cause=error.cause, detail=error.detail)
            value, until = known, self._clock() + _RETRY_SECONDS
        if len(self._values) >= _MOST_KEPT:
            self._values.clear()
        self._values[key] = value, until
        return value


class Coins:
    """What can be paid with."""

    def __init__(self, gateway: Gateway, clock: Callable[[], float] = time.monotonic) -> None:
        self._gateway = gateway
        self._coins = _Kept[frozenset[str]](_COINS_SECONDS, clock)
        self._least = _Kept[Decimal](_MINIMUM_SECONDS, clock)

    async def check(self, total: Decimal, currency: str, coin: str) -> None:
        """Raise `Refused` when `total` of a currency cannot be paid in a coin: not offered, or too little."""
        coins = await self._coins.get("coins", self._ask_coins)
        if coins is not None and coin not in coins:
            raise Refused(Cause.COIN_UNAVAILABLE, f"{coin} is not among the coins that can be paid with")
        least = await self._least.get((coin, currency), lambda: self._ask_least(coin, currency))
        if least is not None and total < least:
            raise Refused(Cause.AMOUNT_TOO_SMALL, f"in {coin} at least {fields.digits(least)} {currency} can be paid")

    async def _ask_coins(self) -> frozenset[str]:
        return await self._gateway.get("coins", "merchant/coins", _coins)

    async def _ask_least(self, coin: str, currency: str) -> Decimal:
        query = {"currency_from": coin, "currency_to": coin, "fiat_equivalent": currency}
        return await self._gateway.get("min_amount", "min-amount", _least, query)


def _coins(answer: JsonValue) -> frozenset[str]:
    listed = answer.get("selectedCurrencies") if isinstance(answer, dict) else None
    if not isinstance(listed, list):
        raise Malformed(Cause.BAD_ANSWER, "GET merchant/coins: an answer without a list")
    return frozenset(each.lower() for each in listed if isinstance(each, str))


def _least(answer: JsonValue) -> Decimal:
    try:
        least = fields.coin_amount(answer, "fiat_equivalent") if isinstance(answer, dict) else None
    except NotAccepted as error:
        raise Malformed(Cause.BAD_ANSWER, f"GET min-amount: {error.detail}") from None
    if least is None:
        raise Malformed(Cause.BAD_ANSWER, "GET min-amount: an answer without an amount")
    return least
