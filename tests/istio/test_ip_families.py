"""Proxies with IPv4, IPv6 and both: each has the listeners that we name, and all are patched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from aeraki_core.testing import Proxy, model_sidecar

from tests.istio.truth import GROUP, as_file, chains_at, chains_of, entry, istio
from tests.kubernetes.running import Running
from tests.rig.control_plane import ControlPlane
from tests.rig.fixtures import SidecarFactory
from tests.rig.workloads import Port, Workloads

pytestmark = pytest.mark.mesh

THRIFT = Port("tcp-thrift", 9190, 19190)
HEADLESS, ALLOCATED, PLAIN, RANGE, NONE = (
    Port("tcp-thrift", number) for number in (9191, 9192, 9193, 9194, 9195)
)
PORTS = {port.port for port in (THRIFT, HEADLESS, ALLOCATED, PLAIN, RANGE, NONE)}
SERVER_IP = "fd00:20::7"

PROXIES = {
    "ipv4": Proxy(ip="10.20.200.1"),
    "ipv6": Proxy(ip="fd00:20::1"),
    "dual": Proxy(ip="10.20.200.2", dual_stack=True),
    "dual, IPv6 first": Proxy(ip="fd00:20::2", dual_stack=True),
}


def ips(proxy: Proxy) -> str:
    if not proxy.dual_stack:
        return proxy.ip
    return f"{proxy.ip},{'10.20.200.9' if ':' in proxy.ip else 'fd00:20::9'}"


def port_of(listener: str) -> int:
    number = listener.rpartition("_")[2]
    return int(number) if number.isdecimal() else 0


def test_every_listener_of_every_family_is_patched(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
    tmp_path: Path,
) -> None:
    for name, families in {
        "v4": ["IPv4"],
        "v6": ["IPv6"],
        "v46": ["IPv4", "IPv6"],
        "v64": ["IPv6", "IPv4"],
    }.items():
        workloads.service(name, [THRIFT], families=families)
    workloads.service("headless", [HEADLESS], headless=True, families=["IPv6"])
    server = workloads.pod("server", ip=SERVER_IP, labels={"app": "v6"})
    workloads.endpoints("headless", [HEADLESS], [server])
    workloads.endpoints("v6", [THRIFT], [server])
    for item in (
        entry("allocated", namespace, ALLOCATED),
        entry("plain", namespace, PLAIN, "240.9.1.1", "2001:DB8:0:0::7"),
        entry("range", namespace, RANGE, "2001:db8:1::/64"),
        istio(
            "ServiceEntry",
            "none",
            namespace,
            {
                "hosts": ["none.example.org"],
                "ports": [{"number": NONE.port, "name": NONE.name, "protocol": "TCP"}],
                "resolution": "NONE",
            },
        ),
    ):
        control_plane.api.create(item)
    with Running(control_plane.kubeconfig, ["thrift"]) as running:
        running.wait(
            lambda: (
                control_plane.api.get(GROUP, "ServiceEntry", "allocated", namespace=namespace)
                .get("status", {})
                .get("addresses")
            ),
            "the allocated addresses",
        )
        objects = json.loads(
            as_file(control_plane.api, [namespace], tmp_path / "mesh.json").read_text("utf-8")
        )["items"]
        for number, (kind, proxy) in enumerate(PROXIES.items()):
            for captures in (True, False):
                pod = workloads.pod(
                    f"client-{number}-{captures}".lower(), ip=proxy.ip if captures else None
                )
                metadata = {
                    "INSTANCE_IPS": ips(proxy),
                    **({"DNS_CAPTURE": "true"} if captures else {}),
                }
                sidecar = sidecar_factory(pod, metadata=metadata)
                model = Proxy(
                    namespace, ip=proxy.ip, dual_stack=proxy.dual_stack, dns_capture=captures
                )
                names = {
                    item.name
                    for item in model_sidecar(objects, model).outbound
                    if item.name != "virtualOutbound"
                }
                assert {port_of(name) for name in names} == PORTS
                for name in names:
                    sidecar.wait_filter(name, "envoy.filters.network.thrift_proxy")
                found = {
                    name: item
                    for name, item in sidecar.listeners().items()
                    if port_of(name) in PORTS
                }
                assert found.keys() == names, kind
                (shared,) = (
                    item for name, item in found.items() if name.endswith(f"_{RANGE.port}")
                )
                assert chains_of(shared) == {
                    "": ("thrift_proxy",),
                    "PassthroughFilterChain": ("tcp_proxy",),
                }
                assert not sidecar.rejected(), kind
                sidecar.stop()
        far = sidecar_factory(server)
        far.wait_for(
            lambda envoy: chains_at(envoy, THRIFT.target_port) == {("thrift_proxy",): 1},
            "the chain of the workload",
        )
        assert not running.controller.findings
