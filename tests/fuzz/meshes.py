"""Random meshes: services of every protocol, any legal mix of routes, options and Redis resources.

A drawn mesh is a list of Kubernetes dictionaries. Each of them is legal, so the resulting filters
must load. Their content need not make sense: routes to nowhere, weights of 0, two services on one
address.
"""

from __future__ import annotations

from typing import Any

from aeraki_core.model.mesh import Mesh, ProxyFamily, ProxyRule
from aeraki_core.plugins.registry import Registry
from aeraki_core.plugins.types import Option, OptionType
from aeraki_core.testing import (
    destination_rule,
    endpoint_slice,
    secret,
    service,
    service_entry,
    virtual_service,
)
from hypothesis import strategies as st

Object = dict[str, Any]

NAMESPACES = ("shop", "front")
NAMES = ("cart", "stock", "mail", "cart-v2")
HOSTS = ("db.example.com", "api.example.org", "*.wild.example.com")
SUBSETS = ("v1", "v2", "v3")
AGES = (None, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=12)
WORDS = st.from_regex(r"[A-Za-z][A-Za-z0-9._$-]{0,11}", fullmatch=True)
SELECTORS = (
    {"app": "cart"},
    {"app": "cart", "version": "v1"},
    {"tier": "back"},
    {"zone": "a", "version": "v1"},
)
REGEXES = st.sampled_from(("a.*", "[a-z]+", "^x$", "(foo|bar)", ".*", ""))


def meshes(registry: Registry) -> st.SearchStrategy[list[Object]]:
    """Objects of a mesh that these plugins read."""
    return st.composite(_mesh)(registry)


def proxies() -> st.SearchStrategy[Mesh]:
    """What the proxies can do, and where filters go. Only what this Envoy has."""
    generic = "envoy.filters.network.generic_proxy"
    rules = st.sampled_from(((), (ProxyRule(generic),), (ProxyRule(generic, "shop"),)))
    namespaces = st.sampled_from(((), (".",), ("front", ".")))
    families = st.sampled_from(((), (ProxyFamily.DUAL,), (ProxyFamily.IPV4, ProxyFamily.IPV6)))
    return st.builds(
        lambda rules, namespaces, only, families: Mesh(
            proxy_rules=rules, namespaces=namespaces, registry_only=only, proxy_families=families
        ),
        rules,
        namespaces,
        st.booleans(),
        families,
    )


def _mesh(draw: st.DrawFn, registry: Registry) -> list[Object]:
    tokens = [token for protocol in registry.protocols for token in protocol.tokens]
    found: list[Object] = []
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True)):
        namespace = draw(st.sampled_from(NAMESPACES))
        found += _service(draw, registry, tokens, name, namespace)
    for number, hosts in enumerate(
        draw(st.lists(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True), max_size=2))
    ):
        found.append(_entry(draw, registry, tokens, f"entry-{number}", hosts))
    for number in range(draw(st.integers(0, 3))):
        found.append(_routes(draw, number))
    for host in draw(st.lists(st.sampled_from((*NAMES, *HOSTS)), max_size=2, unique=True)):
        subsets = draw(st.lists(st.sampled_from(SUBSETS), unique=True))
        policy = draw(
            st.sampled_from(
                ({}, {"trafficPolicy": {"loadBalancer": {"consistentHash": {"useSourceIp": True}}}})
            )
        )
        name = "rule-" + host.replace("*", "any")
        found.append(
            destination_rule(
                name, host, {s: {"version": s} for s in subsets}, namespace="shop", **policy
            )
        )
    if any(kind.kind == "RedisService" for kind in registry.kinds):
        found += _redis(draw)
    return found


def _service(
    draw: st.DrawFn, registry: Registry, tokens: list[str], name: str, namespace: str
) -> list[Object]:
    ports = _ports(draw, tokens)
    address = draw(st.sampled_from(("None", "10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1")))
    item = service(
        name,
        {port: draw(_target(number)) for port, number in ports.items()},
        namespace=namespace,
        cluster_ip=address,
        selector=draw(st.sampled_from((None, {"app": name}, *SELECTORS))),
        annotations=_annotations(draw, registry)
        | draw(st.sampled_from(({}, {"networking.istio.io/exportTo": ".,front"}))),
        created=draw(st.sampled_from(AGES)),
    )
    if not draw(st.booleans()):
        return [item]
    addresses = draw(st.lists(st.sampled_from(("10.1.0.1", "10.1.0.2", "fd00:1::1")), unique=True))
    return [item, endpoint_slice(name, addresses, dict.fromkeys(ports, 9000), namespace=namespace)]


def _target(number: int) -> st.SearchStrategy[int | tuple[int, int | str]]:
    return st.sampled_from([number, (number, number + 1), (number, "named")])


