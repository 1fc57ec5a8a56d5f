"""Whether a kind that a file holds is read, ignored, or reported as unknown.

A user's folder holds much that does not matter here. Only what looks like a mistake about a kind
that matters is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from difflib import get_close_matches

from aeraki_core.sources.upstream_kinds import UPSTREAM_KINDS

__all__ = ["KindVerdict", "Reads", "judge"]

Reads = Callable[[str, str], bool]
"""Whether objects of an apiVersion and kind are of any use (``Store.reads``)."""

_ISTIO = "networking.istio.io"
_KNOWN: dict[str, frozenset[str]] = {
    "": frozenset(
        [
            "Binding",
            "ComponentStatus",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "List",
            "Namespace",
            "Node",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
            "Status",
        ]
    ),
    _ISTIO: frozenset(
        [
            "DestinationRule",
            "EnvoyFilter",
            "Gateway",
            "ProxyConfig",
            "ServiceEntry",
            "Sidecar",
            "VirtualService",
            "WorkloadEntry",
            "WorkloadGroup",
        ]
    ),
    "discovery.k8s.io": frozenset({"EndpointSlice"}),
    "security.istio.io": frozenset(
        {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"}
    ),
    "gateway.networking.k8s.io": frozenset(
        {"BackendTLSPolicy", "Gateway", "GatewayClass", "ListenerSet", "ReferenceGrant", "TLSRoute"}
    ),
    "telemetry.istio.io": frozenset({"Telemetry"}),
    "extensions.istio.io": frozenset({"WasmPlugin", "TrafficExtension"}),
    "install.istio.io": frozenset({"IstioOperator"}),
}
# The apiVersion of each kind that the core reads, for kinds under the wrong group.
_HOME = {
    "Service": "v1",
    "Secret": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "ServiceEntry": f"{_ISTIO}/v1",
    "VirtualService": f"{_ISTIO}/v1",
    "DestinationRule": f"{_ISTIO}/v1",
    "Sidecar": f"{_ISTIO}/v1",
}
_UPSTREAM_POLICY = (
    "not enforced: an AuthorizationPolicy of Istio limits who may connect, but not what they call"
)
_OWN_GROUPS = (".istio.io", ".aeraki.io")
_BUILT_IN = frozenset({"apps", "autoscaling", "batch", "extensions", "policy"})


@dataclass(frozen=True, slots=True)
class KindVerdict:
    """What to do with an object."""

    read: bool
    """Whether its kind is read."""
    unknown: str | None = None
    """Why the kind looks like a mistake; None when it is simply another one."""
    unsupported: str | None = None
    """What to write instead of a kind of upstream Aeraki; None for other kinds."""
    misspelt: bool = False
    """Whether a kind that is read was most likely meant, so that its absence says nothing."""


_READ, _LEAVE = KindVerdict(read=True), KindVerdict(read=False)


def judge(
    api_version: str, kind: str, reads: Reads, plugin_groups: Collection[str] = ()
) -> KindVerdict:
    """Decide about an object; ``plugin_groups`` are the groups of the active plugins' kinds."""
    if reads(api_version, kind):
        return _READ
    group, slash, _ = api_version.partition("/")
    group = group if slash else ""
    if (group, kind) in UPSTREAM_KINDS:
        return KindVerdict(False, unsupported=UPSTREAM_KINDS[group, kind])
    if group.endswith(".aeraki.io") and kind.endswith("AuthorizationPolicy"):
        return KindVerdict(False, unsupported=_UPSTREAM_POLICY)
    if kind in _KNOWN.get(group, ()):
        return _LEAVE
    # From here on the kind is one that nothing reads. Decide whether that is a mistake: a slip in a
    # kind or group of Istio, Kubernetes or Aeraki, or another tool's object.
    known_group = group in _KNOWN and (slash != "" or api_version == "v1")
    if kind in _HOME and (known_group or group in _BUILT_IN or group == "" or _looks_own(group)):
        return KindVerdict(
            False, f"{kind} belongs to apiVersion {_HOME[kind]}, not {api_version}", misspelt=True
        )
    similar = get_close_matches(kind, _HOME, 1, 0.85)
    if similar and (known_group or group in _BUILT_IN or group == "" or _looks_own(group)):
        message = f"nothing knows kind {kind} of {api_version}; "
        message += f"did you mean {similar[0]} ({_HOME[similar[0]]})?"
        return KindVerdict(False, message, misspelt=True)
    if known_group:
        return KindVerdict(False, f"nothing knows kind {kind} of {api_version}")
    if group == "":
        return KindVerdict(
            False,
            f"nothing knows apiVersion {api_version}, kind {kind}; a group is missing or misspelt",
        )
    if group.endswith(_OWN_GROUPS) or group in plugin_groups:
        return KindVerdict(
            False, f"no active plugin brings kind {kind} of {api_version}; see `aeraki plugins`"
        )
    return _LEAVE


def _looks_own(group: str) -> bool:
    """Report whether the group is Istio's or Aeraki's, or one of them misspelt."""
    return group.endswith(_OWN_GROUPS) or bool(get_close_matches(group, _KNOWN, 1, 0.85))
