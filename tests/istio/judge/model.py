"""The modelled sidecar of aeraki_core.testing beside what istiod gives the same client.

Listeners, chains, filters and clusters are compared field by field, without and with our filters.
What the model leaves out is left out here too: HTTP chains and routes, access logs, statistics,
Istio's metadata of chains and endpoints, inbound certificates, and how often DNS is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aeraki_core.testing import EnvoyFilterError
from aeraki_core.testing.sidecar.messages import to_dict
from aeraki_core.testing.sidecar.objects import MeshObjects, read_objects
from aeraki_core.testing.sidecar.patches import patched_sidecar
from aeraki_core.testing.sidecar.proxy import MutualTls, Proxy
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener

from tests.istio.judge.checks import Comparison, Reason, Violation
from tests.istio.judge.choices import CLIENT_LABELS, client_address
from tests.rig.ads import ProxyConfig
from tests.rig.api import Object
from tests.rig.istio import peer_authentication

__all__ = ["MUTUAL_TLS", "differences", "disagreements", "the_model_agrees"]

MUTUAL_TLS = MutualTls.PERMISSIVE
"""The PeerAuthentication of the judge's mesh."""

_ALWAYS: tuple[Object, ...] = (
    peer_authentication(MUTUAL_TLS),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
    },
)
"""What the API server has besides a mesh."""

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HTTP_FILTER = "envoy.filters.network.http_connection_manager"
_INBOUND = "virtualInbound"
_OF_CLUSTERS = (
    "alt_stat_name",
    "cleanup_interval",
    "dns_jitter",
    "dns_refresh_rate",
    "respect_dns_ttl",
    "typed_dns_resolver_config",
)
_OF_ENDPOINTS = ("health_status", "metadata")
_OF_LISTENERS = ("listener_filters_timeout", "max_connections_to_accept_per_socket_event")
_OF_CHAINS = ("metadata", "transport_socket_connect_timeout")


def the_model_agrees(comparison: Comparison, filters: Sequence[Object]) -> Iterator[Reason]:
    """Both configurations of a client are those of the modelled sidecar."""
    proxy = Proxy(
        comparison.namespace,
        labels=CLIENT_LABELS,
        ip=client_address(comparison.namespace),
        dns_capture=False,
        mutual_tls=MUTUAL_TLS,
    )
    objects = read_objects([*_ALWAYS, *comparison.objects])
    users = [each for each in comparison.objects if each["kind"] == "EnvoyFilter"]
    found = [
        *differences(comparison.before, objects, proxy, users),
        *differences(comparison.after, objects, proxy, [*users, *filters]),
    ]
    if not _is_selected_by_entry(comparison):
        yield from found
    else:
        yield from ((place, message) for place, message in found if not _is_inbound(place))


def _is_selected_by_entry(comparison: Comparison) -> bool:
    """Whether a ServiceEntry gives the client inbound ports in the model.

    istiod's ServiceEntries select Pods and WorkloadEntries, and the judge's clients are neither.
    """
    return any(
        content["kind"] == "ServiceEntry"
        and content["metadata"]["namespace"] == comparison.namespace
        and content["spec"].get("workloadSelector", {}).get("labels") == CLIENT_LABELS
        for content in comparison.objects
    )


def _is_inbound(place: str) -> bool:
    return place == _INBOUND or place.startswith("inbound|")


def disagreements(comparison: Comparison, filters: Sequence[Object]) -> list[Violation]:
    """Where the model and istiod disagree, as violations."""
    return [
        Violation(the_model_agrees.__name__, comparison.namespace, place, message)
        for place, message in the_model_agrees(comparison, filters)
    ]


def differences(
    real: ProxyConfig,
    objects: MeshObjects | Iterable[Mapping[str, Any]],
    proxy: Proxy,
    filters: Iterable[Mapping[str, Any]] = (),
) -> Iterator[Reason]:
    """Where the modelled sidecar differs from what istiod gives a proxy."""
    try:
        config = patched_sidecar(objects, filters, proxy).config
    except EnvoyFilterError as error:
        yield "EnvoyFilter", f"the model does not apply it: {error}"
        return
    modelled = {item.name: item for item in (*config.listeners, *config.clusters)}
    given = {**real.listeners, **real.clusters}
    for name in sorted(modelled.keys() | given.keys()):
        if name not in given:
            yield name, "the model has it and istiod does not"
        elif name not in modelled:
            yield name, "istiod has it and the model does not"
        else:
            ours, theirs = _fields(modelled[name]), _fields(given[name])
            if ours != theirs:
                yield name, "; ".join(_unlike("", ours, theirs))


def _unlike(path: str, ours: Any, theirs: Any) -> Iterator[str]:
    """What differs, field by field."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            yield from _unlike(f"{path}.{key}".strip("."), ours.get(key), theirs.get(key))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _unlike(f"{path}[{number}]", *pair)
    elif ours != theirs:
        yield f"{path} is {ours} in the model, {theirs} in istiod"


def _fields(message: Listener | Cluster) -> dict[str, Any]:
    return _listener(message) if isinstance(message, Listener) else _cluster(message)


def _listener(listener: Listener) -> dict[str, Any]:
    kept = Listener()
    kept.CopyFrom(listener)
    for name in ("filter_chains", "default_filter_chain", "listener_filters", *_OF_LISTENERS):
        kept.ClearField(name)
    fields = to_dict(kept)
    chains: Iterable[FilterChain] = listener.filter_chains
    if listener.name == _INBOUND:
        # The model has no inbound HTTP: neither its chains nor what tells it apart. Certificates
        # of inbound TLS are istiod's alone.
        chains = [chain for chain in map(_without_tls, chains) if not _is_http(chain)]
    else:
        fields["inspectors"] = [item.name for item in listener.listener_filters]
    # Chains match whatever their order is.
    fields["chains"] = sorted(map(_chain, chains), key=str)
    if listener.HasField("default_filter_chain"):
        fields["default"] = _chain(listener.default_filter_chain)
    return fields


def _without_tls(chain: FilterChain) -> FilterChain:
    kept = FilterChain()
    kept.CopyFrom(chain)
    kept.ClearField("transport_socket")
    return kept


def _is_http(chain: FilterChain) -> bool:
    return bool(chain.filters[-1].name == _HTTP_FILTER)


def _chain(chain: FilterChain) -> dict[str, Any]:
    kept = FilterChain()
    kept.CopyFrom(chain)
    if not kept.filter_chain_match.ByteSize():
        kept.ClearField("filter_chain_match")
    for name in _OF_CHAINS:
        kept.ClearField(name)
    for item in kept.filters:
        if item.name == _HTTP_FILTER:
            item.ClearField("typed_config")
    return to_dict(kept)


def _cluster(cluster: Cluster) -> dict[str, Any]:
    kept = Cluster()
    kept.CopyFrom(cluster)
    for name in _OF_CLUSTERS:
        kept.ClearField(name)
    kept.typed_extension_protocol_options.pop(_HTTP_OPTIONS, None)
    for group in kept.load_assignment.endpoints:
        for endpoint in group.lb_endpoints:
            for name in _OF_ENDPOINTS:
                endpoint.ClearField(name)
    fields = to_dict(kept)
    for group in fields.get("load_assignment", {}).get("endpoints", ()):
        group["lb_endpoints"].sort(key=str)
    return fields
