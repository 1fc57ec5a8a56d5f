"""The least rights that the controller needs, as RBAC manifests.

They follow from the active plugins' kinds and from the namespaces that the controller watches:

- all, or those with some label: a ClusterRole;
- those named: a Role in each and where filters for clients go, and a ClusterRole that only sees
  whether a CRD was deleted.

In each case there is a Role for the Lease in the controller's own namespace, and one for Secrets in
each namespace where they may be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from aeraki_core.model.gateway_api import GATEWAY_API
from aeraki_core.model.resource import Kind

__all__ = ["Watched", "bindings", "reviews", "roles", "rules"]

_FOLLOW = ["list", "watch"]
# Events name the uid of the object that they are about, which is asked for when there is one.
_READ = ["get", *_FOLLOW]
_WRITE = ["create", "update", "patch", "delete"]

_API = "rbac.authorization.k8s.io/v1"
_LABELS = {"app.kubernetes.io/name": "aeraki"}
_ISTIO = "networking.istio.io"
# Read to say what to write instead of them.
_UPSTREAM, _UPSTREAM_KINDS = "metaprotocol.aeraki.io", ("applicationprotocols", "metarouters")
_ROUTES = ("grpcroutes", "httproutes", "tcproutes")
_ISTIO_READ = (
    "destinationrules",
    "serviceentries",
    "sidecars",
    "virtualservices",
    "workloadentries",
)
# Written where weights are live (docs/canary.md). Elsewhere what they left behind is deleted.
_COMPANIONS = ("destinationrules", "serviceentries")
# Published by istiod in every namespace, and not secret: it proves that istiod is istiod.
_ROOT_CERTIFICATE = "istio-ca-root-cert"
_NO_SECRETS = next(field.default for field in fields(Kind) if field.name == "secrets")

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watched:
    """The namespaces that the controller watches: those named, or else all."""

    names: tuple[str, ...] = ()
    clients: tuple[str, ...] = ("istio-system",)
    """Where filters for clients go: the root namespace, and those of ``--filter-namespaces``."""
    secrets: tuple[str, ...] = ()
    """Where Secrets may be read; nowhere else, for that right is worth more than all others."""


def _rule(group: str, resources: Iterable[str], verbs: Iterable[str]) -> Object:
    return {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}


def _definitions(group: str, plurals: Iterable[str]) -> Object:
    """Return the right to see that a kind's definition was deleted.

    Its objects are gone then, but no user deleted them one by one.
    """
    names = sorted(f"{plural}.{group}" for plural in plurals)
    return {
        **_rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["get"]),
        "resourceNames": names,
    }


def _filters(*, live_weights: bool) -> list[Object]:
    writing = [_rule(_ISTIO, _COMPANIONS, ["get", "create", "update", "patch"])]
    return [
        _rule(_ISTIO, ["envoyfilters"], [*_READ, *_WRITE]),
        _rule(_ISTIO, _COMPANIONS, [*_FOLLOW, "delete"]),
        *(writing if live_weights else ()),
        _rule("events.k8s.io", ["events"], ["create", "patch"]),
    ]


def _root_certificate() -> Object:
    return {**_rule("", ["configmaps"], ["get"]), "resourceNames": [_ROOT_CERTIFICATE]}


def _all_definitions(kinds: Iterable[Kind[Any]]) -> list[Object]:
    istio = _definitions(_ISTIO, [*_ISTIO_READ, "envoyfilters"])
    return [
        istio,
        _definitions(GATEWAY_API, _ROUTES),
        *(_definitions(*item) for item in _by_group(kinds)),
    ]


def _by_group(kinds: Iterable[Kind[Any]]) -> list[tuple[str, list[str]]]:
    kinds = list(kinds)
    groups = sorted({kind.group for kind in kinds})
    return [(group, [kind.plural for kind in kinds if kind.group == group]) for group in groups]


def _reading(kinds: Iterable[Kind[Any]], *, live_weights: bool) -> list[Object]:
    """What is read where the services are, but for Secrets."""
    kinds = list(kinds)
    rules = [
        _rule("", ["services"], _READ),
        _rule("discovery.k8s.io", ["endpointslices"], _FOLLOW),
        _rule(_ISTIO, _ISTIO_READ, _READ),
        _rule(GATEWAY_API, _ROUTES, _READ),
        _rule(_UPSTREAM, _UPSTREAM_KINDS, _READ),
        *([_rule("", ["pods"], _FOLLOW)] if live_weights else ()),
    ]
    for group, plurals in _by_group(kinds):
        rules.append(_rule(group, plurals, _READ))
        rules.append(_rule(group, [f"{plural}/status" for plural in plurals], ["patch"]))
    return rules


def _secrets(kinds: Iterable[Kind[Any]]) -> list[Object]:
    """Secrets, if a kind can refer to one."""
    refers = any(kind.secrets is not _NO_SECRETS for kind in kinds)
    return [_rule("", ["secrets"], _FOLLOW)] if refers else []


def reviews() -> list[Object]:
    """The rights to ask who a caller of the HTTP port is, and what that account may do."""
    return [
        _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ]


def rules(kinds: Iterable[Kind[Any]], *, live_weights: bool = False) -> list[Object]:
    """All rules that a controller of the whole cluster can need, Secrets too."""
    kinds = list(kinds)
    return [*_everywhere(kinds, live_weights=live_weights), *_secrets(kinds)]


def _everywhere(kinds: Iterable[Kind[Any]], *, live_weights: bool = False) -> list[Object]:
    """The rules of the ClusterRole, where namespaces are not named."""
    kinds = list(kinds)
    return [
        _rule("", ["namespaces"], _FOLLOW),
        *_reading(kinds, live_weights=live_weights),
        *_filters(live_weights=live_weights),
        _root_certificate(),
        *_all_definitions(kinds),
    ]


def roles(
    kinds: Iterable[Kind[Any]],
    *,
    name: str,
    namespace: str,
    election_id: str,
    watched: Watched | None = None,
    live_weights: bool = False,
    reviews_callers: bool = False,
) -> list[Object]:
    """All roles; ``namespace`` is the controller's own. ``live_weights``: weights may be live.

    ``reviews_callers``: with the rights that ``--http-authentication`` needs.
    """
    kinds, watched = list(kinds), watched or Watched()
    lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    holding = [
        # A create cannot be limited to a name: the name is not known before it is there.
        {**lease, "verbs": ["create"]},
        {**lease, "resourceNames": [election_id], "verbs": ["get", "update"]},
    ]
    secrets = _secrets(kinds)
    reading_secrets = [
        _role(f"{name}-secrets", where, secrets) for where in sorted(watched.secrets) if secrets
    ]
    asking = reviews() if reviews_callers else []
    if not watched.names:
        return [
            _role(name, None, [*_everywhere(kinds, live_weights=live_weights), *asking]),
            _role(name, namespace, holding),
            *reading_secrets,
        ]
    return [
        _role(name, None, [*_all_definitions(kinds), *asking]),
        *(
            _role(
                f"{name}-mesh",
                where,
                _in_namespace(kinds, where, watched, live_weights=live_weights),
            )
            for where in sorted({*watched.names, *watched.clients})
        ),
        _role(name, namespace, holding),
        *reading_secrets,
    ]


def _in_namespace(
    kinds: Iterable[Kind[Any]], namespace: str, watched: Watched, *, live_weights: bool
) -> list[Object]:
    """The rules of the Role in one of several namespaces."""
    reading = _reading(kinds, live_weights=live_weights) if namespace in watched.names else []
    certificate = [_root_certificate()] if namespace == watched.clients[0] else []
    return [*reading, *_filters(live_weights=live_weights), *certificate]


def _role(name: str, namespace: str | None, rules: list[Object]) -> Object:
    metadata: Object = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        "labels": _LABELS,
    }
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "rules": rules}


def bindings(bound: Iterable[Object], *, namespace: str, service_account: str) -> list[Object]:
    """The bindings of these roles to a ServiceAccount of that namespace."""
    subject = {"kind": "ServiceAccount", "name": service_account, "namespace": namespace}
    return [
        {
            "apiVersion": _API,
            "kind": f"{role['kind']}Binding",
            "metadata": role["metadata"],
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": role["kind"],
                "name": role["metadata"]["name"],
            },
            "subjects": [subject],
        }
        for role in bound
    ]
