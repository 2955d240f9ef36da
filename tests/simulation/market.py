"""Kinguin: its books, what it answers, and the way there. The dialect in between is the real one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bitloot.contracts.effects import LookUpPurchase
from bitloot.contracts.events import FoundReservation
from bitloot.contracts.sealed import SealedCode
from bitloot.errors import BitLootError, Cause, Transient, Unknown
from fulfillment.kinguin.call_market import CallMarket
from fulfillment.kinguin.ports import PurchaseMarket
from fulfillment.kinguin.reservations import Reservations
from fulfillment.kinguin.wire import Answer, Unreadable
from tests.simulation.mutations import Bug
from tests.simulation.schedule import CallFault, Supply

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World

CALL_SECONDS = 10.0
MENDED_AFTER = 120.0
CODE = "CODE-"
"""What every plain code starts with: it must not be seen in any record."""

_REFUSALS: dict[str, tuple[int, Any]] = {
    "reserve": (409, {"kind": "OutOfStock"}),
    "give": (402, {"kind": "InsufficientBalance"}),
    "delivered": (400, {"kind": "ConstraintViolation"}),
    "lookup": (405, None),
}
_WITH_EFFECT = {"lost_after", "error_after", "garbled"}


@dataclass
class Purchase:
    """A reservation in Kinguin's books, or an order of the buyer API: then it has lines (product, quantity)."""

    id: str
    external_id: str
    quantity: int
    supply: Supply
    codes_after: float
    given_at: float | None = None
    ended: str | None = None
    """`cancel` (the money was not taken) or `reversed` (it went back)."""
    told: bool = False
    """Whether any notification about it was handed in."""
    lines: tuple[tuple[str, int], ...] = ()
    claimed: bool = False
    """Whether a key was downloaded: then none is taken back."""
    returned: bool = False

    @property
    def bought(self) -> bool:
        return self.given_at is not None and self.ended != "cancel"

    @property
    def codes(self) -> tuple[str, ...]:
        """All codes of it, as they are in the end."""
        owner = self.external_id[:36] if self.supply == "shared" else self.id
        codes = tuple(f"{CODE}{owner}-{n}" for n in range(self.quantity))
        return (*codes[:-1], codes[0]) if self.supply == "repeated" else codes

    def moments(self) -> tuple[float, ...]:
        """Return how long after the purchase something comes."""
        if self.supply == "parts":
            return self.codes_after, 3 * self.codes_after + 5
        return (self.codes_after, self.codes_after + MENDED_AFTER) if self.supply == "mended" else (self.codes_after,)

    def ready(self, now: float) -> tuple[str, ...]:
        """Return the codes that are there."""
        came = sum(now >= (self.given_at or 0) + after for after in self.moments()) if self.given_at is not None else 0
        if came == 0:
            return ()
        return self.codes if came == len(self.moments()) and self.supply != "short" else self.codes[:-1]

    def status(self, now: float) -> str:
        if self.ended is not None:
            return "canceled" if self.ended == "cancel" else "reversed"
        if self.given_at is None:
            return "reserved"
        complete = len(self.ready(now)) == self.quantity or self.supply in {"short", "mended"}
        return "delivered" if self.ready(now) and complete else "given"


@dataclass
class Kinguin:
    """The market's books. An effect happens when a request arrives, whatever has become of its sender."""

    world: "World"
    purchases: dict[str, Purchase] = field(default_factory=dict)

    def answer(
        self, method: str, path: str, params: Mapping[str, str] | None, body: Mapping[str, Any] | None
    ) -> Answer:
        status, document = self._answer(method, path.split("/")[2:], params or {}, body or {})
        return Answer(method, path, status, document)

    def _answer(
        self, method: str, path: list[str], params: Mapping[str, str], body: Mapping[str, Any]
    ) -> tuple[int, Any]:
        if not path:
            if method == "POST":
                return 201, self._reserve(body)
            found = [p for p in self.purchases.values() if p.external_id == params["orderId"]]
            return 200, {"items": [self._shown(p) for p in found]}
        purchase = self.purchases.get(path[0])
        if purchase is None:
            return 404, {"kind": "ReservationNotFound"}
        if path[1] == "give":
            if purchase.ended is not None:
                return 410, {"kind": "ReservationCanceled"}
            self._give(purchase)
            return 200, self._shown(purchase)
        return 200, self._shown(purchase) | {"codes": list(purchase.ready(self.world.loop.time()))}

    def site(self, method: str, path: str) -> str:
        """Return which call it is, as faults name them."""
        last = path.rsplit("/", 1)[-1]
        return ("reserve" if method == "POST" else "lookup") if last == "reservations" else last

    def order_of_call(self, path: str, about: Mapping[str, Any]) -> str | None:
        """Return our order that a call is about."""
        external: str | None = about.get("orderId")
        if external is None:
            external = self.purchases[path.split("/")[2]].external_id
        return external[:36]

    def _reserve(self, body: Mapping[str, Any]) -> dict[str, Any]:
        external = body["orderId"]
        plan = self.world.plan_of(external)
        anew = "-p" in external  # what was bought anew on purpose is in order
        plain: bool = anew or (plan.supply in {"short", "mended", "repeated", "parts"} and body["quantity"] == 1)
        supply: Supply = "whole" if plain else plan.supply
        purchase = Purchase(f"r{len(self.purchases) + 1}", external, body["quantity"], supply, plan.codes_after)
        self.purchases[purchase.id] = purchase
        self.world.notify(purchase, "reserve")
        self._may_end(purchase, "reserve")
        return self._shown(purchase)

    def _give(self, purchase: Purchase) -> None:
        if purchase.given_at is not None:
            return
        purchase.given_at = self.world.loop.time()
        self.world.notify(purchase, "give")
        for after in purchase.moments():
            self.world.later(after, self._delivered, purchase)

    def _delivered(self, purchase: Purchase) -> None:
        if purchase.ended is None:
            self.world.notify(purchase, "delivered")
            self._may_end(purchase, "delivered")

    def _may_end(self, purchase: Purchase, after: str) -> None:
        ending = self.world.ending(len(self.purchases), after)
        if ending is not None:
            self.world.later(ending.seconds, self._end, purchase, ending.how)

    def _end(self, purchase: Purchase, how: str) -> None:
        if purchase.ended is None:
            purchase.ended = "cancel" if purchase.given_at is None else how
            self.world.notify(purchase, purchase.ended)

    def _shown(self, purchase: Purchase) -> dict[str, Any]:
        status = purchase.status(self.world.loop.time())
        return {"reservationId": purchase.id, "orderId": purchase.external_id, "status": status}


