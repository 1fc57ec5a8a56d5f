"""What every plugin must hold to, as tests that its author inherits.

    class TestEcho(PluginConformance):
        plugin = aeraki_plugins_echo
        examples = {"one service": ONE_SERVICE}

In: a plugin and examples of input (YAML texts or lists of dictionaries). Out: for each example tests that pytest
collects; they need the fixture ``envoy`` (``pip install 'aeraki-core[testing]'``).
"""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from aeraki_core.findings.codes import GENERATOR_GARBAGE, GENERATOR_RAISED, HOOK_RAISED
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.testing.builders import objects_in
from aeraki_core.testing.envoy.batch import validate_many
from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.envoy.process import Envoy
from aeraki_core.testing.generating import Made, generate
from aeraki_core.testing.odd import odd_variants
from aeraki_core.testing.sidecar.patches import unmatched
from aeraki_core.testing.stray import stray_changes

__all__ = ["PluginConformance"]

_BROKEN = frozenset({GENERATOR_GARBAGE.id, GENERATOR_RAISED.id, HOOK_RAISED.id})
_SHUFFLES = 5


class PluginConformance:
    """Inherit and set ``plugin`` and ``examples``.

    ``plugin``: a module, an object with hooks, or an installed plugin's name.
    ``examples``: by name, objects or YAML text that the plugin makes filters of.
    ``mesh``: the mesh's settings.
    ``proxy_extensions``: Envoy extensions that all proxies have beside the stock ones.
    ``odd_inputs``: how many odd inputs are tried for each example.
    ``tolerated_warnings``: parts of warnings of Envoy that the plugin's filters cannot avoid.

    A filter that the Envoy at hand lacks is left out where configurations are loaded.
    """

    plugin: ClassVar[Any]
    examples: ClassVar[Mapping[str, str | Sequence[Mapping[str, Any]]]]
    mesh: ClassVar[Mesh] = Mesh()
    proxy_extensions: ClassVar[tuple[str, ...]] = ()
    odd_inputs: ClassVar[int] = 200
    tolerated_warnings: ClassVar[tuple[str, ...]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """pytest's hook: one test for each example."""
        if "example" in metafunc.fixturenames:
            metafunc.parametrize("example", sorted(self.examples))

    def objects(self, example: str) -> list[Mapping[str, Any]]:
        """The objects of an example."""
        given = self.examples[example]
        return list(objects_in(given)) if isinstance(given, str) else list(given)

    def make(self, objects: Sequence[Mapping[str, Any]]) -> Made:
        """What the plugin makes of objects."""
        rules = tuple(map(ProxyRule, self.proxy_extensions))
        mesh = replace(self.mesh, proxy_rules=self.mesh.proxy_rules + rules)
        return generate(objects, plugins=[self.plugin], mesh=mesh)

    def test_makes_filters(self, example: str) -> None:
        """An example without any output would prove nothing."""
        made = self.make(self.objects(example))
        assert made.filters, f"no filter for {example}; findings:\n{made.findings_text}"

    def test_does_not_break(self, example: str) -> None:
        """No hook raises or gives what is unusable."""
        made = self.make(self.objects(example))
        assert not _BROKEN & set(made.codes), made.findings_text

    def test_gives_the_same_again(self, example: str) -> None:
        """The same objects in any order give the same filters and findings, byte for byte."""
        objects = self.objects(example)
        first = self.make(objects)
        shuffle = random.Random(0)  # noqa: S311 - an order, no secret
        for _ in range(_SHUFFLES):
            again = self.make(objects)
            assert (again.yaml, again.findings_text) == (first.yaml, first.findings_text)
            shuffle.shuffle(objects)

    def test_every_patch_takes_effect(self, example: str) -> None:
        """No patch is for something that no sidecar has."""
        assert not unmatched(self.make(self.objects(example)).sidecars)

    def test_changes_only_its_ports(self, example: str) -> None:
        """Listeners, chains and clusters of other service ports stay as they are."""
        assert stray_changes(self.make(self.objects(example))) == []

    def test_loads_without_a_warning(self, example: str, envoy: Envoy) -> None:
        """A real Envoy takes what was made."""
        bad = validate_many(
            envoy,
            _loadable(envoy, self.make(self.objects(example))),
            tolerate=self.tolerated_warnings,
        )
        assert not bad, "\n".join(f"{name}: {verdict}" for name, verdict in bad.items())

    def test_bears_odd_input(self, example: str, envoy: Envoy) -> None:
        """With any one field wrong nothing raises, and what is made still loads."""
        configs: dict[str, EnvoyConfig] = {}
        for name, objects in odd_variants(self.objects(example), self.odd_inputs):
            made = self.make(objects)
            assert not _BROKEN & set(made.codes), f"{name}:\n{made.findings_text}"
            for proxy, config in _loadable(envoy, made).items():
                configs[f"{name} ({proxy})"] = config
        bad = validate_many(envoy, configs, tolerate=self.tolerated_warnings)
        assert not bad, "\n".join(f"{name}: {verdict}" for name, verdict in bad.items())


def _loadable(envoy: Envoy, made: Made) -> dict[str, EnvoyConfig]:
    found = {}
    for name, config in made.envoy_configs().items():
        lacking = envoy.lacking(config)
        found[name] = envoy.without(config, lacking) if lacking else config
    return found
