"""A sidecar as in a real mesh: pilot-agent drives Envoy and gets its certificates from istiod.

It needs a network of its own, because it uses Istio's fixed ports: see `interception.Pod.sidecar`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .bootstrap import Node
from .control_plane import ControlPlane
from .istio import ROOT_NAMESPACE
from .processes import find_tool
from .redirect import ADMIN_PORT
from .sidecar import Sidecar

_ISTIOD_HOST = f"istiod.{ROOT_NAMESPACE}.svc"
# The agent's files, below its working directory.
_TEMPLATE = "var/lib/istio/envoy/envoy_bootstrap_tmpl.json"
_TOKEN = "var/run/secrets/tokens/istio-token"
_ROOT_CERTIFICATE = "var/run/secrets/istio/root-cert.pem"
_LABELS = "etc/istio/pod/labels"


def istiod_hosts() -> list[str]:
    """The names by which the agent looks for istiod: what its certificate says."""
    return [_ISTIOD_HOST]


class AgentSidecar(Sidecar):
    """An Envoy under pilot-agent, with the certificate of a ServiceAccount and xDS over TLS.

    Args:
        plane: gives the token and the root certificate, as kubelet would.
        folder: is its working directory.
        wrap: turns its command line into the one that is run in a pod's network.
        all_stats: keep all counters; otherwise the few that Istio keeps by default.

    Raises:
        ApiError: there is no such ServiceAccount.
    """

    def __init__(
        self,
        node: Node,
        plane: ControlPlane,
        folder: Path,
        *,
        wrap: Callable[[list[str]], list[str]],
        all_stats: bool = True,
    ) -> None:
        token = plane.api.token(node.service_account, node.namespace, audience="istio-ca")
        labels = "".join(f"{key}={json.dumps(value)}\n" for key, value in node.labels.items())
        files = {
            _TEMPLATE: _with_reachable_admin(plane.artifacts.envoy_bootstrap.read_text("utf-8")),
            _TOKEN: token,
            _ROOT_CERTIFICATE: plane.root_certificate(),
            _LABELS: labels,
        }
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        argv = [str(plane.artifacts.pilot_agent), "proxy", "sidecar"]
        proxy_config: dict[str, object] = {
            "discoveryAddress": f"{_ISTIOD_HOST}:{plane.istiod_ports.secure_grpc}",
            "binaryPath": find_tool("envoy"),
            "concurrency": 1,
            "terminationDrainDuration": "0s",
        }
        if all_stats:
            proxy_config["proxyStatsMatcher"] = {"inclusionRegexps": [".*"]}
        env = {
            "POD_NAME": node.name,
            "POD_NAMESPACE": node.namespace,
            "INSTANCE_IP": node.ip,
            "SERVICE_ACCOUNT": node.service_account,
            "TRUST_DOMAIN": "cluster.local",
            "PROXY_CONFIG": json.dumps(proxy_config),
            "ISTIO_META_CLUSTER_ID": "Kubernetes",
            "ISTIO_META_INTERCEPTION_MODE": "REDIRECT",
            **{f"ISTIO_META_{key}": str(value) for key, value in node.metadata.items()},
        }
        super().__init__(
            node,
            wrap(argv),
            folder,
            admin=f"{node.ip}:{ADMIN_PORT}",
            env=env,
        )


def _with_reachable_admin(template: str) -> str:
    """The template with the admin interface on all addresses, so that tests reach it."""
    before, admin, after = template.partition('"admin": {')
    return before + admin + after.replace("{{ .localhost }}", "{{ .wildcard }}", 1)
