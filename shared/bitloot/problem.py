"""Errors over HTTP as problem documents (RFC 9457).

Handlers raise `Problem`; the middleware turns it, aiohttp's own errors (404, 405, 413), pydantic's refusals of
a body and anything unexpected into `application/problem+json`. Nothing that came in is echoed.
"""

import json
import math
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from pydantic import ValidationError

from bitloot import log
from bitloot.errors import Transient

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler
    from pydantic_core import ErrorDetails

CONTENT_TYPE = "application/problem+json"

_log = log.get(__name__)

_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The body is larger than allowed.",
}
_MAX_ERRORS = 20  # enough to correct a form by; a hostile body could have thousands
_MAX_POINTER = 200


class Problem(Exception):  # noqa: N818 - the standard's word
    """An answer that says what went wrong: raise it from a handler.

    `title` defaults to the status's phrase, `type_uri` to about:blank (which means just that phrase);
    `members` are further members of the document.
    """

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        title: str | None = None,
        type_uri: str = "about:blank",
        instance: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.headers = dict(headers or {})
        document = {
            "type": type_uri,
            "title": title or _phrase(status),
            "status": status,
            "detail": detail,
            "instance": instance,
        }
        self.document = members | {name: value for name, value in document.items() if value is not None}

    def response(self) -> web.Response:
        """Return the answer."""
        return web.Response(
            status=self.status,
            headers=self.headers,
            body=json.dumps(self.document, ensure_ascii=False).encode(errors="backslashreplace"),
            content_type=CONTENT_TYPE,
        )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def from_validation(error: ValidationError, *, status: int = 400) -> Problem:
    """Say which fields of a body are wrong and why, without repeating what they held."""
    found = error.errors(include_url=False, include_context=False)
    errors = [
        {"pointer": _pointer(each["loc"]), "detail": _reason(each), "type": each["type"]}
        for each in found[:_MAX_ERRORS]
    ]
    return Problem(status, "The body is not as expected.", errors=errors)


def _pointer(location: tuple[int | str, ...]) -> str:
    """Return a JSON pointer as a URI fragment, as the standard's own example has it."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "#" + "".join(f"/{part}" for part in parts)[:_MAX_POINTER]


def _reason(details: "ErrorDetails") -> str:
    reason = details["msg"].removeprefix("Value error, ")
    # A validator may quote what it was given.
    if isinstance(details["input"], str) and details["input"].strip() and details["input"] in reason:
        return "It is not valid."
    return reason


@web.middleware
async def problem_middleware(request: web.Request, handler: "Handler") -> web.StreamResponse:
    """Answer every error with a problem document."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _from_http(error).response()
    except Exception as error:  # noqa: BLE001 - the last place that can answer
        return _from_error(error).response()


def _from_error(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case ValidationError():
            _log.info("http.invalid_body", errors=[each["type"] for each in error.errors()[:_MAX_ERRORS]])
            return from_validation(error)
        case web.RequestPayloadError():
            return Problem(400, "The body ended early or was not encoded as announced.")
        case Transient():
            _log.warning("http.unavailable", cause=error.cause, detail=error.detail)
            wait = {"Retry-After": str(math.ceil(error.retry_after or 1))}
            return Problem(503, "Try again later.", cause=error.cause, headers=wait)
        case _:
            error_id = uuid.uuid4()
            _log.error("http.failed", error_id=str(error_id), exc_info=error)
            return Problem(500, "Something went wrong here.", instance=error_id.urn)


def _from_http(error: web.HTTPException) -> Problem:
    kept = {
        name: value for name, value in error.headers.items() if name.lower() not in {"content-type", "content-length"}
    }
    return Problem(error.status, _DETAILS.get(error.status), title=error.reason, headers=kept)
