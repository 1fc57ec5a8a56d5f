"""Fields that Envoy's API marks as sensitive are masked everywhere, also in an Any and a map."""

from __future__ import annotations

import json

from aeraki_core.cli.masking import masked, masked_pair
from aeraki_core.filters.envoyfilter import ConfigPatch, EnvoyFilter, FilterKey, Match
from aeraki_core.filters.patch import ApplyTo, FrozenMessage
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from google.protobuf.any_pb2 import Any
from google.protobuf.struct_pb2 import Struct


def filter_with(key: str, word: str = "plain") -> EnvoyFilter:
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_certificates=[
                TlsCertificate(
                    private_key=DataSource(inline_bytes=key.encode()),
                    certificate_chain=DataSource(inline_string="a certificate"),
                )
            ]
        )
    )
    packed = Any()
    packed.Pack(context)
    metadata = Struct()
    metadata.update({"word": word})
    cluster = Cluster(name="c", transport_socket=TransportSocket(name="tls", typed_config=packed))
    cluster.metadata.filter_metadata["aeraki"].CopyFrom(metadata)
    patch = ConfigPatch(
        ApplyTo.CLUSTER, "SIDECAR_OUTBOUND", Match(cluster="c"), "MERGE", FrozenMessage.of(cluster)
    )
    return EnvoyFilter(FilterKey("mesh", "f"), "echo", (), (), -10, (patch,))


def test_a_sensitive_field_is_masked_and_its_neighbours_are_not() -> None:
    text = json.dumps(masked(filter_with("private"), ()))
    assert "cHJpdmF0ZQ" not in text  # base64 of "private"
    assert "a certificate" in text


def test_a_value_of_a_secret_is_masked_anywhere() -> None:
    text = json.dumps(masked(filter_with("private", "from-a-secret"), {"from-a-secret"}))
    assert "from-a-secret" not in text
    assert '"word": "***"' in text


def test_equal_secrets_look_equal_and_others_do_not() -> None:
    before, after = masked_pair(filter_with("one"), filter_with("one"), ())
    assert before == after
    before, after = masked_pair(filter_with("one"), filter_with("two"), ())
    assert before != after


def test_the_filter_itself_is_not_changed() -> None:
    item = filter_with("private")
    masked(item, {"plain"})
    assert item == filter_with("private")
