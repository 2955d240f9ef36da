"""The effects of sales in the ledger: their outcomes go to the sale."""

from bitloot.contracts.sales import SaleEffectFailed, StockEffect
from bitloot.contracts.topics import KINGUIN_SALES
from bitloot.ids import outcome_id
from bitloot.ledger import Failed, Wish


class Sales:
    """See `bitloot.ledger.Book`."""

    topic = KINGUIN_SALES

    def key(self, effect: Wish) -> str:
        """Return the reservation id."""
        return _of_sale(effect).reservation_id

    def order_id(self, effect: Wish) -> None:
        """Return None: a sale belongs to no order."""

    def failed(self, effect: Wish, failed: Failed) -> SaleEffectFailed:
        """Return the outcome that tells of a failure."""
        return SaleEffectFailed(
            event_id=outcome_id(effect.effect_id, "sale.effect_failed"),
            occurred_at=failed.at,
            reservation_id=_of_sale(effect).reservation_id,
            effect_id=effect.effect_id,
            failure=failed.failure,
            cause=failed.cause,
            detail=failed.detail,
            retry_after=failed.retry_after,
        )


def _of_sale(effect: Wish) -> StockEffect:
    if not isinstance(effect, StockEffect):
        raise TypeError(f"{effect.effect_id} is no effect of a sale")
    return effect
