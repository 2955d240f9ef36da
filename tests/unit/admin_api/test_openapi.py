import json
from importlib.resources import files
from pathlib import Path

import pytest

import admin_api
from admin_api import openapi
from admin_api.api.routes import ROUTES

KEPT = Path(admin_api.__file__).parents[1] / "openapi.json"


def test_the_kept_document_is_the_generated_one():
    assert KEPT.read_text(encoding="utf-8") == openapi.text(), (
        "run: python -m admin_api.openapi > services/admin-api/openapi.json"
    )


def test_every_route_is_in_the_document_once():
    paths = openapi.document()["paths"]
    assert isinstance(paths, dict)
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}

    assert found == {(route.method, route.path) for route in ROUTES}
    assert len({route.name for route in ROUTES}) == len(ROUTES)


def test_every_reference_leads_somewhere():
    document = openapi.document()
    for reference in references(document):
        part = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
        assert isinstance(part, dict)


def references(part):
    match part:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in part.values():
                yield from references(each)
        case list():
            for each in part:
                yield from references(each)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_parameters_say_where_they_are_and_are_never_null(route):
    operation = openapi.document([route])["paths"][route.path][route.method.lower()]
    for parameter in operation["parameters"]:
        assert (parameter["in"] == "path") == parameter["required"]
        assert "null" not in json.dumps(parameter["schema"])
    assert {each["name"] for each in operation["parameters"] if each["in"] == "path"} == set(route.path_parameters)


def test_limits_reach_the_document():
    (limit,) = [
        each for each in openapi.document()["paths"]["/admin/orders"]["get"]["parameters"] if each["name"] == "limit"
    ]

    assert limit["schema"] == {"type": "integer", "default": 50, "minimum": 1, "maximum": 100}


def test_names_are_in_camel_case():
    for schema in openapi.document()["components"]["schemas"].values():
        assert not [name for name in schema.get("properties", {}) if "_" in name]


def test_no_two_models_share_a_name():
    names = list(openapi.document()["components"]["schemas"])
    assert [name for name in names if "__" in name] == [], "pydantic tells them apart by their modules"


def test_amounts_are_texts():
    schemas = openapi.document()["components"]["schemas"]

    assert schemas["Item"]["properties"]["unitPrice"]["type"] == "string"


def test_no_page_writes_html_from_data():
    script = (files("admin_api.api") / "static" / "docs.js").read_text(encoding="utf-8")

    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in script
