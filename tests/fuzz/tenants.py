"""Random meshes of two owners and a tenant who tries everything with their hosts.

``shop`` and ``pay`` own hosts. ``web`` has clients with rules of their own. ``evil`` writes objects
of every kind for the others' hosts. Meshes leave out what Istio itself lets a tenant change:
VirtualServices and named exports that reach clients of other namespaces, and public entries that
are older than the owner's and share an address or a port with it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]

TENANT = "evil"
OWNED = (
    "redis.shop.svc.cluster.local",
    "hello.shop.svc.cluster.local",
    "payments.shop.svc.cluster.local",
    "cache.example.com",
    "*.wild.example.com",
)
_PORTS = {
    "redis.shop.svc.cluster.local": ("tcp-redis", 6379),
    "hello.shop.svc.cluster.local": ("tcp-thrift", 9090),
    "payments.shop.svc.cluster.local": ("http", 8080),
    "cache.example.com": ("tcp-redis", 6380),
    "*.wild.example.com": ("tcp-thrift", 7000),
}
_ASKS = {"aeraki.io/live-weights": "true"}
_OLD, _YOUNG = "2024-01-01T00:00:00Z", "2026-06-01T00:00:00Z"


def tenant_meshes() -> st.SearchStrategy[tuple[list[Object], list[Object]]]:
    """The owners' and clients' objects, and the tenant's."""
    return st.tuples(_owners(), st.lists(_hostile(), min_size=1, max_size=4).map(_numbered))


def _object(
    kind: str, namespace: str, name: str, spec: Object, *, created: str = _OLD, **metadata: Any
) -> Object:
    api = {"Service": "v1", "Pod": "v1", "EndpointSlice": "discovery.k8s.io/v1"}.get(kind)
    if kind.startswith("Redis"):
        api = "redis.aeraki.io/v1alpha1"
    return {
        "apiVersion": api or "networking.istio.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": created,
            **metadata,
        },
        "spec": spec,
    }


def _numbered(objects: list[Object]) -> list[Object]:
    for number, content in enumerate(objects):
        content["metadata"]["name"] = f"e{number}"
    return objects


def _ports(host: str) -> list[Object]:
    name, number = _PORTS[host]
    return [{"name": name, "number": number, "protocol": "TCP"}]


@st.composite
def _owners(draw: st.DrawFn) -> list[Object]:
    found: list[Object] = []
    for number, host in enumerate(OWNED[:3]):
        name, port = _PORTS[host]
        spec = {
            "clusterIP": f"10.96.0.{50 + number}",
            "selector": {"app": name},
            "ports": [{"name": name, "port": port}],
        }
        found.append(_object("Service", "shop", host.partition(".")[0], spec))
    addresses = draw(st.sampled_from(([], ["10.97.0.9"])))
    cache = {"hosts": [OWNED[3]], "ports": _ports(OWNED[3]), "resolution": "DNS"}
    if addresses:
        cache["addresses"] = addresses
    found.append(_object("ServiceEntry", "pay", "cache", cache))
    wild = {
        "hosts": [OWNED[4]],
        "addresses": ["10.97.0.1"],
        "ports": _ports(OWNED[4]),
        "resolution": "NONE",
    }
    found.append(_object("ServiceEntry", "pay", "wild", wild))
    extra = {
        "routes": _object(
            "VirtualService",
            "shop",
            "hello",
            {
                "hosts": [OWNED[1]],
                "http": [{"route": [{"destination": {"host": OWNED[1], "subset": "v1"}}]}],
            },
        ),
        "subsets": _object(
            "DestinationRule", "shop", "hello", {"host": OWNED[1], "subsets": [{"name": "v1"}]}
        ),
        "redis": _object(
            "RedisService", "shop", "redis", {"host": [OWNED[0]], "settings": {"opTimeout": "3s"}}
        ),
        "cluster": _object(
            "RedisDestination",
            "pay",
            "cache",
            {
                "host": OWNED[3],
                "trafficPolicy": {"connectionPool": {"redis": {"mode": "CLUSTER"}}},
            },
        ),
        "password": _object(
            "RedisDestination",
            "shop",
            "redis",
            {
                "host": OWNED[0],
                "exportTo": [".", "web"],
                "trafficPolicy": {
                    "connectionPool": {"redis": {"auth": {"plain": {"password": "of-shop"}}}}
                },
            },
        ),
        "client": _object(
            "DestinationRule",
            "web",
            "own",
            {"host": OWNED[0], "trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}},
        ),
        "private": _object(
            "VirtualService",
            "web",
            "own",
            {
                "hosts": [OWNED[1]],
                "exportTo": ["."],
                "http": [{"route": [{"destination": {"host": OWNED[1]}}]}],
            },
        ),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(extra)), unique=True))
    live = _live_weights() if draw(st.booleans()) else []
    return [*found, *(extra[name] for name in chosen), *live]


