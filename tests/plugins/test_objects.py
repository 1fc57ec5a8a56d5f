"""An object that a plugin's code cannot handle is a finding, and the controller goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.plugins.controller import Running, running, service
from tests.plugins.distributions import DISTRIBUTIONS, OBJECTS, Distribution, install

WORKS = next(item for item in DISTRIBUTIONS if item.plugin == "works")
NUMBERS = {item.plugin: number for number, item in enumerate(OBJECTS, start=1)}


def policy(plugin: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{plugin}.example.com/v1",
        "kind": f"Policy{NUMBERS[plugin]}",
        "metadata": {"name": "policy", "namespace": "shop"},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = tmp_path_factory.mktemp("site")
    install(site, tmp_path_factory.mktemp("work"), (WORKS, *OBJECTS))
    with running(tmp_path_factory.mktemp("run"), site) as started:
        started.put("works.yaml", service("works", 1, "tcp-works"))
        for plugin, number in NUMBERS.items():
            started.put(
                f"{plugin}.yaml",
                service(plugin, 10 + number, f"tcp-{plugin}"),
                policy(plugin, host=plugin),
            )
        started.until_filters_of("works", *NUMBERS)
        yield started


@pytest.mark.parametrize("distribution", OBJECTS, ids=lambda item: item.plugin)
def test_the_controller_goes_on(controller: Running, distribution: Distribution) -> None:
    plugin = distribution.plugin
    number = NUMBERS[plugin]
    controller.put(
        f"{plugin}.yaml",
        service(plugin, 10 + number, f"tcp-{plugin}"),
        policy(plugin, host=plugin, broken=True),
    )
    line = controller.until_logged("AER0406", f"plugin {plugin} cannot read this Policy{number}")
    assert f"{plugin}.yaml" in line
    # A service that comes later gets its filter; that of the broken object's host stays.
    later = f"later-{number}"
    controller.put(f"{later}.yaml", service(later, 100 + number, "tcp-works"))
    controller.until_filters_of("works", plugin, later)
