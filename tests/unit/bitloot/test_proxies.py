"""The address of a sender behind proxies: believed only as far as proxies of ours have written it."""

from ipaddress import ip_network

import pytest

from bitloot.proxies import client_address, is_within

PROXIES = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("2001:db8::1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db9::1]:443"], "2001:db9::1"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "nonsense"),
        ("10.0.0.1", ["198.51.100.1, "], ""),
        ("10.0.0.1", ["198.51.100.1, \x1b[2J" + "x" * 999], "[2J" + "x" * 42),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_nearest_address_that_is_not_a_proxy_of_ours_is_the_sender(peer, forwarded, expected):
    assert client_address(peer, forwarded, PROXIES) == expected


def test_without_trusted_proxies_nobody_can_choose_an_address():
    assert client_address("203.0.113.9", ["10.0.0.1"], []) == "203.0.113.9"


def test_a_list_without_end_is_not_read_to_its_end():
    assert client_address("10.0.0.1", [",".join(["1.1.1.1"] + ["10.0.0.1"] * 1000)], PROXIES) == "10.0.0.1"


@pytest.mark.parametrize("text", ["", "nonsense", "10.0.0", "10.0.0.1/8", "10.0.0.256"])
def test_what_is_no_address_is_in_no_network(text):
    assert not is_within(text, PROXIES)
