"""Effects and messages to test delivery with."""

from datetime import UTC, datetime

from bitloot.contracts.effects import ItemKeys, MailItem, SendMail, StoreKeys
from bitloot.contracts.events import MailKind
from bitloot.contracts.sealed import SealedCode
from bitloot.ids import OrderId, effect_id, item_id, message_id, order_id
from bitloot.sealing import Opener, Sealer, generate_key_pair
from tests.fakes.buyers import sealed

PAIR = generate_key_pair("test-key")
SEALER = Sealer(PAIR.public)
OPENER = Opener([PAIR.private])
ORDER = order_id("delivery-tests")
OCCURRED = datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC)


def store_effect(*items: list[str], order: OrderId = ORDER, attempt: int = 1) -> StoreKeys:
    """Ask to store these codes, one list for each item."""
    return sealed_effect(*([SEALER.seal(code) for code in item] for item in items), order=order, attempt=attempt)


def sealed_effect(*items: list[SealedCode], order: OrderId = ORDER, attempt: int = 1) -> StoreKeys:
    identity = effect_id(order, "store", attempt)
    return StoreKeys(
        event_id=identity,
        effect_id=identity,
        occurred_at=OCCURRED,
        order_id=order,
        attempt=attempt,
        items=tuple(
            ItemKeys(item_id=item_id(order, position), title=f"Game {position}", codes=tuple(codes))
            for position, codes in enumerate(items, 1)
        ),
    )


def mail_effect(
    *,
    order: OrderId = ORDER,
    attempt: int = 1,
    number: int = 1,
    email: str = "buyer@bitloot.test",
    items: tuple[tuple[str, int], ...] = (("Half-Life 3", 1),),
    kind: MailKind = MailKind.KEYS,
    about: str = "",
) -> SendMail:
    """Ask to send the order's mail."""
    identity = effect_id(order, "mail", attempt)
    return SendMail(
        event_id=identity,
        effect_id=identity,
        occurred_at=OCCURRED,
        order_id=order,
        attempt=attempt,
        message_id=message_id(order, number),
        email=sealed(order, email),
        object_key=f"keys/{order}.json" if kind is MailKind.KEYS else "",
        kind=kind,
        about=about,
        items=tuple(MailItem(title=title, quantity=quantity) for title, quantity in items),
    )
