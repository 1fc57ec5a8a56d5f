"""The add-on's filters before those of another plugin, and its conformance to Aeraki's contract."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aeraki_core.testing import PluginConformance, generate, service
from envoy.extensions.filters.network.echo.v3.echo_pb2 import Echo

from aeraki_core import Extension, GenerateContext, Patch, Protocol, hookimpl

SAMPLE = Path(__file__).parents[1].joinpath("sample.yaml").read_text(encoding="utf-8")
ECHO = "envoy.filters.network.echo"


class Greeting:
    """Another plugin, whose filter takes the place of tcp_proxy."""

    __name__ = "greeting"

    @hookimpl
    def aeraki_protocols(self) -> Iterable[Protocol]:
        extension = Extension(ECHO, stock=True)
        return [
            Protocol(name="greeting", tokens=("greeting",), extension=extension, summary="Echoes")
        ]

    @hookimpl
    def aeraki_generate(self, context: GenerateContext) -> Iterator[Patch]:
        for side in (context.outbound, *context.inbound):
            yield side.replace_tcp_proxy(ECHO, Echo())


def greeter(**limits: str) -> dict[str, Any]:
    annotations = {
        f"limits.aeraki.io/{name.replace('_', '-')}": each for name, each in limits.items()
    }
    return service(
        "greeter", {"tcp-greeting": 7000}, selector={"app": "greeter"}, annotations=annotations
    )


def test_the_limits_run_before_the_protocols_filter() -> None:
    both = greeter(max_connections="2", connections_per_second="9")
    made = generate(both, plugins=["limits", Greeting()])
    (inbound,) = (each for each in made.filters if each["metadata"]["namespace"] == "default")
    names = [patch["patch"]["value"]["name"] for patch in inbound["spec"]["configPatches"]]
    assert names == [
        "envoy.filters.network.connection_limit",
        "envoy.filters.network.local_ratelimit",
        ECHO,
    ]
    assert inbound["metadata"]["labels"]["aeraki.io/plugin"] == "greeting"
    (sidecar,) = (each for each in made.sidecars if each.config.proxy.labels.get("app"))
    chains = [
        [each.name for each in chain.filters if "istio" not in each.name]
        for chain in sidecar.config.listener("virtualInbound").filter_chains
        if ECHO in [each.name for each in chain.filters]
    ]
    assert chains
    assert all(chain == names for chain in chains)  # with mutual TLS and without
    assert made.findings == ()


def test_without_annotations_nothing_is_added() -> None:
    assert generate(greeter(), plugins=["limits", Greeting()]).yaml == (
        generate(greeter(), plugins=[Greeting()]).yaml
    )


def test_a_limit_that_is_no_number_is_a_finding_and_no_limit() -> None:
    made = generate(greeter(max_connections="many"), plugins=["limits", Greeting()])
    assert made.codes == ("AER0111",)


class TestConformance(PluginConformance):
    plugin = "limits"
    examples = {"a service": SAMPLE}
    reporting = {
        "no workload": [
            service(
                "outside",
                {"tcp-plain": 7000},
                selector={},
                annotations={"limits.aeraki.io/max-connections": "9"},
            )
        ]
    }
    not_for = {"other ports": [service("web", {"http-web": 80, "tcp": 7000})]}
