"""Which Envoy extensions a patch needs, so that a plugin can only use what it declares.

A proxy that lacks an extension rejects the whole listener or cluster. Declarations decide which
proxies a filter is written for, so a patch with other extensions would break proxies without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aeraki_core.filters.patch import ApplyTo, Operation, Patch
from aeraki_core.plugins.istio_proxy import extension_of_type

__all__ = ["TCP_PROXY", "extensions_of"]

TCP_PROXY = "envoy.filters.network.tcp_proxy"
"""Every sidecar has it."""


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
