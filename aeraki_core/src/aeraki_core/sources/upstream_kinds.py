"""Kinds of upstream Aeraki that have no counterpart here, and what to write instead."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["UPSTREAM_KINDS"]

UPSTREAM_KINDS: Mapping[tuple[str, str], str] = {
    ("metaprotocol.aeraki.io", "MetaRouter"): (
        "MetaProtocol is not supported: `aeraki convert` writes its routes as the http section "
        "of a VirtualService, with match.method and match.headers; name the ports tcp-<protocol>"
    ),
    ("metaprotocol.aeraki.io", "ApplicationProtocol"): (
        "MetaProtocol is not supported: a protocol of your own is "
        "a plugin (`aeraki new-plugin`) for a filter that Envoy has"
    ),
}
"""By group and kind."""
