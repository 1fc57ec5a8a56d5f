"""Effects of a configuration change on connections under traffic (docs/changes.md for users).

Envoy gets its listeners over ADS here, as from istiod. The drain time, 45 s in Istio, is one
second.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest
from aeraki_core.testing import (
    Envoy,
    EnvoyConfig,
    Proxy,
    Sandbox,
    destination_rule,
    generate,
    service,
    to_envoy,
)
from redis import ResponseError
from thrift.transport.TTransport import TTransportException

from tests.dataplane.support import Mesh, cluster
from tests.dataplane.support_changes import LATE_ANSWERS, Load, Traffic, traffic
from tests.dataplane.support_dubbo import DUBBO_PROXY, GENERIC_PROXY, PORTS, PROXIES, options
from tests.dataplane.support_thrift import PORTS as THRIFT_PORTS
from tests.peers import zookeeper
from tests.peers.dubbo import DubboClient, DubboServer
from tests.peers.needs import REDIS, ZOOKEEPER, need
from tests.peers.thrift import ThriftClient, ThriftServer
from tests.waiting import wait_until

pytestmark = [pytest.mark.dataplane, pytest.mark.envoy]

THRIFT_PROXY, REDIS_PROXY = "thrift", "redis"
DRAIN = 1
LONG_DRAIN = 60  # longer than any of these tests: nothing is cut by its end

# The end of a connection, as clients of all protocols see it.
CUT = (EOFError, ConnectionError, TTransportException)


def check_needs(protocol: str) -> None:
    if protocol == REDIS_PROXY:
        need(*REDIS)


def connect_anew(found: Traffic) -> Any:
    """A connection that the changed listener took; None if the old one still did."""
    made = found.connect(found.address)
    if found.call(made) == found.after:
        return made
    made.close()
    return None


# -- routes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [DUBBO_PROXY, THRIFT_PROXY])
def test_open_connections_keep_the_old_routes_until_they_are_cut_at_the_end_of_the_drain(
    mesh: Mesh, protocol: str
) -> None:
    drain = 2 * DRAIN
    with traffic(protocol, mesh, drain) as found:
        bystander = found.connect(found.bystander)
        idle = found.connect(found.address)
        with Load(found) as load:
            wait_until(lambda: load.answered_by == {found.before}, 10, "answers")
            started = time.monotonic()
            found.change()
            fresh = wait_until(lambda: connect_anew(found), 10, "a connection with the new routes")
            assert found.call(idle) == found.before
            wait_until(lambda: load.answered_by == {found.after}, 10, "new routes")
        for notes in load.notes:
            (_, first), (cut, error), (_, last) = notes
            assert (first, last) == (found.before, found.after), notes
            assert error in {
                "EOFError",
                "ConnectionResetError",
                "BrokenPipeError",
                "TTransportException",
            }
            assert cut - started >= drain * 0.9
        with pytest.raises(CUT):
            found.call(idle)
        # What was opened after the change, and what belongs to another service, stays.
        assert found.call(fresh) == found.after
        assert found.call(bystander) == found.before
        for made in (bystander, idle, fresh):
            made.close()


@pytest.mark.parametrize("protocol", [GENERIC_PROXY, REDIS_PROXY])
def test_open_connections_are_closed_with_their_next_answer(mesh: Mesh, protocol: str) -> None:
    check_needs(protocol)
    with traffic(protocol, mesh, LONG_DRAIN) as found:
        bystander = found.connect(found.bystander)
        idle = found.connect(found.address)
        assert found.call(idle) == found.before
        with Load(found) as load:
            wait_until(lambda: load.answered_by == {found.before}, 10, "answers")
            found.change()
            wait_until(lambda: load.answered_by == {found.after}, 10, "new routes")
        for notes in load.notes:
            (_, first), (_, error), (_, last) = notes
            assert (first, last) == (found.before, found.after), notes
            assert error in {
                "EOFError",
                "ConnectionResetError",
                "BrokenPipeError",
                "ConnectionError",
            }
        # Until then it is open; that answer is still of the old routes.
        assert found.call(idle) == found.before
        with pytest.raises(Exception, match=r"closed|reset|Broken"):
            found.call(idle)
        assert found.call(bystander) == found.before
        for made in (bystander, idle):
            made.close()


@pytest.mark.parametrize("protocol", [DUBBO_PROXY, GENERIC_PROXY, THRIFT_PROXY, REDIS_PROXY])
def test_an_idle_connection_is_closed_at_the_end_of_the_drain(mesh: Mesh, protocol: str) -> None:
    check_needs(protocol)
    with (
        traffic(protocol, mesh, DRAIN) as found,
        socket.create_connection(found.address, timeout=10) as idle,
    ):
        connections = f"listener.{found.address[0]}_{found.address[1]}.downstream_cx_active"
        found.sidecar.envoy.wait_for_stat(connections)
        started = time.monotonic()
        found.change()
        assert idle.recv(1) == b""
        assert time.monotonic() - started >= DRAIN * 0.9


# -- calls in flight -------------------------------------------------------------------------------


def test_generic_proxy_answers_all_calls_in_flight_before_it_closes(mesh: Mesh) -> None:
    with traffic(GENERIC_PROXY, mesh, LONG_DRAIN) as found, DubboClient(found.address) as client:
        with found.server.holding():
            slow = client.send("slow", attachments={"peer-pause": "0.2"})
            quick = client.send("quick")
            found.server.wait_for_calls(2)
            found.change()
        assert [client.receive(each).server for each in (quick, slow)] == ["v1", "v1"]
        with pytest.raises(CUT):
            client.call("x")


def test_redis_answers_all_commands_in_flight_before_it_closes(mesh: Mesh) -> None:
    need(*REDIS)
    with traffic(REDIS_PROXY, mesh, LONG_DRAIN) as found:
        made = found.connect(found.address)
        with found.server.frozen():
            for _ in range(2):
                made.connection.send_command("GET", "name")
            found.sidecar.envoy.wait_for_stat(
                f"cluster.{cluster('cache', 6379)}.upstream_rq_active", 2
            )
            found.change()
        assert [made.connection.read_response() for _ in range(2)] == ["v1", "v1"]
        with pytest.raises(Exception, match=r"closed|reset|Broken"):
            found.call(made)
        made.close()


def test_dubbo_proxy_loses_calls_in_flight_at_the_end_of_the_drain(mesh: Mesh) -> None:
    with traffic(DUBBO_PROXY, mesh, DRAIN) as found, DubboClient(found.address) as client:
        quick = client.send("quick", attachments={"peer-pause": "0.2"})
        slow = client.send("slow", attachments={"peer-pause": "3"})
        found.change()
        assert client.receive(quick).server == "v1"
        with pytest.raises(CUT):
            client.receive(slow)


def test_thrift_proxy_loses_calls_in_flight_at_the_end_of_the_drain(mesh: Mesh) -> None:
    with traffic(THRIFT_PROXY, mesh, DRAIN) as found, ThriftClient(found.address) as client:
        started = time.monotonic()
        found.change()
        with pytest.raises(CUT):
            client.call("pause", 3)
        assert DRAIN * 0.9 <= time.monotonic() - started < 3


# -- what is no change of a listener ---------------------------------------------------------------


@pytest.mark.parametrize("protocol", [DUBBO_PROXY, GENERIC_PROXY, THRIFT_PROXY])
def test_a_changed_cluster_closes_no_connection_and_loses_no_call(
    mesh: Mesh, protocol: str
) -> None:
    """Example: a DestinationRule's trafficPolicy. Only connections to servers are replaced."""
    with traffic(protocol, mesh, LONG_DRAIN) as found:
        made = found.connect(found.address)
        with Load(found) as load:
            wait_until(lambda: load.answered_by == {found.before}, 10, "answers")
            for seconds in range(1, 6):
                found.sidecar.update(
                    objects=[with_connect_timeout(item, seconds) for item in found.objects]
                )
                assert found.call(made) == found.before
        assert [len(notes) for notes in load.notes] == [1] * len(load.notes), load.notes
        made.close()


