"""The rig's own tests: each of its promises, seen to come true."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from .api import Object
from .control_plane import ROOT_NAMESPACE, ControlPlane
from .errors import ApiError, RigError
from .fixtures import NamespaceFactory, PodFactory, SidecarFactory
from .interception import Pod, PodNetwork
from .processes import Process, run
from .waiting import wait_until
from .workloads import Port, Workloads

pytestmark = pytest.mark.mesh

TCP_PROXY = "envoy.filters.network.tcp_proxy"
REDIS_PROXY = "envoy.filters.network.redis_proxy"
REDIS = Port("tcp-redis", 6379, 16379)
ECHO = Port("tcp-echo", 7000, 17000)


def envoy_filter(listener: str, value: Object, *, operation: str = "REPLACE") -> Object:
    """An EnvoyFilter of the root namespace that patches the tcp_proxy of an outbound listener."""
    name = f"outbound-{listener.replace('_', '-')}"
    match = {"name": listener, "filterChain": {"filter": {"name": TCP_PROXY}}}
    patch = {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": match},
        "patch": {"operation": operation, "value": value},
    }
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": name, "namespace": ROOT_NAMESPACE},
        "spec": {"configPatches": [patch]},
    }


def redis_proxy(cluster: str) -> Object:
    kind = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
    return {
        "name": REDIS_PROXY,
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "stat_prefix": "rig",
            "settings": {"op_timeout": "1s"},
            "prefix_routes": {"catch_all_route": {"cluster": cluster}},
        },
    }


def outbound(port: Port, service: str, namespace: str) -> str:
    return f"outbound|{port.port}||{service}.{namespace}.svc.cluster.local"


def listener_of(service: Object, port: Port) -> str:
    return f"{service['spec']['clusterIP']}_{port.port}"


# The control plane


def test_the_control_plane_is_real(control_plane: ControlPlane) -> None:
    version = control_plane.api.request("GET", "/version")
    assert version["gitVersion"] == "v1.36.3"
    kinds = {(each.api_version, each.kind) for each in control_plane.api.types()}
    assert ("networking.istio.io/v1alpha3", "EnvoyFilter") in kinds
    assert ("networking.istio.io/v1", "ServiceEntry") in kinds
    assert "pilot_info" in control_plane.istiod_metrics()
    assert "BEGIN CERTIFICATE" in control_plane.root_certificate()


def test_server_side_apply_watch_and_conflict(control_plane: ControlPlane, namespace: str) -> None:
    api = control_plane.api
    data: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "seen", "namespace": namespace},
        "data": {"key": "one"},
    }
    first = api.apply(data)
    events = api.watch("v1", "ConfigMap", namespace=namespace)
    # istiod writes ConfigMaps of its own into every namespace.
    assert any(event["object"]["metadata"]["name"] == "seen" for event in events)
    changed = api.apply({**data, "data": {"key": "two"}})
    assert changed["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="Conflict") as refused:
        api.replace({**first, "data": {"key": "three"}})
    assert refused.value.status == 409
    assert api.find("v1", "ConfigMap", "none", namespace=namespace) is None


def test_a_service_account_has_no_rights_of_its_own(control_plane: ControlPlane, namespace: str) -> None:
    from .api import Api

    config = json.loads(control_plane.kubeconfig_for("default", namespace).read_text())
    token = config["users"][0]["user"]["token"]
    api = Api(control_plane.server, control_plane.ca_file, token)
    with pytest.raises(ApiError, match="Forbidden"):
        api.get("v1", "Namespace", namespace)


def test_a_namespace_is_emptied_and_removed(control_plane: ControlPlane) -> None:
    api, namespaces = control_plane.api, control_plane.namespaces
    name = namespaces.make()
    Workloads(api, name).workload("redis", [REDIS])
    held: Object = {"name": "held", "namespace": name, "finalizers": ["example.org/nobody"]}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    namespaces.remove(name)
    assert api.find("v1", "Namespace", name) is None
    namespaces.make(name)
    assert not api.objects("v1", "Pod", namespace=name)
    assert not api.objects("v1", "Service", namespace=name)
    namespaces.remove(name)


def test_the_root_namespace_is_cleaned_but_keeps_what_istiod_needs(
    control_plane: ControlPlane, make_namespace: NamespaceFactory
) -> None:
    api = control_plane.api
    api.create(envoy_filter("10.96.0.99_6379", redis_proxy("none")))
    control_plane.namespaces.clean_root()
    assert not api.objects("networking.istio.io/v1alpha3", "EnvoyFilter")
    assert api.find("security.istio.io/v1", "PeerAuthentication", "default", namespace=ROOT_NAMESPACE)
    assert control_plane.root_certificate()


# Plain sidecars and the webhook


def test_an_envoy_filter_reaches_a_plain_sidecar(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    service = workloads.workload("redis", [REDIS])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener, cluster = listener_of(service, REDIS), outbound(REDIS, "redis", namespace)
    sidecar.wait_filter(listener, TCP_PROXY, lambda config: config["cluster"] == cluster)
    sidecar.wait_for(lambda each: len(each.endpoints(cluster)) == 1, "the endpoint of the cluster")

    filter_ = envoy_filter(listener, redis_proxy(cluster))
    _, warnings = control_plane.api.create_with_warnings(filter_)
    assert any("EnvoyFilter exposes internal" in warning for warning in warnings)
    found = sidecar.wait_filter(listener, REDIS_PROXY)
    assert found["stat_prefix"] == "rig"
    assert not sidecar.rejected()
    assert not sidecar.warnings()

    metadata = filter_["metadata"]
    control_plane.api.delete(filter_["apiVersion"], filter_["kind"], metadata["name"], namespace=metadata["namespace"])
    sidecar.wait_no_filter(listener, REDIS_PROXY)


@pytest.mark.parametrize("delta", [True, False])
def test_a_sidecar_has_the_inbound_listener_of_its_pod(
    delta: bool, namespace: str, workloads: Workloads, sidecar_factory: SidecarFactory
) -> None:
    pod = workloads.pod("redis-0", labels={"app": "redis"})
    workloads.workload("redis", [REDIS], pods=[pod])
    sidecar = sidecar_factory(pod, delta=delta)
    sidecar.wait_cluster(f"inbound|{REDIS.target_port}||")

    def has_chain(listener: dict[str, Any]) -> bool:
        ports = [chain.get("filter_chain_match", {}).get("destination_port") for chain in listener["filter_chains"]]
        return REDIS.target_port in ports

    sidecar.wait_listener("virtualInbound", has_chain)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"name": "x", "typed_config": {"@type": "type.googleapis.com/no.Such"}}, "no.Such"),
        (None, "missing patch value"),
    ],
)
def test_the_webhook_refuses_a_bad_envoy_filter(
    value: Object | None, message: str, control_plane: ControlPlane, namespace: str
) -> None:
    bad = envoy_filter("10.96.0.98_6379", {})
    patch = bad["spec"]["configPatches"][0]["patch"]
    patch.pop("value") if value is None else patch.update(value=value)
    with pytest.raises(ApiError, match=message) as refused:
        control_plane.api.create(bad)
    assert "denied the request" in str(refused.value)


def test_a_sidecar_says_what_it_refuses(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    """Valid for istiod but not for this Envoy: it lacks the extension, as stock proxies do."""
    service = workloads.workload("kafka", [Port("tcp-kafka", 9092)])
    sidecar = sidecar_factory(workloads.pod("client"))
    listener = f"{service['spec']['clusterIP']}_9092"
    kind = "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"
    value = {
        "name": "envoy.filters.network.kafka_broker",
        "typed_config": {"@type": f"type.googleapis.com/{kind}", "stat_prefix": "rig"},
    }
    control_plane.api.create(envoy_filter(listener, value, operation="INSERT_BEFORE"))
    refused = sidecar.wait_for(lambda envoy: envoy.rejected(), "a refused listener")
    assert "kafka_broker" in refused[listener]
    assert [each["name"] for each in sidecar.filters(listener)] == [TCP_PROXY]


# Faults


def test_istiod_comes_back_and_the_sidecar_follows(
    control_plane: ControlPlane,
    namespace: str,
    workloads: Workloads,
    sidecar_factory: SidecarFactory,
) -> None:
    sidecar = sidecar_factory(workloads.pod("client"))
    before = control_plane.root_certificate()
    control_plane.istiod.kill()
    assert not control_plane.istiod.running
    with pytest.raises(ApiError, match="failed calling webhook"):
        control_plane.api.create(envoy_filter("10.96.0.97_6379", redis_proxy("none")))
    control_plane.istiod.start()
    service = workloads.workload("late", [REDIS])
    sidecar.wait_listener(listener_of(service, REDIS), timeout=30)
    assert control_plane.root_certificate() == before


def test_the_api_server_forgets_nothing_when_it_restarts(
    control_plane: ControlPlane, namespace: str, workloads: Workloads
) -> None:
    created = workloads.service("kept", [REDIS])
    control_plane.apiserver.restart()
    found = control_plane.api.get("v1", "Service", "kept", namespace=namespace)
    assert found["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_paused_api_server_does_not_answer(control_plane: ControlPlane, namespace: str) -> None:
    from .api import Api

    impatient = Api(control_plane.server, control_plane.ca_file, "rig-admin", timeout=0.5)
    control_plane.apiserver.pause()
    with pytest.raises(HTTPError):
        impatient.get("v1", "Namespace", namespace)
    control_plane.apiserver.resume()
    assert impatient.get("v1", "Namespace", namespace)


def test_what_a_test_broke_is_healed(control_plane: ControlPlane) -> None:
    control_plane.etcd.kill()
    control_plane.istiod.pause()
    control_plane.set_mesh_config(accessLogFile="/dev/null")
    control_plane.heal()
    assert "accessLogFile" not in control_plane.mesh_config
    control_plane.namespaces.remove(control_plane.namespaces.make())


# Intercepted traffic


class EchoServer(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class EchoHandler(StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(b"echo " + line)


@contextmanager
def echo_server(pod: Pod, port: int) -> Iterator[None]:
    with pod.inside():
        server = EchoServer(("0.0.0.0", port), EchoHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def call(pod: Pod, host: str, port: int, text: str) -> str:
    with pod.inside(), create_connection((host, port), timeout=5) as connection:
        connection.sendall(text.encode() + b"\n")
        return connection.makefile().readline().strip()


def test_a_call_travels_through_both_sidecars(namespace: str, workloads: Workloads, pod_factory: PodFactory) -> None:
    client, server = pod_factory("client"), pod_factory("server")
    service = workloads.workload("server", [ECHO], pods=[server.record])
    with echo_server(server, ECHO.target_port):
        near, far = client.sidecar(), server.sidecar()
        cluster = outbound(ECHO, "server", namespace)
        near.wait_listener(listener_of(service, ECHO))
        near.wait_endpoints(cluster, [f"{server.ip}:{ECHO.target_port}"])
        inbound = f"inbound|{ECHO.target_port}||"
        far.wait_cluster(inbound)
        assert call(client, service["spec"]["clusterIP"], ECHO.port, "hello") == "echo hello"
        total = r"upstream_cx_total$"
        assert sum(n for name, n in near.stats(total).items() if cluster in name) == 1
        assert sum(n for name, n in far.stats(total).items() if inbound in name) == 1
        assert not near.warnings()
        assert not far.warnings()


def test_strict_mtls_between_sidecars_with_certificates(
    control_plane: ControlPlane, namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    control_plane.set_mesh_config(enableAutoMtls=True)
    control_plane.set_mtls("STRICT")
    client, server, stranger = (
        pod_factory("client", mtls=True),
        pod_factory("server", mtls=True),
        pod_factory("stranger"),
    )
    service = workloads.workload("server", [ECHO], pods=[server.record])
    with echo_server(server, ECHO.target_port):
        near, far = client.sidecar(), server.sidecar()
        near.wait_listener(listener_of(service, ECHO))
        near.wait_endpoints(outbound(ECHO, "server", namespace), [f"{server.ip}:{ECHO.target_port}"])
        far.wait_cluster(f"inbound|{ECHO.target_port}||")
        assert call(client, service["spec"]["clusterIP"], ECHO.port, "hello") == "echo hello"
        assert not near.warnings()
        # A worker hands its numbers on a moment later.
        far.wait_for(
            lambda each: sum(each.stats(r"listener.*15006.*ssl\.handshake$").values()) >= 1,
            "the count of the handshake",
        )
        with pytest.raises(OSError, match=r"reset|closed"):
            # Without a sidecar, so without a certificate.
            assert call(stranger, server.ip, ECHO.target_port, "hello"), "closed"
    assert not near.rejected()
    assert not far.rejected()


def test_a_program_runs_in_a_pod(pod_factory: PodFactory) -> None:
    client, server = pod_factory("client", in_mesh=False), pod_factory("server", in_mesh=False)
    program = server.process("http", [sys.executable, "-m", "http.server", "8000"])
    server.wait_listening(program, 8000)
    client.add_host("web.example", server.ip)
    fetch = "import urllib.request as r; print(r.urlopen('http://web.example:8000/').status)"
    assert client.run([sys.executable, "-c", fetch]).strip() == "200"
    server.stop()
    assert not program.running


# Nothing stays behind


def test_a_program_dies_with_its_starter(tmp_path: Path) -> None:
    """Also one that was started by a thread that has ended long ago, and its own children."""
    if os.geteuid() != 0:
        pytest.skip("a PID namespace needs root")
    script = """
