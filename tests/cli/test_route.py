"""`aeraki route` and the routes of `aeraki explain`, with the protocols that route by call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.running import Run

from .conftest import ROOT

SAMPLES = ROOT / "deploy" / "samples"
GREETER = "greeter.dubbo.svc.cluster.local"

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: hello, namespace: shop}
spec:
  clusterIP: 10.96.0.7
  selector: {app: hello}
  ports: [{name: tcp-thrift, port: 9090}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hello-1, namespace: shop, labels: {kubernetes.io/service-name: hello}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]
ports: [{name: tcp-thrift, port: 9090}]
"""
ROUTES = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: hello, namespace: shop}
spec:
  host: hello
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: shop}
spec:
  hosts: [hello]
  http:
  - name: expression
    match: [{method: {regex: "get.*"}}]
    route: [{destination: {host: hello, subset: v1}}]
  - name: desk
    match: [{sourceNamespace: desk}]
    route: [{destination: {host: hello, subset: v2}}]
"""


def _verdicts(content: str) -> list[str]:
    [port] = json.loads(content)["ports"]
    return [route["verdict"] for route in port["routes"]]


def test_the_route_that_takes_a_call_and_why_the_others_do_not(aeraki: Run) -> None:
    result = aeraki("route", "greeter.dubbo", SAMPLES, "--method", "sayHello")
    assert result.code == 0
    rows = [line.split("  (")[0].split() for line in result.out.splitlines()]
    assert rows[0] == [f"{GREETER}:20880", "dubbo,", "all", "clients"]
    assert ["1", "passed", "header", "batch", "is", "true"] in rows
    assert ["the", "call", "has", "no", "header", "batch"] in rows
    assert ["2", "taken", "method", "is", "sayHello"] in rows
    assert ["80", "%", "->", f"outbound|20880|v1|{GREETER}"] in rows
    assert ["20", "%", "->", f"outbound|20880|v2|{GREETER}"] in rows
    assert ["3", "not", "reached", "any", "call"] in rows


def test_a_header_decides(aeraki: Run) -> None:
    arguments = ("route", "greeter.dubbo", SAMPLES, "-o", "json", "--method", "sayHello")
    result = aeraki(*arguments, "--header", "batch=true")
    assert _verdicts(result.out) == ["taken", "not reached", "not reached"]
    assert _verdicts(aeraki(*arguments, "--header", "batch=no").out)[0] == "passed"


def test_a_route_that_the_protocol_cannot_express_says_so(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{SERVICE}---\n{ROUTES}")
    result = aeraki("route", "hello", tmp_path, "--method", "getAll", "-o", "json")
    [port] = json.loads(result.out)["ports"]
    assert [route["verdict"] for route in port["routes"]] == ["left out", "taken"]
    [reason] = port["routes"][0]["reasons"]
    assert "no expression can be matched" in reason
    [destination] = port["routes"][1]["destinations"]
    assert destination["endpoints"] == ["10.1.0.1", "10.1.0.2"]


def test_clients_of_a_namespace_have_their_own_routes(aeraki: Run, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{SERVICE}---\n{ROUTES}")
    desk = json.loads(aeraki("route", "hello", tmp_path, "-n", "desk", "-o", "json").out)
    taken = next(each for each in desk["ports"][0]["routes"] if each["verdict"] == "taken")
    assert (taken["name"], desk["ports"][0]["clients"]) == ("desk", "clients in namespace desk")
    rest = json.loads(aeraki("route", "hello", tmp_path, "-o", "json").out)
    assert rest["ports"][0]["clients"] == "all other clients"
    explained = aeraki("explain", "hello", tmp_path).out
    assert "all other clients" in explained
    assert "any call -> subset v2" in " ".join(explained.split())


def test_workloads_that_a_rule_selects_have_their_own_routes(aeraki: Run, tmp_path: Path) -> None:
    rule = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: jobs, namespace: desk}
spec:
  host: hello.shop.svc.cluster.local
  workloadSelector: {matchLabels: {app: jobs}}
  subsets: [{name: v2, labels: {version: v2}}]
"""
    (tmp_path / "all.yaml").write_text(f"{SERVICE}---\n{ROUTES}{rule}")

    def taken(*labels: str) -> object:
        given = [part for label in labels for part in ("--label", label)]
        result = aeraki("route", "hello", tmp_path, "-n", "desk", *given, "-o", "json")
        (port,) = json.loads(result.out)["ports"]
        return port["routes"][port["taken"]]["name"]

    # The rule hides that of the service from all workloads of its namespace, in Istio too.
    assert taken() is None
    assert taken("app=jobs", "tier=x") == "desk"
    assert taken("app=web") is None


