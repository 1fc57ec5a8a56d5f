"""How istiod lets a client's proxy speak TLS to an upstream.

A DestinationRule's ``tls`` becomes the cluster's transport socket. Without one a cluster of the
mesh has two to choose from by endpoint: Istio's mutual TLS for workloads with a sidecar, plaintext
for the others (auto mTLS). Certificates come from istiod's agent by name (SDS). Istio source:
pilot/pkg/networking/core/cluster_tls.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext

from aeraki_core.filters.patch import pack

__all__ = ["FILE_CERTIFICATE", "FILE_ROOT", "TLS", "add_upstream_tls"]

TLS = "envoy.transport_sockets.tls"
FILE_ROOT, FILE_CERTIFICATE = "file-root:", "file-cert:"
"""How the names of certificates in files begin; two paths are separated by ``~``."""

_IN_MESH = ("istio",)
_HTTP2 = ("h2",)
_AGENTS_OWN = ("default", "ROOTCA")
"""Certificates that the agent always has, so Envoy waits for them without limit."""
_RAW = TransportSocket(name="envoy.transport_sockets.raw_buffer", typed_config=pack(RawBuffer()))


def add_upstream_tls(
    cluster: Cluster,
    settings: Mapping[str, Any],
    *,
    default_sni: str,
    automatic: bool,
    selects: bool,
    http2: bool,
) -> None:
    """Set a cluster's transport socket or sockets.

    ``settings``: the DestinationRule's ``tls``; empty without.
    ``default_sni``: of Istio's mutual TLS where the rule names none.
    ``automatic``: without settings, workloads that have a sidecar are called by mutual TLS.
    ``selects``: the rule has a workloadSelector; without one a credentialName counts for nothing.
    ``http2``: the service speaks HTTP/2, which ALPN says.
    """
    mode = str(settings.get("mode") or ("" if not settings else "DISABLE"))
    if mode == "ISTIO_MUTUAL":
        sni = str(settings.get("sni") or default_sni)
        cluster.transport_socket.CopyFrom(_socket(_mutual(settings, sni, http2)))
    elif mode in ("SIMPLE", "MUTUAL"):
        if settings.get("credentialName") and not selects:
            return
        cluster.transport_socket.CopyFrom(_socket(_own(settings, http2, mutual=mode == "MUTUAL")))
    elif not mode and automatic:
        socket = _socket(_mutual({}, default_sni, http2))
        if cluster.type == Cluster.ORIGINAL_DST:
            # Without endpoints there is nothing to choose by.
            cluster.transport_socket.CopyFrom(socket)
            return
        match = cluster.transport_socket_matches.add(name="tlsMode-istio", transport_socket=socket)
        match.match.update({"tlsMode": "istio"})
        plain = cluster.transport_socket_matches.add(name="tlsMode-disabled", transport_socket=_RAW)
        plain.match.SetInParent()


def _mutual(settings: Mapping[str, Any], sni: str, http2: bool) -> UpstreamTlsContext:
    context = _context(sni)
    common = context.common_tls_context
    common.alpn_protocols.extend((*_IN_MESH, *(_HTTP2 if http2 else ())))
    common.tls_certificate_sds_secret_configs.append(_sds("default"))
    _add_validation(common, settings, "ROOTCA")
    return context


def _own(settings: Mapping[str, Any], http2: bool, *, mutual: bool) -> UpstreamTlsContext:
    context = _context(str(settings.get("sni") or ""))
    common = context.common_tls_context
    common.alpn_protocols.extend(_HTTP2 if http2 else ())
    credential = settings.get("credentialName")
    if credential:
        name = f"kubernetes://{credential}"
        certificate, root = name, f"{name}-cacert"
    else:
        pair = f"{settings.get('clientCertificate', '')}~{settings.get('privateKey', '')}"
        certificate = FILE_CERTIFICATE + pair
        root = FILE_ROOT + str(settings.get("caCertificates") or "system")
    if mutual:
        common.tls_certificate_sds_secret_configs.append(_sds(certificate))
    if settings.get("insecureSkipVerify"):
        common.validation_context.SetInParent()
    else:
        _add_validation(common, settings, root)
    return context


def _context(sni: str) -> UpstreamTlsContext:
    context = UpstreamTlsContext(sni=sni)
    parameters = context.common_tls_context.tls_params
    parameters.tls_minimum_protocol_version = TlsParameters.TlsProtocol.Value("TLSv1_2")
    parameters.tls_maximum_protocol_version = TlsParameters.TlsProtocol.Value("TLSv1_3")
    return context


def _add_validation(common: CommonTlsContext, settings: Mapping[str, Any], root: str) -> None:
    validation = common.combined_validation_context
    validation.default_validation_context.SetInParent()
    validation.validation_context_sds_secret_config.CopyFrom(_sds(root))
    names = settings.get("subjectAltNames")
    for name in names if isinstance(names, list) else ():
        validation.default_validation_context.match_subject_alt_names.add(exact=str(name))


def _sds(name: str) -> SdsSecretConfig:
    secret = SdsSecretConfig(name=name)
    source = secret.sds_config
    if name in _AGENTS_OWN:
        source.initial_fetch_timeout.SetInParent()
    source.resource_api_version = 2  # V3
    source.api_config_source.api_type = source.api_config_source.ApiType.Value("GRPC")
    source.api_config_source.set_node_on_first_message_only = True
    source.api_config_source.transport_api_version = 2  # V3
    source.api_config_source.grpc_services.add().envoy_grpc.cluster_name = "sds-grpc"
    return secret


def _socket(context: UpstreamTlsContext) -> TransportSocket:
    return TransportSocket(name=TLS, typed_config=pack(context))
