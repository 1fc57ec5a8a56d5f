"""Each check of the judge finds a violation made by hand, and nothing where there is none."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence

import pytest
from aeraki_core.testing import destination_rule, generate, service, to_yaml, virtual_service
from aeraki_core.testing.sidecar.patches import patched_sidecar
from aeraki_core.testing.sidecar.proxy import Proxy
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.redis_proxy.v3.redis_proxy_pb2 import RedisProxy
from google.protobuf.any_pb2 import Any as Packed

from tests.istio.judge import checks
from tests.istio.judge.checks import Comparison, judge
from tests.istio.judge.shrink import shrink
from tests.rig.ads import ProxyConfig
from tests.rig.api import Object

PLACE = "10.96.0.10_6379"
CLUSTER = "outbound|6379||cache.shop.svc.cluster.local"
OBJECTS = [
    service("cache", {"tcp-redis": 6379}, namespace="shop"),
    service("web", {"http": 8080}, namespace="shop", cluster_ip="10.96.0.11"),
    destination_rule("cache", "cache", {"v1": {"version": "v1"}}, namespace="shop"),
]
LIMIT = Filter(name="envoy.filters.network.local_ratelimit")


class Edited:
    """A client's configuration with filters, to be made worse by hand."""

    def __init__(self, before: ProxyConfig, after: ProxyConfig) -> None:
        self.before, self.after = _copy(before), _copy(after)
        self.listeners = dict(self.after.listeners)
        self.clusters = dict(self.after.clusters)

    @property
    def filters(self) -> MutableSequence[Filter]:
        """Those of the patched chain, to be changed in place."""
        filters: MutableSequence[Filter] = self.listeners[PLACE].filter_chains[0].filters
        return filters

    def route(self, cluster: str) -> None:
        """Make Redis send everything to that cluster; to none for an empty name."""
        config = RedisProxy(stat_prefix=CLUSTER)
        if cluster:
            config.prefix_routes.catch_all_route.cluster = cluster
        self.set_filter(config)

    def set_filter(self, config: RedisProxy) -> None:
        packed = Packed()
        packed.Pack(config)
        self.filters[0].CopyFrom(
            Filter(name="envoy.filters.network.redis_proxy", typed_config=packed)
        )


def _copy(config: ProxyConfig) -> ProxyConfig:
    return ProxyConfig(
        {
            name: Listener.FromString(each.SerializeToString())
            for name, each in config.listeners.items()
        },
        {
            name: Cluster.FromString(each.SerializeToString())
            for name, each in config.clusters.items()
        },
    )


def _config(objects: list[Object], filters: tuple[Object, ...]) -> ProxyConfig:
    config = patched_sidecar(objects, filters, Proxy("front")).config
    return ProxyConfig(
        {each.name: each for each in config.outbound},
        {each.name: each for each in config.outbound_clusters},
    )


def edited(objects: list[Object] = OBJECTS) -> Edited:
    return Edited(_config(objects, ()), _config(objects, generate(objects).filters))


def comparison(case: Edited, objects: list[Object] = OBJECTS) -> Comparison:
    return Comparison(
        namespace="front",
        before=case.before,
        after=ProxyConfig(case.listeners, case.clusters),
        objects=objects,
    )


def found(case: Edited, objects: list[Object] = OBJECTS) -> set[str]:
    return {each.check for each in judge(comparison(case, objects))}


def test_our_filters_for_a_plain_service_violate_nothing() -> None:
    assert judge(comparison(edited())) == []
    assert edited().filters[0].name == "envoy.filters.network.redis_proxy"


def _no_listener(case: Edited) -> None:
    del case.listeners[PLACE]


def _no_chain(case: Edited) -> None:
    del case.listeners[PLACE].filter_chains[:]


def _no_cluster(case: Edited) -> None:
    del case.clusters["outbound|8080||web.shop.svc.cluster.local"]


def _new_cluster(case: Edited) -> None:
    case.clusters["outbound|1||else"] = Cluster(name="outbound|1||else")


def _inspected(case: Edited) -> None:
    case.listeners[PLACE].listener_filters.add(name="envoy.filters.listener.tls_inspector")


def _http_changed(case: Edited) -> None:
    case.listeners["0.0.0.0_8080"].filter_chains[0].filters.insert(0, LIMIT)


