"""Reports of people who run Istio, rebuilt as small meshes, and what they are entitled to.

Each folder holds the objects of one report. Each test states where a client's calls go, through the
sidecar that istiod configures for that client.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.testing import Made, objects_in

from aeraki_core import Severity
from tests.reach import Client, client_of, made_of

CASES = Path(__file__).parent

ORDERS = "orders.shop.svc.cluster.local"
GREETER = "greeter.shop.svc.cluster.local"


def case(name: str) -> str:
    (folder,) = CASES.glob(f"{name}-*")
    return (folder / "in.yaml").read_text(encoding="utf-8")


def without(text: str, section: str) -> list[dict[str, Any]]:
    """The objects of a case without a section of a VirtualService."""
    objects = objects_in(text)
    for item in objects:
        item["spec"].pop(section, None)
    return objects


def about(made: Made, *words: str) -> bool:
    """Whether a finding names all of these."""
    return any(all(word in line for word in words) for line in made.findings_text.splitlines())


def has_every_cluster(client: Client, listener: str) -> bool:
    return not client.missing(listener)


def test_every_case_has_a_test() -> None:
    numbers = {folder.name.partition("-")[0] for folder in CASES.iterdir() if folder.is_dir()}
    numbers.discard("__pycache__")
    tested = {name.split("_")[2] for name in globals() if name.startswith("test_case_")}
    assert tested == numbers


# -- routes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["01", "02"])
def test_case_01_an_http_section_for_another_port_leaves_the_tcp_routes(number: str) -> None:
    """See fluxcd/flagger#1612, fluxcd/flagger#1087, istio/istio#49516."""
    client = client_of(made_of(case(number)), "web")
    assert client.filters("10.96.3.4_9090") == ["thrift_proxy"]
    assert client.shares("10.96.3.4_9090") == {
        f"outbound|9090|v1|{ORDERS}": 90,
        f"outbound|9090|v2|{ORDERS}": 10,
    }
    assert has_every_cluster(client, "10.96.3.4_9090")


@pytest.mark.parametrize("number", ["01", "02"])
@pytest.mark.parametrize("protocol", ["thrift", "dubbo"])
def test_case_01_without_tcp_routes_the_service_itself_answers(number: str, protocol: str) -> None:
    text = case(number).replace("tcp-thrift", f"tcp-{protocol}")
    client = client_of(made_of(without(text, "tcp")), "web")
    assert client.filters("10.96.3.4_9090") != ["tcp_proxy"]
    assert client.reaches("10.96.3.4_9090") == {f"outbound|9090||{ORDERS}"}


def test_case_02_a_route_to_the_http_port_takes_no_thrift_calls_and_is_named() -> None:
    """See fluxcd/flagger#263, fluxcd/flagger#1087."""
    made = made_of(case("02"))
    assert not any("|8080|" in name for name in client_of(made, "web").reaches("10.96.3.4_9090"))
    assert about(made, "VirtualService shop/orders", "8080", "9090")


def test_case_02_a_route_without_ports_to_a_host_that_speaks_http_alone_is_named() -> None:
    """A canary tool's service has only the HTTP port, which Istio uses if no port is written."""
    canary = """
apiVersion: v1
kind: Service
metadata: {name: orders-canary, namespace: shop}
spec: {clusterIP: 10.96.3.9, selector: {app: orders}, ports: [{name: grpc, port: 50051}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: orders, namespace: shop}
spec:
  hosts: [orders]
  http:
  - route:
    - {destination: {host: orders}, weight: 80}
    - {destination: {host: orders-canary}, weight: 20}
"""
    service = [item for item in objects_in(case("02")) if item["kind"] == "Service"]
    made = made_of(*service, canary)
    reached = client_of(made, "web").reaches("10.96.3.4_9090")
    assert reached == {f"outbound|9090||{ORDERS}"}
    assert about(made, "VirtualService shop/orders", "orders-canary", "50051")


def test_case_19_a_route_for_a_gateway_is_no_route_of_the_mesh() -> None:
    """See istio/istio#35695."""
    made = made_of(case("19"))
    reached = client_of(made, "web").reaches("10.96.3.4_20880")
    assert f"outbound|20880|v2|{GREETER}" in reached
    assert f"outbound|20880|v1|{GREETER}" not in reached
    assert not [item for item in made.findings if item.severity >= Severity.WARNING]


# -- views -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["consistentHash: {useSourceIp: true}", "simple: PASSTHROUGH"])
def test_case_03_a_private_rule_changes_nothing_for_the_mesh(policy: str) -> None:
    """See istio/istio#12144, istio/istio#11058."""
    text = case("03").replace("consistentHash: {useSourceIp: true}", policy)
    client = client_of(made_of(text), "web")
    assert client.filters("10.96.8.9_6379") == ["redis_proxy"]
    cluster = client.config.cluster("outbound|6379||cache.shop.svc.cluster.local")
    assert cluster.lb_policy == cluster.MAGLEV


def test_case_07_a_rule_for_the_clients_of_another_namespace_hides_no_subset() -> None:
    """See istio/istio#31730, istio/istio#14817."""
    made = made_of(case("07"))
    assert has_every_cluster(client_of(made, "web"), "10.96.3.4_20880")
    errors = [item.message for item in made.findings if item.severity is Severity.ERROR]
    assert all("other" in message for message in errors), errors


