"""`aeraki convert`: upstream's MetaRouters as objects with the same meaning here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.running import Run

ROUTER = """\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: routes, namespace: shop}
spec:
  hosts: [hello.shop.svc.cluster.local]
  localRateLimit: {tokenBucket: {maxTokens: 2, fillInterval: 60s}}
  routes:
  - name: canary
    match:
      attributes:
        interface: {exact: com.example.Hello}
        method: {exact: sayHello}
        user: {prefix: a}
    route:
    - destination: {host: hello.shop.svc.cluster.local, subset: v1}
      weight: 20
    - destination: {host: hello.shop.svc.cluster.local, subset: v2}
      weight: 80
    requestMutation: [{key: foo, value: bar}]
  - name: rest
    match: {attributes: {interface: {exact: com.example.Hello}}}
    route: [{destination: {host: hello.shop.svc.cluster.local}}]
    mirror: {host: hello.shop.svc.cluster.local, subset: v2}
    mirrorPercentage: {value: 5}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: shop}
spec: {clusterIP: 10.96.0.7, ports: [{name: tcp-metaprotocol-dubbo, port: 20880}]}
"""
RULE = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hello, namespace: shop}
spec: {host: hello, subsets: [{name: v1, labels: {version: a}}, {name: v2, labels: {version: b}}]}
"""


def _convert(aeraki: Run, folder: Path, *texts: str) -> tuple[list[dict[str, Any]], str]:
    file = folder / "in.yaml"
    file.write_text("---\n".join(texts))
    result = aeraki("convert", "-f", file)
    return list(yaml.safe_load_all(result.out)), result.err


def test_routes_become_the_http_section(aeraki: Run, tmp_path: Path) -> None:
    [virtual_service], _ = _convert(aeraki, tmp_path, ROUTER, RULE)
    assert virtual_service["kind"] == "VirtualService"
    assert virtual_service["metadata"] == {"name": "routes", "namespace": "shop"}
    assert virtual_service["spec"]["hosts"] == ["hello.shop.svc.cluster.local"]
    canary, rest = virtual_service["spec"]["http"]
    assert canary["match"] == [
        {"method": {"exact": "sayHello"}, "headers": {"user": {"prefix": "a"}}}
    ]
    assert [each["weight"] for each in canary["route"]] == [20, 80]
    assert "match" not in rest
    assert rest["mirrorPercentage"] == {"value": 5}


def test_what_has_no_counterpart_is_listed_with_its_place(aeraki: Run, tmp_path: Path) -> None:
    _, err = _convert(aeraki, tmp_path, ROUTER, RULE, SERVICE)
    assert "in.yaml:6: MetaRouter shop/routes spec.localRateLimit: no counterpart" in err
    assert "spec.routes[0].requestMutation: no counterpart" in err
    assert "annotate the service instead: dubbo.aeraki.io/interface: com.example.Hello" in err
    assert "rename tcp-metaprotocol-dubbo to tcp-dubbo" in err
    assert aeraki("convert", "-f", tmp_path).code == 1


def test_subsets_that_nothing_defines_get_a_rule_to_check(aeraki: Run, tmp_path: Path) -> None:
    [_, rule], err = _convert(aeraki, tmp_path, ROUTER)
    assert rule["kind"] == "DestinationRule"
    assert rule["spec"]["host"] == "hello.shop.svc.cluster.local"
    assert [subset["name"] for subset in rule["spec"]["subsets"]] == ["v1", "v2"]
    assert "are a guess: version=<subset>" in err


def test_a_condition_on_the_service_that_differs_takes_its_route_along(
    aeraki: Run, tmp_path: Path
) -> None:
    other = ROUTER.replace("com.example.Hello", "com.example.Other", 1)
    objects, err = _convert(aeraki, tmp_path, other, RULE)
    assert objects == []
    assert "differs between routes; the route is left out" in err
    assert "no route is left; nothing is written" in err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("hosts: [hello.shop.svc.cluster.local]", "hosts: []"), "no host; nothing is written"),
        (("routes:\n", "gateways: [istio-system/in]\n  routes:\n"), "no counterpart; nothing is"),
        (
            ("hosts: [hello", "hosts: [hello.shop.svc.cluster.local, other.shop, hello"),
            "upstream reads the first host alone, not other.shop",
        ),
    ],
)
def test_routers_for_others(
    aeraki: Run, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    _, err = _convert(aeraki, tmp_path, ROUTER.replace(*change), RULE)
    assert words in err


def test_the_result_does_what_the_router_did(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(f"{ROUTER}---\n{RULE}")
    converted = tmp_path / "out"
    converted.mkdir()
    (converted / "routes.yaml").write_text(aeraki("convert", "-f", tmp_path / "in.yaml").out)
    (converted / "rule.yaml").write_text(RULE)
    (converted / "service.yaml").write_text(SERVICE.replace("metaprotocol-", ""))
    arguments = ("route", "hello", converted, "--method", "sayHello", "-o", "json")
    [port] = json.loads(aeraki(*arguments, "--header", "user=alice").out)["ports"]
    taken = port["routes"][port["taken"]]
    assert (taken["name"], [each["share"] for each in taken["destinations"]]) == (
        "canary",
        [20.0, 80.0],
    )
    [port] = json.loads(aeraki(*arguments).out)["ports"]
    assert port["routes"][port["taken"]]["name"] == "rest"


def test_a_file_without_surprises_gives_0(aeraki: Run, tmp_path: Path) -> None:
    plain = """\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: routes, namespace: shop}
spec:
  hosts: [hello.shop.svc.cluster.local]
  routes: [{route: [{destination: {host: hello.shop.svc.cluster.local}}]}]
"""
    (tmp_path / "in.yaml").write_text(plain)
    result = aeraki("convert", "-f", tmp_path, "-o", "json")
    assert (result.code, len(json.loads(result.out)["items"])) == (0, 1)
    assert result.err == "1 MetaRouter: 1 object, 0 things to look at\n"