def _passthrough_changed(case: Edited) -> None:
    chain = case.listeners["0.0.0.0_8080"].default_filter_chain
    chain.filters[0].name = "envoy.filters.network.redis_proxy"


def _another_service(case: Edited) -> None:
    config = RedisProxy(stat_prefix="outbound|6379||other.shop.svc.cluster.local")
    config.prefix_routes.catch_all_route.cluster = CLUSTER
    case.set_filter(config)


def _another_port(case: Edited) -> None:
    config = RedisProxy(stat_prefix=CLUSTER.replace("6379", "6380"))
    config.prefix_routes.catch_all_route.cluster = CLUSTER
    case.set_filter(config)


def _unknown_cluster(case: Edited) -> None:
    case.route("outbound|6379|v9|cache.shop.svc.cluster.local")


def _no_default(case: Edited) -> None:
    case.route("")


def _no_route_at_all(case: Edited) -> None:
    del case.filters[:]


def _other_default(case: Edited) -> None:
    case.route("outbound|6379|v1|cache.shop.svc.cluster.local")


def _no_limits(case: Edited) -> None:
    case.clusters[CLUSTER].ClearField("circuit_breakers")


def _in_clear(case: Edited) -> None:
    case.clusters[CLUSTER].ClearField("transport_socket_matches")


@pytest.mark.parametrize(
    ("worsen", "check"),
    [
        (_no_listener, checks.nothing_disappears),
        (_no_chain, checks.nothing_disappears),
        (_no_cluster, checks.nothing_disappears),
        (_new_cluster, checks.nothing_disappears),
        (_inspected, checks.only_tcp_chains_change),
        (_http_changed, checks.only_tcp_chains_change),
        (_passthrough_changed, checks.only_tcp_chains_change),
        (_another_service, checks.a_chain_is_changed_for_its_own_service),
        (_another_port, checks.a_chain_is_changed_for_its_own_service),
        (_unknown_cluster, checks.routes_name_clusters_of_the_client),
        (_no_default, checks.a_port_answers_every_call),
        (_no_route_at_all, checks.a_port_answers_every_call),
        (_other_default, checks.other_calls_go_where_istio_sends_them),
        (_no_limits, checks.clusters_keep_what_protects_them),
        (_in_clear, checks.clusters_keep_what_protects_them),
    ],
)
def test_each_check_finds_what_it_is_for(
    worsen: Callable[[Edited], None], check: Callable[..., object]
) -> None:
    case = edited()
    worsen(case)
    assert check.__name__ in found(case)


def test_a_filter_of_somebody_else_that_is_gone_is_found() -> None:
    case = edited()
    case.before.listeners[PLACE].filter_chains[0].filters.insert(0, LIMIT)
    assert found(case) == {"filters_of_others_stay"}
    case.filters.insert(0, LIMIT)
    assert found(case) == set()


def test_a_route_without_a_condition_may_speak_for_other_calls() -> None:
    target = {"destination": {"host": "cache", "subset": "v1"}}
    routes = virtual_service("cache", ["cache"], namespace="shop", http=[{"route": [target]}])
    case = edited()
    _other_default(case)
    assert found(case, [*OBJECTS, routes]) == set()


def test_a_redis_service_may_send_all_keys_to_a_host_that_the_client_lacks() -> None:
    case = edited()
    case.route("outbound|6379||other.shop.svc.cluster.local")
    spec = {"host": ["cache"], "redis": [{"route": {"host": "other"}}]}
    routes = {"kind": "RedisService", "metadata": {"namespace": "shop"}, "spec": spec}
    assert "other_calls_go_where_istio_sends_them" in found(case)
    assert found(case, [*OBJECTS, routes]) == {"routes_name_clusters_of_the_client"}


def test_a_cluster_of_ours_stands_for_istios() -> None:
    case = edited()
    name = f"aeraki-redis|{CLUSTER}"
    case.clusters[name] = Cluster(name=name)
    case.route(name)
    assert found(case) == set()


def test_shrinking_keeps_only_what_fails() -> None:
    def fails(meshes: list[list[Object]]) -> list[bool]:
        return ["tcp-redis" in to_yaml(mesh) for mesh in meshes]

    (left,) = shrink(OBJECTS, fails)  # type: ignore[arg-type]
    assert left == OBJECTS[0]