import pathlib, sys, threading
from tests.rig.processes import Process
folder = pathlib.Path(sys.argv[1])
inner = "import os, signal, subprocess, sys; print(os.getpid(), flush=True); "
family = inner + "subprocess.run([sys.executable, '-c', sys.argv[1]])"
process = Process("p", [sys.executable, "-c", family, inner + "signal.pause()"], folder / "log",
                  private_pids=True)
starter = threading.Thread(target=process.start)
starter.start()
starter.join()
print(process.pid, flush=True)
threading.Event().wait()
"""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        leader = int(parent.stdout.readline())
        log = tmp_path / "log"
        wait_until(lambda: len(log.read_text().split()) == 2, 10, "both programs to run")
        session = [pid for pid in _processes() if _session(pid) == leader]
        assert len(session) >= 2
        time_of_death = time.monotonic()
        parent.kill()
    wait_until(lambda: all(not _alive(pid) for pid in session), 5, "all programs to be killed")
    assert time.monotonic() - time_of_death < 5


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_rig_of_a_person_ends_with_its_command(number: signal.Signals, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    kubeconfig = tmp_path / "kubeconfig"
    command = [sys.executable, "-m", "tests.rig", "--envoys=1", f"--kubeconfig={kubeconfig}"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("AERAKI_RIG_KEEP", None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root, env=env) as rig:
        assert rig.stdout is not None
        said = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, rig.stdout))
        assert json.loads(kubeconfig.read_text())["clusters"]
        assert any(line.startswith("Envoy") for line in said)
        children = [pid for pid in _processes() if _parent(pid) == rig.pid]
        assert len(children) == 4
        rig.send_signal(number)
    wait_until(lambda: not any(map(_alive, children)), 5, "all of it to end")
    left = list(tmp_path.glob("aeraki-rig-*"))
    if number == signal.SIGINT:
        assert rig.returncode == 130
        assert not left


def test_the_forwarding_of_a_crashed_run_is_swept(pod_network: PodNetwork, tmp_path: Path) -> None:
    script = """