def test_case_35_clients_without_the_subset_are_named() -> None:
    """See istio/istio#31730, istio/istio#31025."""
    made = made_of(case("35"))
    assert has_every_cluster(client_of(made, "web"), "10.96.3.4_20880")
    assert has_every_cluster(client_of(made, "crm"), "10.96.3.4_20880") or about(made, "v2", "crm")


def test_case_33_a_private_entry_takes_the_listener_from_nobody_else() -> None:
    """See istio/istio#13008, istio/istio#48055, istio/istio#12144."""
    made = made_of(case("33"))
    pay = client_of(made, "pay")
    assert pay.filters("0.0.0.0_6379") == ["redis_proxy"]
    assert pay.reaches("0.0.0.0_6379") == {"outbound|6379||pay-cache.example.net"}
    crm = client_of(made, "crm")
    assert crm.filters("0.0.0.0_6379") == ["tcp_proxy"]
    assert crm.reaches("0.0.0.0_6379") == {"outbound|6379||crm-db.example.net"}


# -- listeners -------------------------------------------------------------------------------------

BLIND = """
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: blind}
spec: {egress: [{hosts: ["monitoring/*"]}]}
"""


@pytest.mark.parametrize(
    ("namespace", "dns_capture"), [("bank", True), ("monitoring", True), ("blind", False)]
)
def test_case_09_what_belongs_to_nobody_passes_through(namespace: str, dns_capture: bool) -> None:
    """See istio/istio#35242, istio/istio#34585, istio/istio#41312."""
    made = made_of(case("09") + BLIND)
    client = client_of(made, namespace, dns_capture=dns_capture)
    assert client.filters("0.0.0.0_9090", "PassthroughFilterChain") == ["tcp_proxy"]


def test_case_09_clients_with_dns_capture_have_the_filter_at_the_allocated_address() -> None:
    client = client_of(made_of(case("09")), "bank")
    assert client.filters("240.240.0.7_9090") == ["thrift_proxy"]
    assert client.reaches("240.240.0.7_9090") == {"outbound|9090||ledger.example.net"}


def test_case_15_clients_with_a_listener_of_their_own_are_named() -> None:
    """See istio/istio#41312, istio/istio#33337."""
    made = made_of(case("15"))
    assert client_of(made, "web").filters("10.96.8.3_9090") == ["thrift_proxy"]
    own = client_of(made, "front").filters("127.0.0.1_9090") == ["thrift_proxy"]
    assert own or about(made, "ledger", "front")


def test_case_10_a_filter_of_somebody_else_stays_or_is_named() -> None:
    """See zhaohuabing/istio-redis-culster#7, istio/istio#41536, istio/istio.io#10935."""
    made = made_of(case("10"))
    theirs = [item for item in made.objects if item["kind"] == "EnvoyFilter"]
    listener = client_of(made, "web", theirs).config.listener("10.96.8.1_6379")
    names = [item.name.rpartition(".")[2] for item in listener.filter_chains[0].filters]
    assert names == ["local_ratelimit", "redis_proxy"] or about(made, "istio-system/rate-limit")


# -- Redis -----------------------------------------------------------------------------------------


def test_case_04_a_password_does_not_leave_in_clear_text() -> None:
    """See istio/istio#33337, istio/istio#33336, istio/istio#13417."""
    made = made_of(case("04"))
    cluster = client_of(made, "pay").config.cluster("outbound|6379||cfg.ec.example.net")
    secured = cluster.transport_socket.name == "envoy.transport_sockets.tls"
    (group,) = cluster.load_assignment.endpoints
    port = group.lb_endpoints[0].endpoint.address.socket_address.port_value
    refused = any(item.severity is Severity.ERROR for item in made.findings)
    assert (secured and port == 6380) or refused


def test_case_05_a_server_with_a_password_keeps_its_clients() -> None:
    """See argo-cd#11546, istio.io#11078, bitnami/charts#5016, envoyproxy/envoy#9179."""
    made = made_of(case("05"))
    untouched = client_of(made, "web").filters("10.96.3.3_6379") == ["tcp_proxy"]
    assert untouched or about(made, "deploytool-redis", "AUTH")


def test_case_12_the_declared_protocol_of_an_entry_counts() -> None:
    """See istio/istio#34585, istio/istio#33336."""
    made = made_of(case("12"))
    spoken = client_of(made, "web").filters("0.0.0.0_6379") == ["redis_proxy"]
    assert spoken or about(made, "cachebox", "name")


# -- what is never silent --------------------------------------------------------------------------


def test_case_11_ports_with_a_bare_name_are_named() -> None:
    """See istio/istio#37525, istio/istio#11689, aeraki-mesh/aeraki#423."""
    made = made_of(case("11"))
    assert about(made, "Service s/quote", "tcp-dubbo")
    assert about(made, "cachy.s.svc.cluster.local", "Redis")


def test_case_17_manifests_of_git_pass_a_strict_check() -> None:
    """See stakater/application#294. The command gives services without an address a stand-in."""
    (folder,) = CASES.glob("17-*")
    command = [
        sys.executable,
        "-m",
        "aeraki_core",
        "validate",
        "--strict",
        "-f",
        str(folder / "in.yaml"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "AER0230" in result.stdout
    assert "2 filters for 1 port" in result.stderr
