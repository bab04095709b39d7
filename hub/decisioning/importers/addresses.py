"""Network addresses in CEL: an IPv4 network is a regular expression over the address's text."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from hub.decisioning.importers.writing import OutsideError, Ref, any_of, literal

_OCTET: Final = "[0-9]{1,3}"


def within(ref: Ref, networks: Iterable[str]) -> str:
    """The address is one of these, or in one of these networks; what is no network holds nobody."""
    parts = []
    for written in networks:
        try:
            network = ipaddress.ip_network(written.strip(), strict=False)
        except ValueError:
            continue
        if network.num_addresses == 1:
            parts.append(f"{ref.text} == {literal(str(network.network_address))}")
        elif isinstance(network, ipaddress.IPv4Network):
            parts.append(f"{ref.text}.matches({literal(_pattern(network))})")
        else:
            raise OutsideError("a network of IPv6 addresses")
    return any_of(parts)


def _pattern(network: ipaddress.IPv4Network) -> str:
    octets = []
    for low, high in zip(network.network_address.packed, network.broadcast_address.packed, strict=True):
        if (low, high) == (0, 255):
            octets.append(_OCTET)
        elif low == high:
            octets.append(str(low))
        else:
            octets.append(f"(?:{'|'.join(map(str, range(low, high + 1)))})")
    return f"^{re.escape('.').join(octets)}$"
