"""`python -m embedded`: the stack from the command line. `make` calls it."""

import argparse
import sys

from rich.console import Console

from embedded import commands, compose, kubernetes
from embedded.errors import EmbeddedError
from embedded.rundir import RunDir
from embedded.services import SERVICES

# A dozen containers have just started at once on whatever the machine has.
_CLUSTER_SECONDS = 90.0
STACKS = ("embedded", "compose", "kubernetes")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="embedded", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("fetch", help="fetch what the stack needs and the cache lacks")
    for name, what in (
        ("up", "start everything and leave it running"),
        ("down", "stop everything"),
        ("demo", "run one order through, starting and stopping the stack unless it is up"),
    ):
        actions.add_parser(name, help=what).add_argument("--stack", choices=STACKS, default=STACKS[0])
    actions.add_parser("settings", help="make the settings and secrets that docker-compose.yml reads")
    actions.add_parser("status", help="tell what runs")
    execute = actions.add_parser("exec", help="run a command with the settings of the running stack")
    execute.add_argument("--service", choices=[service.name for service in SERVICES], help="only what it may know")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    supervise = actions.add_parser("supervise")  # what `up` leaves behind; not for people
    supervise.add_argument("report", type=int)
    return parser


def _act(arguments: argparse.Namespace, run: RunDir, console: Console) -> int:
    match arguments.action:
        case "fetch":
            commands.fetch(console)
        case "up":
            if not commands.up(run, console):
                console.print("BitLoot is up already.")
            commands.status(run, console)
            console.print("Stop it with: make down")
        case "down":
            commands.down(run, console)
        case "status":
            return commands.status(run, console)
        case "exec":
            commands.execute(run, arguments.service, arguments.command)
        case "demo":
            from embedded.demo import demo, embedded_stack  # noqa: PLC0415 - its imports take longer than `status` does

            demo(embedded_stack(run, console), console)
        case "supervise":
            from embedded.supervise import supervise  # noqa: PLC0415

            supervise(run, arguments.report)
    return 0


def _act_in_containers(arguments: argparse.Namespace, console: Console) -> int:
    match arguments.action:
        case "up":
            compose.up(console)
            console.print(f"Addresses and tokens are in {compose.SETTINGS_DIR / 'stack.json'}.", soft_wrap=True)
        case "down":
            compose.down(forget=True)
        case "settings":
            compose.write_settings()
        case "demo":
            from embedded.demo import demo  # noqa: PLC0415

            demo(compose.running(console), console, patience_seconds=_CLUSTER_SECONDS)
    return 0


def _act_on_a_cluster(arguments: argparse.Namespace, console: Console) -> int:
    match arguments.action:
        case "up":
            kubernetes.up(console)
        case "down":
            kubernetes.down()
        case "demo":
            from embedded.demo import demo  # noqa: PLC0415

            demo(kubernetes.running(console), console, patience_seconds=_CLUSTER_SECONDS)
    return 0


def main() -> int:
    """Do what the command line says; return the exit code."""
    arguments = _parser().parse_args()
    try:
        console = Console(highlight=False, markup=False)
        if arguments.action == "settings" or getattr(arguments, "stack", "embedded") == "compose":
            return _act_in_containers(arguments, console)
        if getattr(arguments, "stack", "embedded") == "kubernetes":
            return _act_on_a_cluster(arguments, console)
        return _act(arguments, commands.run_dir(), console)
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
