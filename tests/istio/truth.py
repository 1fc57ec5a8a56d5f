"""Shared by the tests of the whole truth.

It has Istio's objects, the filters of a sidecar by chain, and the cluster's objects as files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy.config.listener.v3.listener_components_pb2 import Filter
from google.protobuf.json_format import MessageToDict, ParseDict

from tests.rig.api import Api, Object
from tests.rig.sidecar import Sidecar
from tests.rig.workloads import Port

FILTER = ("networking.istio.io/v1alpha3", "EnvoyFilter")
GROUP = "networking.istio.io/v1"
OURS = "app.kubernetes.io/managed-by=aeraki"

PROTOCOLS = ["dubbo", "kafka", "redis", "thrift", "zookeeper"]
"""Every plugin of this repository."""

TCP_PROXY = "envoy.filters.network.tcp_proxy"
PASSTHROUGH_CHAIN = "PassthroughFilterChain"


def proxy(protocol: str) -> str:
    """The name of a protocol's network filter."""
    return f"envoy.filters.network.{protocol}_proxy"


def istio(kind: str, name: str, namespace: str, spec: Object, **metadata: Any) -> Object:
    """An object of Istio's networking API."""
    meta = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": GROUP, "kind": kind, "metadata": meta, "spec": spec}


def entry(name: str, namespace: str, port: Port, *addresses: str, **spec: Any) -> Object:
    """A ServiceEntry of one port with one endpoint, of the host ``<name>.example.org``."""
    content = {
        "hosts": [f"{name}.example.org"],
        "addresses": list(addresses),
        "ports": [
            {
                "number": port.port,
                "name": port.name,
                "protocol": "TCP",
                "targetPort": port.target_port,
            }
        ],
        "resolution": "STATIC",
        "location": "MESH_INTERNAL",
        "endpoints": [{"address": "10.30.0.1"}],
    }
    return istio("ServiceEntry", name, namespace, {**content, **spec})


def subsets(service: str, namespace: str, *names: str) -> Object:
    """A DestinationRule: each subset is the pods with its name as their version."""
    spec = {
        "host": service,
        "subsets": [{"name": name, "labels": {"version": name}} for name in names],
    }
    return istio("DestinationRule", service, namespace, spec)


def weights(
    service: str,
    namespace: str,
    shares: Mapping[str, int],
    name: str = "",
    section: str = "http",
    **spec: Any,
) -> Object:
    """Return a VirtualService that sends these shares of a service's calls to its subsets.

    With ``section="tcp"``, the shares are of connections.
    """
    route = [
        {"destination": {"host": service, "subset": subset}, "weight": share}
        for subset, share in shares.items()
    ]
    return istio(
        "VirtualService",
        name or service,
        namespace,
        {"hosts": [service], section: [{"route": route}], **spec},
    )


def redis_kind(kind: str, name: str, namespace: str, spec: Object) -> Object:
    """An object of the Redis plugin's."""
    return {**istio(kind, name, namespace, spec), "apiVersion": "redis.aeraki.io/v1alpha1"}


def our_filters(api: Api) -> list[tuple[str, str]]:
    """Namespace and name of every filter of ours."""
    found = api.objects(*FILTER, labels=OURS)
    return sorted((each["metadata"]["namespace"], each["metadata"]["name"]) for each in found)


def chains_at(sidecar: Sidecar, port: int) -> Counter[tuple[str, ...]]:
    """Return the workload's chains of a target port: each list of network filters, counted."""
    listener = sidecar.listeners().get("virtualInbound", {})
    return Counter(
        _names(chain)
        for chain in listener.get("filter_chains", [])
        if chain.get("filter_chain_match", {}).get("destination_port") == port
    )


def chains_of(listener: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the network filters of a client's listener by the name of their chain.

    A chain without a name is ``""``.
    """
    return {chain.get("name", ""): _names(chain) for chain in _chains(listener)}


def chain_filters(listener: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The network filters of each chain of a listener."""
    return [_names(chain) for chain in _chains(listener)]


def _chains(listener: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    default = [listener["default_filter_chain"]] if "default_filter_chain" in listener else []
    return [*listener.get("filter_chains", []), *default]


def wait_chains(sidecar: Sidecar, port: Port, filters: tuple[str, ...], count: int) -> None:
    """Wait until all `count` chains of a target port have these filters."""
    sidecar.wait_for(
        lambda envoy: chains_at(envoy, port.target_port) == {filters: count},
        f"{count} chains of port {port.target_port} with {filters}",
    )


def wait_outbound(sidecar: Sidecar, listener: str, filters: tuple[str, ...]) -> dict[str, Any]:
    """Wait until the first chain of a listener has these filters; returns the listener."""
    return sidecar.wait_listener(
        listener, lambda found: next(iter(chains_of(found).values()), ()) == filters
    )


def assert_in_sidecars(item: Object, near: Sidecar, far: Sequence[Sidecar]) -> None:
    """Check that the sidecars have every field that an EnvoyFilter puts into listeners.

    These are the client's sidecar, or those of the selected pods.
    """
    labels = item["spec"].get("workloadSelector", {}).get("labels", {})
    selected = [sidecar for sidecar in far if labels.items() <= sidecar.node.labels.items()]
    for patch in item["spec"]["configPatches"]:
        if patch["applyTo"] == "NETWORK_FILTER":
            sidecars = [near] if patch["match"]["context"] == "SIDECAR_OUTBOUND" else selected
            assert sidecars, item["metadata"]["name"]
            for sidecar in sidecars:
                assert _has(sidecar, patch), (sidecar.node.name, patch)


def _has(sidecar: Sidecar, patch: Object) -> bool:
    """Report whether each chain that the patch is for has its network filter, and one exists."""
    match = patch["match"]["listener"]
    listener = sidecar.listeners().get(match.get("name", "virtualInbound"), {})
    port = match.get("filterChain", {}).get("destinationPort")
    chains = [
        chain
        for chain in _chains(listener)
        if port is None or chain.get("filter_chain_match", {}).get("destination_port") == port
    ]
    wanted = _filter(patch["patch"]["value"])
    return bool(chains) and all(wanted in map(_filter, chain["filters"]) for chain in chains)


def _filter(content: Object) -> Object:
    """Return a network filter in normal form: names as in the .proto files, no default values."""
    found: Object = MessageToDict(ParseDict(content, Filter()), preserving_proto_field_name=True)
    return found


def _names(chain: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        each["name"].removeprefix("envoy.filters.network.") for each in chain.get("filters", [])
    )


def as_file(
    api: Api, namespaces: Sequence[str], path: Path, more: Sequence[tuple[str, str]] = ()
) -> Path:
    """Write every object in these namespaces that the pipeline reads, as a List.

    The command line reads the file. ``more``: version and kind of a plugin's resources.
    """
    kinds = [
        *more,
        ("v1", "Service"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        *((GROUP, kind) for kind in ("ServiceEntry", "VirtualService", "DestinationRule")),
    ]
    items = [
        {**item, "apiVersion": version, "kind": kind}
        for version, kind in kinds
        for namespace in namespaces
        for item in api.objects(version, kind, namespace=namespace)
    ]
    path.write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), encoding="utf-8"
    )
    return path
