"""Which chains of a listener a call comes to, by the address that the client dialled."""

from __future__ import annotations

import ipaddress

from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

__all__ = ["called_chains"]


def called_chains(listener: Listener, address: str) -> list[FilterChain]:
    """Return the chains that Envoy picks from for an address: those of the closest range.

    The default chain is among them unless another one takes every call to the address.
    """
    lengths = [_length(chain, address) for chain in listener.filter_chains]
    closest = max((length for length in lengths if length is not None), default=None)
    chains = [
        chain
        for chain, length in zip(listener.filter_chains, lengths, strict=True)
        if length is not None and length == closest
    ]
    is_conditional = not closest and all(each.filter_chain_match.ByteSize() for each in chains)
    if is_conditional and listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    return chains


def _length(chain: FilterChain, address: str) -> int | None:
    """Return the length of the chain's longest range around an address; 0 without any range."""
    ranges = [
        ipaddress.ip_network(f"{each.address_prefix}/{each.prefix_len.value}", strict=False)
        for each in chain.filter_chain_match.prefix_ranges
    ]
    around = [each.prefixlen for each in ranges if ipaddress.ip_address(address) in each]
    return max(around, default=None) if ranges else 0
