"""Which addresses the server may post to: nothing that is inside.

Two checks. `refuse` looks at the text of a URL, so that whoever enters it hears at once what is wrong with it.
`may_connect` looks at the address that is about to be connected to, whatever a name stands for by then.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from resolvers.core.errors import Problem, bad_input

Address = IPv4Address | IPv6Address

INSIDE = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own services for a machine, its metadata among them
        "169.254.0.0/16",  # link-local; everybody else's metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
"""IANA's special-purpose registry of IPv4 (RFC 6890), and what clouds keep for themselves."""
GLOBAL = IPv6Network("2000::/3")
"""All of IPv6 that is given out to the world: what lies outside it is local, multicast or nobody's."""
INSIDE_GLOBAL = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of anybody's choice
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): stands for the IPv4 address in its last 32 bits."""
LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa", "localdomain")
"""Endings of names that never are of the public DNS."""
WEB_PORTS = (80, 443)
FIRST_FREE_PORT = 1024
"""Below it ports belong to the services of a system, of which two may be posted to."""

NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
URL = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?:(?P<name>{NAME}(?:\.{NAME})*)|\[(?P<six>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?][A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]*)?",
    re.ASCII,
)
"""Narrower than RFC 3986: no two parsers read such a text in different ways."""
NUMBER = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)", re.ASCII)


def refuse(url: str, *, allow_local: bool) -> None:
    """Raises BAD_USER_INPUT for `url` where it can't be posted to. `allow_local` admits http and loopback."""
    found = URL.fullmatch(url)
    if found is None:
        raise _wrong(url)
    if found["scheme"] != "https" and not allow_local:
        raise bad_input("url", "Must start with https://.")
    port = int(found["port"] or 443)
    if port > 65535 or (port < FIRST_FREE_PORT and port not in WEB_PORTS):
        raise bad_input("url", "Must use port 80, 443, or one from 1024 to 65535.")
    if not _is_outside(found["name"], found["six"], allow_local):
        raise bad_input("url", "Must be an address of the public internet.")


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet, and not one that merely stands for another inside."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in INSIDE)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in TRANSLATED:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    # An address with a zone is of one machine's own network.
    return address.scope_id is None and address in GLOBAL and not any(address in network for network in INSIDE_GLOBAL)


def may_connect(address: Address, *, allow_local: bool) -> bool:
    return is_public(address) or (allow_local and _is_loopback(address))


def _is_loopback(address: Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_outside(name: str | None, six: str | None, allow_local: bool) -> bool:
    host = name or six or ""
    try:
        # In brackets an address is of IPv6 (RFC 3986), and other parsers would not take one that is not.
        return may_connect(ip_address(host) if six is None else IPv6Address(six), allow_local=allow_local)
    except ValueError:
        # inet_aton reads 127.1, 0x7f000001, 2130706433 and 017700000001 as addresses: names end in something else.
        if name is None or NUMBER.fullmatch(name.rpartition(".")[2]):
            raise bad_input("url", "Must name its host, or have its IP address in the usual form.") from None
    if allow_local:
        return True
    lower = host.lower()
    return "." in lower and not any(lower.endswith(f".{ending}") for ending in LOCAL_NAMES)


def _wrong(url: str) -> Problem:
    """Says what is wrong where that is plain to see."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return bad_input("url", "Must start with https://.")
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        return bad_input("url", "Must not contain credentials.")
    if "#" in url:
        return bad_input("url", "Must not contain a fragment.")
    return bad_input("url", "Must be a URL in ASCII, like https://example.com/hooks.")
