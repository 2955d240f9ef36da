"""When a trace is whole."""

from embedded.spans import Span, whole

ORDER = "ab" * 16


def span(service: str, name: str, number: int, parent: int | None = None) -> Span:
    parent_id = "" if parent is None else f"{parent:016x}"
    return Span(service, name, ORDER, f"{number:016x}", parent_id, 0, 1, failed=False, attributes={}, links=())


PAID = span("ingress", "POST /webhooks/nowpayments", 1)
ASKED = span("fulfillment", "orders.events.v1 process", 2, parent=1)
SENT = span("delivery", "resend send", 3, parent=2)


def test_a_trace_from_the_payment_to_the_mail_is_whole():
    assert whole([PAID, ASKED, SENT])


def test_a_trace_without_its_mail_or_its_payment_is_not():
    assert not whole([PAID, ASKED])
    assert not whole([ASKED, SENT])


def test_a_trace_whose_mail_came_before_what_asked_for_it_is_not():
    assert not whole([PAID, SENT])
