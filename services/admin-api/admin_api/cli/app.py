"""The commands, put together."""

import asyncio

import typer

from admin_api import migrate as migrations
from admin_api.cli import access, dead_letters, doctor, orders
from bitloot import topics as kafka_topics

app = typer.Typer(no_args_is_help=True, add_completion=False, help="BitLoot's desk on the command line.")
app.add_typer(orders.app, name="orders")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(access.tokens, name="tokens")
app.add_typer(access.accounts, name="accounts")
app.add_typer(access.audit, name="audit")
app.command("replay")(dead_letters.replay)


@app.command()
def topics(*, begin_anew: bool = typer.Option(default=False, help="The topics of now are the right ones.")) -> None:
    """Create the topics that are missing, and compare the others with what is declared."""
    raise typer.Exit(kafka_topics.main(["--begin-anew"] if begin_anew else []))


@app.command()
def migrate() -> None:
    """Bring the database up to this release."""
    raise typer.Exit(migrations.main())


@app.command("doctor")
def run_doctor() -> None:
    """Check every setting and everything that they point to; say in plain words what is wrong."""
    raise typer.Exit(asyncio.run(doctor.run()))
