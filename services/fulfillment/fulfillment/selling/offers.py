"""Our offers as customers see them: what keeps anybody from buying, in plain words, and what stock to declare. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bitloot.ids import OfferId, ProductId
from fulfillment.selling.ports import Offer

_LOW = 3


class Problem(StrEnum):
    """Why customers cannot buy, or soon cannot."""

    NOT_VISIBLE = "not_visible"  # the offer is not on sale
    NO_STOCK = "no_stock"  # there is nothing to sell
    LOW_STOCK = "low_stock"  # there soon is not
    ALL_RESERVED = "all_reserved"  # customers have all of it in their carts
    NOT_DECLARED = "not_declared"  # we have codes that Kinguin does not know of
    NOT_GRANTED = "not_granted"  # Kinguin lets us declare less than we have
    OVER_DECLARED = "over_declared"  # Kinguin sells what we do not have
    SECOND_OFFER = "second_offer"  # another offer of the product gets the codes
    CHANGE_REFUSED = "change_refused"  # Kinguin did not take our last change


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of an offer, and what to do about it."""

    problem: Problem
    detail: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """Our codes of a product: those that never left us, and of these the ones that no sale has yet."""

    unsent: int
    free: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What we know of an offer from earlier: how much Kinguin let us declare, and why the last change failed."""

    granted: int | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """An offer and the stock to declare for it; None leaves it as it is."""

    offer: Offer
    wanted: int | None
    grant: Grant
    first: bool = True

    @property
    def differs(self) -> bool:
        """Whether Kinguin has to be told."""
        return self.wanted is not None and (self.offer.declared, self.offer.declared_text) != (self.wanted, self.wanted)


def plan(
    offers: Iterable[Offer],
    holdings: Mapping[ProductId, Holdings],
    grants: Mapping[OfferId, Grant],
    *,
    limit: int,
) -> tuple[Plan, ...]:
    """Return what to declare: every code that never left us, once, and at most `limit` for an offer.

    A code that is reserved counts, for Kinguin takes reservations off by itself. Of several offers of a product the
    first visible one gets the codes: declared twice, they would be sold twice. Products that we never had a code of
    are left alone.
    """
    ordered = sorted(offers, key=lambda each: (each.product_id, each.status != "ACTIVE", each.offer_id))
    plans, served = [], set[ProductId]()
    for offer in ordered:
        held, grant = holdings.get(offer.product_id), grants.get(offer.offer_id, Grant())
        first = offer.product_id not in served
        served.add(offer.product_id)
        most = limit if grant.granted is None else min(limit, grant.granted)
        wanted = None if held is None else min(held.unsent, most) if first else 0
        plans.append(Plan(offer, wanted, grant, first))
    return tuple(plans)


def findings(plan: Plan, held: Holdings | None) -> tuple[Finding, ...]:
    """Return what is wrong with an offer, the worst first."""
    offer, free = plan.offer, held.free if held else 0
    found = [_visibility(offer), *_stock(offer, plan, free), *_declaration(offer, plan, held)]
    return tuple(each for each in found if each is not None)


def _visibility(offer: Offer) -> Finding | None:
    if offer.status == "ACTIVE":
        return None
    status = offer.status or "not told"
    return Finding(
        Problem.NOT_VISIBLE, f"Customers do not see the offer: its status is {status}. Switch it on at Kinguin."
    )


def _stock(offer: Offer, plan: Plan, free: int) -> Iterable[Finding]:
    if not plan.first:
        yield Finding(Problem.SECOND_OFFER, "Another offer of this product has the codes. Close one of the two.")
    elif free + (offer.available or 0) == 0:
        yield Finding(Problem.NO_STOCK, "There is no free code of this product. Import some.")
    elif offer.buyable == 0 and offer.status == "ACTIVE":
        yield Finding(Problem.ALL_RESERVED, "Customers can buy none at the moment: all that is declared is reserved.")
    elif free + (offer.available or 0) <= _LOW:
        yield Finding(Problem.LOW_STOCK, f"Only {free} codes are free. Import more soon.")


def _declaration(offer: Offer, plan: Plan, held: Holdings | None) -> Iterable[Finding]:
    declared = offer.declared or 0
    if held is not None and plan.first and plan.grant.granted is not None and plan.grant.granted < held.unsent:
        told = (
            f"Kinguin lets us declare {plan.grant.granted} of {held.unsent} codes. Ask your account manager for more."
        )
        yield Finding(Problem.NOT_GRANTED, told)
    elif plan.wanted is not None and declared < plan.wanted:
        yield Finding(
            Problem.NOT_DECLARED, f"Kinguin knows of {declared} codes, {plan.wanted} are there. It is being told."
        )
    if plan.wanted is not None and declared > plan.wanted:
        told = f"Kinguin offers {declared} codes, {plan.wanted} are there. It is being told."
        yield Finding(Problem.OVER_DECLARED, told)
    if plan.grant.trouble is not None:
        yield Finding(Problem.CHANGE_REFUSED, f"The last change was not made: {plan.grant.trouble}")
