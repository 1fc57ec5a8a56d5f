"""How istiod is started in the rig, and the objects that an installation of Istio brings."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .api import Object

ROOT_NAMESPACE = "istio-system"

DEFAULT_MESH_CONFIG: Mapping[str, Any] = {
    "rootNamespace": ROOT_NAMESPACE,
    "trustDomain": "cluster.local",
    # Plain sidecars have no certificates.
    "enableAutoMtls": False,
}

DEFAULT_ENV: Mapping[str, str] = {
    "POD_NAMESPACE": ROOT_NAMESPACE,
    "POD_NAME": "istiod-rig",
    # The names in its certificate: clients reach it by either.
    "ISTIOD_CUSTOM_HOST": f"127.0.0.1,istiod.{ROOT_NAMESPACE}.svc",
    # A vanilla Envoy lacks the filters that these would put into every listener.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
}


@dataclass(frozen=True)
class Ports:
    """istiod's ports on 127.0.0.1."""

    grpc: int
    """xDS without TLS, 15010 by custom: any client is served."""
    secure_grpc: int
    """xDS and certificates over TLS, 15012 by custom: needs a ServiceAccount's token."""
    https: int
    """The webhook, 15017 by custom."""
    http: int
    """Readiness and debug pages, 8080 by custom."""
    monitoring: int
    """Prometheus metrics, 15014 by custom."""


def command(program: Path, kubeconfig: Path, mesh_config: Path, ports: Ports) -> list[str]:
    """The command line of istiod."""
    return [
        str(program),
        "discovery",
        f"--kubeconfig={kubeconfig}",
        f"--meshConfig={mesh_config}",
        "--networksConfig=/dev/null",
        f"--grpcAddr=127.0.0.1:{ports.grpc}",
        f"--secureGRPCAddr=127.0.0.1:{ports.secure_grpc}",
        f"--httpsAddr=127.0.0.1:{ports.https}",
        f"--httpAddr=127.0.0.1:{ports.http}",
        f"--monitoringAddr=127.0.0.1:{ports.monitoring}",
        "--ctrlz_port=0",
    ]


def peer_authentication(mode: str, namespace: str = ROOT_NAMESPACE) -> Object:
    """The mesh-wide (or, elsewhere, a namespace's) mTLS mode: DISABLE, PERMISSIVE, STRICT."""
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {"mtls": {"mode": mode}},
    }


def webhook(port: int, ca_certificate: str) -> Object:
    """The validating webhook of istiod, as Istio's chart installs it, but by address."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "rig-istio-validator"},
        "webhooks": [
            {
                "name": "rig.validation.istio.io",
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/validate",
                    "caBundle": b64encode(ca_certificate.encode()).decode(),
                },
                "rules": [
                    {
                        "operations": ["CREATE", "UPDATE"],
                        "apiGroups": [
                            "security.istio.io",
                            "networking.istio.io",
                            "telemetry.istio.io",
                            "extensions.istio.io",
                        ],
                        "apiVersions": ["*"],
                        "resources": ["*"],
                    }
                ],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }
