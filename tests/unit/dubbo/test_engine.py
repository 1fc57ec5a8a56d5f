"""Which engine serves whom, and how often the warning about dubbo_proxy comes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.testing import Made, generate, service, unmatched

import aeraki_plugins_dubbo

GENERIC_PROXY = "envoy.filters.network.generic_proxy"
DUBBO_PROXY = "envoy.filters.network.dubbo_proxy"


def make(
    engine: str | None, rules: Sequence[ProxyRule] = (), namespaces: tuple[str, ...] = ()
) -> Made:
    annotations = {"dubbo.aeraki.io/engine": engine} if engine else None
    found = service(
        "greeter",
        {"tcp-dubbo": 20880},
        namespace="shop",
        selector={"app": "greeter"},
        annotations=annotations,
    )
    mesh = Mesh(proxy_rules=tuple(rules), namespaces=namespaces)
    return generate(found, plugins=[aeraki_plugins_dubbo], mesh=mesh)


def engines(made: Made) -> dict[str, str]:
    """Return the filter's name for all clients, for some namespace's clients, and for workloads."""
    found = {}
    for item in made.filters:
        for patch in item["spec"]["configPatches"]:
            everywhere = item["metadata"]["namespace"] == "istio-system"
            whose = (
                "workloads"
                if patch["match"]["context"] == "SIDECAR_INBOUND"
                else "all"
                if everywhere
                else "some"
            )
            found[whose] = patch["patch"]["value"]["name"]
    return found


@pytest.mark.parametrize(
    ("engine", "rules", "namespaces", "clients", "some", "workloads"),
    [
        (None, [], (), DUBBO_PROXY, None, DUBBO_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY)], (), GENERIC_PROXY, None, GENERIC_PROXY),
        ("dubbo_proxy", [ProxyRule(GENERIC_PROXY)], (), DUBBO_PROXY, None, DUBBO_PROXY),
        ("dubbo_proxy", [ProxyRule(GENERIC_PROXY, "shop")], (), DUBBO_PROXY, None, DUBBO_PROXY),
        # One namespace has it: its clients get it instead of what all get, and the workloads there.
        ("auto", [ProxyRule(GENERIC_PROXY, "shop")], (), DUBBO_PROXY, GENERIC_PROXY, GENERIC_PROXY),
        ("auto", [ProxyRule(GENERIC_PROXY, "other")], (), DUBBO_PROXY, GENERIC_PROXY, DUBBO_PROXY),
        (
            "auto",
            [ProxyRule(GENERIC_PROXY), ProxyRule(GENERIC_PROXY, "other")],
            (),
            GENERIC_PROXY,
            None,
            GENERIC_PROXY,
        ),
        (
            "auto",
            [ProxyRule(GENERIC_PROXY, "shop", (("app", "greeter"),))],
            (),
            DUBBO_PROXY,
            None,
            GENERIC_PROXY,
        ),
        (
            "auto",
            [ProxyRule(GENERIC_PROXY, "shop", (("app", "other"),))],
            (),
            DUBBO_PROXY,
            None,
            DUBBO_PROXY,
        ),
        # Filters are written into that namespace only, so all their clients have it.
        ("auto", [ProxyRule(GENERIC_PROXY, "shop")], ("shop",), None, GENERIC_PROXY, GENERIC_PROXY),
        # By name: where it is not known to be, there is no filter.
        (
            "generic_proxy",
            [ProxyRule(GENERIC_PROXY, "shop")],
            (),
            None,
            GENERIC_PROXY,
            GENERIC_PROXY,
        ),
        ("generic_proxy", [], (), None, None, None),
    ],
)
def test_each_side_gets_an_engine_that_its_proxies_have(
    engine: str | None,
    rules: list[ProxyRule],
    namespaces: tuple[str, ...],
    clients: str | None,
    some: str | None,
    workloads: str | None,
) -> None:
    made = make(engine, rules, namespaces)
    expected = {"all": clients, "some": some, "workloads": workloads}
    assert engines(made) == {whose: name for whose, name in expected.items() if name}
    chosen = engine in (None, "auto")
    assert ("DUB0102" in made.codes) is (chosen and DUBBO_PROXY in (clients, workloads))
    assert ("DUB0103" in made.codes) is (engine == "generic_proxy")
    assert unmatched(made.sidecars) == {}


def test_the_warning_about_dubbo_proxy_is_one_for_the_mesh() -> None:
    services = [
        service(
            f"greeter-{number}",
            {"tcp-dubbo": 20880, "tcp-dubbo-admin": 20990},
            cluster_ip=f"10.96.0.{number}",
        )
        for number in range(1, 51)
    ]
    made = generate(services, plugins=[aeraki_plugins_dubbo])
    assert len(made.filters) == 100
    assert made.codes == ("DUB0102",)
