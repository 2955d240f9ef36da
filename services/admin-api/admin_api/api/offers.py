"""Our offers on Kinguin, and in plain words what keeps customers from buying."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from admin_api.access.rights import Asker
from admin_api.api.listing import Listing
from admin_api.api.ports import Ports
from admin_api.api.reading import Filter, row
from admin_api.api.routing import AnyRoute, Route
from admin_api.api.schemas import Answer, Page, Paging, Question, Words
from bitloot.problem import Problem


class OfferFilter(Question):
    """Which offers."""

    product_id: Words | None = None
    status: Annotated[Words | None, Field(description="In Kinguin's words: ACTIVE or INACTIVE")] = None
    problem: Annotated[Words | None, Field(description="Only offers with this problem, such as no_stock")] = None


class OfferQuestion(Paging, OfferFilter):
    """Which page of which offers."""


class OneOffer(Question):
    """Which offer."""

    id: Words


class OfferProblem(Answer):
    """What is wrong, as a stable word and in plain ones."""

    problem: str
    detail: str


class Offer(Answer):
    """An offer as Kinguin showed it when it was last read."""

    offer_id: str
    product_id: str
    name: str
    status: str
    available: Annotated[int | None, Field(description="Codes that lie with Kinguin")]
    buyable: Annotated[int | None, Field(description="Keys that customers can buy now")]
    reserved: Annotated[int | None, Field(description="Bought, and not delivered yet")]
    declared: Annotated[int | None, Field(description="Keys that we say we have")]
    wanted: Annotated[int | None, Field(description="Keys that we have; null for a product without codes of ours")]
    problems: list[OfferProblem]
    read_at: datetime


class Offers(Page[Offer]):
    """A page of offers, by product."""


class OfferProblems(Answer):
    """What is wrong with one offer; an empty list when nothing is."""

    offer_id: str
    problems: list[OfferProblem]
    read_at: datetime


def _where(question: OfferFilter, _asker: Asker) -> Filter:
    where = Filter()
    where.add("product_id = {}", question.product_id)
    where.add("status = {}", question.status)
    where.add("problems @> jsonb_build_array(jsonb_build_object('problem', {}::text))", question.problem)
    return where


async def show_problems(ports: Ports, question: OneOffer) -> OfferProblems:
    """Answer what is wrong with an offer."""
    found = await row(ports.pool, "offer_problems", question.id)
    if found is None:
        raise Problem(404, "No offer with this id was seen at Kinguin; offers are read about once a minute.")
    return OfferProblems.model_validate(dict(found))


LISTING = Listing(
    path="/admin/offers",
    name="listOffers",
    summary="List our offers on Kinguin with what is wrong with them",
    tag="Stock",
    filter=OfferFilter,
    paged=OfferQuestion,
    item=Offer,
    page=Offers,
    query="offers",
    where=_where,
    sort=("text", "text"),
    order="asc",
)

ROUTES: tuple[AnyRoute, ...] = (
    *LISTING.routes,
    Route(
        method="GET",
        path="/admin/offers/{id}/problems",
        name="showOfferProblems",
        summary="Tell what keeps customers from buying an offer",
        tag="Stock",
        question=OneOffer,
        answer=OfferProblems,
        handle=show_problems,
        problems=(404,),
    ),
)
