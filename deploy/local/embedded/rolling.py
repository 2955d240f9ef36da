"""Changes a running system on Kubernetes under load, then asks the providers' ledger what came of it.

`python -m embedded.rolling restart kill scale drain upgrade=TAG`: while orders are placed and paid without a pause,
each service is restarted, loses a pod at once, is scaled up and down, has its pods evicted as a node that is drained
does, gets another image. It runs where Services can be reached by their addresses: on a node. What counts: no request
to the ingress failed, every order was delivered, no item was bought twice and no mail was sent twice.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from embedded.errors import EmbeddedError, ServerFailed
from embedded.kubernetes import NAMESPACE, read_secret
from embedded.services import SERVICES

_ITEM = {"productId": "5c9b5f7a2539a4e8f1831f01", "title": "Celeste", "quantity": 1, "unitPrice": "9.99"}
_HEAL_SECONDS = 240.0
_PATIENCE = "420s"
_ASK_AGAIN_SECONDS = 1.0


@dataclass(slots=True)
class Load:
    """Orders, placed and paid one after the other by each of a few shoppers."""

    client: httpx.AsyncClient
    shop_token: str
    placed: dict[str, str] = field(default_factory=dict)
    """Order id → the mail address."""
    requests: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    """What went wrong, and when: as in the logs of the pods."""

    async def shop(self, pause_seconds: float, enough: asyncio.Event) -> None:
        """Place and pay orders, each to its end, until it is enough."""
        while not enough.is_set():
            await self._order()
            await asyncio.sleep(pause_seconds)

    async def _order(self) -> None:
        email = f"roll-{uuid.uuid4().hex[:12]}@bitloot.test"
        headers = {"Authorization": f"Bearer {self.shop_token}", "Idempotency-Key": uuid.uuid4().hex}
        body = {"email": email, "currency": "eur", "items": [_ITEM]}
        answer = await self._ask("orders", "http://ingress:8080/orders", 201, headers=headers, json=body)
        if answer is None:
            return
        order = answer.json()["orderId"]
        self.placed[order] = email
        paid = await self.client.post(f"http://sandbox:8080/_pay/{order}")
        for notice in paid.json():
            self.requests["notifications"] += 1
            if notice["status"] != httpx.codes.OK:
                self._fail(f"notification: {notice}")

    async def _ask(self, kind: str, url: str, status: int, **options: Any) -> httpx.Response | None:
        self.requests[kind] += 1
        try:
            answer = await self.client.post(url, **options)
        except httpx.TransportError as error:
            self._fail(f"{kind}: {error!r}")
            return None
        if answer.status_code != status:
            self._fail(f"{kind}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    def _fail(self, what: str) -> None:
        self.failed.append(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {what}")


async def changed(action: str) -> None:
    """Do one thing to every service, one after the other, waiting until each is whole again."""
    for service in SERVICES:
        what = f"{'statefulset' if service.name == 'fulfillment' else 'deployment'}/{service.name}"
        began, note = time.monotonic(), ""
        match action.partition("="):
            case ("restart", _, _):
                await kubectl("rollout", "restart", what)
            case ("kill", _, _):
                await kubectl(
                    "delete", "pod", (await pods(service.name))[0], "--grace-period=0", "--force", "--wait=false"
                )
            case ("scale", _, _):
                usual = int(await kubectl("get", what, "-o", "jsonpath={.spec.replicas}"))
                for count in (usual + 1, usual, max(usual - 1, 1), usual):
                    await kubectl("scale", what, f"--replicas={count}")
                    await kubectl("rollout", "status", what, f"--timeout={_PATIENCE}")
            case ("drain", _, _):
                note = f"  budget refused {await drained(service.name)} times"
            case ("upgrade", "=", tag):
                now = await kubectl("get", what, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
                await kubectl("set", "image", what, f"{service.name}={now.rpartition(':')[0]}:{tag}")
            case _:
                raise ServerFailed(f"{action} is none of restart, kill, scale, drain, upgrade=TAG")
        await kubectl("rollout", "status", what, f"--timeout={_PATIENCE}")
        print(f"  {action:<14}{service.name:<14}{time.monotonic() - began:6.1f} s{note}", flush=True)


async def pods(service: str) -> list[str]:
    """Return the names of a service's pods that are not ending."""
    found = json.loads(await kubectl("get", "pods", "-l", f"app.kubernetes.io/name={service}", "-o", "json"))["items"]
    return [each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"]]


async def drained(service: str) -> int:
    """Have all pods of a service evicted at once, as `kubectl drain` does; return how often its budget refused.

    The node is not cordoned: where it is the only one, what the budget waits for could not come up.
    """
    return sum(await asyncio.gather(*(evicted(pod) for pod in await pods(service))))


async def evicted(pod: str) -> int:
    """Ask for the eviction of a pod until it is granted; return how often it was refused. Raises ServerFailed."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    deadline = time.monotonic() + _HEAL_SECONDS
    refused = 0
    while True:
        try:
            await kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))
        except ServerFailed as error:
            if "NotFound" in str(error):
                return refused  # gone meanwhile, as was wished
            if "TooManyRequests" not in str(error) or time.monotonic() > deadline:
                raise
            refused += 1
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
        else:
            return refused


async def kubectl(*words: str, given: str = "") -> str:
    """Return what it says when it is given that. Raises ServerFailed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "kubectl", "-n", NAMESPACE, *words, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, error = await process.communicate(given.encode())
    if process.returncode != 0:
        raise ServerFailed(f"kubectl {' '.join(words)}: {error.decode().strip()[-500:]}")
    return out.decode()


async def addresses() -> Mapping[str, str]:
    """Return the address of each Service by its name and port."""
    services = json.loads(await kubectl("get", "services", "-o", "json"))["items"]
    return {
        f"{each['metadata']['name']}:{port['port']}": f"{each['spec']['clusterIP']}:{port['port']}"
        for each in services
        for port in each["spec"]["ports"]
        if each["spec"]["clusterIP"] != "None"
    }


async def verdict(load: Load) -> list[str]:
    """Wait until every order is delivered; return a sentence for all that is wrong."""
    complaints = [f"{len(load.failed)} requests failed: {load.failed[:3]}"] if load.failed else []
    deadline = time.monotonic() + _HEAL_SECONDS
    waiting = dict(load.placed)
    while waiting and time.monotonic() < deadline:
        for order, email in tuple(waiting.items()):
            if (await _mails(load, email)) > 0:
                del waiting[order]
        await asyncio.sleep(1)
    if waiting:
        complaints.append(f"{len(waiting)} orders were not delivered: {sorted(waiting)[:3]}")
    codes: Counter[str] = Counter()
    for order, email in load.placed.items():
        if (mails := await _mails(load, email)) > 1:
            complaints.append(f"{order}: {mails} mails")
        query = {"orderId": order, "parts": "purchases"}
        ledger = (await load.client.get("http://sandbox:8080/_ledger", params=query)).json()
        if len(ledger["purchases"]) > 1:
            complaints.append(f"{order}: bought {len(ledger['purchases'])} times")
        codes.update(key for purchase in ledger["purchases"] for key in purchase["keys"])
    complaints.extend(f"a code was sold {count} times" for count in codes.values() if count > 1)
    return complaints


async def _mails(load: Load, email: str) -> int:
    answer = await load.client.get("http://sandbox:8080/_mail", params={"to": email})
    return int(answer.json()["total"])


async def roll(actions: list[str], shoppers: int, pause_seconds: float) -> int:
    """Do all of it; returns the exit status."""
    reach = await addresses()

    async def go_there(request: httpx.Request) -> None:
        host, _, port = reach[request.url.netloc.decode()].partition(":")
        request.url = request.url.copy_with(host=host, port=int(port))

    async with httpx.AsyncClient(timeout=30, trust_env=False, event_hooks={"request": [go_there]}) as client:
        load = Load(client, read_secret("ingress", "SHOP_TOKEN"))
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as shopping:
            for _ in range(shoppers):
                shopping.create_task(load.shop(pause_seconds, enough))
            try:
                for action in actions:
                    await changed(action)
            finally:
                enough.set()
        complaints = await verdict(load)
    asked = f"{sum(load.requests.values())} requests at the ingress ({dict(load.requests)})"
    print(f"{asked}, {len(load.failed)} failed; {len(load.placed)} orders.")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print("Nothing was lost, bought twice or mailed twice." if not complaints else f"{len(complaints)} complaints.")
    return 1 if complaints else 0


def main() -> int:
    """Read the command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m embedded.rolling", description=__doc__)
    parser.add_argument("actions", nargs="+", help="restart, kill, scale, drain, upgrade=TAG")
    parser.add_argument("--shoppers", type=int, default=2)
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two orders of a shopper")
    options = parser.parse_args()
    try:
        return asyncio.run(roll(options.actions, options.shoppers, options.pause))
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
