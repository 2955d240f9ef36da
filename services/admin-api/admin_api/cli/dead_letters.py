"""`bitloot dead-letters` and `bitloot replay`."""

import uuid

import typer

from admin_api.cli.asking import as_json, ask, console, fail, table, write_json

app = typer.Typer(no_args_is_help=True, help="What consumers gave up on.")

_LIST = {"id": "id", "topic": "topic", "reason": "reason", "occurredAt": "since", "replayedAt": "sent again"}
_TOPIC = typer.Option(None, help="Where the records were.")
_REASON = typer.Option(None, help="Why they are here, such as bad_record.")


@app.command("list")
def list_letters(
    topic: str | None = _TOPIC,
    reason: str | None = _REASON,
    limit: int = typer.Option(20, min=1, max=100),
    *,
    raw: bool = as_json,
) -> None:
    """List dead letters, newest first."""
    answer = ask("GET", "/admin/dead-letters", params={**_filter(topic, reason), "limit": limit})
    if raw:
        return write_json(answer)
    return table(f"{answer['total']} dead letters", _LIST, answer["items"])


@app.command("replay-all")
def replay_all(
    topic: str | None = _TOPIC,
    reason: str | None = _REASON,
    *,
    yes: bool = typer.Option(default=False, help="Do not ask."),
) -> None:
    """Count the letters that a filter finds, ask, and send them again."""
    body = {"filter": _filter(topic, reason)}
    counted = ask("POST", "/admin/dead-letters/replays/count", json=body)
    if not yes and not typer.confirm(f"{counted['matching']} letters, {counted['sendable']} can be sent. Send them?"):
        fail("Nothing was sent.")
    started = ask(
        "POST",
        "/admin/dead-letters/replays",
        key=str(uuid.uuid4()),
        json=body | {"expected": counted["matching"], "limit": 10_000},
    )
    console.print(f"Begun: `GET /admin/dead-letters/replays/{started['id']}` tells how far it is.", markup=False)


def replay(letter_id: int, key: str | None = typer.Option(None, help="Names the click: the same is one.")) -> None:
    """Send one dead letter to its topic again."""
    answer = ask("POST", f"/admin/dead-letters/{letter_id}/replay", key=key or str(uuid.uuid4()))
    console.print(f"Sent, as {answer['actionId']}.", markup=False)


def _filter(topic: str | None, reason: str | None) -> dict[str, str]:
    return {name: value for name, value in (("topic", topic), ("reason", reason)) if value is not None}
