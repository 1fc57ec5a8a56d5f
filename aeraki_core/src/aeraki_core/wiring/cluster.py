"""The cluster as source and sink, from settings.

In: settings. Out: sources and sinks that are not started; the clients that they need are imported when they connect.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aeraki_core.errors import SettingsError

if TYPE_CHECKING:
    from aeraki_core.kube.client import Client
    from aeraki_core.model.scope import Scope
    from aeraki_core.pipeline.pipeline import Pipeline
    from aeraki_core.settings import Settings
    from aeraki_core.sinks.base import Sink
    from aeraki_core.sources.events import Source
    from aeraki_core.sources.istiod.connection import Istiod

__all__ = [
    "connector",
    "filter_namespaces",
    "istiod_of",
    "istiod_source",
    "kubernetes_sink",
    "kubernetes_source",
    "scope_of",
]

# Where istiod takes any client without asking who it is; every other port is TLS.
_PLAINTEXT = ":15010"
_ROOT_CERTIFICATE = "istio-ca-root-cert"


def connector(settings: Settings) -> Callable[[], Client]:
    """Connects to the cluster that the settings name.

    The function raises AerakiError when there is no usable configuration.
    """

    def run() -> Client:
        from aeraki_core.kube.client import connect

        kubeconfig = settings["kubeconfig"]
        return connect(Path(kubeconfig) if kubeconfig else None, settings["context"] or None)

    return run


def kubernetes_source(settings: Settings, pipeline: Pipeline, watch: bool) -> Source:
    """The source ``kubernetes``."""
    from aeraki_core.sources.kubernetes.source import KubernetesSource

    kinds = pipeline.registry.kinds
    return KubernetesSource(
        connector(settings),
        kinds,
        namespaces=settings["watchNamespaces"],
        selectors=settings["watchNamespaceSelector"],
    )


def kubernetes_sink(
    settings: Settings, pipeline: Pipeline, watch: bool, may_write: Callable[[], bool] | None
) -> Sink:
    """The sink ``kubernetes``; ``may_write`` is asked before each single write."""
    from aeraki_core.sinks.kubernetes.sink import KubernetesSink

    return KubernetesSink(
        connector(settings),
        namespaces=filter_namespaces(settings),
        adopt_upstream=settings["adoptUpstream"],
        may_write=may_write,
        instance=settings["instance"],
    )


def filter_namespaces(settings: Settings) -> tuple[str, ...]:
    """The only namespaces whose filters are looked at; empty for all."""
    namespaces: tuple[str, ...] = settings["watchNamespaces"]
    if not namespaces:
        return ()
    # Filters for clients go to the root namespace, wherever their service is, or where the settings say.
    clients = [name for name in settings["filterNamespaces"] if name != "."]
    return tuple(dict.fromkeys((*namespaces, settings["rootNamespace"], *clients)))


def scope_of(settings: Settings) -> Scope:
    """The namespaces that a controller with these settings watches, asking the cluster for their labels where that matters.

    Raises:
        AerakiError: the cluster's namespaces cannot be read.
    """
    from aeraki_core.kube.resources import ApiResource
    from aeraki_core.model.scope import Scope, named

    selectors = settings["watchNamespaceSelector"]
    if not selectors:
        return named(settings["watchNamespaces"])
    watched: set[str] = set()
    others: set[str] = set()
    for item in connector(settings)().pages(
        ApiResource("", "v1", "Namespace", "namespaces", False).path()
    ):
        labels = item["metadata"].get("labels") or {}
        (watched if any(each.matches(labels) for each in selectors) else others).add(
            item["metadata"]["name"]
        )
    return Scope(frozenset(watched), frozenset(others))


def istiod_source(settings: Settings, pipeline: Pipeline, watch: bool) -> Source:
    """The source ``istiod``.

    Raises:
        SettingsError: namespaces are selected by labels, of which istiod says nothing.
    """
    from aeraki_core.model.scope import named
    from aeraki_core.sources.istiod.source import IstiodSource

    if settings["watchNamespaceSelector"]:
        raise SettingsError(
            "--source istiod: istiod says nothing of namespaces' labels; name them with --watch-namespaces, or "
            "set discoverySelectors in the mesh config"
        )
    return IstiodSource(
        partial(istiod_of, settings),
        root_namespace=settings["rootNamespace"],
        domain=settings["domain"],
        scope=named(settings["watchNamespaces"]),
    )


def istiod_of(settings: Settings) -> Istiod:
    """Where istiod is, and who we are there."""
    from aeraki_core.sources.istiod.connection import Istiod, from_file

    address, root = settings["istiodAddress"], settings["rootNamespace"]
    if address.endswith(_PLAINTEXT):
        return Istiod(address)
    given = settings["istiodCa"]
    certificate = (
        from_file(Path(given), "the certificate of istiod's CA")
        if given
        else partial(_published, settings)
    )
    token = from_file(Path(settings["istiodToken"]), "the ServiceAccount's token for istiod")
    return Istiod(address, certificate, token, f"istiod.{root}.svc")


def _published(settings: Settings) -> bytes:
    """The certificate as istiod publishes it in the root namespace."""
    path = f"/api/v1/namespaces/{settings['rootNamespace']}/configmaps/{_ROOT_CERTIFICATE}"
    found = connector(settings)().request("GET", path).body
    return str((found.get("data") or {}).get("root-cert.pem", "")).encode()
