"""The filters in a pipeline of KRM functions, and in Argo CD."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import ROOT
from tests.cli.running import Result, Run

FILE = "internal.config.kubernetes.io/path"
INDEX = "internal.config.kubernetes.io/index"


def service(name: str = "greeter", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", **metadata},
        "spec": {
            "clusterIP": "10.96.0.43",
            "selector": {"app": name},
            "ports": [{"name": "tcp-dubbo", "port": 20880}],
        },
    }


def resources(*items: Any, **more: Any) -> str:
    content = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": items}
    return yaml.safe_dump(content | more)


def items_of(result: Result) -> list[Any]:
    return list(yaml.safe_load(result.out)["items"])


def names(items: list[Any]) -> list[str]:
    return [f"{item['kind']} {item['metadata']['name']}" for item in items]


def test_filters_join_the_items(aeraki: Run) -> None:
    other = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": 1}
    result = aeraki("krm", stdin=resources(service(), other))
    assert result.code == 0, result.err
    items = items_of(result)
    assert items[:2] == [service(), other]
    assert [name.partition("-")[2] for name in names(items[2:])] == [
        "outbound-greeter.shop.svc.cluster.local-20880",
        "inbound-app-greeter-c60f1f1c-20880",
    ]


def test_a_second_run_changes_nothing(aeraki: Run) -> None:
    first = aeraki("krm", stdin=resources(service()))
    assert aeraki("krm", stdin=first.out).out == first.out


def test_a_filter_stays_in_its_file_and_goes_with_its_service(aeraki: Run) -> None:
    items = items_of(aeraki("krm", stdin=resources(service())))
    place = {FILE: "filters.yaml", INDEX: "1"}
    for item in items[1:]:
        item["metadata"]["annotations"] |= place
        item["spec"]["priority"] = 12
    foreign = {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": "theirs", "namespace": "shop"},
        "spec": {"configPatches": []},
    }
    changed = items_of(aeraki("krm", stdin=resources(*items, foreign)))
    assert names(changed) == names([*items, foreign])
    for item in changed[1:-1]:
        assert item["spec"]["priority"] == 10
        assert {name: item["metadata"]["annotations"][name] for name in place} == place
    assert items_of(aeraki("krm", stdin=resources(*items[1:], foreign))) == [foreign]


def test_a_finding_is_a_result_at_its_item(aeraki: Run) -> None:
    broken = service(annotations={FILE: "mesh/greeter.yaml", INDEX: "2"})
    broken["spec"]["ports"][0]["port"] = "x"
    other = service("other")
    other["spec"]["clusterIP"] = "10.96.0.44"
    items = [other, broken]
    filters = items_of(aeraki("krm", stdin=resources(*items[:1], service())))[2:]
    result = aeraki("krm", stdin=resources(*items, *filters))
    assert result.code == 1
    assert "mesh/greeter.yaml: error AER0106" in result.err
    [found] = [
        item for item in yaml.safe_load(result.out)["results"] if "AER0106" in item["message"]
    ]
    assert found["severity"] == "error"
    assert found["resourceRef"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "greeter",
    }
    assert found["file"] == {"path": "mesh/greeter.yaml", "index": 2}
    assert found["field"] == {"path": "spec.ports[0].port"}
    # A service that cannot be read keeps its filters.
    assert names(items_of(result))[2:] == names(filters)


def test_an_item_of_somebody_else_with_our_name_stays(aeraki: Run) -> None:
    outbound = items_of(aeraki("krm", stdin=resources(service())))[1]
    del outbound["metadata"]["labels"]
    result = aeraki("krm", stdin=resources(service(), outbound))
    assert items_of(result)[1] == outbound
    assert len(items_of(result)) == 3
    assert "is not Aeraki's, and stays as it is" in result.err


@pytest.mark.parametrize(
    "config",
    [
        {"kind": "Aeraki", "spec": {"noPlugins": True}},
        {"kind": "ConfigMap", "data": {"noPlugins": True}},
    ],
)
def test_settings_come_from_the_function_config(aeraki: Run, config: dict[str, Any]) -> None:
    assert len(items_of(aeraki("krm", stdin=resources(service(), functionConfig=config)))) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("kind: Service\n", "stdin holds 'Service' instead of a ResourceList"),
        ("", "stdin holds no ResourceList"),
        ("a: [", "stdin:1: not valid YAML"),
        ("kind: ResourceList\nitems: 1\n", "the ResourceList's items are no list"),
        (
            resources(functionConfig={"kind": "Aeraki", "spec": {"plugnis": ["dubbo"]}}),
            "functionConfig:1: there is no setting 'plugnis'; did you mean plugins?",
        ),
        (
            resources(functionConfig={"kind": "Aeraki", "spec": {"kubeconfig": "x"}}),
            "functionConfig:1: kubeconfig cannot be set",
        ),
    ],
)
def test_what_is_no_resource_list_is_refused(aeraki: Run, given: str, message: str) -> None:
    result = aeraki("krm", stdin=given)
    assert (result.code > 0, result.out) == (True, "")
    assert message in result.err


def test_odd_items_stay_as_they_are(aeraki: Run) -> None:
    odd: list[Any] = [
        None,
        1,
        "x",
        [],
        {},
        {"kind": "Service"},
        {"kind": "EnvoyFilter", "metadata": 1},
    ]
    assert items_of(aeraki("krm", stdin=resources(*odd, service())))[: len(odd)] == odd


def test_it_is_an_executable_without_arguments() -> None:
    script = Path(sys.executable).with_name("aeraki-krm")
    done = subprocess.run(
        [script], input=resources(service()), capture_output=True, text=True, check=True
    )
    assert len(yaml.safe_load(done.stdout)["items"]) == 3


def test_kubectl_finds_it_as_a_plugin() -> None:
    script = Path(sys.executable).with_name("kubectl-aeraki")
    done = subprocess.run([script, "version"], capture_output=True, text=True, check=True)
    assert "aeraki" in done.stdout


def test_argo_cd_gets_the_filters_of_an_application(tmp_path: Path) -> None:
    """As its server runs a config management plugin: in the Application's path, for stdout."""
    plugin = yaml.safe_load((ROOT / "deploy/argocd/plugin.yaml").read_text(encoding="utf-8"))
    generate = plugin["spec"]["generate"]
    (tmp_path / "greeter.yaml").write_text(yaml.safe_dump(service()), encoding="utf-8")
    command = [*generate["command"], *generate["args"]]
    command[0] = shutil.which(command[0], path=Path(sys.executable).parent) or command[0]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [item["kind"] for item in yaml.safe_load_all(done.stdout)] == ["EnvoyFilter"] * 2
