"""The cluster and istiod that the settings name. Their clients are imported when they connect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.model.mesh import LiveWeights

if TYPE_CHECKING:
    from aeraki_core.filters.envoyfilter import FilterKey
    from aeraki_core.filters.live import Live
    from aeraki_core.filters.output_kind import OutputKind
    from aeraki_core.kube.client import Client
    from aeraki_core.model.scope import Scope
    from aeraki_core.settings import Settings
    from aeraki_core.sources.istiod.connection import Istiod

__all__ = [
    "connector",
    "filter_namespaces",
    "istiod_of",
    "live_in_cluster",
    "output_kinds",
    "scope_of",
]

# Where istiod takes any client without asking who it is; every other port is TLS.
_PLAINTEXT = ":15010"
_TLS_PORT = 15012
_ROOT_CERTIFICATE = "istio-ca-root-cert"


def connector(settings: Settings) -> Callable[[], Client]:
    """Return a function that connects to the cluster.

    It raises AerakiError if there is no usable configuration.
    """

    def run() -> Client:
        from aeraki_core.kube.client import connect

        kubeconfig = settings.kubeconfig
        return connect(Path(kubeconfig) if kubeconfig else None, settings.context or None)

    return run


def filter_namespaces(settings: Settings) -> tuple[str, ...]:
    """Return the only namespaces whose filters count; empty for all."""
    if not settings.watch_namespaces:
        return ()
    # Filters for clients go to the root namespace, independent of their service's, or where the
    # settings say.
    clients = [name for name in settings.filter_namespaces if name != "."]
    return tuple(dict.fromkeys((*settings.watch_namespaces, settings.root_namespace, *clients)))


def scope_of(settings: Settings) -> Scope:
    """Return the namespaces that a controller with these settings watches.

    It reads their labels from the cluster if the settings select by label.

    Raises:
        AerakiError: the cluster's namespaces cannot be read.
    """
    from aeraki_core.kube.resources import ApiResource
    from aeraki_core.model.scope import Scope, named

    selectors = settings.watch_namespace_selector
    if not selectors:
        return named(settings.watch_namespaces)
    namespaces = ApiResource("", "v1", "Namespace", "namespaces", False)
    watched: set[str] = set()
    others: set[str] = set()
    for namespace in connector(settings)().pages(namespaces.path()):
        labels = namespace["metadata"].get("labels") or {}
        matches = any(selector.matches(labels) for selector in selectors)
        (watched if matches else others).add(namespace["metadata"]["name"])
    return Scope(frozenset(watched), frozenset(others))


def output_kinds(settings: Settings) -> tuple[OutputKind, ...]:
    """The kinds that a controller with these settings writes."""
    from aeraki_core.filters.output_kind import OutputKind

    if settings.live_weights == LiveWeights.OFF:
        return (OutputKind.ENVOY_FILTER,)
    return tuple(OutputKind)


def live_in_cluster(settings: Settings) -> Mapping[FilterKey, Live]:
    """Our filters in the cluster as they are now; not those of other instances.

    Raises:
        AerakiError: there is no usable configuration, the server does not answer, or it refuses.
    """
    from aeraki_core.wiring.live_filters import from_cluster

    return from_cluster(
        connector(settings)(),
        filter_namespaces(settings),
        settings.instance,
        output_kinds(settings),
    )


def istiod_of(settings: Settings) -> Istiod:
    """Return istiod's address, and our credentials there."""
    from aeraki_core.sources.istiod.connection import Istiod, from_file

    root = settings.root_namespace
    address = settings.istiod_address or f"istiod.{root}.svc:{_TLS_PORT}"
    if address.endswith(_PLAINTEXT):
        return Istiod(address)
    certificate = (
        from_file(Path(settings.istiod_ca), "the certificate of istiod's CA")
        if settings.istiod_ca
        else partial(_published_certificate, settings)
    )
    token = from_file(Path(settings.istiod_token), "the ServiceAccount's token for istiod")
    return Istiod(address, certificate, token, f"istiod.{root}.svc")


def _published_certificate(settings: Settings) -> bytes:
    """Return the certificate that istiod publishes in the root namespace."""
    path = f"/api/v1/namespaces/{settings.root_namespace}/configmaps/{_ROOT_CERTIFICATE}"
    config_map = connector(settings)().request("GET", path).body
    return str((config_map.get("data") or {}).get("root-cert.pem", "")).encode()
