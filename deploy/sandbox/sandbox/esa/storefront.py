"""Reading the catalogue: one product, the search, and the lists of regions, platforms and genres."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox.calls import Answer, Call, Refusal
from sandbox.esa.account import Account
from sandbox.esa.catalog import Catalog
from sandbox.esa.errors import answer, error, violation
from sandbox.esa.goods import Product
from sandbox.esa.requests import moment, page, whole, yes_or_no
from sandbox.javascript import Json

_REGIONS: Json = [{"id": 1, "name": "Europe"}, {"id": 2, "name": "United States"}, {"id": 3, "name": "REGION FREE"}]
_PLATFORMS: Json = ["PC Battle.net", "PC Epic Games", "PC GOG", "EA App", "PC Steam", "PC Ubisoft Connect"]
_GENRES: Json = ["Action", "Adventure", "Casual", "Co-op", "FPS", "Puzzle", "RPG", "Strategy"]
# Spelled so in the documentation.
_SORTS: dict[str, Callable[[Product], float]] = {
    "kingiunId": lambda each: each.kinguin_id,
    "updatedAt": lambda each: each.updated_at,
}
_SHORTEST_NAME = 3

Test = Callable[[Product], bool]


@dataclass(frozen=True, slots=True)
class Storefront:
    """The calls about goods."""

    account: Account
    catalog: Catalog

    async def by_number(self, call: Call) -> Answer:
        """`GET /v1/products/{kinguinId}`; 404 when nobody sells it now."""
        self.account.authorize(call)
        text = call.request.match_info["id"]
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0
        return _shown(self.catalog.find_number(number) if number else None)

    async def by_id(self, call: Call) -> Answer:
        """`GET /v2/products/{productId}`; 404 when nobody sells it now."""
        self.account.authorize(call)
        return _shown(self.catalog.find(call.request.match_info["id"]))

    async def search(self, call: Call) -> Answer:
        """`GET /v1/products` -> `{results, item_count}`, of what was set or asked for and has stock."""
        self.account.authorize(call)
        tests, part = list(_tests(call)), page(call)
        found = [each for each in self.catalog if each.visible and all(test(each) for test in tests)]
        sort_by, sort_type = call.request.query.get("sortBy"), call.request.query.get("sortType", "desc")
        if sort_by is not None and sort_by not in _SORTS:
            raise violation("sortBy", "The value you selected is not a valid choice.", sort_by[:100])
        if sort_type not in ("asc", "desc"):
            raise violation("sortType", "The value you selected is not a valid choice.", sort_type[:100])
        found.sort(key=_SORTS[sort_by or "updatedAt"], reverse=sort_type == "desc")
        return answer(200, {"results": [each.shown() for each in part.of(found)], "item_count": len(found)})

    async def regions(self, call: Call) -> Answer:
        """`GET /v1/regions`."""
        self.account.authorize(call)
        return answer(200, _REGIONS)

    async def platforms(self, call: Call) -> Answer:
        """`GET /v1/platforms`."""
        self.account.authorize(call)
        return answer(200, _PLATFORMS)

    async def genres(self, call: Call) -> Answer:
        """`GET /v1/genres`."""
        self.account.authorize(call)
        return answer(200, _GENRES)


def _shown(product: Product | None) -> Answer:
    if product is None or not product.visible:
        raise Refusal(error(404, "ProductUnavailable", "Product is not available."))
    return answer(200, product.shown())


def _tests(call: Call) -> Iterator[Test]:
    """Return what a product must pass. Prices are no filter any more."""
    query = call.request.query
    lists: dict[str, Callable[[Product], set[str]]] = {
        "kinguinId": lambda each: {str(each.kinguin_id)},
        "productId": lambda each: {each.product_id},
        "platform": lambda each: {each.platform},
        "genre": lambda each: set(each.genres),
        "tags": lambda each: set(each.tags),
        "languages": lambda each: set(each.languages),
        "merchantName": lambda each: {offer.merchant for offer in each.visible},
    }
    for name, values in lists.items():
        if name in query:
            yield _has_one(values, {part.strip() for part in query[name].split(",")})
    if (name := query.get("name", "").lower()) or "name" in query:
        if len(name) < _SHORTEST_NAME:
            raise violation("name", "This value is too short. It should have 3 characters or more.", name)
        yield lambda each: name in each.name.lower()
    if "regionId" in query:
        region = whole(call, "regionId", 1)
        yield lambda each: each.region_id == region
    yield from _flags(call)
    since, until = moment(call, "updatedSince"), moment(call, "updatedTo")
    yield lambda each: (since is None or each.updated_at >= since) and (until is None or each.updated_at <= until)


def _has_one(values: Callable[[Product], set[str]], wanted: set[str]) -> Test:
    return lambda each: bool(values(each) & wanted)


def _flags(call: Call) -> Iterator[Test]:
    preorder = yes_or_no(call, "isPreorder")
    if preorder is not None:
        yield lambda each: each.is_preorder is preorder
    if yes_or_no(call, "activePreorder"):
        yield lambda each: each.is_preorder
    if yes_or_no(call, "withText"):
        yield lambda each: any(offer.text_qty for offer in each.visible)
