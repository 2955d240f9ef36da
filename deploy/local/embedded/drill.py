"""Carries out the rotations and the losses of docs/operations.md, step by step, on the system in containers.

`python -m embedded.drill`, while the system runs on compose (`make up STACK=compose`), or with the names of drills.
After each step a whole order is run, from the shop to the codes behind the link in its mail, as `make demo` does; what
has to be refused or to wait is asked for, too. What fails ends the drill with a sentence.
"""

import argparse
import json
import secrets
import sys
import time
from base64 import b64encode
from collections.abc import Callable

import httpx

from bitloot.sealing import generate_key_pair
from embedded import compose, demo
from embedded.environment import current
from embedded.errors import EmbeddedError
from embedded.handling import ORDER_SECONDS, QUIET, Handled, docker_compose, expect, postgres, told, until

_SANDBOX = "sandbox"
_LONG_AGO = b"update sealing_keys set sealed_at = sealed_at - interval '11 minutes' where key_id = :'key'"


class Drill(Handled):
    """What is done to it."""

    def webhook_secret(self, name: str, new: str) -> None:
        """`NEW,OLD` for us, then the new one for the provider, then `NEW` alone for us."""
        old = self.read(name, "ingress")
        self.set(name, f"{new},{current(old)}", "ingress")
        self.order("the provider signs with the old one")
        self.set(name, new, _SANDBOX)
        self.order("the provider signs with the new one")
        self.set(name, new, "ingress")
        self.order("the old one is forgotten")

    def webhook_secrets(self) -> None:
        """Rotate what the providers sign with."""
        for name, new in (
            ("NOWPAYMENTS_IPN_SECRET", secrets.token_hex(24)),
            ("KINGUIN_WEBHOOK_SECRET", secrets.token_hex(24)),
            ("RESEND_WEBHOOK_SECRET", f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"),
        ):
            print(name, flush=True)
            old = self.read(name, "ingress")
            self.webhook_secret(name, new)
            if name == "NOWPAYMENTS_IPN_SECRET":
                expect("a notification signed with it is refused", self.notify(current(old)), 401)

    def tokens(self) -> None:
        """Rotate the shop's and the admin's token."""
        old, new = str(self.facts["shop_token"]), secrets.token_hex(24)
        self.set("SHOP_TOKEN", f"{new},{old}", "ingress")
        self.order("the shop has the old token")
        self.facts["shop_token"] = new
        self.order("the shop has the new token")
        self.set("SHOP_TOKEN", new, "ingress")
        expect("the old one is refused", self.place_nothing(old), 401)
        self.order("the shop goes on with the new one")
        old, new = str(self.facts["admin_token"]), secrets.token_hex(24)
        self.set("ADMIN_TOKEN", f"{new},{old}", "admin-api")
        expect("both admin tokens open the desk", [self.ask(old), self.ask(new)], [200, 200])
        self.set("ADMIN_TOKEN", new, "admin-api")
        expect("the old admin token is refused", [self.ask(old), self.ask(new)], [401, 200])
        self.facts["admin_token"] = new

    def sealing_key(self) -> None:
        """Rotate the sealing key, at first in the wrong order."""
        old, new = self.read("SEALING_PRIVATE_KEYS", "delivery"), generate_key_pair()
        key_id = new.public.partition(":")[0]
        self.write("SEALING_PUBLIC_KEY", new.public, "kinguin")
        docker_compose("up", "--detach", "--no-deps", "kinguin")
        until(f"kinguin, in the wrong order, is not ready and names {key_id}", lambda: key_id in self.says("kinguin"))
        self.set("SEALING_PRIVATE_KEYS", f"{new.private.get_secret_value()},{old}", "delivery")
        self.start("kinguin")
        told("delivery has both private keys: kinguin is ready by itself")
        self.order("kinguin seals with the new key, the ingress with the old one")
        self.set("SEALING_PUBLIC_KEY", new.public, "ingress")
        self.order("all seal with the new key")
        self.write("SEALING_PRIVATE_KEYS", new.private.get_secret_value(), "delivery")
        docker_compose("up", "--detach", "--no-deps", "delivery")
        old_id = old.partition(":")[0]
        until(
            f"delivery, without {old_id} too soon, is not ready and names it", lambda: old_id in self.says("delivery")
        )
        postgres("psql", "-U", "bitloot", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"key={old_id}", given=_LONG_AGO)
        self.start("delivery")
        told("11 minutes later, as the database's clock is made to say, it is ready by itself")
        self.order("the old private key is gone")

    def workers_disk(self) -> None:
        """Take the orders agent's tables away while an order waits for its payment."""
        with demo.client(self.facts) as client:
            placed = demo.place(self.facts, client)
            docker_compose("rm", "--stop", "--force", "--volumes", "fulfillment")
            self.start("fulfillment")
            told("the orders agent has an empty disk and is ready")
            demo.pay(self.facts, client, placed)
            demo.finish(self.facts, client, placed, QUIET, patience_seconds=ORDER_SECONDS)
        told("an order that was placed before is paid and delivered")
        self.order("and so is a new one")

    def database(self) -> None:
        """Lose the database, and put back a dump that is one order older than Kafka."""
        dump = postgres("pg_dump", "-U", "bitloot", "bitloot")
        told(f"dumped, {len(dump) // 1024} kB")
        self.order("an order that the dump does not know")
        before = self.orders()
        writers = ("ingress", "order-page", "payments", "kinguin", "delivery", "seller", "sink", "admin-api")
        docker_compose("stop", *writers)
        for statement in ("drop database bitloot with (force)", "create database bitloot"):
            postgres("psql", "-U", "bitloot", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qc", statement)
        told("the database is lost")
        postgres("psql", "-U", "bitloot", "-d", "bitloot", "-v", "ON_ERROR_STOP=1", "-q", given=dump)
        docker_compose("run", "--rm", "--no-deps", "migrations")
        told("the dump is back, and migrated")
        self.start("sink")
        docker_compose("run", "--rm", "--no-deps", "-T", "sink", "admin_api.rebuild")
        told("the read tables are compared with Kafka and put right")
        self.start(*writers)
        expect("the desk knows every order again", self.orders(), before)
        self.order("a new order is delivered")


DRILLS: dict[str, Callable[[Drill], None]] = {
    "webhook-secrets": Drill.webhook_secrets,
    "tokens": Drill.tokens,
    "sealing-key": Drill.sealing_key,
    "workers-disk": Drill.workers_disk,
    "database": Drill.database,
}


def main() -> int:
    """Carry out the drills that are named, or all; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m embedded.drill", description=__doc__)
    parser.add_argument("drills", nargs="*", choices=[[], *DRILLS], default=[])
    names = parser.parse_args().drills or list(DRILLS)
    facts_file = compose.SETTINGS_DIR / "stack.json"
    if not facts_file.exists():
        print("Nothing runs on compose: make up STACK=compose", file=sys.stderr)
        return 1
    drill = Drill(json.loads(facts_file.read_text()))
    try:
        for name in names:
            began = time.monotonic()
            print(name, flush=True)
            DRILLS[name](drill)
            print(f"  {time.monotonic() - began:.0f} s", flush=True)
    except (EmbeddedError, httpx.HTTPError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        facts_file.write_text(json.dumps(drill.facts, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
