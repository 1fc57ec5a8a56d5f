"""TLS to upstreams without istiod's agent: certificates come from files.

What only a mesh has, Istio's mutual TLS and credentials of Kubernetes, becomes plaintext. Endpoints
on this machine have no ``tlsMode`` label, so of a cluster's transport_socket_matches the plaintext
one counts: they are left out.
"""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext

from aeraki_core.filters.patch import pack
from aeraki_core.testing.sidecar.tls import FILE_CERTIFICATE, FILE_ROOT, TLS

__all__ = ["with_local_tls"]

_FROM_FILES = (FILE_CERTIFICATE, FILE_ROOT)


def with_local_tls(cluster: Cluster) -> Cluster:
    """Return the cluster with certificates of this machine; it is changed in place."""
    del cluster.transport_socket_matches[:]
    socket = cluster.transport_socket
    context = UpstreamTlsContext()
    if socket.name != TLS or not socket.typed_config.Unpack(context):
        return cluster
    common = context.common_tls_context
    secrets = {item.name for item in common.tls_certificate_sds_secret_configs}
    secrets.add(common.combined_validation_context.validation_context_sds_secret_config.name)
    if any(name and not name.startswith(_FROM_FILES) for name in secrets):
        cluster.ClearField("transport_socket")
        return cluster
    _read_certificates(common)
    _read_root(common)
    socket.typed_config.CopyFrom(pack(context))
    return cluster


def _read_certificates(common: CommonTlsContext) -> None:
    for secret in list(common.tls_certificate_sds_secret_configs):
        if secret.name.startswith(FILE_CERTIFICATE):
            chain, key = secret.name.removeprefix(FILE_CERTIFICATE).split("~")
            certificate = common.tls_certificates.add()
            certificate.certificate_chain.filename = chain
            certificate.private_key.filename = key
            common.tls_certificate_sds_secret_configs.remove(secret)


def _read_root(common: CommonTlsContext) -> None:
    combined = common.combined_validation_context
    root = combined.validation_context_sds_secret_config.name
    if root.startswith(FILE_ROOT):
        validation = CertificateValidationContext()
        validation.CopyFrom(combined.default_validation_context)
        path = root.removeprefix(FILE_ROOT)
        if path == "system":
            validation.system_root_certs.SetInParent()
        else:
            validation.trusted_ca.filename = path
        common.validation_context.CopyFrom(validation)
