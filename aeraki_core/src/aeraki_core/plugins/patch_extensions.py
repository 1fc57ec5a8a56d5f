"""What is wrong with a patch, and which Envoy extensions it needs.

A plugin may make a :class:`Patch` by hand, of anything. It is looked at once, when it comes; the
core trusts it from there on.

A proxy that lacks an extension rejects the whole listener or cluster. Declarations decide which
proxies a filter is written for, so a patch with other extensions would break proxies without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aeraki_core.filters.patch import (
    ApplyTo,
    FrozenMessage,
    Inbound,
    Operation,
    Outbound,
    Patch,
)
from aeraki_core.plugins.istio_proxy import extension_of_type

__all__ = ["MAX_BYTES", "TCP_PROXY", "extensions_of", "why_malformed"]

MAX_BYTES = 4 * 1024 * 1024
"""Of all patches of one call. An EnvoyFilter of more than 1.5 MiB cannot be stored at all."""

_FIELDS: dict[str, tuple[type, ...]] = {
    "side": (Outbound, Inbound),
    "apply_to": (ApplyTo,),
    "operation": (Operation,),
    "value": (FrozenMessage,),
    "name": (str,),
    "subset": (str, type(None)),
}
"""What the fields of a patch may be, but for the plugin's name, which the core gives."""

_TYPES = {
    ApplyTo.NETWORK_FILTER: "envoy.config.listener.v3.Filter",
    ApplyTo.CLUSTER: "envoy.config.cluster.v3.Cluster",
    ApplyTo.LISTENER: "envoy.config.listener.v3.Listener",
}

TCP_PROXY = "envoy.filters.network.tcp_proxy"
"""Every sidecar has it."""


def why_malformed(values: tuple[object, ...]) -> str:
    """Why what a hook gave are no patches that the core can use; empty where they are."""
    size = 0
    for value in values:
        # Not one of a derived class, whose attributes are the plugin's code.
        if type(value) is not Patch:
            return f"gave a {type(value).__name__} where a Patch belongs"
        for name, expected in _FIELDS.items():
            kind = type(getattr(value, name))
            if kind not in expected:
                return f"gave a patch whose {name} is a {kind.__name__}"
        if value.value.type_name != _TYPES[value.apply_to]:
            return f"gave a patch of {value.apply_to} with a {value.value.type_name}"
        size += len(value.value.data)
        if size > MAX_BYTES:
            return f"gave patches of more than {MAX_BYTES // 1024**2} MiB"
    return ""


def extensions_of(patch: Patch) -> Iterator[str]:
    """Envoy's names of the extensions that the patch configures.

    The message's type decides, because Envoy goes by it; where it does not tell, the name does.
    """
    if patch.apply_to is ApplyTo.NETWORK_FILTER:
        yield from _named(patch.value.message())
    elif patch.apply_to is ApplyTo.LISTENER:
        listener: Any = patch.value.message()
        for listener_filter in listener.listener_filters:
            yield from _named(listener_filter)
    elif patch.operation is not Operation.MERGE:
        cluster: Any = patch.value.message()
        if cluster.HasField("cluster_type"):
            yield from _named(cluster.cluster_type)


def _named(config: Any) -> Iterator[str]:
    type_name = config.typed_config.type_url.rpartition("/")[2]
    extension = extension_of_type(type_name) or config.name
    if extension != TCP_PROXY:
        yield extension
