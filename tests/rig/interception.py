"""Pods as network namespaces: real traffic, redirected through real sidecars by iptables.

All of it hangs on processes that die with us, so that nothing stays behind even after a crash: the
"node" is a network namespace with a bridge, each pod another one with a veth pair to that bridge,
and the kernel removes a namespace with its links and rules when its last process has ended. Only a
port forwarding to istiod lives outside; it names the node's link, so it is dead without it and the
next run sweeps it. Nothing of the machine's own firewall lies on the way between two pods.

Needs root, iproute2, iptables and util-linux (``tests/rig/setup.sh``).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from . import agent
from .bootstrap import Node
from .control_plane import ControlPlane
from .errors import RigError, RigUnavailableError
from .lifetime import Startable
from .netns import Holder, enter_network
from .processes import Process, find_tool, run
from .redirect import ADMIN_PORT, PROXY_GROUP, RULES
from .sidecar import PlainSidecar, Sidecar
from .workloads import PodRecord

# The benchmarking range of RFC 2544: real networks do not use it.
_POOL = ipaddress.IPv4Network("198.18.0.0/15")
_LINK_PREFIX = "rig"
_TLS_LABEL = "security.istio.io/tlsMode"


class PodNetwork(Startable):
    """The node: a bridge for pods, and a way from them to istiod and the API server.

    A context manager. Several can exist on a machine at once.

    Args:
        plane: pods reach its istiod and API server at `gateway`, on the ports that these have on
        127.0.0.1.
    """

    def __init__(self, plane: ControlPlane) -> None:
        if os.geteuid() != 0:
            raise RigUnavailableError(
                "network namespaces need root: run the tests of intercepted traffic as root"
            )
        self.plane = plane
        self._folder = plane.folder / "pods"
        self._istiod = plane.istiod_ports
        self._apiserver_port = urlsplit(plane.server).port or 443
        self._ip, self._iptables = find_tool("ip"), find_tool("iptables")
        self._holder = Holder("node", self._folder / "node")
        self._subnet = self._unused_subnet()
        # The lower half is the pods' own network. The link to this machine has its addresses in
        # the upper one: pods must answer by the gateway, not look for us on their bridge.
        self._pod_subnet, upper_half = self._subnet.subnets(prefixlen_diff=1)
        self._machine, self._node = (str(each) for each in list(upper_half.hosts())[:2])
        self._addresses = deque(str(each) for each in self._pod_subnet.hosts())
        self.gateway = self._addresses.popleft()
        """The node's address, seen from pods; istiod's ports and the API server's are there."""
        # Its process id makes the link's name unique on this machine; 15 characters at most.
        self.link = f"{_LINK_PREFIX}{os.getpid()}-{self._subnet.network_address.packed[2]}"
        self._pods: list[Pod] = []

    def start(self) -> None:
        """Makes the bridge and the way to the control plane.

        Raises:
            RigError: a command failed, for example because the kernel lacks a feature.
        """
        self.sweep()
        try:
            self._holder.start()
            self._make_bridge()
            self._make_way_to_control_plane()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops all pods and removes all links and rules."""
        while self._pods:
            self._pods[-1].stop()
        self._holder.stop()
        with suppress(RigError):  # it goes with the namespace, but not at the same instant
            run([self._ip, "link", "delete", self.link])
        self.sweep()

    def pod(
        self,
        name: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | None = None,
        service_account: str = "default",
        mtls: bool = False,
    ) -> Pod:
        """Starts a pod: an empty network namespace with an address. It has no sidecar yet.

        Nothing is written to the API server; use ``Workloads.pod(name, ip=pod.ip)`` for that.

        Args:
            labels: by default ``{"app": name}``.
            mtls: its sidecar shall have certificates, and others may call it by mTLS.
        """
        if not self._addresses:
            raise RigError(f"all addresses of {self._pod_subnet} are in use: stop some pods")
        address = self._addresses.popleft()
        # What Istio's injector writes: clients speak mTLS only to pods with this label.
        kind = {_TLS_LABEL: "istio"} if mtls else {}
        labels = {**(labels if labels is not None else {"app": name}), **kind}
        number = len(list(self._folder.glob("pod-*")))
        pod = Pod(
            PodRecord(name, namespace, address, labels, service_account),
            self,
            self._folder / f"pod-{number}-{name}",
        )
        pod.start()
        self._pods.append(pod)
        return pod

    # For Pod

    @property
    def xds(self) -> tuple[str, int]:
        """The xDS address of istiod without TLS, seen from pods."""
        return self.gateway, self._istiod.grpc

    def attach(self, holder: Holder, address: str) -> None:
        """Gives a namespace a link to the bridge and an address."""
        port = f"p{holder.pid}"
        self._in_node(f"link add {port} type veth peer name eth0 netns {holder.pid}")
        self._in_node(f"link set {port} master br0 up")
        prefix = self._pod_subnet.prefixlen
        commands = [
            f"address add {address}/{prefix} dev eth0",
            "link set eth0 up",
            # Service addresses need a route, else the kernel refuses before iptables redirects.
            f"route add default via {self.gateway}",
        ]
        holder.run([self._ip, "-batch", "-"], stdin="\n".join(commands))

    def forget(self, pod: Pod) -> None:
        """Called by a pod that was stopped."""
        if pod in self._pods:
            self._pods.remove(pod)
            self._addresses.append(pod.ip)

    # Inside

    def _make_bridge(self) -> None:
        self._in_node("link add br0 type bridge")
        self._in_node(f"address add {self.gateway}/{self._pod_subnet.prefixlen} dev br0")
        self._in_node("link set br0 up")

    def _make_way_to_control_plane(self) -> None:
        """Link the node with this machine, and forward the control plane's ports.

        The tests reach pods through the link too.
        """
        machine, node, link = self._machine, self._node, self.link
        commands = [
            f"link add {link} type veth peer name up0 netns {self._holder.pid}",
            f"address add {machine}/32 peer {node}/32 dev {link}",
            f"link set {link} up",
            f"route add {self._pod_subnet} via {node} dev {link} src {machine}",
        ]
        run([self._ip, "-batch", "-"], stdin="\n".join(commands))
        self._in_node(f"address add {node}/32 peer {machine}/32 dev up0")
        self._in_node("link set up0 up")
        self._holder.write("/proc/sys/net/ipv4/ip_forward", "1")
        forwards = [
            f"-A PREROUTING -d {self.gateway} -p tcp --dport "
            f"{port} -j DNAT --to-destination {machine}:{port}"
            for port in self._forwarded_ports()
        ]
        rules = "\n".join(["*nat", *forwards, "COMMIT", ""])
        self._holder.run([find_tool("iptables-restore")], stdin=rules)
        # Lets a packet from this link, and no other, be forwarded to 127.0.0.1.
        Path(f"/proc/sys/net/ipv4/conf/{link}/route_localnet").write_text("1", encoding="utf-8")
        for port in self._forwarded_ports():
            rule = f"-i {link} -p tcp -d {machine} --dport {port}".split()
            target = ["-j", "DNAT", "--to-destination", f"127.0.0.1:{port}"]
            run([self._iptables, "-w", "-t", "nat", "-A", "PREROUTING", *rule, *target])

    def _forwarded_ports(self) -> tuple[int, ...]:
        return (
            self._istiod.grpc,
            self._istiod.secure_grpc,
            self._istiod.https,
            self._apiserver_port,
        )

    def _in_node(self, command: str) -> None:
        self._holder.run([self._ip, *command.split()])

    def _unused_subnet(self) -> ipaddress.IPv4Network:
        """The first /24 of the pool that no route of this machine leads to."""
        routes = run([self._ip, "-4", "route", "show"])
        used = {found.rsplit(".", 1)[0] for found in re.findall(r"\d+\.\d+\.\d+\.\d+", routes)}
        start = os.getpid() % 256  # so that two that start at once do not choose alike
        subnets = list(_POOL.subnets(new_prefix=24))
        for subnet in subnets[start:] + subnets[:start]:
            if str(subnet.network_address).rsplit(".", 1)[0] not in used:
                return subnet
        raise RigError(f"no free /24 in {_POOL}: are there networks of other runs? `ip route`")

    def sweep(self) -> None:
        """Removes forwardings whose link is gone: those of a run that crashed, or our own.

        Done at every start.
        """
        links = {path.name for path in Path("/sys/class/net").iterdir()}
        for rule in run([self._iptables, "-w", "-t", "nat", "-S", "PREROUTING"]).splitlines():
            found = re.search(rf"-i ({_LINK_PREFIX}\d+-\d+) ", rule)
            if found and found[1] not in links:
                with suppress(RigError):  # another run sweeps too
                    run([self._iptables, "-w", "-t", "nat", "-D", *rule.split()[1:]])


class Pod:
    """A network namespace with an address, programs in it, and perhaps a sidecar."""

    def __init__(self, record: PodRecord, network: PodNetwork, folder: Path) -> None:
        self.record = record
        """What `Workloads.endpoints` needs."""
        self.name, self.ip = record.name, record.ip
        self._network = network
        self._folder = folder
        self._holder = Holder(record.name, folder)
        self._processes: list[Process] = []
        self._sidecars: list[Sidecar] = []

    def __enter__(self) -> Pod:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Makes the namespace; `PodNetwork.pod` has called it."""
        self._holder.start()
        self._network.attach(self._holder, self.ip)

    def stop(self) -> None:
        """Stops all that runs in it and removes it."""
        for sidecar in self._sidecars:
            sidecar.stop()
        for process in self._processes:
            process.stop(timeout=2)
        self._holder.stop()
        self._network.forget(self)

    def add_host(self, name: str, address: str) -> None:
        """Lets programs in the pod resolve a name (its ``/etc/hosts``)."""
        with (self._folder / "hosts").open("a", encoding="utf-8") as hosts:
            hosts.write(f"{address} {name}\n")

    def process(
        self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None
    ) -> Process:
        """Starts a program in the pod and returns at once; the pod's end stops it.

        Its log is ``log_text()`` of what is returned. Use `wait_listening` for a server.
        """
        wrapped = self._holder.wrap(list(argv))
        process = Process(f"{name} in {self.name}", wrapped, self._folder / f"{name}.log", env=env)
        process.start()
        self._processes.append(process)
        return process

    def run(self, argv: Sequence[str], *, stdin: str = "", timeout: float = 30) -> str:
        """Runs a program in the pod to its end and returns its output.

        Raises:
            RigError: it failed or took longer than `timeout` seconds.
        """
        return self._holder.run(argv, stdin=stdin, timeout=timeout)

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program in the pod, for other starters of programs.

        Only the network and ``/etc/hosts`` are the pod's own; files and users are the machine's.
        """
        return self._holder.wrap(list(argv))

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Puts the calling thread into the pod's network: sockets that it makes are the pod's.

        So is what its new threads make; ``/etc/hosts`` stays the machine's. For clients and small
        servers in the test itself.
        """
        with (
            Path("/proc/thread-self/ns/net").open("rb") as ours,
            Path(f"/proc/{self._holder.pid}/ns/net").open("rb") as pods,
        ):
            enter_network(pods.fileno())
            try:
                yield
            finally:
                enter_network(ours.fileno())

    def wait_listening(self, process: Process, port: int, timeout: float = 15) -> None:
        """Waits until something in the pod listens on a TCP port.

        Looks at the kernel's table, so no connection disturbs the server or goes to the sidecar.

        Raises:
            RigError: the process ended, or does not listen within `timeout` seconds.
        """
        tables = [f"/proc/{self._holder.pid}/net/tcp{family}" for family in ("", "6")]
        wanted = re.compile(rf"^\s*\d+: [0-9A-F]+:{port:04X} \S+ 0A ", re.MULTILINE)

        def listens() -> bool:
            return any(wanted.search(Path(table).read_text()) for table in tables)

        process.wait_ready(listens, timeout)

    def connections(self, address: str, port: int) -> frozenset[int]:
        """The local ports of the pod's open connections to an address, as its programs see them.

        Looks at the kernel's table: a connection that was closed and made anew has another port.
        """
        number = int.from_bytes(ipaddress.IPv4Address(address).packed, "little")
        found = re.compile(
            rf"^ *\d+: [0-9A-F]+:([0-9A-F]{{4}}) {number:08X}:{port:04X} 01 ", re.MULTILINE
        )
        # Java's sockets may be IPv6 ones with an IPv4 address.
        mapped = re.compile(
            rf"^ *\d+: [0-9A-F]+:([0-9A-F]{{4}}) 0{{16}}FFFF0000{number:08X}:{port:04X} 01 ",
            re.MULTILINE,
        )
        folder = Path(f"/proc/{self._holder.pid}/net")
        ports = [
            *found.findall((folder / "tcp").read_text()),
            *mapped.findall((folder / "tcp6").read_text()),
        ]
        return frozenset(int(each, 16) for each in ports)

    def intercept(self) -> None:
        """Redirects the pod's TCP traffic to its sidecar, with Istio's usual rules.

        Done by `sidecar`; useful alone for a sidecar that another program starts.
        """
        self._holder.run([find_tool("iptables-restore")], stdin=RULES)

    def sidecar(
        self,
        *,
        delta: bool = True,
        all_stats: bool = True,
        metadata: Mapping[str, object] | None = None,
    ) -> Sidecar:
        """Starts an Envoy as the pod's sidecar and redirects the pod's traffic through it.

        In a pod with mTLS pilot-agent drives it, with the certificate of the pod's ServiceAccount.
        istiod gives it inbound listeners if a Pod with this address was written before.

        Args:
            delta: incremental xDS, or state of the world; for one without mTLS.
            all_stats: keep all counters, not only those that Istio keeps by default; one without
                mTLS always keeps all.
            metadata: what else the node's metadata shall hold.
        """
        node = Node.of(self.record, metadata)
        folder = self._folder / f"sidecar-{len(self._sidecars)}"
        wrap = partial(self._holder.wrap, group=PROXY_GROUP)
        sidecar: Sidecar
        if _TLS_LABEL in self.record.labels:
            for host in agent.istiod_hosts():
                self.add_host(host, self._network.gateway)
            # Envoy is the agent's child and would outlive it.
            wrap = partial(wrap, cwd=folder, private_pids=True)
            sidecar = agent.AgentSidecar(
                node, self._network.plane, folder, wrap=wrap, all_stats=all_stats
            )
        else:
            admin = (self.ip, ADMIN_PORT)
            xds = self._network.xds
            sidecar = PlainSidecar(node, xds, folder, delta=delta, admin=admin, wrap=wrap)
        self.intercept()
        self._sidecars.append(sidecar)
        sidecar.start()
        return sidecar
