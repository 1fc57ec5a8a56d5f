"""The least rights that the controller needs, as RBAC manifests.

In: the active plugins' kinds and the names of the installation. Out: a ClusterRole for what it reads and writes in the mesh, and
a Role for the Lease in its own namespace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from aeraki_core.types import Kind

__all__ = ["bindings", "roles", "rules"]

_READ = ["get", "list", "watch"]
_WRITE = ["create", "update", "patch", "delete"]

_API = "rbac.authorization.k8s.io/v1"
_LABELS = {"app.kubernetes.io/name": "aeraki"}
_ISTIO = "networking.istio.io"
_ISTIO_READ = ("destinationrules", "serviceentries", "virtualservices")
# Published by istiod in every namespace, and no secret: it vouches for istiod where that is a source.
_ROOT_CERTIFICATE = "istio-ca-root-cert"
_NO_SECRETS = next(field.default for field in fields(Kind) if field.name == "secrets")


def _rule(group: str, resources: Iterable[str], verbs: Iterable[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}


def _definitions(group: str, plurals: Iterable[str]) -> dict[str, Any]:
    """The right to see that a kind's definition was deleted: its objects are gone then, but nobody deleted them one by one."""
    names = sorted(f"{plural}.{group}" for plural in plurals)
    return {**_rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["get"]), "resourceNames": names}


def rules(kinds: Iterable[Kind[Any]]) -> list[dict[str, Any]]:
    """The rules of the ClusterRole. Secrets only where a kind can refer to one: those that an object names are read, no other."""
    kinds = list(kinds)
    found = [
        _rule("", ["services"], _READ),
        {**_rule("", ["configmaps"], ["get"]), "resourceNames": [_ROOT_CERTIFICATE]},
        _rule("discovery.k8s.io", ["endpointslices"], _READ),
        _rule(_ISTIO, _ISTIO_READ, _READ),
        _rule(_ISTIO, ["envoyfilters"], [*_READ, *_WRITE]),
        _definitions(_ISTIO, _ISTIO_READ),
        _rule("events.k8s.io", ["events"], ["create", "patch"]),
    ]
    if any(kind.secrets is not _NO_SECRETS for kind in kinds):
        found.append(_rule("", ["secrets"], _READ))
    for group in sorted({kind.group for kind in kinds}):
        plurals = [kind.plural for kind in kinds if kind.group == group]
        found.append(_rule(group, plurals, _READ))
        found.append(_rule(group, [f"{plural}/status" for plural in plurals], ["update", "patch"]))
        found.append(_definitions(group, plurals))
    return found


def roles(kinds: Iterable[Kind[Any]], *, name: str, namespace: str, election_id: str) -> list[dict[str, Any]]:
    """The ClusterRole, and the Role for the Lease in the controller's own namespace."""
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [
        {
            "apiVersion": _API,
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": _LABELS},
            "rules": rules(kinds),
        },
        {
            "apiVersion": _API,
            "kind": "Role",
            "metadata": {"name": name, "namespace": namespace, "labels": _LABELS},
            "rules": [
                # A create cannot be limited to a name: the name is not known before it is there.
                {**lease, "verbs": ["create"]},
                {**lease, "resourceNames": [election_id], "verbs": ["get", "update", "patch"]},
            ],
        },
    ]


def bindings(*, name: str, namespace: str, service_account: str) -> list[dict[str, Any]]:
    """The bindings of both roles to a ServiceAccount of that namespace."""
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": namespace}
    return [
        {
            "apiVersion": _API,
            "kind": f"{kind}Binding",
            "metadata": {"name": name, **({"namespace": namespace} if kind == "Role" else {}), "labels": _LABELS},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [subject],
        }
        for kind in ("ClusterRole", "Role")
    ]
