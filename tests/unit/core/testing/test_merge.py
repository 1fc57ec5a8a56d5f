"""How istiod merges messages: where it differs from protobuf, and where not."""

from __future__ import annotations

import pytest
from aeraki_core.filters.patch import pack
from aeraki_core.testing.sidecar.merge import merge, merge_any
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.duration_pb2 import Duration


def test_a_duration_is_replaced_as_a_whole() -> None:
    target = Cluster(connect_timeout=Duration(seconds=1, nanos=500))
    merge(target, Cluster(connect_timeout=Duration(seconds=2)))
    assert target.connect_timeout == Duration(seconds=2)


def test_messages_merge_field_by_field() -> None:
    target = Cluster(name="a")
    target.circuit_breakers.thresholds.add().max_connections.value = 1
    source = Cluster(alt_stat_name="s")
    source.circuit_breakers.thresholds.add().max_requests.value = 2
    merge(target, source)
    assert (target.name, target.alt_stat_name, len(target.circuit_breakers.thresholds)) == (
        "a",
        "s",
        2,
    )


def test_lists_can_be_replaced_at_any_depth() -> None:
    target, source = Cluster(), Cluster()
    target.circuit_breakers.thresholds.add().max_connections.value = 1
    source.circuit_breakers.thresholds.add().max_requests.value = 2
    merge(target, source, replace_lists=True)
    assert [item.max_requests.value for item in target.circuit_breakers.thresholds] == [2]


def test_map_entries_are_replaced_one_by_one() -> None:
    target, source = Cluster(), Cluster()
    target.typed_extension_protocol_options["a"].Pack(TcpProxy(cluster="old"))
    target.typed_extension_protocol_options["b"].Pack(Echo())
    source.typed_extension_protocol_options["a"].Pack(TcpProxy(stat_prefix="new"))
    merge(target, source)
    found = TcpProxy()
    assert target.typed_extension_protocol_options["a"].Unpack(found)
    assert (found.cluster, found.stat_prefix) == ("", "new")
    assert set(target.typed_extension_protocol_options) == {"a", "b"}


def test_another_member_of_a_oneof_takes_over() -> None:
    target = Cluster(type=Cluster.DiscoveryType.Value("EDS"))
    source = Cluster()
    source.cluster_type.name = "envoy.clusters.x"
    merge(target, source)
    assert target.WhichOneof("cluster_discovery_type") == "cluster_type"


def test_an_empty_message_that_is_set_is_set_in_the_target() -> None:
    source = Cluster()
    source.common_lb_config.SetInParent()
    target = Cluster()
    merge(target, source)
    assert target.HasField("common_lb_config")


def test_any_merges_what_it_holds() -> None:
    target = pack(TcpProxy(cluster="c", stat_prefix="old"))
    merge_any(target, pack(TcpProxy(stat_prefix="new")))
    found = TcpProxy()
    assert target.Unpack(found)
    assert found == TcpProxy(cluster="c", stat_prefix="new")


def test_any_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Echo cannot be merged into a .*TcpProxy"):
        merge_any(pack(TcpProxy()), pack(Echo()))
