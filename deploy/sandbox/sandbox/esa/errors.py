"""How ESA words an error: clients decide by `kind`, people search by `trace`."""

import secrets
from http import HTTPStatus

from sandbox.calls import Answer, Call, Refusal
from sandbox.clock import Clock, rfc3339
from sandbox.javascript import Json, stringify

# What each kind comes with. Kinguin's table names no status; 400, 401, 404, 409, 422 for OrderFailed and 500 were seen.
STATUSES = {
    "ConstraintViolation": 400,
    "Http": 400,
    "Authorization": 401,
    "OrderNotFound": 404,
    "ResourceLock": 409,
    "InsufficientBalance": 422,
    "ProductUnavailable": 422,
    "OrderFailed": 422,
    "Preorder": 422,
    "OrderNotSupported": 422,
    "NoKeysToReturn": 422,
    "Error": 500,
    "HttpClient": 502,
}
_KINDS = {
    400: "ConstraintViolation",
    401: "Authorization",
    403: "Authorization",
    409: "ResourceLock",
    422: "OrderFailed",
}


def answer(status: int, content: Json) -> Answer:
    """Answer with decimals as the numbers they are."""
    return Answer(status, stringify(content).encode())


def error(status: int, kind: str | None = None, detail: str | None = None, **members: Json) -> Answer:
    """Answer in Kinguin's shape, without what only the call knows."""
    internal = "HttpClient" if status in (502, 503, 504) else "Error"
    kind = kind or _KINDS.get(status, internal if status >= 500 else "Http")
    title = HTTPStatus(status).phrase if status in _PHRASES else "Error"
    return answer(status, {"kind": kind, "status": status, "detail": detail or f"{title}.", "type": title, **members})


_PHRASES = {each.value for each in HTTPStatus}


def refused(kind: str, detail: str, **members: Json) -> Refusal:
    """End the call with the error of this kind."""
    return Refusal(error(STATUSES[kind], kind, detail, **members))


def violation(path: str, detail: str, value: Json = None) -> Refusal:
    """Refuse a payload or a query; `path` is as Kinguin spells it, `products[0].qty`."""
    return refused("ConstraintViolation", detail, propertyPath=path, invalidValue=value)


def located(call: Call, refusal: Answer, clock: Clock) -> Answer:
    """Add where and when it happened, and the trace that Kinguin's support asks for."""
    path = "/api" + call.request.path.removeprefix("/kinguin-esa")
    where = {"path": path, "method": call.request.method, "trace": secrets.token_hex(5), "timestamp": rfc3339(clock())}
    # Every error is an object that ends with a brace.
    return Answer(
        refusal.status, refusal.body[:-1] + b"," + stringify(where).encode()[1:], refusal.headers, refusal.content_type
    )
