"""Bugs that can be planted, to see that the simulation finds them."""

from dataclasses import replace
from enum import StrEnum

from bitloot.contracts.state import OrderStatus
from fulfillment.order import Order


class Bug(StrEnum):
    """What is done wrong."""

    AGENT_ACKS_EARLY = "an agent acknowledges before it has handled"
    WORKER_ACKS_EARLY = "a worker acknowledges before it has handled"
    HIGHEST_OFFSET = "a worker commits the highest offset that is done, not the head"
    CLAIM_SKIPPED = "an effect is not claimed"
    EXPIRED_CLAIM_TAKEN = "a claim whose deadline is past is taken over, and the effect done again"
    RETRY_WITHOUT_ASKING = "an unknown outcome counts as nothing happened"
    LOOK_UP_IGNORED = "what a look-up finds is ignored"
    OUTBOX_CLEARED_EARLY = "an effect leaves the outbox when it is sent"
    PAYMENT_FORGOTTEN = "a repeated notification pays again"
    MAIL_WITHOUT_KEY = "each try of a mail has an Idempotency-Key of its own"
    MAIL_STATE_FORGOTTEN = "a mail is rendered anew for each try"
    COMMIT_BEFORE_OUTPUTS = "offsets are committed before outputs are acknowledged"
    TIMERS_FORGOTTEN = "timers are not set again after a restart"
    ZOMBIE_WRITES = "an agent that lost its partition goes on writing"
    LAST_OUTCOME_STANDS = "a later outcome replaces the recorded one"
    CLOSED_REOPENS = "a closed order is opened by a late event"
    CODES_NOT_SEALED = "codes are handed on as they come"
    CODE_LEFT_OUT = "the stored object lacks the last code"
    DATABASE_NOT_AWAITED = "an effect that cannot be claimed is done all the same"
    DEADLINE_BY_WORKERS_CLOCK = "a claim's deadline is compared with the worker's clock"
    DEAD_LETTER_DROPPED = "what cannot be decoded is skipped without a dead letter"
    TIMER_STORM = "a timer fires at every tick until its event has been handled"
    WALL_CLOCK_TIMERS = "timers go by the machine's clock, jumps and all"
    MARK_LOST = "of an order that leaves no mark stays"
    TOMBSTONE_NOT_RESTORED = "rows that were deleted come back after a rebalance"
    EXPIRY_FORGETS_NOTICES = "notices that waited in vain are dropped without a dead letter"
    LATE_OUTCOME_DROPPED = "the outcome of a worker that was given up is dropped"
    NEWEST_INVOICE_ONLY = "of several invoices only the newest is asked about"


FOUND_AT = {
    Bug.AGENT_ACKS_EARLY: 9,
    Bug.WORKER_ACKS_EARLY: 6,
    Bug.HIGHEST_OFFSET: 789,
    Bug.CLAIM_SKIPPED: 4,
    Bug.EXPIRED_CLAIM_TAKEN: 69,
    Bug.RETRY_WITHOUT_ASKING: 69,
    Bug.LOOK_UP_IGNORED: 69,
    Bug.OUTBOX_CLEARED_EARLY: 0,
    Bug.PAYMENT_FORGOTTEN: 0,
    Bug.MAIL_WITHOUT_KEY: 89,
    Bug.MAIL_STATE_FORGOTTEN: 89,
    Bug.COMMIT_BEFORE_OUTPUTS: 66,
    Bug.TIMERS_FORGOTTEN: 17,
    Bug.ZOMBIE_WRITES: 1758,
    Bug.LAST_OUTCOME_STANDS: 16,
    Bug.CLOSED_REOPENS: 0,
    Bug.CODES_NOT_SEALED: 0,
    Bug.CODE_LEFT_OUT: 0,
    Bug.DATABASE_NOT_AWAITED: 618,
    Bug.DEAD_LETTER_DROPPED: 10,
    Bug.TIMER_STORM: 20,
    Bug.MARK_LOST: 42,
    Bug.TOMBSTONE_NOT_RESTORED: 93,
    Bug.EXPIRY_FORGETS_NOTICES: 228,
    Bug.LATE_OUTCOME_DROPPED: 16,
    Bug.NEWEST_INVOICE_ONLY: 50,
}
"""Seeds that find the bugs, so that a test needs not look for them; where one does not any more it looks anew."""

IN_THE_TABLE = frozenset({Bug.OUTBOX_CLEARED_EARLY, Bug.PAYMENT_FORGOTTEN, Bug.CLOSED_REOPENS, Bug.NEWEST_INVOICE_ONLY})
"""What is wrong with stored orders."""


def as_written(order: Order, bugs: frozenset[Bug]) -> Order:
    """Return an order as an agent with these bugs stores it."""
    if Bug.OUTBOX_CLEARED_EARLY in bugs:
        order = replace(order, outbox=tuple(owed for owed in order.outbox if not owed.emissions))
    if Bug.NEWEST_INVOICE_ONLY in bugs and order.offers:
        asked = {None, order.offers[-1].invoice_id}
        order = replace(order, outbox=tuple(owed for owed in order.outbox if owed.invoice_id in asked))
    return order


def as_read(order: Order, bugs: frozenset[Bug]) -> Order:
    """Return an order as an agent with these bugs reads it."""
    if Bug.PAYMENT_FORGOTTEN in bugs:
        order = replace(order, payments=(), paid_at=None)
    if Bug.CLOSED_REOPENS in bugs and order.closed:
        order = replace(order, status=OrderStatus.PURCHASING)
    return order
