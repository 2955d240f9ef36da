"""The life of one order, as a pure function: (state, event) -> (new state, effects).

Read `state` first (what is known of an order), then `decide` (which function each event goes to), then the part of an
order's life in question:

- `placing`, `asking` and `paying`: a new order, questions about its payments, and what each payment means for it.
- `buying`, `reservations` and `kinguin_notices`: purchases, what Kinguin has for them, and what it tells unasked.
- `codes`, `mails` and `mailing`: from codes to stored keys, and what the buyer is written.
- `failures`, `retries` and `returning`: what follows when an effect failed, and keys that go back.
- `review`, `clicks` and `waking`: what needs a human, what humans decide, and what happens when time has passed.

Below all of them lie `policy` (kinds of effects, retries, what operators set) and `outbox` (what is owed), and beside
them `effects`: what an entry of the outbox stands for. No two modules import each other: the linter knows their layers.

What holds, whatever comes in and however often:

- Every effect that `decide` returns stands in the new state's outbox, and leaves it only when an event
  with its outcome comes back. `pending(state)` gives all that were asked for and are still owed. Handling
  an event again changes nothing, and then the shell sends again what that event had sent (`sent_by`).
- An effect's id is made of order, purchase, kind and attempt, so a repeat is known as one.
- A purchase is asked for again only when the one before is known to have bought nothing.
- The items of a paid order are split into purchases (`fulfillment.purchases`), each with an external id of its own. A
  purchase may hold several items, and an item may be in several purchases; each part is in one purchase only.
- Closed orders stay closed; what happens to them afterwards becomes an incident.

Time comes in with the event. Nothing here reads a clock, rolls dice, logs or waits. Events are dated by many
machines: an order's own time is the latest that any of them told, and never goes back.
"""

from fulfillment.order.decide import decide, order_time
from fulfillment.order.effects import pending, pending_count, sent_by
from fulfillment.order.policy import DEFAULT_POLICY, Policy
from fulfillment.order.state import Order
from fulfillment.order.waking import leaves_at, wake_at

__all__ = [
    "DEFAULT_POLICY",
    "Order",
    "Policy",
    "decide",
    "leaves_at",
    "order_time",
    "pending",
    "pending_count",
    "sent_by",
    "wake_at",
]