def _live_weights() -> list[Object]:
    """A canary of hello with live weights, its pods, and an object that one of its clients has."""
    subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")]
    routes = _weighted(OWNED[1], exportTo=["*"])
    return [
        _object("DestinationRule", "shop", "canary", {"host": OWNED[1], "subsets": subsets}),
        _object("VirtualService", "shop", "canary", routes, annotations=_ASKS),
        *(_pod("shop", name, f"10.1.0.{number}") for number, name in enumerate(("v1", "v2"), 1)),
        _slice("shop", "hello", {"v1": "10.1.0.1", "v2": "10.1.0.2"}),
    ]


def _weighted(host: str, **spec: Any) -> Object:
    route = [
        {"destination": {"host": host, "subset": subset}, "weight": weight}
        for subset, weight in (("v1", 90), ("v2", 10))
    ]
    return {"hosts": [host], "http": [{"route": route}], **spec}


def _pod(namespace: str, name: str, address: str, *, version: str = "", **labels: str) -> Object:
    spec = {"serviceAccountName": "hello"}
    pod = _object("Pod", namespace, name, spec, labels={"version": version or name, **labels})
    return {**pod, "status": {"podIP": address}}


def _slice(namespace: str, service: str, pods: dict[str, str]) -> Object:
    label = {"kubernetes.io/service-name": service}
    return _object("EndpointSlice", namespace, f"{service}-x", {}, labels=label) | {
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "targetRef": {"kind": "Pod", "name": name}}
            for name, address in pods.items()
        ],
        "ports": [{"name": _PORTS[OWNED[1]][0], "port": 9090}],
    }