import os, pathlib, signal, sys
from types import SimpleNamespace
from tests.rig.interception import PodNetwork
from tests.rig.istio import Ports
network = PodNetwork(SimpleNamespace(folder=pathlib.Path(sys.argv[1]), istiod_ports=Ports(1, 2, 3, 4, 5)))
network.start()
network.pod("some", "default")
print(network.link, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    link = Path("/sys/class/net", done.stdout.strip())
    assert link.name.startswith("rig")
    wait_until(lambda: not link.exists(), 5, "the link to go with its namespace")
    list_rules = ["iptables-save", "-t", "nat"]
    assert link.name in run(list_rules)
    pod_network.sweep()
    rules = run(list_rules)
    assert link.name not in rules
    assert pod_network.link in rules


def test_the_folder_of_a_crashed_run_is_removed(tmp_path: Path) -> None:
    script = """
import os, signal
from tests.rig.workspace import Workspace
print(Workspace().path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = Path(__file__).parents[2]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    env.pop("AERAKI_RIG_KEEP", None)
    command = [sys.executable, "-c", script]
    runs = [
        subprocess.run(command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=False) for _ in range(2)
    ]
    assert [done.returncode for done in runs] == [-signal.SIGKILL, -signal.SIGKILL]
    assert [str(path) for path in tmp_path.iterdir()] == [runs[-1].stdout.strip()]


def test_a_program_that_fails_is_shown_with_its_log(tmp_path: Path) -> None:
    process = Process("broken", ["sh", "-c", "echo no such luck; exit 3"], tmp_path / "log")
    process.start()
    with pytest.raises(RigError, match=r"(?s)broken ended with 3.*no such luck"):
        process.wait_ready(lambda: False, 5)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ["X", "0", "0", "0"]
    return text.rpartition(")")[2].split()


def _session(pid: int) -> int:
    return int(_stat(pid)[3])


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _alive(pid: int) -> bool:
    return _stat(pid)[0] not in "XZ"