def _entry(
    draw: st.DrawFn, registry: Registry, tokens: list[str], name: str, hosts: list[str]
) -> Object:
    addresses = draw(
        st.lists(
            st.sampled_from(("10.9.0.1", "10.9.0.0/16", "10.9.0.2/32", "fd00::9")), unique=True
        )
    )
    extra: dict[str, Any] = {"addresses": addresses} if addresses else {}
    if draw(st.booleans()):
        extra["exportTo"] = draw(st.sampled_from((["."], ["front"], ["*"])))
    return service_entry(
        name,
        hosts,
        _ports(draw, tokens),
        namespace=draw(st.sampled_from(NAMESPACES)),
        resolution=draw(st.sampled_from(("STATIC", "DNS", "NONE"))),
        annotations=_annotations(draw, registry),
        created=draw(st.sampled_from(AGES)),
        auto_addresses=()
        if addresses
        else draw(st.sampled_from(((), ("240.240.0.5",), ("240.240.0.5", "2001:2::5")))),
        **extra,
    )


def _ports(draw: st.DrawFn, tokens: list[str]) -> dict[str, int]:
    numbers = draw(st.lists(st.sampled_from((1000, 2000, 3000)), min_size=1, unique=True))
    names = [f"tcp-{draw(st.sampled_from((*tokens, 'other')))}-{number}" for number in numbers]
    return dict(zip(names, numbers, strict=True))


def _annotations(draw: st.DrawFn, registry: Registry) -> dict[str, str]:
    options = [(protocol, option) for protocol in registry.protocols for option in protocol.options]
    found: dict[str, str] = {}
    for protocol, option in draw(st.lists(st.sampled_from(options), max_size=4, unique=True)):
        names = (protocol.annotation(option), *option.aliases)
        found[draw(st.sampled_from(names))] = draw(_option_text(option))
    return found


def _option_text(option: Option[Any]) -> st.SearchStrategy[str]:
    """Mostly what fits, sometimes anything at all."""
    words = st.sampled_from(option.choices) if option.choices else WORDS
    fitting = {
        OptionType.TEXT: words,
        OptionType.LIST: st.lists(words, min_size=1, max_size=3).map(",".join),
        OptionType.BOOL: st.sampled_from(("true", "false")),
        OptionType.INT: st.integers(0, 2**31).map(str),
        OptionType.DURATION: st.sampled_from(("100ms", "1.5s", "1m", "0s")),
        OptionType.MAP: st.tuples(words, st.sampled_from(("1s", "example.com:9092", "x"))).map(
            ": ".join
        ),
    }
    return st.one_of(fitting[option.type], fitting[option.type], TEXTS)


def _string_match(draw: st.DrawFn) -> dict[str, str]:
    kind = draw(st.sampled_from(("exact", "prefix", "regex", None)))
    if kind is None:
        return {}
    return {
        kind: draw(
            REGEXES
            if kind == "regex"
            else st.one_of(WORDS, st.just(""), TEXTS, st.just("Service:"))
        )
    }


def _destination(draw: st.DrawFn) -> Object:
    found: Object = {
        "host": draw(
            st.sampled_from((*NAMES, *HOSTS[:2], "cart.shop.svc.cluster.local", "nowhere"))
        )
    }
    if draw(st.booleans()):
        found["subset"] = draw(st.sampled_from(SUBSETS))
    if draw(st.booleans()):
        found["port"] = {"number": draw(st.sampled_from((1000, 2000, 9)))}
    return found


def _route(draw: st.DrawFn) -> Object:
    found: Object = {}
    weights = st.one_of(st.none(), st.integers(0, 100))
    destinations = []
    for _ in range(draw(st.integers(0, 3))):
        item: Object = {"destination": _destination(draw)}
        weight = draw(weights)
        destinations.append(item if weight is None else {**item, "weight": weight})
    if destinations:
        found["route"] = destinations
    if draw(st.booleans()):
        found["match"] = [_match(draw) for _ in range(draw(st.integers(1, 3)))]
    extras: dict[str, Any] = {
        "timeout": "1.5s",
        "retries": {"attempts": 3, "perTryTimeout": "2s"},
        "fault": {"abort": {"httpStatus": 500}},
        "rewrite": {"uri": "/"},
    }
    for name in draw(st.lists(st.sampled_from(sorted(extras)), max_size=2, unique=True)):
        found[name] = extras[name]
    if draw(st.integers(0, 3)) == 0:
        found["mirror"] = _destination(draw)
        found["mirrorPercentage"] = {"value": draw(st.sampled_from((0, 0.5, 33.3, 100)))}
    return found