def test_a_changed_cluster_fails_commands_of_redis_in_flight(mesh: Mesh) -> None:
    """With an error as their answer; the connection stays."""
    need(*REDIS)
    with traffic(REDIS_PROXY, mesh, LONG_DRAIN) as found:
        rules = [
            destination_rule("cache", "cache", trafficPolicy=connect_timeout(seconds))
            for seconds in (1, 2)
        ]
        found.sidecar.update(objects=[*found.objects, rules[0]])
        made = found.connect(found.address)
        assert found.call(made) == found.before
        with found.server.frozen():
            made.connection.send_command("GET", "name")
            stat = f"cluster.{cluster('cache', 6379)}.upstream_rq_active"
            found.sidecar.envoy.wait_for_stat(stat)
            found.sidecar.update(objects=[*found.objects, rules[1]])
            with pytest.raises(ResponseError, match="upstream failure"):
                made.connection.read_response()
        assert found.call(made) == found.before
        made.close()


def with_connect_timeout(item: Mapping[str, Any], seconds: int) -> Mapping[str, Any]:
    if item["kind"] != "DestinationRule":
        return item
    return {**item, "spec": {**item["spec"], "trafficPolicy": connect_timeout(seconds)}}


def connect_timeout(seconds: int) -> dict[str, Any]:
    return {"connectionPool": {"tcp": {"connectTimeout": f"{seconds}s"}}}