def test_a_service_that_these_clients_do_not_see(aeraki: Run, tmp_path: Path) -> None:
    private = SERVICE.replace(
        "namespace: shop}\nspec:",
        'namespace: shop, annotations: {networking.istio.io/exportTo: "."}}\nspec:',
        1,
    )
    (tmp_path / "all.yaml").write_text(private)
    assert aeraki("route", "hello", tmp_path, "-n", "shop").code == 0
    result = aeraki("route", "hello", tmp_path, "-n", "desk")
    assert result.code == 1
    assert "the service is not exported to them" in result.out


def test_a_protocol_that_does_not_route_calls(aeraki: Run) -> None:
    result = aeraki("route", "zookeeper", SAMPLES)
    assert result.code == 1
    assert "zookeeper does not route single calls" in result.out


def test_an_option_limits_the_calls_that_the_service_takes(aeraki: Run, tmp_path: Path) -> None:
    text = SERVICE.replace("tcp-thrift", "tcp-dubbo").replace(
        "namespace: shop}\nspec:",
        "namespace: shop, annotations: {dubbo.aeraki.io/interface: 'com.example.*'}}\nspec:",
        1,
    )
    (tmp_path / "all.yaml").write_text(text)
    taken = aeraki("route", "hello", tmp_path, "--field", "interface=com.example.Hello")
    assert taken.code == 0
    refused = aeraki("route", "hello", tmp_path, "--field", "interface=com.other.Hello")
    assert refused.code == 1
    assert "the service takes only calls with interface com.example.*" in refused.out
    assert "only calls with interface com.example.*" in aeraki("explain", "hello", tmp_path).out
    unknown = aeraki("route", "hello", tmp_path, "--field", "face=x")
    assert unknown.code == 2
    assert "cannot limit 'face'; it can: group, interface, version" in unknown.err


def test_usage(aeraki: Run) -> None:
    result = aeraki("route", "greeter.dubbo", SAMPLES, "--header", "alice")
    assert result.code == 2
    assert "'alice' is not NAME=VALUE" in result.err
    assert aeraki("route", "nobody", SAMPLES).code == 1


def test_explain_shows_the_routes_in_words(aeraki: Run) -> None:
    out = " ".join(aeraki("explain", "greeter.dubbo", SAMPLES).out.split())
    assert "only calls with interface" in out
    assert "1 header batch is true -> subset v2" in out
    assert "2 method is sayHello -> 80 % subset v1, 20 % subset v2" in out


@pytest.mark.parametrize(
    "target",
    [
        "10.96.14.83",
        "10.96.14.83:20880",
        "10.96.14.83_20880",
        f"outbound|20880|v1|{GREETER}",
        "inbound|20880||",
        f"istio-system/aeraki-outbound-{GREETER}-20880",
        f"aeraki-outbound-{GREETER}-20880",
    ],
)
def test_explain_takes_what_envoy_shows(aeraki: Run, target: str) -> None:
    content = yaml.safe_load(aeraki("explain", target, SAMPLES, "-o", "yaml").out)
    assert (content["ports"][0]["host"], content["ports"][0]["port"]) == (GREETER, 20880)


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        ("10.9.9.9", 1, "no service has the address 10.9.9.9"),
        ("10.96.14.83:1", 1, "no service has the address 10.96.14.83 on port 1"),
        ("[fd00::1]:80", 1, "no service has the address fd00::1 on port 80"),
        ("fd00::1_80", 1, "no service has the address fd00::1 on port 80"),
        ("outbound|x", 2, "is not a cluster of Istio"),
        ("inbound|1||", 1, "no service has the target port 1"),
    ],
)
def test_what_envoy_shows_and_nothing_has(aeraki: Run, target: str, code: int, words: str) -> None:
    result = aeraki("explain", target, SAMPLES)
    assert (result.code, result.out) == (code, "")
    assert words in result.err
