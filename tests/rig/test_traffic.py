"""Traffic between pods travels through their sidecars, with mutual TLS too."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socket import create_connection
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from .control_plane import ControlPlane
from .fixtures import PodFactory
from .interception import Pod
from .names import listener_of, outbound
from .samples import ECHO
from .workloads import Workloads

pytestmark = pytest.mark.mesh


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


def test_a_call_travels_through_both_sidecars(
    namespace: str, workloads: Workloads, pod_factory: PodFactory
) -> None:
    client, server = pod_factory("client"), pod_factory("server")
    service = workloads.workload("server", [ECHO], pods=[server.record])
    with echo_server(server, ECHO.target_port):
        near, far = client.sidecar(), server.sidecar()
        cluster = outbound("server", namespace, ECHO)
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
        near.wait_endpoints(
            outbound("server", namespace, ECHO), [f"{server.ip}:{ECHO.target_port}"]
        )
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
