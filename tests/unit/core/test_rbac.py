"""The role holds what the controller needs and no more."""

from __future__ import annotations

from typing import Any

from aeraki_core.manifests.rbac import Watched, bindings, roles, rules
from aeraki_core.model.resource import Kind
from pydantic import BaseModel


class Spec(BaseModel):
    secret: str = ""


PLAIN: Kind[Spec] = Kind(
    group="test.example.com",
    version="v1",
    kind="Plain",
    plural="plains",
    spec=Spec,
    summary="Plain",
)
SECRETIVE: Kind[Spec] = Kind(
    group="test.example.com",
    version="v1",
    kind="Secretive",
    plural="secretives",
    spec=Spec,
    summary="Refers",
    secrets=lambda spec: (spec.secret,),
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
    assert verbs["discovery.k8s.io", "endpointslices"] == {"list", "watch"}
    for group, resource in (
        ("", "services"),
        ("networking.istio.io", "virtualservices"),
    ):
        assert verbs[group, resource] == READ
    # What live weights left must go with their setting.
    for resource in ("serviceentries", "destinationrules"):
        assert verbs["networking.istio.io", resource] == {*READ, "delete"}
    assert verbs["networking.istio.io", "envoyfilters"] >= {*READ, "create", "delete"}


def test_secrets_only_where_a_kind_can_refer_to_one() -> None:
    assert ("", "secrets") not in allowed(rules([PLAIN]))
    assert allowed(rules([PLAIN, SECRETIVE]))["", "secrets"] == {"list", "watch"}


def test_secrets_are_read_only_where_they_are_released_by_name() -> None:
    for names in ((), ("shop",)):
        manifests = roles(
            [PLAIN, SECRETIVE],
            name="aeraki",
            namespace="mesh",
            election_id="mine",
            watched=Watched(names=names, secrets=("shop", "bank")),
        )
        reading = [role for role in manifests if ("", "secrets") in allowed(role["rules"])]
        assert [role["metadata"]["namespace"] for role in reading] == ["bank", "shop"]
        for role in reading:
            assert (role["kind"], role["metadata"]["name"]) == ("Role", "aeraki-secrets")
            assert allowed(role["rules"]) == {("", "secrets"): {"list", "watch"}}


def test_a_plugins_kinds_are_read_and_their_status_is_written() -> None:
    verbs = allowed(rules([PLAIN, SECRETIVE]))
    assert verbs["test.example.com", "plains"] == READ
    assert verbs["test.example.com", "secretives"] == READ
    assert verbs["test.example.com", "plains/status"] == {"patch"}


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
    whole, own = bindings(
        roles([], name="aeraki", namespace="mesh", election_id="mine"),
        namespace="mesh",
        service_account="runner",
    )
    assert whole["kind"] == "ClusterRoleBinding"
    assert whole["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "aeraki",
    }
    assert "namespace" not in whole["metadata"]
    assert own["metadata"]["namespace"] == "mesh"
    assert own["subjects"] == [{"kind": "ServiceAccount", "name": "runner", "namespace": "mesh"}]


def test_namespaces_are_read_where_none_are_named() -> None:
    assert allowed(rules([PLAIN]))["", "namespaces"] == {"list", "watch"}
    found = roles(
        [PLAIN],
        name="aeraki",
        namespace="mesh",
        election_id="mine",
        watched=Watched(names=("shop",)),
    )
    assert ("", "namespaces") not in allowed([rule for role in found for rule in role["rules"]])


class TestNamedNamespaces:
    WATCHED = Watched(names=("shop", "bank"), clients=("istio-system", "clients"))

    def found(self) -> dict[tuple[str, str | None], list[dict[str, Any]]]:
        manifests = roles(
            [SECRETIVE],
            name="aeraki",
            namespace="istio-system",
            election_id="mine",
            watched=self.WATCHED,
        )
        return {
            (item["metadata"]["name"], item["metadata"].get("namespace")): item["rules"]
            for item in manifests
        }

    def test_there_is_a_role_in_each_and_where_filters_for_clients_go(self) -> None:
        assert self.found().keys() == {
            ("aeraki", None),
            ("aeraki-mesh", "bank"),
            ("aeraki-mesh", "shop"),
            ("aeraki-mesh", "clients"),
            ("aeraki-mesh", "istio-system"),
            ("aeraki", "istio-system"),
        }

    def test_of_the_whole_cluster_it_sees_only_whether_a_definition_was_deleted(self) -> None:
        assert allowed(self.found()["aeraki", None]) == {
            ("apiextensions.k8s.io", "customresourcedefinitions"): {"get"}
        }

    def test_services_are_read_only_where_they_are_watched(self) -> None:
        found = self.found()
        for namespace in ("shop", "bank"):
            verbs = allowed(found["aeraki-mesh", namespace])
            assert verbs["", "services"] == READ
            assert ("", "secrets") not in verbs
            assert verbs["networking.istio.io", "envoyfilters"] >= {*READ, "patch", "delete"}
        for namespace in ("istio-system", "clients"):
            verbs = allowed(found["aeraki-mesh", namespace])
            for resource in ("serviceentries", "destinationrules"):
                left_over = verbs.pop(("networking.istio.io", resource))
                assert left_over == {"list", "watch", "delete"}
            assert verbs.keys() - {("", "configmaps")} == {
                ("networking.istio.io", "envoyfilters"),
                ("events.k8s.io", "events"),
            }

    def test_each_has_its_binding(self) -> None:
        manifests = roles(
            [], name="aeraki", namespace="istio-system", election_id="mine", watched=self.WATCHED
        )
        bound = bindings(manifests, namespace="istio-system", service_account="aeraki")
        for role, binding in zip(manifests, bound, strict=True):
            assert binding["roleRef"]["name"] == role["metadata"]["name"]
            assert binding["metadata"].get("namespace") == role["metadata"].get("namespace")
