"""Asking the admin API, and telling what it answers."""

import json
import os
import sys
from typing import Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.table import Table

_TIMEOUT = 30.0

console = Console()
as_json = typer.Option(False, "--json", help="The API's answer as it is.")


def ask(method: str, path: str, *, key: str | None = None, **parts: Any) -> dict[str, Any]:
    """Return the API's answer, or tell what is wrong and end. `parts` are httpx's `params` or `json`."""
    url = os.environ.get("BITLOOT_ADMIN_URL") or os.environ.get("ADMIN_PUBLIC_URL") or "http://127.0.0.1:8080"
    token = os.environ.get("BITLOOT_TOKEN") or os.environ.get("ADMIN_TOKEN", "").split(",")[0].strip()
    if not token:
        fail("BITLOOT_TOKEN is not set: it is a token that `bitloot tokens create` made.")
    headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
    try:
        answer = httpx.request(method, f"{url.rstrip('/')}{path}", headers=headers, timeout=_TIMEOUT, **parts)
    except httpx.HTTPError as error:
        fail(f"The admin API does not answer at {url} ({type(error).__name__}). BITLOOT_ADMIN_URL says where it is.")
    if answer.is_error:
        fail(_told(answer))
    found: dict[str, Any] = answer.json()
    return found


def _told(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"The admin API answers {answer.status_code}, and no reason."
    errors = "".join(f" {each['parameter']}: {each['detail']}" for each in problem.get("errors", ()))
    return f"{problem.get('detail') or problem.get('title')}{errors} ({answer.status_code})"


def fail(sentence: str) -> NoReturn:
    """End with a sentence on stderr."""
    sys.stderr.write(f"{sentence}\n")
    raise typer.Exit(1)


def write_json(answer: dict[str, Any]) -> None:
    """Write an answer as it is."""
    sys.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")


def table(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Write rows: `columns` are headings by the names of the API's fields."""
    console.print(title, markup=False, highlight=False, soft_wrap=True)
    shown = Table(*columns.values())
    for row in rows:
        shown.add_row(*(_cell(row.get(name)) for name in columns))
    console.print(shown)


def _cell(value: object) -> Any:
    # As Text: what came from outside must not be taken for markup.
    from rich.text import Text  # noqa: PLC0415 - heavy, and for tables only

    return Text("" if value is None else str(value))
