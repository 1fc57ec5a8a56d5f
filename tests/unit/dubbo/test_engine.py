"""Which engine serves whom, and how often the warning about dubbo_proxy comes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.testing import Made, generate, service

import aeraki_plugins_dubbo

GENERIC_PROXY = "envoy.filters.network.generic_proxy"
DUBBO_PROXY = "envoy.filters.network.dubbo_proxy"


def make(engine: str | None, rules: Sequence[ProxyRule] = (), namespaces: tuple[str, ...] = ()) -> Made:
    annotations = {"dubbo.aeraki.io/engine": engine} if engine else None
    found = service(
        "greeter", {"tcp-dubbo": 20880}, namespace="shop", selector={"app": "greeter"}, annotations=annotations
    )
    mesh = Mesh(proxy_rules=tuple(rules), namespaces=namespaces)
    return generate(found, plugins=[aeraki_plugins_dubbo], mesh=mesh)


def engines(made: Made) -> dict[str, str]:
    """The filter's name by the context of its patch."""
    return {patch["match"]["context"]: patch["patch"]["value"]["name"] for patch in made.patches()}


@pytest.mark.parametrize(
    ("engine", "rules", "namespaces", "clients", "workloads"),
    [
        (None, [], (), DUBBO_PROXY, DUBBO_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY)], (), GENERIC_PROXY, GENERIC_PROXY),
        ("dubbo_proxy", [ProxyRule(GENERIC_PROXY)], (), DUBBO_PROXY, DUBBO_PROXY),
        # One namespace has it: not all clients, but the workloads there.
        ("auto", [ProxyRule(GENERIC_PROXY, "shop")], (), DUBBO_PROXY, GENERIC_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY, "other")], (), DUBBO_PROXY, DUBBO_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY, "shop", (("app", "greeter"),))], (), DUBBO_PROXY, GENERIC_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY, "shop", (("app", "other"),))], (), DUBBO_PROXY, DUBBO_PROXY),
        # Filters are written into that namespace only, so all their clients have it.
        ("auto", [ProxyRule(GENERIC_PROXY, "shop")], ("shop",), GENERIC_PROXY, GENERIC_PROXY),
        # By name: where it is not known to be, there is no filter.
        ("generic_proxy", [ProxyRule(GENERIC_PROXY, "shop")], (), None, GENERIC_PROXY),
        ("generic_proxy", [], (), None, None),
    ],
)
def test_each_side_gets_an_engine_that_its_proxies_have(
    engine: str | None,
    rules: list[ProxyRule],
    namespaces: tuple[str, ...],
    clients: str | None,
    workloads: str | None,
) -> None:
    made = make(engine, rules, namespaces)
    expected = {"SIDECAR_OUTBOUND": clients, "SIDECAR_INBOUND": workloads}
    assert engines(made) == {context: name for context, name in expected.items() if name}
    chosen = engine in (None, "auto")
    assert ("DUB0102" in made.codes) is (chosen and DUBBO_PROXY in (clients, workloads))
    assert ("DUB0103" in made.codes) is (None in (clients, workloads))


def test_the_warning_about_dubbo_proxy_is_one_for_the_mesh() -> None:
    services = [
        service(f"greeter-{number}", {"tcp-dubbo": 20880, "tcp-dubbo-admin": 20990}, cluster_ip=f"10.96.0.{number}")
        for number in range(1, 51)
    ]
    made = generate(services, plugins=[aeraki_plugins_dubbo])
    assert len(made.filters) == 100
    assert made.codes == ("DUB0102",)
