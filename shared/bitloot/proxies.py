"""Who sent a request that came through proxies of ours."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field

from bitloot.settings import Settings, Words

Networks: TypeAlias = Sequence[IPv4Network | IPv6Network]

_MAX_HOPS: Final = 32


def _are_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        parsed(values)
    except ValueError:
        raise ValueError("it is no list of addresses and networks, such as 10.0.0.0/8") from None
    return values


NetworkWords = Annotated[Words, AfterValidator(_are_networks)]
"""Addresses and networks, as they are written."""


class ProxySettings(Settings):
    """For processes that want to know who asks, and may stand behind proxies."""

    trusted_proxies: NetworkWords = Field(
        (), description="the addresses or networks of our own proxies, whose X-Forwarded-For is believed"
    )

    @property
    def proxy_networks(self) -> Networks:
        """Return our proxies, parsed."""
        return parsed(self.trusted_proxies)


def parsed(values: Iterable[str]) -> Networks:
    """Return addresses and networks. Raises ValueError."""
    return tuple(ip_network(each, strict=False) for each in values)


def client_address(peer: str, forwarded_for: Iterable[str], trusted: Networks) -> str:
    """Return the address of whoever is not a proxy of ours, as its nearest trusted proxy has seen it.

    `peer` is the other end of the connection, `forwarded_for` are all values of `X-Forwarded-For`, in order. Each proxy
    adds the address that it was called from at the end, so the list is read from there, and only for as long as a
    trusted proxy has written it: what stands before may be made up by anybody. What is no address is returned as it
    stands, shortened, and belongs to no network.
    """
    seen = peer
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops[-_MAX_HOPS:]):
        if not is_within(seen, trusted):
            break
        seen = _shown(hop)
    return seen


def is_within(address: str, networks: Networks) -> bool:
    """Tell whether a text is an address of one of the networks."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _shown(hop: str) -> str:
    """Return an address in its usual form: without a port, brackets, or the IPv6 clothes of an IPv4 address."""
    parsed = _parse(hop)
    return "".join(filter(str.isprintable, hop))[:45] if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
