"""The outbound TCP listeners that istiod makes for a proxy (facts: docs/testing.md, "What the model knows").

In: the proxy's view of the mesh. Out: Listener messages. A listener is named ``<address>_<port>``; services that share
one keep the chains that differ in what they match, the oldest first. Ports that are HTTP or TLS have listeners of other
kinds and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener

from aeraki_core.mesh.routes import cluster_name
from aeraki_core.model.istio import Destination, HTTPRouteDestination, TCPRoute, full_host
from aeraki_core.model.service import Port, Resolution, Service
from aeraki_core.testing.sidecar.chains import (
    BLACK_HOLE,
    HTTP_INSPECTOR,
    PASSTHROUGH,
    PASSTHROUGH_CHAIN,
    PLAINTEXT_HTTP,
    address,
    chain,
    http_filter,
    tcp_proxy,
)
from aeraki_core.testing.sidecar.proxy import Proxy
from aeraki_core.testing.sidecar.view import View, is_sniffed, is_tcp

__all__ = ["OUTBOUND_PORT", "outbound_listeners", "virtual_outbound"]

OUTBOUND_PORT = 15001


@dataclass(frozen=True, slots=True)
class _Bind:
    """Where a listener of a service is: its address, more of them, and the ranges that its chain matches."""

    address: str
    extra: tuple[str, ...] = ()
    cidrs: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Entry:
    """A listener in the making: for each set of ranges the filters of its TCP chain; HTTP beside them if sniffed."""

    extra: tuple[str, ...] = ()
    chains: dict[frozenset[str], Filter] = field(default_factory=dict)
    http: Filter | None = None


def outbound_listeners(view: View) -> tuple[Listener, ...]:
    """All of them, by name."""
    entries: dict[tuple[str, int], _Entry] = {}
    for service in view.services():
        for port in service.ports:
            if not is_tcp(service, port):
                continue
            for bind in _binds(view, service, port):
                entry = entries.setdefault((bind.address, port.number), _Entry(bind.extra))
                entry.chains.setdefault(bind.cidrs, _filter(view, service, port))
                if is_sniffed(service, port) and entry.http is None:
                    entry.http = http_filter(cluster_name(port.number, service.host))
    return tuple(_listener(view, *key, entries[key]) for key in sorted(entries))


def _binds(view: View, service: Service, port: Port) -> Iterator[_Bind]:
    if service.headless:
        endpoints = view.store.endpoints(service.namespace, service.ref.name)
        for ip in endpoints.addresses:
            if ip != view.proxy.ip:
                yield _Bind(ip)
    elif service.resolution is Resolution.CLUSTER_IP:
        if service.addresses:
            found = _of_proxy(service.addresses, view.proxy) or list(service.addresses[:1])
            yield _Bind(found[0], tuple(found[1:]) if view.proxy.dual_stack else ())
    elif service.addresses:
        for item in service.addresses:
            if "/" in item:
                yield _Bind(view.proxy.wildcard, view.proxy.other_wildcards, frozenset({item}))
            else:
                yield _Bind(item)
    elif service.resolution is Resolution.NONE and service.selector:
        return  # one for each workload that it selects; those are in no object that we read
    elif view.proxy.dns_capture and (found := _of_proxy(service.auto_addresses, view.proxy)):
        found.sort(key=lambda item: ":" in item)
        yield _Bind(found[0], tuple(found[1:]))
    else:
        yield _Bind(view.proxy.wildcard, view.proxy.other_wildcards)


def _of_proxy(addresses: tuple[str, ...], proxy: Proxy) -> list[str]:
    """Those of the families that the proxy has."""
    return [item for item in addresses if proxy.dual_stack or (":" in item) == (":" in proxy.ip)]


def _filter(view: View, service: Service, port: Port) -> Filter:
    for virtual_service, route in view.tcp_routes(service.host):
        if route.route and _matches(view, route, port.number):
            targets = _targets(view, route.route, virtual_service.namespace, port.number)
            if targets:
                prefix = f"{virtual_service.ref.name}.{virtual_service.namespace}"
                return tcp_proxy(targets[0][0] if len(targets) == 1 else prefix, targets)
    name = cluster_name(port.number, service.host)
    return tcp_proxy(name, [(name, 0)])


def _matches(view: View, route: TCPRoute, port: int) -> bool:
    return not route.match or any(
        (match.port in (None, port))
        and (not match.gateways or "mesh" in match.gateways)
        and match.source_namespace in (None, "", view.proxy.namespace)
        and view.proxy.has_labels(match.source_labels)
        for match in route.match
    )


def _targets(
    view: View, destinations: tuple[HTTPRouteDestination, ...], namespace: str, port: int
) -> list[tuple[str, int]]:
    found = [
        (_target(view, item.destination, namespace, port), item.weight or 0)
        for item in destinations
    ]
    return found if len(found) == 1 else [item for item in found if item[1]]


def _target(view: View, destination: Destination, namespace: str, port: int) -> str:
    host = full_host(destination.host, namespace, view.mesh.domain)
    service = view.service(host)
    if destination.port is not None:
        port = destination.port.number
    elif service is not None and len(service.ports) == 1:
        port = service.ports[0].number
    return cluster_name(port, host, destination.subset or "")


def _listener(view: View, ip: str, port: int, entry: _Entry) -> Listener:
    found = Listener(
        name=f"{ip}_{port}",
        address=address(ip, port),
        traffic_direction=TrafficDirection.Value("OUTBOUND"),
        continue_on_listener_filters_timeout=True,
    )
    for extra in entry.extra:
        found.additional_addresses.add(address=address(extra, port))
    found.bind_to_port.value = False
    found.listener_filters_timeout.SetInParent()
    if entry.http is not None:
        found.listener_filters.append(HTTP_INSPECTOR)
        found.filter_chains.append(
            chain([entry.http], transport="raw_buffer", protocols=PLAINTEXT_HTTP)
        )
    for cidrs, item in sorted(entry.chains.items(), key=lambda pair: sorted(pair[0])):
        if cidrs:
            found.filter_chains.append(chain([item], cidrs=cidrs))
    # A chain that matches all is the default one where others stand beside it; without one, the rest passes through.
    match_all = entry.chains.get(frozenset())
    if match_all is None:
        found.default_filter_chain.CopyFrom(chain([_passthrough(view)], name=PASSTHROUGH_CHAIN))
    elif found.filter_chains:
        found.default_filter_chain.CopyFrom(chain([match_all]))
    else:
        found.filter_chains.append(chain([match_all]))
    return found


def _passthrough(view: View) -> Filter:
    name = BLACK_HOLE if view.mesh.registry_only else PASSTHROUGH
    return tcp_proxy(name, [(name, 0)])


def virtual_outbound(view: View) -> Listener:
    """The listener that takes all captured traffic and what no other listener is for."""
    found = Listener(
        name="virtualOutbound",
        address=address(view.proxy.wildcard, OUTBOUND_PORT),
        traffic_direction=TrafficDirection.Value("OUTBOUND"),
    )
    found.use_original_dst.value = True
    found.filter_chains.append(
        chain(
            [tcp_proxy(BLACK_HOLE, [(BLACK_HOLE, 0)])],
            name="virtualOutbound-blackhole",
            port=OUTBOUND_PORT,
        )
    )
    found.filter_chains.append(chain([_passthrough(view)], name="virtualOutbound-catchall-tcp"))
    return found