@st.composite
def _hostile(draw: st.DrawFn) -> Object:
    kinds = (
        *("entry", "entry", "rule", "routes", "redis", "target", "service", "slice", "sidecar"),
        *("weights", "pod", "endpoints"),
    )
    kind = draw(st.sampled_from(kinds))
    host = draw(st.sampled_from((*OWNED, "own.evil.example.com")))
    match kind:
        case "entry":
            return draw(_entry(host))
        case "rule":
            return draw(_rule(host))
        case "routes":
            destination = {"host": draw(st.sampled_from(OWNED))}
            spec = {
                "hosts": [draw(st.sampled_from((host, "*")))],
                "exportTo": ["."],
                "http": [{"route": [{"destination": destination}]}],
            }
            return _object("VirtualService", TENANT, "x", spec, created=draw(_ages()))
        case "weights":
            spec = _weighted(host, exportTo=["."])
            return _object(
                "VirtualService", TENANT, "x", spec, annotations=_ASKS, created=draw(_ages())
            )
        case "pod":
            return _pod(
                TENANT,
                "x",
                draw(st.sampled_from(("10.1.0.1", "10.66.0.1"))),
                version=draw(st.sampled_from(("v1", "v2"))),
                **{
                    "app": "hello",
                    "topology.istio.io/network": "evil",
                    "istio-locality": "evil.evil",
                },
            )
        case "endpoints":
            pods = draw(
                st.sampled_from(({"v1": "10.66.0.1"}, {"e0": "10.66.0.1"}, {"v2": "10.1.0.2"}))
            )
            return _slice(TENANT, draw(st.sampled_from(("hello", "e0", "e1"))), pods)
        case "redis":
            spec = {"host": [draw(st.sampled_from((host, "*", "e0")))]}
            spec |= draw(
                st.sampled_from(
                    (
                        {"settings": {"opTimeout": "9s"}},
                        {"settings": {"opTimeout": "zzz"}},
                        {"redis": [{"route": {"host": "payments.shop.svc.cluster.local"}}]},
                        {"redis": [{"route": {"host": "redis.shop.svc.cluster.local"}}]},
                    )
                )
            )
            return _object("RedisService", TENANT, "x", spec, created=draw(_ages()))
        case "target":
            pool = draw(
                st.sampled_from(
                    (
                        {"mode": "CLUSTER", "discoveryEndpoints": ["203.0.113.66:6666"]},
                        {"auth": {"secret": {"name": "missing"}}},
                        {"auth": {"plain": {"password": "x"}}},
                        {"mode": "NONSENSE"},
                    )
                )
            )
            policy = {"connectionPool": {"redis": pool}}
            spec = {"host": host, "trafficPolicy": policy}
            export = draw(st.sampled_from((None, ["*"], ["."], ["web", "shop"], ["pay"])))
            if export is not None:
                spec["exportTo"] = export
            return _object("RedisDestination", TENANT, "x", spec, created=draw(_ages()))
        case "slice":
            addresses = draw(st.sampled_from((["fd00::5"], ["10.96.0.50", "10.96.0.52"])))
            body = {
                "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
                "endpoints": [{"addresses": [address]} for address in addresses],
            }
            label = {"kubernetes.io/service-name": draw(st.sampled_from(("e0", "e1", "redis")))}
            return _object("EndpointSlice", TENANT, "x", {}, labels=label) | body
        case "sidecar":
            egress = draw(
                st.sampled_from(
                    (
                        [{"hosts": ["./*"]}],
                        [{"hosts": ["*/*"]}],
                        [{"hosts": ["*/*"], "port": {"number": 6379, "protocol": "TCP"}}],
                    )
                )
            )
            return _object("Sidecar", TENANT, "x", {"egress": egress})
        case _:
            name, port = draw(st.sampled_from(sorted(_PORTS.values())))
            address = draw(st.sampled_from(("10.96.9.9", "fd00::9", "None")))
            spec = {"clusterIP": address, "ports": [{"name": name, "port": port}]}
            # An older headless Service has the listeners of its endpoints' addresses in Istio, too.
            created = _YOUNG if address == "None" else draw(_ages())
            return _object("Service", TENANT, "x", spec, created=created)


def _ages() -> st.SearchStrategy[str]:
    return st.sampled_from(("2020-01-01T00:00:00Z", _YOUNG))


@st.composite
def _entry(draw: st.DrawFn, host: str) -> Object:
    private = draw(st.booleans())
    addresses = draw(
        st.sampled_from(
            ([], ["240.0.0.66"], ["10.96.0.50"], ["10.97.0.9"], ["10.97.0.1"])
            + ((["240.1.0.0/16"],) if private else ())
        )
    )
    ports = draw(
        st.lists(st.sampled_from(sorted(_PORTS.values())), min_size=1, max_size=3, unique=True)
    )
    spec: Object = {
        "hosts": [host],
        "ports": [{"name": name, "number": port, "protocol": "TCP"} for name, port in ports],
        "resolution": draw(st.sampled_from(("NONE", "STATIC", "DNS"))),
        "exportTo": ["."] if private else ["*"],
    }
    if addresses:
        spec["addresses"] = addresses
    created = draw(_ages()) if private else _YOUNG
    return _object("ServiceEntry", TENANT, "x", spec, created=created)


@st.composite
def _rule(draw: st.DrawFn, host: str) -> Object:
    spec: Object = {
        "host": draw(st.sampled_from((host, "*.svc.cluster.local", "*"))),
        "exportTo": draw(st.sampled_from((["."], ["*"], ["web"]))),
    }
    spec |= draw(
        st.sampled_from(
            (
                {"subsets": [{"name": "v9"}]},
                {"subsets": [{"name": name, "labels": {}} for name in ("v1", "v2")]},
                {"trafficPolicy": {"loadBalancer": {"simple": "PASSTHROUGH"}}},
                {"trafficPolicy": {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}},
                {"workloadSelector": {"matchLabels": {"app": "x"}}},
            )
        )
    )
    return _object("DestinationRule", TENANT, "x", spec, created=draw(_ages()))
