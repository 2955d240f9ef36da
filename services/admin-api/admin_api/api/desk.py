"""The desk in the browser: what `make ui` has built, or a page that says how to build it."""

import gzip
import html
import mimetypes
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from aiohttp import web

# Nothing but our own files, nothing inline, and no text that becomes markup or script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Cross-Origin-Opener-Policy": "same-origin"}
_FOR_EVER = "public, max-age=31536000, immutable"  # their names change with what is in them
_COMPRESSED = frozenset({"text/html", "text/css", "text/javascript", "image/svg+xml"})

_LINK = re.compile(r'\b(href|src)="/(?!/|readyz|metrics)')  # probes are never below a path

# The pages of the desk have addresses of their own, which only the desk knows. What the API and its files may be asked
# for is left out, so that an unknown one of those stays a 404 and a wrong method a 405.
_PAGE = r"/{page:(?!(?:admin|assets|static)(?:/|$))[^.]*}"


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    zipped: bytes | None
    content_type: str
    cache: str


def built() -> Traversable:
    """Return the directory that `make ui` fills."""
    return files("admin_api.api") / "static" / "dist"


def below(page: str, base_path: str) -> str:
    """Return a page of ours whose links lead below a path, for whoever serves it there; it also tells its script."""
    told = page.replace('name="bitloot-path" content="/"', f'name="bitloot-path" content="{html.escape(base_path)}/"')
    return _LINK.sub(rf'\1="{html.escape(base_path)}/', told)


def add_desk(app: web.Application, root: Traversable | None = None, base_path: str = "") -> None:
    """Serve the desk, read once; without one its pages say how to build it. Added last: it answers what is left."""
    found = dict(_files(root or built(), base_path))
    index = found.pop("/index.html", None)
    for path, file in found.items():
        app.router.add_get(path, _answer(file))
    app.router.add_get(_PAGE, _answer(index or _unbuilt(base_path)))


def _files(root: Traversable, base_path: str) -> Iterator[tuple[str, _File]]:
    if (root / "index.html").is_file():
        for path, entry in _walk(root, ""):
            body = entry.read_bytes()
            if path == "/index.html":
                body = below(body.decode(), base_path).encode()
            yield path, _file(body, path, _FOR_EVER if path.startswith("/assets/") else "no-store")


def _walk(directory: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in directory.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{path}/{entry.name}")
        elif not entry.name.startswith("."):
            yield f"{path}/{entry.name}", entry


def _file(body: bytes, path: str, cache: str) -> _File:
    content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    zipped = gzip.compress(body, mtime=0) if content_type in _COMPRESSED else None
    return _File(body, zipped, content_type, cache)


def _unbuilt(base_path: str) -> _File:
    page = (files("admin_api.api") / "static" / "index.html").read_text(encoding="utf-8")
    return _file(below(page, base_path).encode(), "index.html", "no-store")


def _answer(file: _File) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        headers = {**_HEADERS, "Cache-Control": file.cache, "Vary": "Accept-Encoding"}
        body = file.body
        if file.zipped is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = file.zipped
        return web.Response(body=body, content_type=file.content_type, charset="utf-8", headers=headers)

    return answer
