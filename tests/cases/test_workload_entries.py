"""A WorkloadEntry that listens on another port than its service says."""

from __future__ import annotations

import pytest
from aeraki_core.testing import Proxy, apply_filters, model_sidecar

from tests.reach import made_of

SELECTED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: shop}
spec:
  hosts: [ledger.example.net]
  addresses: [240.0.0.9]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: ledger}}
  ports: [{number: 9090, name: tcp-thrift, protocol: TCP, targetPort: 9091}]
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: ledger, namespace: shop}
spec:
  clusterIP: 10.96.3.4
  selector: {app: ledger}
  ports: [{name: tcp-thrift, port: 9090, targetPort: 9091}]
"""


def machine(name: str, ip: str, ports: str = "", app: str = "ledger") -> str:
    return f"""
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}, namespace: shop, labels: {{app: {app}}}}}
spec: {{address: {ip}, ports: {{{ports}}}}}
"""


def filters_of(text: str, ip: str) -> dict[int, set[str]]:
    """The last filters of a workload's chains, by destination port."""
    made = made_of(text)
    proxy = Proxy("shop", ip=ip, labels={"app": "ledger"})
    config = apply_filters(model_sidecar(made.objects, proxy), made.filters).config
    found: dict[int, set[str]] = {}
    for chain in config.listener("virtualInbound").filter_chains:
        port = chain.filter_chain_match.destination_port.value
        if 9000 < port < 15000:
            name = chain.filters[-1].name.rpartition(".")[2]
            found.setdefault(port, set()).add(name)
    return found


@pytest.mark.parametrize("service", [SELECTED, SERVICE], ids=["ServiceEntry", "Service"])
def test_each_workload_has_the_filter_where_it_listens(service: str) -> None:
    text = service + machine("a", "10.2.0.1", "tcp-thrift: 12000") + machine("b", "10.2.0.2")
    assert filters_of(text, "10.2.0.1") == {12000: {"thrift_proxy"}}
    assert filters_of(text, "10.2.0.2") == {9091: {"thrift_proxy"}}


def test_other_ports_and_other_workloads_do_not_count() -> None:
    text = SELECTED + machine("a", "10.2.0.1", "other: 12000")
    text += machine("b", "10.2.0.2", "tcp-thrift: 12001", app="web")
    targets = {
        patch["match"]["listener"]["filterChain"]["destinationPort"]
        for patch in made_of(text).patches("NETWORK_FILTER")
        if patch["match"]["context"] == "SIDECAR_INBOUND"
    }
    assert targets == {9091}
