"""Endpoints that a modelled sidecar's listeners and clusters are made of."""

from __future__ import annotations

from aeraki_core.testing import Proxy, SidecarConfig, model_sidecar, service, service_entry

from tests.unit.core.testing.test_sidecar import PORTS, SHOP, names


def test_entries_of_one_host_and_namespace_share_endpoints() -> None:
    hosts = ["e.example.com"]
    fixed = service_entry(
        "fixed", hosts, PORTS, resolution="STATIC", endpoints=[{"address": "10.1.0.1"}]
    )
    named = service_entry("named", hosts, PORTS, resolution="DNS")
    cluster = model_sidecar([named, fixed]).cluster("outbound|7000||e.example.com")
    members = cluster.load_assignment.endpoints[0].lb_endpoints
    addresses = {item.endpoint.address.socket_address.address for item in members}
    assert addresses == {"e.example.com", "10.1.0.1"}
    # Without resolution the listeners are those of the endpoints.
    whatever = service_entry("any", hosts, PORTS, resolution="NONE")
    assert names(model_sidecar([whatever, fixed])) == ["0.0.0.0_7000", "10.1.0.1_7000"]


def test_round_robin_dns_has_one_endpoint_whatever_the_addresses() -> None:
    def members(resolution: str) -> int:
        addresses = ["10.1.0.1", "10.1.0.2"]
        entry = service_entry(
            "e", ["e.example.com"], PORTS, resolution=resolution, addresses=addresses
        )
        cluster = model_sidecar([entry]).cluster("outbound|7000||e.example.com")
        return len(cluster.load_assignment.endpoints[0].lb_endpoints)

    assert (members("DNS"), members("DNS_ROUND_ROBIN")) == (2, 1)


def test_an_entry_that_selects_workloads_has_their_listeners_and_endpoints() -> None:
    workload = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "vm", "namespace": "shop"},
        "spec": {"address": "10.9.0.1", "labels": {"app": "vm"}, "ports": {"tcp-echo": 7001}},
    }

    def with_entry(resolution: str) -> SidecarConfig:
        more = {"resolution": resolution, "workloadSelector": {"labels": {"app": "vm"}}}
        entry = service_entry("e", ["e.example.com"], PORTS, namespace="shop")
        entry["spec"].update(more)
        return model_sidecar([entry, workload], SHOP)

    assert names(with_entry("NONE")) == ["10.9.0.1_7000"]
    cluster = with_entry("DNS").cluster("outbound|7000||e.example.com")
    (member,) = cluster.load_assignment.endpoints[0].lb_endpoints
    assert member.endpoint.address.socket_address.port_value == 7001


def test_without_resolution_the_target_port_takes_the_place_of_the_dialled_one() -> None:
    entry = service_entry("e", ["e.example.com"], {"tcp": 7000}, resolution="NONE")
    entry["spec"]["ports"][0]["targetPort"] = 9000
    cluster = model_sidecar([entry]).cluster("outbound|7000||e.example.com")
    assert cluster.original_dst_lb_config.upstream_port_override.value == 9000


def test_an_inbound_http_port_has_a_cluster_and_no_tcp_chain() -> None:
    web = service("web", {"http": 7000, "mongo": 7001}, namespace="shop", selector={"app": "web"})
    config = model_sidecar([web], Proxy("shop", labels={"app": "web"}))
    assert {"inbound|7000||", "inbound|7001||"} <= {item.name for item in config.inbound_clusters}
    chains = config.listener("virtualInbound").filter_chains
    by_port = {item.filter_chain_match.destination_port.value: item for item in chains}
    assert 7000 not in by_port
    # Istio counts queries of MongoDB on both sides.
    assert [item.name.rpartition(".")[2] for item in by_port[7001].filters] == [
        "mongo_proxy",
        "tcp_proxy",
    ]


def test_a_service_selects_workload_entries_unless_it_is_headless() -> None:
    workload = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "vm", "namespace": "shop"},
        "spec": {"address": "10.9.0.1", "labels": {"app": "web"}},
    }
    host = "web.shop.svc.cluster.local"
    entry = service_entry("e", [host], {"tcp": 7000}, namespace="shop", resolution="DNS")

    def members(cluster_ip: str) -> set[tuple[str, int]]:
        ports = {"tcp": (7000, 9000)}
        selector = {"app": "web"}
        web = service("web", ports, namespace="shop", cluster_ip=cluster_ip, selector=selector)
        web["metadata"]["annotations"] = {"networking.istio.io/exportTo": "bank"}
        cluster = model_sidecar([web, entry, workload], SHOP).cluster(f"outbound|7000||{host}")
        addresses = [
            each.endpoint.address.socket_address
            for each in cluster.load_assignment.endpoints[0].lb_endpoints
        ]
        return {(each.address, each.port_value) for each in addresses}

    # The entry's cluster has the endpoints of the Service that these clients do not see.
    assert members("10.96.0.1") == {(host, 7000), ("10.9.0.1", 9000)}
    assert members("None") == {(host, 7000)}


def test_tls_of_a_bound_listener_is_told_apart_by_all_names_of_a_range() -> None:
    egress = {
        "port": {"number": 7000, "protocol": "TLS", "name": "own"},
        "bind": "127.0.0.1",
        "hosts": ["*/*"],
    }
    sidecar = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"egress": [egress]},
    }
    entry = service_entry("e", ["e.example.com"], PORTS, addresses=["10.1.0.0/16"])
    name = service("name", {}, namespace="bank", type="ExternalName", externalName="e.example.com")
    config = model_sidecar([sidecar, entry, name], SHOP)
    (chain,) = config.listener("127.0.0.1_7000").filter_chains
    assert [*chain.filter_chain_match.server_names] == [
        "e.example.com",
        "name.bank",
        "name.bank.svc",
        "name.bank.svc.cluster.local",
        "name.bank.svc.cluster.local.",
    ]
