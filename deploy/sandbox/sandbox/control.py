"""The control plane: pay, read mails and the ledger, turn the dials, set faults."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from sandbox.cashier import Cashier, Pay, UnknownOrderError
from sandbox.dials import Panel
from sandbox.faults import Faults, Rule
from sandbox.kinguin import Kinguin
from sandbox.ledger import PARTS, Entry, Ledger
from sandbox.problems import Problem, invalid, json_body, json_object

# Some 5 ms of work.
_BATCH = 100
_RULES = TypeAdapter(tuple[Rule, ...])


@dataclass(frozen=True, slots=True)
class Control:
    """What tests and people steer the sandbox with. It has no password: bind it to loopback."""

    panel: Panel
    faults: Faults
    ledger: Ledger
    cashier: Cashier
    kinguin: Kinguin

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoints; README.md has their shapes."""
        return [
            web.post("/_pay/{order_id}", self.pay),
            web.post("/_kinguin/{reservation_id}/{event}", self.kinguin_event),
            web.get("/_mail", self.mail),
            web.get("/_ledger", self.read_ledger),
            web.delete("/_ledger", self.clear_ledger),
            web.get("/_settings", self.read_settings),
            web.put("/_settings", self.change_settings),
            web.delete("/_settings", self.reset_settings),
            web.get("/_faults", self.read_faults),
            web.put("/_faults", self.set_faults),
            web.delete("/_faults", self.clear_faults),
            web.delete("/_tokens", self.revoke_tokens),
        ]

    async def pay(self, request: web.Request) -> web.Response:
        """Send the notifications of a payment and return the ingress's answers."""
        form = request.content_type == "application/x-www-form-urlencoded"  # the button of the invoice page
        try:
            wish = Pay.model_validate(dict(await request.post()) if form else await json_object(request))
        except ValidationError as error:
            raise invalid(error) from error
        try:
            answers = await self.cashier.pay(request.match_info["order_id"], wish)
        except UnknownOrderError as error:
            raise Problem(404, "no invoice or payment names this order; give priceAmount and priceCurrency") from error
        return web.json_response(answers)

    async def kinguin_event(self, request: web.Request) -> web.Response:
        """Cancel or reverse a reservation, or repeat one of its webhooks."""
        event = request.match_info["event"]
        if event not in ("reserve", "give", "delivered", "cancel", "reversed"):
            raise Problem(404, "no such event")
        shown = self.kinguin.happen(request.match_info["reservation_id"], event)
        if shown is None:
            raise Problem(404, "no such reservation")
        return web.json_response(shown)

    async def mail(self, request: web.Request) -> web.Response:
        """Return the accepted mails, newest first, all or those to one address."""
        to = request.query.get("to", "").strip().lower()
        found = [each.full() for each in reversed(self.ledger.mails) if not to or to in each.to]
        return web.json_response({"items": found, "total": len(found)})

    async def read_ledger(self, request: web.Request) -> web.StreamResponse:
        """Return what happened, oldest first: `{orderId, totals, calls, purchases, sales, mails, webhooks}`."""
        parts = [part for part in request.query.get("parts", "").split(",") if part] or list(PARTS)
        if unknown := set(parts) - set(PARTS):
            raise Problem(422, f"no such part: {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
        order_id = request.query.get("orderId")
        response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
        await response.prepare(request)
        await response.write(f'{{"orderId":{json.dumps(order_id)},"totals":{json.dumps(self.ledger.totals())}'.encode())
        for part, records in self.ledger.find(order_id, parts).items():
            await response.write(f',"{part}":['.encode())
            await _stream(response, records)
            await response.write(b"]")
        await response.write(b"}")
        return response

    async def clear_ledger(self, _: web.Request) -> web.Response:
        """Forget the records; the providers keep their reservations, payments and idempotency keys."""
        self.ledger.clear()
        return web.Response(status=204)

    async def read_settings(self, _: web.Request) -> web.Response:
        """Return the dials without the secrets."""
        return web.json_response(self.panel.shown())

    async def change_settings(self, request: web.Request) -> web.Response:
        """Set the named dials, leave the others."""
        wanted = await json_object(request)
        try:
            self.panel.change(wanted)
        except ValidationError as error:
            raise invalid(error) from error
        return web.json_response(self.panel.shown())

    async def reset_settings(self, _: web.Request) -> web.Response:
        """Go back to the dials of the start."""
        self.panel.reset()
        return web.json_response(self.panel.shown())

    async def read_faults(self, _: web.Request) -> web.Response:
        """Return the rules and how often each happened."""
        return web.json_response({"rules": self.faults.shown()})

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace all rules; the body is `{"rules": [...]}`, a list, or a single rule."""
        body = await json_body(request)
        if isinstance(body, dict):
            body = body["rules"] if set(body) == {"rules"} else [body]
        try:
            rules = _RULES.validate_python(body)
        except ValidationError as error:
            raise invalid(error) from error
        self.faults.replace(rules)
        return web.json_response({"rules": self.faults.shown()})

    async def clear_faults(self, _: web.Request) -> web.Response:
        """Let everything work again. Answers that are held now stay held."""
        self.faults.replace(())
        return web.Response(status=204)

    async def revoke_tokens(self, _: web.Request) -> web.Response:
        """End every Kinguin token, so that the next call is a 401."""
        self.kinguin.tokens.revoke_all()
        return web.Response(status=204)


async def _stream(response: web.StreamResponse, records: Sequence[Entry]) -> None:
    """Write the records, comma between, with room for other work: a full ledger takes seconds to word."""
    for start in range(0, len(records), _BATCH):
        text = ",".join(json.dumps(each.shown()) for each in records[start : start + _BATCH])
        await response.write((("," if start else "") + text).encode())
        await asyncio.sleep(0)