# -- filters that come and go ----------------------------------------------------------------------


def test_a_filter_that_comes_or_goes_drains_too(mesh: Mesh) -> None:
    mesh.tolerate = LATE_ANSWERS
    with ThriftServer("v1") as server:
        address = mesh.service("ledger", THRIFT_PORTS, server.address)
        with_filter = list(mesh.objects)
        without = [renamed(item, "tcp-plain") for item in with_filter]
        mesh.objects[:] = without
        sidecar = mesh.client(drain_seconds=2 * DRAIN)

        def connect(filtered: bool) -> ThriftClient | None:
            """A connection with or without the filter; None if it is still of the other kind."""
            made = ThriftClient(address)
            before = counted()
            made.call("x")
            if (counted() > before) is filtered:
                return made
            made.close()
            return None

        def counted() -> int:
            return sidecar.envoy.stats().get(f"thrift.{cluster('ledger', 9090)}.request", 0)

        for objects, filtered in ((with_filter, True), (without, False)):
            with ThriftClient(address) as old, ThriftClient(address) as idle:
                old.call("x")
                sidecar.update(objects=objects)
                fresh = wait_until(partial(connect, filtered), 10, "a new connection")
                assert fresh is not None
                with fresh:
                    before = counted()
                    old.call("x")
                    assert (counted() > before) is not filtered
                    wait_until(partial(is_cut, old), 10, "the end of the drain")
                    assert is_cut(idle)
                    assert not is_cut(fresh)


def is_cut(made: DubboClient | ThriftClient) -> bool:
    try:
        made.call("x")
    except CUT:
        return True
    return False


def renamed(item: Mapping[str, Any], port: str) -> Mapping[str, Any]:
    ports = [{**each, "name": port} for each in item["spec"]["ports"]]
    return {**item, "spec": {**item["spec"], "ports": ports}}


# -- the workloads' side ---------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [DUBBO_PROXY, GENERIC_PROXY])
def test_a_change_at_the_workload_can_abort_dubbo_proxy_at_the_client(
    sidecars: Sandbox, loopback: Callable[[], str], engine: str
) -> None:
    """The end of its drain ends a server's connection during a call (test_dubbo_calls.py)."""
    mesh = Mesh(sidecars, loopback)
    with DubboServer("v1") as server:
        address = mesh.service("greeter", PORTS, annotations=options(engine))
        workload = mesh.workload(
            "greeter", 20880, server.address, mesh=PROXIES, drain_seconds=DRAIN
        )
        mesh.lead("greeter", 20880, workload)
        client = mesh.client(mesh=PROXIES)
        of_server = mesh.sidecars[0]
        with DubboClient(address) as made, server.holding():
            waiting = made.send("x")
            server.wait_for_calls(1)
            of_server.update(objects=[without_inbound(item) for item in mesh.objects])
            # generic_proxy waits for the answer until the drain ends; then the call is lost as
            # well.
            assert made.receive(waiting).status == 80
        if engine == DUBBO_PROXY:
            wait_until(
                lambda: client.envoy.exit_code is not None, 10, "the client's sidecar to end"
            )
        else:
            with DubboClient(address) as made:
                assert made.call("x").server == "v1"


