"""`python -m admin_api.openapi`: the OpenAPI 3.1 document, made from the routes and their models."""

import json
import sys
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from admin_api.access.gate import CSRF_HEADER
from admin_api.access.rights import those_with
from admin_api.api.routes import ROUTES
from admin_api.api.routing import AnyRoute, Stream, Upload
from admin_api.api.schemas import ProblemDocument

_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTIONS = {
    200: "Found",
    202: "Written to Kafka: it will be done",
    400: "A parameter is not as expected",
    302: "Another page",
    204: "Done",
    401: "There is neither a bearer token nor a session that counts",
    403: "The asker has not the right to this, or a header against cross-site requests is missing",
    404: "There is nothing with this id",
    409: "It cannot be done; the detail says why",
    408: "What is sent did not come in time",
    413: "What is sent is too large",
    429: "Too many tries; Retry-After says for how long",
    415: "The body is of another type than is asked for",
    500: "A defect, which is logged",
    503: "Postgres or Kafka cannot be reached",
}
_COMMON_PROBLEMS = (400, 401, 403, 429, 500, 503)
_PROBLEMS_OF_BODIES = (408, 413, 415)

Document = dict[str, JsonValue]


def document(routes: Sequence[AnyRoute] = ROUTES) -> Document:
    """Return the document as JSON values."""
    schemas = _schemas(routes)
    paths: Document = {}
    for route in routes:
        operations = paths.setdefault(route.path, {})
        assert isinstance(operations, dict)  # noqa: S101 - tells the type checker what the line above made
        operations[route.method.lower()] = _operation(route, schemas[route.question.__name__])
    questions = {route.question.__name__ for route in routes}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "BitLoot admin API",
            "version": version("bitloot-admin-api"),
            "description": "Reads orders, payments, purchases, notifications and dead letters, and sets them going "
            "again. No answer ever holds a code. Errors are problem documents (RFC 9457).",
        },
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in questions},
            "responses": _problems(routes),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-bitloot",
                    "description": f"Set by POST /admin/session; what is not a GET also needs {CSRF_HEADER}. "
                    "Where the desk is served without HTTPS, on one machine, the cookie is called bitloot.",
                },
            },
        },
        "security": [{"bearer": []}, {"session": []}],
    }


def text(routes: Sequence[AnyRoute] = ROUTES) -> str:
    """Return the document as it is kept in the repository."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"


def _schemas(routes: Sequence[AnyRoute]) -> dict[str, Document]:
    """Return the schemas of all models by name."""
    questions: Iterable[tuple[type, JsonSchemaMode]] = ((route.question, "validation") for route in routes)
    answers: Iterable[tuple[type, JsonSchemaMode]] = (
        (route.answer, "serialization") for route in routes if route.answer is not None
    )
    models = dict.fromkeys([*questions, *answers, (ProblemDocument, "serialization")])
    _, definitions = models_json_schema(list(models), ref_template=_REFERENCE)
    found: dict[str, Document] = definitions["$defs"]
    return found


def _operation(route: AnyRoute, question: Document) -> Document:
    properties = question.get("properties", {})
    assert isinstance(properties, dict)  # noqa: S101 - the form of a JSON schema
    sent = _sent(route, properties)
    parameters: list[JsonValue] = [
        _parameter(route, name, schema) for name, schema in properties.items() if name not in sent
    ]
    responses: Document = {str(route.status): {"description": _describe(route.status), **_content(route)}}
    for status in sorted(_problems_of(route)):
        responses[str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
    return {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        **_who(route),
        "parameters": parameters,
        **(_file(route) if isinstance(route, Upload) else _body(question, sent)),
        "responses": responses,
    }


def _who(route: AnyRoute) -> Document:
    """Return who may ask."""
    if route.right is None:
        return {"security": []}
    allowed = [str(role) for role in those_with(route.right)]
    return {
        "description": f"For the roles {', '.join(allowed)}.",
        "x-right": str(route.right),
        "x-roles": list[JsonValue](allowed),
    }


def _content(route: AnyRoute) -> Document:
    """Return what the answer is."""
    if isinstance(route, Stream):
        return {"content": {route.media_type: {"schema": {"type": "string"}}}}
    if route.answer is None:
        return {}
    return {"content": {"application/json": {"schema": {"$ref": _REFERENCE.format(model=route.answer.__name__)}}}}


def _sent(route: AnyRoute, properties: Document) -> Document:
    """Return the properties that are sent as a body."""
    elsewhere = {*route.path_parameters, *(field for field, _ in route.headers)}
    return {name: schema for name, schema in properties.items() if name not in elsewhere} if route.body else {}


def _body(question: Document, sent: Document) -> Document:
    if not sent:
        return {}
    required = question.get("required", [])
    assert isinstance(required, list)  # noqa: S101 - the form of a JSON schema
    schema: Document = {
        "type": "object",
        "properties": sent,
        "required": [name for name in required if name in sent],
        "additionalProperties": False,
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _file(route: Upload[Any, Any]) -> Document:
    """Return what is uploaded, as OpenAPI 3.1 says it."""
    return {"requestBody": {"required": True, "content": {route.media_type: {"schema": {"type": "string"}}}}}


def _problems(routes: Sequence[AnyRoute]) -> Document:
    schema: Document = {"$ref": _REFERENCE.format(model=ProblemDocument.__name__)}
    statuses = set[int]().union(*map(_problems_of, routes))
    return {
        f"Problem{status}": {
            "description": _describe(status),
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status in sorted(statuses)
    }


def _problems_of(route: AnyRoute) -> set[int]:
    return {*_COMMON_PROBLEMS, *route.problems, *(_PROBLEMS_OF_BODIES if route.body else ())}


def _describe(status: int) -> str:
    return _DESCRIPTIONS.get(status, HTTPStatus(status).phrase)


def _parameter(route: AnyRoute, name: str, schema: JsonValue) -> Document:
    assert isinstance(schema, dict)  # noqa: S101 - the form of a JSON schema
    schema = _without_null(schema)
    described = {"description": schema.pop("description")} if "description" in schema else {}
    schema.pop("title", None)
    if header := dict(route.headers).get(name):
        return {"name": header, "in": "header", "required": False, **described, "schema": schema}
    in_path = name in route.path_parameters
    return {
        "name": name,
        "in": "path" if in_path else "query",
        "required": in_path,
        **described,
        "schema": schema,
    }


def _without_null(schema: Document) -> Document:
    """Return a parameter's schema: one that may be left out is not thereby null."""
    rest = {name: value for name, value in schema.items() if not (name == "default" and value is None)}
    choices = rest.pop("anyOf", None)
    if not isinstance(choices, list):
        return rest
    (only,) = [each for each in choices if isinstance(each, dict) and each.get("type") != "null"]
    return {**only, **rest}


if __name__ == "__main__":
    sys.stdout.write(text())