def _match(draw: st.DrawFn) -> Object:
    found: Object = {}
    if draw(st.booleans()):
        found["method"] = _string_match(draw)
    for name in ("headers", "withoutHeaders"):
        if draw(st.booleans()):
            keys = draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
            found[name] = {key: _string_match(draw) for key in keys}
    rare: dict[str, Any] = {
        "queryParams": {"0": {"exact": "a"}},
        "port": 1000,
        "sourceNamespace": "front",
        "sourceLabels": {"app": "web"},
        "uri": {"prefix": "/"},
    }
    for name, value in rare.items():
        if draw(st.integers(0, 9)) == 0:
            found[name] = value
    return found


def _routes(draw: st.DrawFn, number: int) -> Object:
    hosts = draw(
        st.lists(
            st.sampled_from((*NAMES, *HOSTS, "cart.shop.svc.cluster.local")),
            min_size=1,
            max_size=2,
            unique=True,
        )
    )
    section: Object = {"http": [_route(draw) for _ in range(draw(st.integers(0, 3)))]}
    if draw(st.integers(0, 3)) == 0:
        section["tcp"] = [{"route": [{"destination": _destination(draw)}]}]
    if draw(st.integers(0, 3)) == 0:
        section["exportTo"] = draw(st.sampled_from((["."], ["front"], ["*"])))
    namespace, created = draw(st.sampled_from(NAMESPACES)), draw(st.sampled_from(AGES))
    return virtual_service(
        f"routes-{number}", hosts, namespace=namespace, created=created, **section
    )


def _redis(draw: st.DrawFn) -> list[Object]:
    found: list[Object] = []
    if draw(st.booleans()):
        found.append(secret("pass", {"password": "hunter2", "username": "me"}, namespace="shop"))
    auth = st.sampled_from(
        (
            {"plain": {"password": "p"}},
            {"secret": {"name": "pass"}},
            {"secret": {"name": "missing"}},
        )
    )
    for host in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        settings: Object = {}
        for name in (
            "caseInsensitive",
            "enableCommandStats",
            "enableHashtagging",
            "enableRedirection",
        ):
            if draw(st.integers(0, 2)) == 0:
                settings[name] = True
        if draw(st.booleans()):
            settings["readPolicy"] = draw(
                st.sampled_from(("MASTER", "PREFER_MASTER", "REPLICA", "PREFER_REPLICA", "ANY"))
            )
        if draw(st.booleans()):
            settings["opTimeout"] = draw(st.sampled_from(("1s", "0.5s")))
        if draw(st.integers(0, 2)) == 0:
            settings["auth"] = draw(auth)
        spec: Object = {
            "host": [host],
            "settings": settings,
            "redis": [_redis_route(draw) for _ in range(draw(st.integers(0, 3)))],
        }
        if draw(st.integers(0, 2)) == 0:
            fault: Object = {
                "type": "DELAY",
                "delay": "1s",
                "percentage": {"value": 10},
                "commands": ["GET"],
            }
            spec["faults"] = [
                draw(
                    st.sampled_from(
                        (fault, {"type": "ERROR", "percentage": {"value": 1}, "commands": ["SET"]})
                    )
                )
            ]
        found.append(_object("RedisService", f"rs-{host}", spec))
    for host in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        redis: Object = {"mode": draw(st.sampled_from(("PROXY", "CLUSTER")))}
        if draw(st.booleans()):
            redis["auth"] = draw(auth)
        if draw(st.booleans()):
            redis["discoveryEndpoints"] = draw(
                st.sampled_from((["10.7.0.1:7000"], ["redis.example.com"]))
            )
        tcp = draw(
            st.sampled_from(
                ({}, {"connectTimeout": "2s", "maxConnections": 10, "tcpKeepalive": {"probes": 3}})
            )
        )
        spec = {"host": host, "trafficPolicy": {"connectionPool": {"redis": redis, "tcp": tcp}}}
        found.append(_object("RedisDestination", f"rd-{host}", spec))
    return found


def _redis_route(draw: st.DrawFn) -> Object:
    found: Object = {
        "route": {
            "host": draw(st.sampled_from((*NAMES, "nowhere"))),
            "port": draw(st.sampled_from((0, 1000))),
        }
    }
    if draw(st.booleans()):
        found["match"] = {
            "key": {"prefix": draw(st.one_of(WORDS, TEXTS)), "removePrefix": draw(st.booleans())}
        }
    if draw(st.booleans()):
        mirror = {
            "route": {"host": draw(st.sampled_from(NAMES))},
            "percentage": {"value": 50},
            "excludeReadCommands": True,
        }
        found["mirror"] = [mirror]
    return found


def _object(kind: str, name: str, spec: Object) -> Object:
    metadata = {"name": name, "namespace": "shop"}
    return {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }
