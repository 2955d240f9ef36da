"""`bitloot orders`: look at orders, and set them going."""

import uuid

import typer

from admin_api.cli import erasing
from admin_api.cli.asking import as_json, ask, console, table, write_json

app = typer.Typer(no_args_is_help=True, help="Orders.")
app.command()(erasing.erase)
app.command("prove-erased")(erasing.prove_erased)

_LIST = {"id": "order", "status": "status", "email": "buyer", "total": "total", "currency": "in", "placedAt": "placed"}
_STORY = {"at": "when", "kind": "what", "title": "", "durationSeconds": "seconds", "detail": ""}


@app.command("list")
def list_orders(
    q: str | None = typer.Argument(None, help="An id of whatever belongs to it, or a part of the address."),
    status: str | None = typer.Option(None),
    limit: int = typer.Option(20, min=1, max=100),
    *,
    raw: bool = as_json,
) -> None:
    """List orders, newest first."""
    given = {"q": q, "status": status, "limit": limit}
    answer = ask("GET", "/admin/orders", params={name: value for name, value in given.items() if value is not None})
    if raw:
        return write_json(answer)
    return table(f"{answer['total']} orders", _LIST, answer["items"])


@app.command()
def show(order_id: str, *, raw: bool = as_json) -> None:
    """Show an order's whole story."""
    answer = ask("GET", f"/admin/orders/{order_id}")
    if raw:
        return write_json(answer)
    table(f"Order {answer['id']} is {answer['status']}", _STORY, answer["story"])
    if (review := answer["review"]) is not None:
        console.print(f"It waits for a human: {review['cause']}: {review['detail']}", markup=False)
    return None


@app.command()
def reprocess(order_id: str, key: str | None = typer.Option(None, help="Names the click: the same is one.")) -> None:
    """Ask an order to go on."""
    answer = ask("POST", f"/admin/orders/{order_id}/reprocess", key=key or str(uuid.uuid4()))
    console.print(f"Asked. `GET /admin/actions/{answer['actionId']}` tells what becomes of it.", markup=False)


@app.command()
def resolve(order_id: str, resolution: str, reason: str, key: str | None = typer.Option(None)) -> None:
    """End an order's review: retry, mark_refunded, delivered_by_hand or close, with a reason."""
    body = {"resolution": resolution, "reason": reason}
    answer = ask("POST", f"/admin/orders/{order_id}/resolve", key=key or str(uuid.uuid4()), json=body)
    console.print(f"Asked. `GET /admin/actions/{answer['actionId']}` tells what becomes of it.", markup=False)
