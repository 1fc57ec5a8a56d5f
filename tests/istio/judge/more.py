"""Further kinds for random meshes, beside those of `meshes`.

They are drawn with random numbers of their own, so that a seed keeps its first objects when a kind
is added here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aeraki_core.testing import (
    destination_rule,
    endpoint_slice,
    service,
    service_entry,
    virtual_service,
)

from tests.istio.judge.choices import (
    AGES,
    CART,
    ENTRY_HOSTS,
    HOSTS,
    NAMESPACES,
    NETWORK,
    PORTS,
    PROTOCOLS,
    SUBSETS,
    Choices,
    istio,
)
from tests.rig.api import Object

__all__ = ["MoreKinds"]

_SIDE = "10.96.200.4"
_VM_HOST = "vm.j0.example.com"
_ROUTED = (*HOSTS, _VM_HOST, "side.j0-shop.svc.cluster.local")


class MoreKinds(Choices):
    """One to three further kinds of objects."""

    def objects(self) -> list[Object]:
        """Draw the objects, with ages."""
        kinds: tuple[Callable[[], list[Object]], ...] = (
            self._named_ports,
            self._external_name,
            self._declared_protocols,
            self._workloads,
            self._egress,
            self._ingress,
            self._foreign_filter,
            self._other_sections,
            self._canary,
            self._policies,
            self._redis_cluster,
        )
        drawn = [content for kind in self._some(kinds, 1, 3) for content in kind()]
        for content in drawn:
            content["metadata"]["creationTimestamp"] = self._pick(*AGES[:2])
        return drawn

    # Services

    def _named_ports(self) -> list[Object]:
        """A Service whose ports have the names and protocols of everybody's charts."""
        ports = [self._port(number) for number in self._some(PORTS, 1, 2)]
        spec: dict[str, Any] = self._pick(
            {}, {}, {"externalIPs": ["240.1.0.9"]}, {"type": "LoadBalancer"}
        )
        content = service(
            "side",
            {},
            namespace=self._namespace(),
            cluster_ip=self._pick(_SIDE, _SIDE, "None") if not spec else _SIDE,
            selector={"app": self._pick("side", "cart")},
            annotations=self._annotations(),
            **spec,
        )
        content["spec"]["ports"] = ports
        targets = {each["name"]: each["targetPort"] for each in ports}
        addresses = self._some(("240.1.0.104", "240.1.0.110"), 0, 2)
        namespace = content["metadata"]["namespace"]
        return [content, endpoint_slice("side", addresses, targets, namespace=namespace)]

    def _port(self, number: int) -> Object:
        last = number % 100
        port: Object = self._pick(
            {"name": f"redis-{last}"},
            {"name": f"mongo-{last}"},
            {"name": f"mysql-{last}"},
            {"name": f"tls-{last}"},
            {"name": f"https-{last}"},
            {"name": f"grpc-{last}"},
            {"name": f"sniffed-{last}"},
            {"name": f"tcp-dubbo-{last}", "appProtocol": "tcp"},
            {"name": f"sniffed-{last}", "appProtocol": "redis"},
            {"name": f"sniffed-{last}", "appProtocol": "thrift"},
            {"name": f"http-{last}", "appProtocol": "dubbo"},
            {"name": f"tcp-dubo-{last}"},
            {"name": f"tcp-redis-{last}", "protocol": "UDP"},
            {"name": f"tcp-{self._pick(*PROTOCOLS)}-{last}"},
        )
        return {**port, "port": number, "targetPort": number + 50}

    def _annotations(self) -> dict[str, str]:
        drawn: dict[str, str] = {"dubbo.aeraki.io/engine": "dubbo_proxy"}
        if exported := self._pick(None, None, ".", "j0-crm,."):
            drawn["networking.istio.io/exportTo"] = exported
        if self._chance(0.15):
            drawn["aeraki.io/exclude"] = self._pick("true", str(PORTS[0]))
        return drawn

    def _external_name(self) -> list[Object]:
        content = service(
            "side",
            {f"tcp-{self._pick(*PROTOCOLS)}-{number % 100}": number for number in PORTS[:2]},
            namespace=self._namespace(),
            annotations=self._annotations(),
            type="ExternalName",
            externalName=self._pick(*ENTRY_HOSTS, CART),
        )
        del content["spec"]["clusterIP"]
        return [content]

    def _declared_protocols(self) -> list[Object]:
        """A ServiceEntry with protocols, several hosts or addresses, and port maps."""
        resolution = self._pick("NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN")
        spec: dict[str, Any] = {"location": self._pick("MESH_INTERNAL", "MESH_EXTERNAL")}
        if addresses := self._pick(
            [], ["240.1.0.4"], ["240.1.0.4", "240.1.0.5"], ["2001:db8:0::7"], ["240.1.0.4/32"]
        ):
            spec["addresses"] = addresses
        if exported := self._exported():
            spec["exportTo"] = exported
        content = service_entry(
            "j0-declared",
            self._pick([_VM_HOST], [_VM_HOST, "two.j0.example.com"], [self._pick(*ENTRY_HOSTS)]),
            {},
            namespace=self._namespace(),
            resolution=resolution,
            annotations={"dubbo.aeraki.io/engine": "dubbo_proxy"},
            **spec,
        )
        ports = [self._declared_port(number) for number in self._some(PORTS, 1, 2)]
        content["spec"]["ports"] = ports
        if resolution == "STATIC" or (resolution != "NONE" and self._chance(0.5)):
            address = "240.1.0.121" if resolution == "STATIC" else "vm.example.org"
            endpoint: Object = {"address": address, "labels": {"version": "v1"}}
            if self._chance(0.5):
                endpoint["ports"] = {ports[0]["name"]: 30071}
            content["spec"]["endpoints"] = [endpoint]
        return [content]

    def _declared_port(self, number: int) -> Object:
        last = number % 100
        protocol = self._pick("TCP", "TCP", "REDIS", "MONGO", "HTTP", "HTTPS", "TLS", "GRPC")
        name = self._pick(f"tcp-{self._pick(*PROTOCOLS)}-{last}", f"port-{last}", f"redis-{last}")
        port: Object = {"name": name, "number": number, "protocol": protocol}
        if self._chance(0.3):
            port["targetPort"] = number + 60
        return port

    def _workloads(self) -> list[Object]:
        """WorkloadEntries behind a ServiceEntry with a selector, or behind a Service."""
        namespace = self._namespace()
        name = f"tcp-{self._pick(*PROTOCOLS)}-1"
        app = self._pick("vm", "vm", "cart", "stock")
        drawn = []
        for number in range(self._number(1, 2)):
            spec: Object = {"address": f"240.1.0.{130 + number}", "labels": {"app": app}}
            if self._chance(0.5):
                spec["ports"] = {name: 30081 + number}
            drawn.append(istio("WorkloadEntry", f"j0-vm-{number}", spec, namespace=namespace))
        entry = service_entry(
            "j0-vms",
            [_VM_HOST],
            {name: PORTS[0]},
            namespace=namespace,
            resolution=self._pick("STATIC", "STATIC", "NONE"),
            annotations=self._annotations(),
            location="MESH_INTERNAL",
            workloadSelector={"labels": {"app": app}},
            **self._pick({}, {"addresses": ["240.1.0.6"]}),
        )
        return [*drawn, entry]

    # Sidecars

    def _egress(self) -> list[Object]:
        """A default Sidecar with several entries, exclusions or a policy of its own."""
        hosts = self._pick(
            ["*/*", "~j0-shop/*"],
            ["*/*", f"~*/{CART}"],
            ["./*", "j0-shop/*", "istio-system/*"],
            ["*/*.j0.example.com"],
            ["j0-shop/*.j0-shop.svc.cluster.local", "*/api.j0.example.com"],
            ["*/*"],
        )
        last: Object = {"hosts": hosts}
        if self._chance(0.1):
            last["captureMode"] = "NONE"
        egress = [*(self._egress_port(number) for number in self._some(PORTS, 0, 2)), last]
        spec: Object = {"egress": egress if self._chance(0.8) else egress[:-1] or egress}
        if mode := self._pick(None, "REGISTRY_ONLY", "ALLOW_ANY"):
            spec["outboundTrafficPolicy"] = {"mode": mode}
        return [istio("Sidecar", "j0-own", spec, namespace=self._namespace())]

    def _egress_port(self, number: int) -> Object:
        protocol = self._pick("TCP", "TCP", "HTTP", "REDIS", "TLS", "THRIFT")
        entry: Object = {
            "port": {"number": number, "protocol": protocol, "name": f"own-{number % 100}"},
            "hosts": self._pick(["*/*"], ["j0-shop/*"], ["./*"], [f"*/{self._pick(*ENTRY_HOSTS)}"]),
        }
        entry |= self._pick(
            {}, {}, {"bind": "127.0.0.1"}, {"bind": "0.0.0.0"}, {"bind": "240.1.0.1"}
        )
        if self._chance(0.3):
            entry["captureMode"] = self._pick("NONE", "IPTABLES", "DEFAULT")
        return entry

    def _ingress(self) -> list[Object]:
        """A Sidecar of the servers, with an inbound listener of its own."""
        port = {"number": PORTS[0] + 50, "protocol": self._pick("TCP", "HTTP"), "name": "in"}
        ingress: Object = {"port": port}
        ingress |= self._pick({}, {"defaultEndpoint": "127.0.0.1:30061"})
        spec = {"ingress": [ingress], "egress": [{"hosts": ["*/*"]}]}
        return [istio("Sidecar", "j0-servers", spec, namespace=self._namespace())]

    # What speaks about services

    def _foreign_filter(self) -> list[Object]:
        """Somebody's EnvoyFilter for a listener, a chain's tcp_proxy or a cluster."""
        number = self._pick(*PORTS)
        of_tcp_proxy = {
            "listener": {
                "portNumber": number,
                "filterChain": {"filter": {"name": "envoy.filters.network.tcp_proxy"}},
            }
        }
        idle = {
            "name": "envoy.filters.network.tcp_proxy",
            "typed_config": {
                "@type": f"{NETWORK}.tcp_proxy.v3.TcpProxy",
                "idle_timeout": "77s",
            },
        }
        limit = {
            "name": "envoy.filters.network.local_ratelimit",
            "typed_config": {
                "@type": f"{NETWORK}.local_ratelimit.v3.LocalRateLimit",
                "stat_prefix": "more",
                "token_bucket": {"max_tokens": 10, "fill_interval": "1s"},
            },
        }
        what, match, operation, value = self._pick(
            ("NETWORK_FILTER", of_tcp_proxy, "MERGE", idle),
            ("NETWORK_FILTER", of_tcp_proxy, "INSERT_FIRST", limit),
            ("NETWORK_FILTER", of_tcp_proxy, "INSERT_BEFORE", limit),
            ("LISTENER", {"listener": {"portNumber": number}}, "MERGE", {"stat_prefix": "more"}),
            (
                "CLUSTER",
                {"cluster": {"portNumber": number}},
                "MERGE",
                {"connect_timeout": "3s"},
            ),
        )
        patch = {
            "applyTo": what,
            "match": {"context": "SIDECAR_OUTBOUND", **match},
            "patch": {"operation": operation, "value": value},
        }
        spec: Object = {"configPatches": [patch]}
        if what != "LISTENER":
            spec["priority"] = self._pick(-20, 0, 5)
        content = istio("EnvoyFilter", "j0-more", spec, namespace=self._namespace(root=True))
        return [{**content, "apiVersion": "networking.istio.io/v1alpha3"}]

    def _other_sections(self) -> list[Object]:
        """Routes for TLS, for gateways, for several hosts, by delegates and by labels."""
        namespace = self._namespace(root=True)
        hosts = self._pick(
            [self._pick(*_ROUTED), self._pick(*_ROUTED)],
            ["*.j0.example.com"],
            ["*.j0-shop.svc.cluster.local"],
            ["cart"],
        )
        destination = {"destination": {"host": self._pick(*_ROUTED)}}
        spec: dict[str, Any] = self._pick(
            {"tls": [{"match": [{"port": PORTS[0], "sniHosts": hosts}], "route": [destination]}]},
            {"tcp": [{"match": [{"sourceLabels": {"app": "cart"}}], "route": [destination]}]},
            {"tcp": [{"match": [{"sourceLabels": {"app": "x"}}], "route": [destination]}]},
            {
                "tcp": [
                    {"match": [{"destinationSubnets": ["240.1.0.0/24"]}], "route": [destination]},
                    {
                        "match": [{"destinationSubnets": ["240.1.0.0/30", "10.96.200.0/31"]}],
                        "route": [{"destination": {"host": _ROUTED[0]}}],
                    },
                ]
            },
            {"tcp": [{"match": [{"gateways": ["j0-shop/door"]}], "route": [destination]}]},
            {
                "gateways": ["mesh", "j0-shop/door"],
                "tcp": [
                    {"match": [{"gateways": ["j0-shop/door"]}], "route": [destination]},
                    {"match": [{"gateways": ["mesh"], "port": PORTS[1]}], "route": [destination]},
                ],
            },
            {"http": [{"redirect": {"uri": "/"}}]},
            {"http": [{"directResponse": {"status": 503}}]},
            {"http": [{"route": [destination], "timeout": "2s", "retries": {"attempts": 2}}]},
            {"http": [{"match": [{"sourceLabels": {"app": "cart"}}], "route": [destination]}]},
            {"http": [{"delegate": {"name": "j0-delegate", "namespace": "j0-shop"}}]},
        )
        if exported := self._exported():
            spec["exportTo"] = exported
        routes = virtual_service("j0-other", hosts, namespace=namespace, **spec)
        delegate = virtual_service(
            "j0-delegate", [], namespace="j0-shop", http=[{"route": [destination]}]
        )
        del delegate["spec"]["hosts"]
        return [routes, delegate]

    def _canary(self) -> list[Object]:
        """A service with an HTTP port beside ours, and the http section of a canary tool."""
        ports = {"http-1": (30001, 30051), f"tcp-{self._pick(*PROTOCOLS)}-2": (30002, 30052)}
        namespace = self._namespace()
        host = f"side.{namespace}.svc.cluster.local"
        content = service(
            "side", ports, namespace=namespace, cluster_ip=_SIDE, annotations=self._annotations()
        )
        targets = {
            "destination": {"host": host, **self._pick({}, {"port": {"number": 30001}})},
            "weight": 90,
        }
        other = {"destination": {"host": self._pick(*_ROUTED)}, "weight": 10}
        match: Object = self._pick({}, {"match": [{"port": 30001}]}, {"match": [{"port": 30002}]})
        spec: dict[str, Any] = {"http": [{**match, "route": [targets, other]}]}
        if self._chance(0.4):
            spec["tcp"] = [{"match": [{"port": 30002}], "route": [targets, other]}]
        return [content, virtual_service("j0-canary", [host], namespace=namespace, **spec)]

    def _policies(self) -> list[Object]:
        """A DestinationRule with settings of ports and subsets, or for some workloads."""
        level: Object = {"port": {"number": self._pick(*PORTS)}, **self._policy()}
        spec: dict[str, Any] = self._pick(
            {"trafficPolicy": {"portLevelSettings": [level]}},
            {"trafficPolicy": {**self._policy(), "portLevelSettings": [level]}},
            {"trafficPolicy": self._policy()},
            {},
        )
        if exported := self._exported():
            spec["exportTo"] = exported
        content = destination_rule(
            "j0-policies", self._pick(*_ROUTED), {}, namespace=self._namespace(root=True), **spec
        )
        content["spec"]["subsets"] = [
            {"name": name, "labels": {"version": name}, "trafficPolicy": self._policy()}
            for name in self._some(SUBSETS, 0, 2)
        ]
        return [content]

    def _policy(self) -> Object:
        drawn: Object = self._pick(
            {"tls": {"mode": "SIMPLE", "sni": "redis.example.org"}},
            {"tls": {"mode": "ISTIO_MUTUAL"}},
            {"tls": {"mode": "DISABLE"}},
            {"loadBalancer": {"simple": "RANDOM"}},
            {"loadBalancer": {"simple": "ROUND_ROBIN"}},
            {"loadBalancer": {"consistentHash": {"maglev": {}, "useSourceIp": True}}},
            {"connectionPool": {"tcp": {"connectTimeout": "2s", "maxConnections": 9}}},
            {"outlierDetection": {"baseEjectionTime": "9s"}},
        )
        return drawn

    def _redis_cluster(self) -> list[Object]:
        """A Redis Cluster, with a rule that asks for TLS, seen from several namespaces."""
        host = self._pick(_VM_HOST, CART, self._pick(*ENTRY_HOSTS))
        namespace = self._namespace()
        entry = service_entry(
            "j0-cluster",
            [host],
            {"tcp-redis-3": PORTS[2]},
            namespace=namespace,
            resolution=self._pick("DNS", "STATIC", "NONE"),
            **self._pick({}, {"addresses": ["240.1.0.7"]}),
            **self._pick({}, {"exportTo": [".", "j0-crm"]}),
        )
        if entry["spec"]["resolution"] == "STATIC":
            entry["spec"]["endpoints"] = [{"address": "240.1.0.122"}]
        if self._chance(0.3):
            entry["spec"]["ports"][0]["targetPort"] = 30063
        rule = destination_rule(
            "j0-cluster",
            host,
            {},
            namespace=self._pick(namespace, *NAMESPACES[:3]),
            trafficPolicy=self._policy(),
        )
        redis: Object = {"mode": "CLUSTER"}
        if self._chance(0.5):
            redis["auth"] = {"plain": {"password": "secret"}}
        destination: Object = {
            "apiVersion": "redis.aeraki.io/v1alpha1",
            "kind": "RedisDestination",
            "metadata": {"name": "j0-cluster", "namespace": namespace},
            "spec": {"host": host, "trafficPolicy": {"connectionPool": {"redis": redis}}},
        }
        return [entry, rule, destination]
