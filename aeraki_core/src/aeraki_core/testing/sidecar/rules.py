"""The DestinationRule that counts for one client and one service.

istiod looks in one namespace at a time: the client's, the service's, the root namespace. In each it
takes the rules of the most specific host and merges those that are exported alike. Istio source:
pilot/pkg/model/push_context.go (setDestinationRules, destinationRule), pilot/pkg/model/
destination_rule.go (mergeDestinationRule), pilot/pkg/model/sidecar.go (DestinationRule).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aeraki_core.mesh.store import host_suffixes
from aeraki_core.model.istio import DestinationRule
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.service import Service
from aeraki_core.testing.sidecar.objects import MeshObjects, part
from aeraki_core.testing.sidecar.proxy import Proxy

__all__ = ["ClientRule", "client_rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRule:
    """DestinationRules of one host and namespace as one.

    ``ref``: the first of them.
    ``policy``: the first trafficPolicy there is.
    ``subsets``: by name the subset as it is written; the first of a name counts.
    ``selector``: labels of the workloads that it is for; None without a workloadSelector.
    ``export_to``: the namespaces that it is exported to, with ``.`` resolved.
    ``export_to_as_written``: decides which rules merge.
    """

    ref: ObjectRef
    policy: Mapping[str, Any]
    subsets: Mapping[str, Mapping[str, Any]]
    selector: Mapping[str, Any] | None
    export_to: frozenset[str]
    export_to_as_written: frozenset[str]

    @property
    def source(self) -> str:
        """Where Istio says in a cluster that the rule is."""
        namespace, name = self.ref.namespace, self.ref.name
        return f"/apis/networking.istio.io/v1/namespaces/{namespace}/destination-rule/{name}"

    def with_rule(self, other: ClientRule) -> ClientRule:
        """Return the rule with what another rule adds."""
        subsets = {**other.subsets, **self.subsets}
        names = dict.fromkeys((*self.subsets, *other.subsets))
        return replace(
            self,
            policy=self.policy or other.policy,
            subsets={name: subsets[name] for name in names},
        )


def client_rule(objects: MeshObjects, proxy: Proxy, service: Service) -> ClientRule | None:
    """Return the rule for a client's calls to a service; None when there is none."""
    client, root = proxy.namespace, objects.mesh.root_namespace
    # A client in the root namespace first obeys only private rules.
    private = True if client == root else None
    own = _rules_in(objects, client, service.host, private=private)
    if not own:
        own = _exported(objects, service.namespace, service.host, client)
    if not own:
        own = _exported(objects, root, service.host, client)
    without_selector = None
    for rule in own:
        if rule.selector is None:
            without_selector = rule
        elif rule.ref.namespace == client and proxy.has_labels(rule.selector):
            return rule
    return without_selector


def _exported(
    objects: MeshObjects, namespace: str, host: str, client: str
) -> tuple[ClientRule, ...]:
    rules = _rules_in(objects, namespace, host, private=False)
    return tuple(rule for rule in rules if {"*", client} & rule.export_to)


def _rules_in(
    objects: MeshObjects, namespace: str, host: str, *, private: bool | None
) -> tuple[ClientRule, ...]:
    """Return the merged rules of the most specific host in a namespace.

    ``private``: only those that no other namespace sees, or only the others; None for those that
    the namespace itself sees.
    """
    for name in host_suffixes(host):
        rules = [
            _client_rule(objects, rule)
            for rule in objects.destination_rules
            if rule.namespace == namespace and rule.host == name
        ]
        chosen = [rule for rule in rules if _is_wanted(rule, namespace, private)]
        if chosen:
            # Rules with a selector come first, then the oldest.
            return _merged(sorted(chosen, key=lambda rule: rule.selector is None))
    return ()


def _is_wanted(rule: ClientRule, namespace: str, private: bool | None) -> bool:
    if private is None:
        return bool({"*", namespace} & rule.export_to)
    return (rule.export_to == {namespace}) is private


def _client_rule(objects: MeshObjects, rule: DestinationRule) -> ClientRule:
    spec = objects.spec(rule.ref)
    selector = spec.get("workloadSelector")
    subsets = spec.get("subsets")
    return ClientRule(
        ref=rule.ref,
        policy=part(spec, "trafficPolicy"),
        subsets={item["name"]: item for item in subsets or ()},
        selector=None if selector is None else part(selector, "matchLabels"),
        # A rule with a selector is never exported.
        export_to=rule.export_to if selector is None else frozenset({rule.namespace}),
        export_to_as_written=frozenset((spec.get("exportTo") or ()) if selector is None else "."),
    )


def _merged(rules: Iterable[ClientRule]) -> tuple[ClientRule, ...]:
    """Rules that are exported alike become one; the others stand alone."""
    merged: list[ClientRule] = []
    for rule in rules:
        alone = True
        for index, other in enumerate(merged):
            mine, theirs = rule.export_to_as_written, other.export_to_as_written
            same_selector = rule.selector == other.selector
            both_select = None not in (rule.selector, other.selector)
            if (mine != theirs and not (theirs and mine > theirs)) or (
                both_select and not same_selector
            ):
                alone = True
                continue
            merged[index] = other.with_rule(rule)
            alone = mine != theirs and not same_selector
        if alone:
            merged.append(rule)
    return tuple(merged)