def without_inbound(item: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = item["metadata"]
    annotations = {**metadata["annotations"], "dubbo.aeraki.io/inbound": "false"}
    return {**item, "metadata": {**metadata, "annotations": annotations}}


@pytest.mark.parametrize(
    ("option", "others_stay"),
    [({"inbound": "false"}, True), ({"buffer_limit_bytes": "33554432"}, False)],
    ids=str,
)
def test_the_workloads_other_ports_drain_too_only_when_the_listener_itself_changes(
    envoy: Envoy, loopback: Callable[[], str], option: dict[str, str], others_stay: bool
) -> None:
    """All ports of a workload are chains of virtualInbound, here bound to two addresses."""
    ip = loopback()
    ports = {"tcp-dubbo": 20880, "tcp-plain": 20881}

    def config(**given: str) -> EnvoyConfig:
        labels = {"app": "greeter"}
        made = generate(service("greeter", ports, selector=labels, annotations=options(**given)))
        patched = made.sidecar(Proxy(labels=labels)).config
        config = to_envoy(
            patched,
            endpoints={f"inbound|{number}||": [server.address] for number in ports.values()},
        )
        (listener,) = (item for item in config.listeners if item.name == "virtualInbound")
        del listener.listener_filters[
            0
        ]  # the one that asks for the destination before it was redirected
        listener.bind_to_port.value = True
        listener.address.socket_address.address, listener.address.socket_address.port_value = (
            ip,
            20880,
        )
        listener.additional_addresses.add().address.CopyFrom(listener.address)
        listener.additional_addresses[0].address.socket_address.port_value = 20881
        return EnvoyConfig((listener,), config.clusters)

    with (
        DubboServer("v1") as server,
        envoy.run_live(config(), drain_seconds=DRAIN) as running,
        DubboClient((ip, 20880)) as changed,
        DubboClient((ip, 20881)) as other,
    ):
        assert changed.call("x").server == other.call("x").server == "v1"
        running.push(config(**option))
        wait_until(lambda: is_cut(changed), 10, "the end of the drain")
        if others_stay:
            assert other.call("x").server == "v1"
        else:
            wait_until(lambda: is_cut(other), 10, "the end of the other port's drain")


# -- ZooKeeper -------------------------------------------------------------------------------------


def test_a_session_of_zookeeper_outlives_the_end_of_the_drain(mesh: Mesh) -> None:
    need(*ZOOKEEPER)
    with zookeeper.ZooKeeperServer() as server:
        address = mesh.service("keeper", {"tcp-zookeeper": 2181}, server.address)
        changed = [with_packet_limit(item) for item in mesh.objects]
        sidecar = mesh.client(drain_seconds=DRAIN)
        with zookeeper.client(address) as session:
            states: list[str] = []
            session.add_listener(states.append)
            session.create("/mine", b"1", ephemeral=True)
            seen: list[object] = []
            session.exists("/theirs", watch=seen.append)
            identity = session.client_id
            sidecar.update(objects=changed)
            wait_until(lambda: states == ["SUSPENDED", "CONNECTED"], 10, "a new connection")
            assert session.retry(session.get, "/mine")[0] == b"1"
            assert session.client_id == identity
            with zookeeper.client(server.address) as other:
                other.create("/theirs", b"")
            wait_until(lambda: seen, 10, "the watch")


def with_packet_limit(item: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = {"zookeeper.aeraki.io/max-packet-bytes": "2000000"}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}
