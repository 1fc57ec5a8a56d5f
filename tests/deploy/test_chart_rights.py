"""The roles and the Lease that the values of the chart give, without a cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from aeraki_core.manifests.rbac import Watched, roles, rules

from .chart import Chart, Values, all_of, kinds, one, settings_file

# The first one may have to build Helm.
pytestmark = [pytest.mark.mesh, pytest.mark.timeout(1200)]  # helm is compiled with Go


def _as_set(items: Any) -> set[str]:
    return {json.dumps(item, sort_keys=True) for item in items}


def _without_secrets(rules: list[Any]) -> list[Any]:
    """What the chart leaves out until namespaces are named for it."""
    return [rule for rule in rules if "secrets" not in rule["resources"]]


@pytest.mark.parametrize("plugins", [[], ["dubbo"], ["redis"], ["zookeeper", "redis"]])
def test_the_role_is_what_aeraki_rbac_prints(chart: Chart, plugins: list[str]) -> None:
    role = one(chart.render({"plugins": plugins}), "ClusterRole")
    assert _as_set(role["rules"]) == _as_set(_without_secrets(rules(kinds(plugins))))


@pytest.mark.parametrize(
    "values",
    [{}, {"settings.watchNamespaces": ["shop"]}, {"settings.watchNamespaceSelector": ["a=b"]}],
)
def test_by_default_no_secret_can_be_read(chart: Chart, values: Values) -> None:
    rights = [item["rules"] for item in chart.render(values) if item["kind"].endswith("Role")]
    assert rights
    assert "secrets" not in json.dumps(rights)


def test_secrets_only_in_namespaces_that_are_named(chart: Chart) -> None:
    objects = chart.render({"rbac.secretNamespaces": ["shop", "orders"]})
    assert "secrets" not in json.dumps(one(objects, "ClusterRole")["rules"])
    roles = [item for item in all_of(objects, "Role") if "secrets" in json.dumps(item["rules"])]
    assert {item["metadata"]["namespace"] for item in roles} == {"shop", "orders"}
    bound = {
        (item["metadata"]["namespace"], item["roleRef"]["name"], item["subjects"][0]["name"])
        for item in all_of(objects, "RoleBinding")
    }
    assert {
        (item["metadata"]["namespace"], item["metadata"]["name"], "aeraki") for item in roles
    } <= bound


def test_no_right_to_secrets_where_no_plugin_needs_any(chart: Chart) -> None:
    assert "secrets" not in json.dumps(
        chart.render({"plugins": ["dubbo"], "rbac.secretNamespaces": ["shop"]})
    )


LIVE = {"settings.liveWeights": "annotated"}


@pytest.mark.parametrize(
    ("values", "watched"),
    [
        ({}, Watched()),
        (LIVE, Watched()),
        ({**LIVE, "settings.watchNamespaces": ["shop"]}, Watched(("shop",))),
        ({"http.authentication": True}, Watched()),
        (
            {"settings.watchNamespaces": ["shop"], "http.authentication": True},
            Watched(("shop",)),
        ),
        ({"settings.watchNamespaceSelector": ["team=shop"]}, Watched()),
        ({"settings.watchNamespaces": ["shop", "orders"]}, Watched(("shop", "orders"))),
        (
            {
                "settings.watchNamespaces": ["shop", "mesh"],
                "settings.rootNamespace": "mesh",
                "settings.filterNamespaces": [".", "gate"],
            },
            Watched(("shop", "mesh"), clients=("mesh", "gate")),
        ),
    ],
)
def test_there_are_those_that_aeraki_rbac_prints(
    chart: Chart, values: Values, watched: Watched
) -> None:
    def rights(objects: Any) -> set[tuple[str | None, str]]:
        found = [item for item in objects if item["kind"] in ("ClusterRole", "Role")]
        return {
            (item["metadata"].get("namespace"), right)
            for item in found
            for right in _as_set(_without_secrets(item["rules"]))
        }

    printed = roles(
        kinds([]),
        name="x",
        namespace="home",
        election_id="mine",
        watched=watched,
        live_weights="settings.liveWeights" in values,
        reviews_callers=values.get("http.authentication", False),
    )
    objects = chart.render({**values, "leaderElection.id": "mine"}, namespace="home")
    assert rights(objects) == rights(printed)
    bound = {
        (item["metadata"].get("namespace"), item["roleRef"]["kind"], item["roleRef"]["name"])
        for item in objects
        if item["kind"].endswith("RoleBinding")
    }
    assert bound == {
        (item["metadata"].get("namespace"), item["kind"], item["metadata"]["name"])
        for item in objects
        if item["kind"] in ("ClusterRole", "Role")
    }


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"leaderElection.id": "mine"},
        {"settings.instance": "blue"},
        {"settings.watchNamespaces": ["shop"]},
        {"settings.watchNamespaceSelector": ["team=shop"]},
    ],
)
def test_the_lease_is_the_one_that_the_controller_uses(chart: Chart, values: Values) -> None:
    objects = chart.render(values, namespace="home")
    rules = [
        rule
        for item in all_of(objects, "Role")
        for rule in item["rules"]
        if "leases" in rule["resources"]
    ]
    (names,) = [rule["resourceNames"] for rule in rules if "resourceNames" in rule]
    assert names == [yaml.safe_load(settings_file(objects))["electionId"]]
    assert names == ["mine"] or "leaderElection.id" not in values


def lease(chart: Chart, values: Values, *, release: str = "aeraki") -> str:
    return str(yaml.safe_load(settings_file(chart.render(values, release=release)))["electionId"])


def test_releases_that_do_not_do_the_same_have_leases_of_their_own(chart: Chart) -> None:
    leases = [
        lease(chart, {}),
        lease(chart, {"settings.instance": "blue"}),
        lease(chart, {"settings.watchNamespaces": ["shop"]}, release="shop"),
        lease(chart, {"settings.watchNamespaceSelector": ["team=orders"]}, release="orders"),
    ]
    assert len(set(leases)) == len(leases)
    assert leases[0] == "aeraki-controller"


def test_an_upgrade_to_other_namespaces_keeps_the_lease(chart: Chart) -> None:
    """Or the pods of before and after would both write, until the last of before has gone."""
    each: list[Values] = [
        {"settings.watchNamespaces": ["shop"]},
        {"settings.watchNamespaces": ["shop", "orders"]},
        {"settings.watchNamespaceSelector": ["team=shop"]},
    ]
    assert len({lease(chart, values) for values in each}) == 1


def test_more_rules_are_added(chart: Chart) -> None:
    rule = {"apiGroups": ["example.com"], "resources": ["things"], "verbs": ["list"]}
    assert rule in one(chart.render({"rbac.extraRules": [rule]}), "ClusterRole")["rules"]


def test_everything_is_bound_to_the_pods_own_account(chart: Chart) -> None:
    for values in (
        {},
        {"serviceAccount": {"create": False, "name": "other"}},
        {"serviceAccount.name": "mine"},
    ):
        objects = chart.render(values, namespace="mesh")
        account = one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
        subjects = [item["subjects"] for item in objects if item["kind"].endswith("RoleBinding")]
        assert subjects == [[{"kind": "ServiceAccount", "name": account, "namespace": "mesh"}]] * 2


def test_roles_can_be_left_to_others(chart: Chart) -> None:
    kinds = {item["kind"] for item in chart.render({"rbac.create": False})}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
