"""What the lists declare of themselves."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from admin_api.api import masking
from admin_api.api.listing import Listing
from admin_api.api.routes import ROUTES
from admin_api.api.routing import Stream

MASKING = {
    each.__metadata__[0]: each
    for each in (masking.Address, masking.Prose, masking.Body, masking.Content, masking.Headers)
}
FILES = [route for route in ROUTES if isinstance(route, Stream) and route.file is not None and route.method == "GET"]


def kinds(model: type[BaseModel]) -> Iterator[Any]:
    for field in model.model_fields.values():
        yield from field.metadata
        yield from parts(field.annotation)


def parts(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for each in get_args(annotation):
        yield from parts(each)


@pytest.mark.parametrize("route", FILES, ids=lambda route: route.name)
def test_a_file_with_something_masked_says_so(route: Stream[Any]):
    listing = route.handle.__self__
    assert isinstance(listing, Listing)
    masked = [each for each in kinds(listing.item) if each in MASKING]
    assert (route.masked is not None) == bool(masked), "else showing it would not stand in the audit log"
    unmasking = [each for each in ROUTES if each.path == route.path and each.method == "POST"]
    assert [each.right for each in unmasking] == ([route.masked] if listing.unmasked_files else [])


@pytest.mark.parametrize("route", FILES, ids=lambda route: route.name)
def test_why_a_file_is_wanted_is_no_condition_on_its_rows(route: Stream[Any]):
    """The filter of dead letters has a `reason`: what somebody wrote for the audit log would have been looked for."""
    listing = route.handle.__self__
    assert isinstance(listing, Listing)
    fields = listing.filter.model_fields
    flags = [name for name, field in fields.items() if bool in {field.annotation, *get_args(field.annotation)}]
    assert not (listing.unmasked_files and ("reason" in fields or flags))
