"""The role holds what the controller needs and no more."""

from __future__ import annotations

from typing import Any

from aeraki_core.rbac import bindings, roles, rules
from aeraki_core.types import Kind
from pydantic import BaseModel


class Spec(BaseModel):
    secret: str = ""


PLAIN: Kind[Spec] = Kind("test.example.com", "v1", "Plain", "plains", Spec, "Plain")
SECRETIVE: Kind[Spec] = Kind(
    "test.example.com", "v1", "Secretive", "secretives", Spec, "Refers", secrets=lambda spec: (spec.secret,)
)
READ = {"get", "list", "watch"}


def allowed(found: list[dict[str, Any]]) -> dict[tuple[str, str], set[str]]:
    verbs: dict[tuple[str, str], set[str]] = {}
    for rule in found:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs.setdefault((group, resource), set()).update(rule["verbs"])
    return verbs


def test_without_plugins_it_reads_the_mesh_and_writes_envoyfilters() -> None:
    verbs = allowed(rules([]))
    for group, resource in (
        ("", "services"),
        ("discovery.k8s.io", "endpointslices"),
        ("networking.istio.io", "serviceentries"),
        ("networking.istio.io", "virtualservices"),
        ("networking.istio.io", "destinationrules"),
    ):
        assert verbs[group, resource] == READ
    assert verbs["networking.istio.io", "envoyfilters"] >= {*READ, "create", "delete"}


def test_secrets_only_where_a_kind_can_refer_to_one() -> None:
    assert ("", "secrets") not in allowed(rules([PLAIN]))
    assert allowed(rules([PLAIN, SECRETIVE]))["", "secrets"] <= READ


def test_a_plugins_kinds_are_read_and_their_status_is_written() -> None:
    verbs = allowed(rules([PLAIN, SECRETIVE]))
    assert verbs["test.example.com", "plains"] == READ
    assert verbs["test.example.com", "secretives"] == READ
    assert verbs["test.example.com", "plains/status"] == {"update", "patch"}


def test_nothing_is_granted_by_a_star() -> None:
    for rule in rules([PLAIN, SECRETIVE]):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_the_lease_is_the_only_one_that_can_be_changed() -> None:
    _, role = roles([], name="aeraki", namespace="mesh", election_id="mine")
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "mesh")
    for rule in role["rules"]:
        assert rule["resources"] == ["leases"]
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["mine"]


def test_bindings_name_the_roles() -> None:
    whole, own = bindings(name="aeraki", namespace="mesh", service_account="runner")
    assert whole["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "aeraki"}
    assert "namespace" not in whole["metadata"]
    assert own["metadata"]["namespace"] == "mesh"