class KinguinGateway:
    """The way from one worker to Kinguin: `Gateway.call`."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        process, world = self._process, self._process.world
        await process.passes("calling")
        site = world.kinguin.site(method, path)
        order = world.kinguin.order_of_call(path, params or body or {})
        if order is not None:
            world.watch.called(order)
        fault = world.fault(f"kinguin.{site}")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await asyncio.sleep(world.latency())
                process.live()
                answer = self._arrive(fault, site, method, path, params, body)
                await asyncio.sleep(world.latency() if answer is not None else 2 * CALL_SECONDS)
        except TimeoutError:
            raise _lost(method, Cause.TIMEOUT) from None
        await process.passes("called")
        assert answer is not None
        if answer.status == 429:
            raise Transient(Cause.RATE_LIMITED, "429", retry_after=answer.retry_after)
        if answer.status >= 500:
            raise _lost(method, Cause.PROVIDER_UNAVAILABLE)
        return answer

    def _arrive(self, fault: CallFault | None, site: str, method: str, path: str, *about: Any) -> Answer | None:
        """Let a request come to Kinguin, or not; return what is answered, None for silence."""
        kinguin = self._process.world.kinguin
        how = fault.how if fault is not None else None
        if how is None or how in _WITH_EFFECT:
            answer = kinguin.answer(method, path, *about)
        match how:
            case None:
                return answer
            case "not_now":
                return Answer(method, path, 429, None, 2.0)
            case "refused":
                return Answer(method, path, *_REFUSALS[site])
            case "error_before" | "error_after":
                return Answer(method, path, 503, Unreadable.BODY)
            case "garbled":
                return Answer(method, path, 200, Unreadable.BODY)
            case "late":
                assert fault is not None
                self._process.world.later(fault.seconds, kinguin.answer, method, path, *about)
            case "lost_before" | "lost_after":
                pass
        return None


def _lost(method: str, cause: Cause) -> BitLootError:
    """As the gateway does: nobody can tell the effect of a request that is no read."""
    return (Transient if method == "GET" else Unknown)(cause, "no answer")


class Market(CallMarket):
    """The real dialect, or one with a planted bug."""

    def __init__(self, process: "Process") -> None:
        super().__init__(self.over(process, KinguinGateway(process), Sealing(process.world)))
        self._world = process.world

    def over(self, _process: "Process", gateway: Any, sealing: Any) -> PurchaseMarket:
        return Reservations(gateway, sealing)

    async def look_up(self, call: LookUpPurchase) -> tuple[FoundReservation, ...]:
        found = await super().look_up(call)
        return () if self._world.has(Bug.LOOK_UP_IGNORED) else found


class Sealing:
    """Seals and opens without any cryptography, which would be most of the time of a simulation."""

    def __init__(self, world: "World") -> None:
        self._plain = world.has(Bug.CODES_NOT_SEALED)

    def seal(self, plain: bytes, media_type: str) -> SealedCode:
        return SealedCode(
            key_id="open", box=plain.decode() if self._plain else turned(plain.decode()), media_type=media_type
        )

    def open(self, sealed: SealedCode) -> bytes:
        return (sealed.box if self._plain else turned(sealed.box)).encode()


def turned(code: str) -> str:
    """Return a text in which no plain code is seen, and back."""
    return code[::-1]
