"""Which addresses the server may post to: those of the public internet, and none of its own network.

There are two checks. `check_url` reads the text of a URL, so that a caller learns at once what is wrong with it.
`can_connect_to` decides about an address just before the connection, whatever its name resolved to earlier.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from resolvers.core.errors import Problem, bad_input

Address = IPv4Address | IPv6Address

RESERVED_IPV4 = tuple(
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
"""IANA's special-purpose registry of IPv4 (RFC 6890), and the addresses that clouds use internally."""
GLOBAL_IPV6 = IPv6Network("2000::/3")
"""The IPv6 addresses that are assigned to the internet; all others are local, multicast or unassigned."""
RESERVED_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address of anybody's choice
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: such an address stands for the IPv4 address in its last 32 bits."""
LOCAL_SUFFIXES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa", "localdomain")
"""Endings of names that are never in the public DNS."""
WEB_PORTS = (80, 443)
FIRST_UNPRIVILEGED_PORT = 1024
"""Lower ports belong to system services; of these only WEB_PORTS are allowed."""

NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
URL = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?:(?P<name>{NAME}(?:\.{NAME})*)|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?][A-Za-z0-9\-._~:/?@!$&'()*+,;=%\[\]]*)?",
    re.ASCII,
)
"""Narrower than RFC 3986, so that every parser reads such a text in the same way."""
NUMERIC_LABEL = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)", re.ASCII)


def check_url(url: str, *, allow_local: bool) -> None:
    """Raises BAD_USER_INPUT for the field `url` if it can't be posted to. `allow_local` admits http and loopback."""
    match = URL.fullmatch(url)
    if match is None:
        raise _syntax_error(url)
    if match["scheme"] != "https" and not allow_local:
        raise bad_input("url", "Must start with https://.")
    port = int(match["port"] or 443)
    if port > 65535 or (port < FIRST_UNPRIVILEGED_PORT and port not in WEB_PORTS):
        raise bad_input("url", "Must use port 80, 443, or one from 1024 to 65535.")
    if not _is_public_host(match["name"], match["ipv6"], allow_local):
        raise bad_input("url", "Must be an address of the public internet.")


def is_public(address: Address) -> bool:
    """Whether the address is on the public internet, and does not stand for another one that is not."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in RESERVED_IPV4)
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    # An address with a zone belongs to a machine's own network.
    is_global = address.scope_id is None and address in GLOBAL_IPV6
    return is_global and not any(address in network for network in RESERVED_IPV6)


def can_connect_to(address: Address, *, allow_local: bool) -> bool:
    """Whether the server may connect to the address; `allow_local` admits loopback."""
    return is_public(address) or (allow_local and _is_loopback(address))


def _is_loopback(address: Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _is_public_host(name: str | None, ipv6: str | None, allow_local: bool) -> bool:
    host = name or ipv6 or ""
    try:
        # An address in brackets is an IPv6 address (RFC 3986); other parsers refuse anything else there.
        return can_connect_to(ip_address(host) if ipv6 is None else IPv6Address(ipv6), allow_local=allow_local)
    except ValueError:
        # inet_aton reads 127.1, 0x7f000001, 2130706433 and 017700000001 as addresses; a name never ends in a number.
        if name is None or NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
            raise bad_input("url", "Must contain a host name, or an IP address in its usual form.") from None
    if allow_local:
        return True
    lower = host.lower()
    return "." in lower and not any(lower.endswith(f".{ending}") for ending in LOCAL_SUFFIXES)


def _syntax_error(url: str) -> Problem:
    """The error for a URL that does not match, as specific as can be."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return bad_input("url", "Must start with https://.")
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        return bad_input("url", "Must not contain credentials.")
    if "#" in url:
        return bad_input("url", "Must not contain a fragment.")
    return bad_input("url", "Must be a URL in ASCII, like https://example.com/hooks.")
