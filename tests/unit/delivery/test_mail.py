import re
from datetime import timedelta

import pytest

from bitloot.contracts.events import MailKind
from bitloot.errors import Cause, Refused
from bitloot.ids import MessageId
from delivery.mail import SUBJECT, Envelope, Links, OrderLink, SignedLink, next_id, one_line, plain_address, render
from tests.fakes.time import FakeTime
from tests.unit.delivery.samples import ORDER, mail_effect

TIME = FakeTime()
LINK = SignedLink(
    "https://storage.test/b/keys/x.json?X-Amz-Expires=900&X-Amz-Signature=abc123", TIME() + timedelta(minutes=15)
)
PAGE = "https://shop.test/o/token"
SENDER = "BitLoot <orders@bitloot.test>"


LINKS = Links(PAGE, LINK)


def rendered(links=LINKS, **wish):
    return render(mail_effect(**wish), MessageId("m"), links, TIME(), Envelope(SENDER, "buyer@bitloot.test"))


def test_a_mail_is_the_link_the_page_and_what_was_bought():
    mail = rendered(items=(("Half-Life 3", 2), ("Portal 3", 1)))

    assert mail.subject == SUBJECT == "Your BitLoot Order"
    assert mail.recipient == "buyer@bitloot.test"
    assert (mail.link_expires_at, mail.rendered_at) == (LINK.expires_at, TIME())
    assert re.findall(r"https://\S+", mail.text) == [PAGE, LINK.url]  # the page leads, the direct link is below
    assert re.findall(r'href="([^"]+)"', mail.html) == [PAGE, LINK.url.replace("&", "&amp;")]
    assert "2 x Half-Life 3\n1 x Portal 3\n" in mail.text
    assert "works for 15 minutes, until 12:15 UTC on 1 March 2026" in mail.text
    assert "works for 15 minutes, until 12:15 UTC on 1 March 2026" in mail.html
    assert ORDER in mail.text
    assert ORDER in mail.html
    assert "Your 3 keys are ready" in mail.html


def test_without_direct_links_there_is_the_page_alone():
    mail = rendered(Links(PAGE))

    assert re.findall(r"https://\S+", mail.text) == re.findall(r'href="([^"]+)"', mail.html) == [PAGE]
    assert mail.link_expires_at is None
    assert "directly" not in mail.text + mail.html


@pytest.mark.parametrize("kind", [kind for kind in MailKind if kind is not MailKind.KEYS])
def test_every_kind_has_its_words_and_links_to_the_page_alone(kind):
    mail = rendered(Links(PAGE), kind=kind, about="underpaid")

    assert mail.kind is kind
    assert mail.subject != SUBJECT
    assert re.findall(r"https://\S+", mail.text) == [PAGE]
    assert "forward" in mail.text or "nothing" in mail.text


def test_a_review_says_what_it_is_about():
    assert "less than the price" in rendered(Links(PAGE), kind=MailKind.REVIEW, about="underpaid").text
    assert "person's eye" in rendered(Links(PAGE), kind=MailKind.REVIEW, about="whatever comes").text
    assert "failed" in rendered(Links(PAGE), kind=MailKind.CANCELED, about="failed").text


def test_the_mail_for_lost_links_names_every_order():
    orders = tuple(OrderLink(f"{PAGE}{n}", TIME(), f"Game {n}<b>") for n in (1, 2))
    mail = rendered(Links(PAGE, orders=orders), kind=MailKind.LOST)

    assert re.findall(r"https://\S+", mail.text) == re.findall(r'href="([^"]+)"', mail.html) == [f"{PAGE}1", f"{PAGE}2"]
    assert "1 March 2026: Game 1<b>\n" in mail.text
    assert "Game 2&lt;b&gt;" in mail.html
    assert PAGE not in repr(orders)


def test_a_link_that_works_for_moments_is_not_said_to_work_for_none():
    link = SignedLink(LINK.url, TIME() + timedelta(seconds=20))
    mail = rendered(Links(PAGE, link))

    assert "works for 1 minute, until" in mail.text


def test_a_mail_is_the_same_each_time_it_is_rendered():
    assert rendered() == rendered()


def test_titles_cannot_write_html_or_lines():
    mail = rendered(items=(('<img src=x onerror="alert(1)">\r\n\r\nBcc: all@bitloot.test\u202e', 1),))

    assert "<img" not in mail.html
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt; Bcc: all@bitloot.test" in mail.html
    assert '1 x <img src=x onerror="alert(1)"> Bcc: all@bitloot.test\n' in mail.text


def test_text_on_one_line():
    assert one_line(" Game\u00a0of\tthe\u2028Year\x00\u200b\u202e ") == "Game of the Year"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "nobody",
        "a@b@c",
        "a@b.c,d@e.f",
        "a@b.c;d@e.f",
        "a@b.c\r\nBcc: d@e.f",
        "a@b.c\n",
        "a b@c.d",
        "Name <a@b.c>",
        '"a\\"@b.c',
        "a@b.c\u2028",
        "a\u202e@b.c",
        "a@b.c\x00",
        f"{'a' * 251}@b.c",
    ],
)
def test_addresses_that_are_not_one_plain_address(address):
    with pytest.raises(Refused) as refused:
        plain_address(address)

    assert refused.value.cause is Cause.BAD_RECIPIENT
    assert address == "" or address not in refused.value.detail


@pytest.mark.parametrize("address", ["a@b.c", "first.last+tag@sub.bitloot.test", "büro@bücher.test", "o'neil@b.c"])
def test_plain_addresses(address):
    assert plain_address(address) == address


def test_renderings_are_numbered_from_the_second_on():
    second = next_id(MessageId("order/mail/1"), MessageId("order/mail/1"))

    assert second == "order/mail/1.2"
    assert next_id(MessageId("order/mail/1"), second) == "order/mail/1.3"
    assert next_id(MessageId("order/mail/1"), MessageId("order/mail/1.9")) == "order/mail/1.10"


def test_links_and_messages_do_not_show_themselves():
    assert "Signature" not in repr(LINK)
    assert "storage.test" not in repr(rendered())
