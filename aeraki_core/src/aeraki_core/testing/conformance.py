"""What every plugin must hold to, as tests that its author inherits.

    class TestEcho(PluginConformance):
        plugin = aeraki_plugins_echo
        examples = {"one service": ONE_SERVICE}

pytest collects the tests for each example. They need the fixture ``envoy``
(``pip install 'aeraki-core[testing]'``). A plugin that passes gives the same filters whenever and
wherever it runs, touches nothing but its own ports, and bears input of any form.
"""

# ruff: noqa: S101 - these are tests

from __future__ import annotations

import copy
import difflib
import itertools
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from aeraki_core.findings.codes import (
    GENERATOR_GARBAGE,
    GENERATOR_RAISED,
    HOOK_RAISED,
    LOST_PROTOCOL,
    UNHANDLED,
)
from aeraki_core.findings.finding import Severity
from aeraki_core.manifests.crds import crd
from aeraki_core.model.mesh import Mesh, ProxyRule
from aeraki_core.model.plugin_calls import PLUGIN_CALLS, Guard
from aeraki_core.testing.builders import objects_in
from aeraki_core.testing.canary import leaks, listening, with_canaries
from aeraki_core.testing.envoy.batch import validate_many
from aeraki_core.testing.envoy.local import EnvoyConfig
from aeraki_core.testing.envoy.process import Envoy
from aeraki_core.testing.fresh import PRISTINE, Fresh, digest, run_fresh
from aeraki_core.testing.generating import LivePipeline, Made, generate, registry_of
from aeraki_core.testing.guarded import deadline
from aeraki_core.testing.intact import replaced_in_core
from aeraki_core.testing.odd import odd_variants, small_changes
from aeraki_core.testing.schema import crd_problems
from aeraki_core.testing.sidecar.patches import unmatched
from aeraki_core.testing.stray import stray_changes

__all__ = ["PluginConformance"]

_BROKEN = frozenset({GENERATOR_GARBAGE.id, GENERATOR_RAISED.id, HOOK_RAISED.id, UNHANDLED.id})
# Findings about a change itself, which a fresh start cannot have.
_OF_CHANGES = frozenset({LOST_PROTOCOL.id})
_SHUFFLES = 5
_SEEDS = (1, 2)
_CHANGES = 60  # of each example that a running pipeline gets and loses again
_SHOWN = 3
_DIFFERENCE = 12  # lines of a difference that are shown

Objects = Sequence[Mapping[str, Any]]
Examples = Mapping[str, str | Objects]


class PluginConformance:
    """Inherit and set ``plugin`` and ``examples``.

    ``plugin``: a module, an object with hooks, or an installed plugin's name.
    ``examples``: by name, objects or YAML text that the plugin makes filters of.
    ``reporting``: more examples, which need not give filters; their findings and options count.
    ``not_for``: examples in which the plugin must claim no port at all.
    ``mesh``: the mesh's settings; ``meshes``: by example those of another mesh.
    ``proxy_extensions``: Envoy extensions that all proxies have beside the stock ones.
    ``odd_inputs``: how many odd inputs are tried for each example.
    ``deadline``: seconds that one call of a hook may take.
    ``tolerated_warnings``: parts of warnings of Envoy that the plugin's filters cannot avoid.
    ``exempt``: by name of a test the reason why it does not hold. Only such a test may be
    overridden, and one that is not overridden is left out.

    A filter that the Envoy at hand lacks is left out where configurations are loaded.
    """

    plugin: ClassVar[Any]
    examples: ClassVar[Examples]
    reporting: ClassVar[Examples] = {}
    not_for: ClassVar[Examples] = {}
    mesh: ClassVar[Mesh] = Mesh()
    meshes: ClassVar[Mapping[str, Mesh]] = {}
    proxy_extensions: ClassVar[tuple[str, ...]] = ()
    odd_inputs: ClassVar[int] = 200
    deadline: ClassVar[float] = 5.0
    tolerated_warnings: ClassVar[tuple[str, ...]] = ()
    exempt: ClassVar[Mapping[str, str]] = {}

    _plain: ClassVar[dict[str, Made]]
    _fresh: ClassVar[dict[int, dict[str, Fresh]]]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._plain, cls._fresh = {}, {}
        tests = {name for name in dir(PluginConformance) if name.startswith("test_")}
        for name, reason in cls.exempt.items():
            if name not in tests or not reason.strip():
                raise TypeError(f"{cls.__name__}.exempt: {name!r} must be a test, with a reason")
            if name not in vars(cls):
                setattr(cls, name, None)
        for name in tests & vars(cls).keys() - cls.exempt.keys():
            raise TypeError(
                f"{cls.__name__} overrides {name}; say why in exempt = {{{name!r}: 'the reason'}}"
            )

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """pytest's hook: one test for each example."""
        for argument, examples in (
            ("example", self.examples),
            ("odd_one", {**self.examples, **self.reporting}),
        ):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, sorted(examples))

    def objects(self, example: str) -> list[Mapping[str, Any]]:
        """Return the objects of an example."""
        objects = {**self.not_for, **self.reporting, **self.examples}[example]
        return list(objects_in(objects)) if isinstance(objects, str) else list(objects)

    def make(self, objects: Objects, *, example: str = "", guard: Guard | None = None) -> Made:
        """Return the plugin's result for objects, in the mesh of an example.

        ``guard``: entered for each call of a hook, instead of the deadline.
        """
        guard = guard or deadline(self.deadline)
        registry = registry_of([self.plugin])
        with PLUGIN_CALLS.guarded_by(guard):
            return generate(objects, plugins=registry, mesh=self._mesh(example))

    def _mesh(self, example: str) -> Mesh:
        mesh = self.meshes.get(example, self.mesh)
        rules = tuple(map(ProxyRule, self.proxy_extensions))
        return replace(mesh, proxy_rules=mesh.proxy_rules + rules)

    def _made(self, example: str) -> Made:
        """Return the plugin's result for an example, once for all tests."""
        if example not in self._plain:
            self._plain[example] = self.make(self.objects(example), example=example)
        return self._plain[example]

    def _sound(self, example: str) -> Made:
        """Return the example's result; fail early if another test reports its problem."""
        made = self._made(example)
        assert not _BROKEN & set(made.codes), "a hook fails: see test_does_not_break"
        assert made.filters, "the example gives no filter: see test_makes_filters"
        return made

    # -- one example -------------------------------------------------------------------------------

    def test_makes_filters(self, example: str) -> None:
        """An example without any output would prove nothing."""
        made = self._made(example)
        assert made.filters, f"no filter for {example}; findings:\n{made.findings_text}"

    def test_does_not_break(self, odd_one: str) -> None:
        """No hook raises, gives what is unusable, or takes longer than the deadline."""
        made = self._made(odd_one)
        assert not _BROKEN & set(made.codes), made.findings_text

    def test_gives_the_same_again(self, example: str) -> None:
        """The same objects in any order give the same filters and findings, byte for byte."""
        made = self._sound(example)
        objects = self.objects(example)
        shuffle = random.Random(0)  # noqa: S311 - an order, no secret
        for _ in range(_SHUFFLES):
            again = _text(self.make(objects, example=example))
            assert again == _text(made), f"once more it makes\n{_difference(_text(made), again)}"
            shuffle.shuffle(objects)

    def test_gives_the_same_in_a_fresh_process(self, example: str) -> None:
        """With another hash seed, environment, time and directory it makes the same."""
        text = _text(self._sound(example))
        for seed in _SEEDS:
            fresh = self._fresh_run(seed)[example]
            # What is denied there may differ for that: see test_touches_nothing_outside.
            same = bool(fresh.denied) or fresh.text == text
            assert same, f"another process makes\n{_difference(text, fresh.text)}"

    def test_touches_nothing_outside(self, example: str) -> None:
        """A hook opens no file or socket and starts no program."""
        self._sound(example)
        for seed in _SEEDS:
            denied = self._fresh_run(seed)[example].denied
            assert not denied, f"a hook tried: {_first(denied)}"

    def _fresh_run(self, seed: int) -> dict[str, Fresh]:
        if seed not in self._fresh:
            self._fresh[seed] = run_fresh(type(self), seed)
        return self._fresh[seed]

    def test_follows_changes(self, example: str) -> None:
        """A change to a running pipeline gives what a fresh start gives; undone, nothing stays."""
        plain = _text(self._sound(example))
        objects = self.objects(example)
        live = LivePipeline(registry_of([self.plugin]), self._mesh(example))
        live.become(objects)
        elsewhere = self._fresh_run(PRISTINE)[example]
        wrong = []
        for number, (name, changed) in enumerate(self.changes(example)):
            with PLUGIN_CALLS.guarded_by(deadline(self.deadline)):
                after = live.become(changed)
            made = self.make(changed, example=example)
            fresh = _text(made)
            # An object that a model rejects keeps its last good form, which a fresh start lacks.
            whole = not any(item.severity is Severity.ERROR for item in made.findings)
            if whole and _text(after, without=_OF_CHANGES) != fresh:
                wrong.append(f"{name}: a running pipeline makes something else than a fresh start")
            if not elsewhere.denied and elsewhere.digests[number] != digest(fresh):
                wrong.append(f"{name}: what it makes depends on what it was asked before")
            if _text(live.become(objects)) != plain:
                wrong.append(f"{name}: after the change is undone, something of it stays")
        assert not wrong, _first(wrong)

    def changes(self, example: str) -> list[tuple[str, list[Mapping[str, Any]]]]:
        """Return the changes that a running pipeline receives and undoes."""
        return list(small_changes(self.objects(example), _CHANGES))

    def test_leaves_its_input_alone(self, example: str) -> None:
        """No hook changes the spec of a resource: other ports and later calls read it too."""
        self._sound(example)
        live = LivePipeline(registry_of([self.plugin]), self._mesh(example))
        live.load(self.objects(example))
        before = copy.deepcopy(live.specs())
        live.run()
        changed = [str(ref) for ref, spec in live.specs().items() if spec != before[ref]]
        assert not changed, f"a hook changes the spec of {_first(changed)}"

    def test_keeps_secrets_secret(self, example: str) -> None:
        """What a Secret holds is in no log, output, name, or finding."""
        objects, canaries = with_canaries(self.objects(example))
        with listening() as overheard:
            made = self.make(objects, example=example)
        places = leaks(made, overheard, canaries)
        assert not places, f"a Secret's value is in {_first(places)}"

    def test_every_patch_takes_effect(self, example: str) -> None:
        """No patch is for something that no sidecar has, or changes nothing that Envoy obeys."""
        without = unmatched(self._sound(example).sidecars)
        assert not without, _first(f"{ref}: {reason}" for ref, reason in without.items())

    def test_changes_only_its_ports(self, example: str) -> None:
        """Listeners, chains and clusters of other service ports stay as they are."""
        assert stray_changes(self._sound(example)) == []

    def test_loads_without_a_warning(self, example: str, envoy: Envoy) -> None:
        """A real Envoy takes what was made."""
        self._load(envoy, _loadable(envoy, self._sound(example)))

    def test_bears_odd_input(self, example: str, envoy: Envoy) -> None:
        """With any one field wrong nothing raises, and what is made still loads."""
        self._sound(example)
        configs: dict[str, EnvoyConfig] = {}
        broken: list[str] = []
        tried = 0
        for name, objects in odd_variants(self.objects(example), self.odd_inputs):
            tried += 1
            made = self.make(objects, example=example)
            if _BROKEN & set(made.codes):
                broken.append(f"{name}:\n{made.findings_text}")
                continue
            for proxy, config in _loadable(envoy, made).items():
                configs[f"{name} ({proxy})"] = config
        assert not broken, f"{len(broken)} of {tried} odd inputs:\n{_first(broken)}"
        self._load(envoy, configs)

    def _load(self, envoy: Envoy, configs: Mapping[str, EnvoyConfig]) -> None:
        tolerated = self.tolerated_warnings
        bad = validate_many(envoy, configs, tolerate=tolerated, at_most=_SHOWN)
        shown = _first(f"{name}: {verdict}" for name, verdict in bad.items())
        assert not bad, f"of {len(configs)} configurations:\n{shown}"

    # -- all examples together ---------------------------------------------------------------------

    def test_claims_no_other_port(self) -> None:
        """Of objects that are not for the plugin it makes nothing."""
        claimed = [
            f"{name}: {report.service.host}:{report.port.number}"
            for name in sorted(self.not_for)
            for report in self._made(name).reports
            if report.run
        ]
        assert not claimed, f"claims {_first(claimed)}"

    def test_every_finding_has_an_example(self) -> None:
        """Every code that the plugin declares is reported in some example."""
        declared = {code.id for protocol in self._protocols() for code in protocol.codes}
        reported = {code for name in self._all_examples() for code in self._made(name).codes}
        missing = sorted(declared - reported)
        assert not missing, f"no example, also not in `reporting`, reports {_first(missing)}"

    def test_every_option_has_an_example(self) -> None:
        """Every option that the plugin declares is set in some example."""
        annotations = {
            name
            for example in self._all_examples()
            for item in self.objects(example)
            for name in (item.get("metadata") or {}).get("annotations") or ()
        }
        missing = sorted(
            protocol.annotation(option)
            for protocol in self._protocols()
            for option in protocol.options
            if not {protocol.annotation(option), *option.aliases} & annotations
        )
        assert not missing, f"no example, also not in `reporting`, sets {_first(missing)}"

    def test_its_crds_are_structural(self) -> None:
        """An API server takes the CRDs of the plugin's kinds."""
        kinds = registry_of([self.plugin]).kinds
        problems = [
            f"{kind.kind}: {problem}" for kind in kinds for problem in crd_problems(crd(kind))
        ]
        assert not problems, _first(problems)

    def test_leaves_the_core_alone(self) -> None:
        """The plugin replaces no function of the core."""
        for name in sorted(self.examples):
            self._made(name)
        replaced = replaced_in_core(registry_of([self.plugin]))
        assert not replaced, f"the plugin replaces {_first(replaced)}"

    def _all_examples(self) -> list[str]:
        return sorted({**self.examples, **self.reporting})

    def _protocols(self) -> Iterable[Any]:
        return registry_of([self.plugin]).protocols


def _first(lines: Iterable[str]) -> str:
    """Return a few lines and their count: a failure must stay readable."""
    lines = list(lines)
    more = len(lines) - _SHOWN
    return "\n".join(lines[:_SHOWN]) + (f"\n... and {more} more" if more > 0 else "")


def _text(made: Made, without: Collection[str] = ()) -> str:
    """Filters and findings; ``without`` the findings of these codes."""
    findings = tuple(item for item in made.findings if item.code.id not in without)
    return made.yaml + replace(made, findings=findings).findings_text


def _difference(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return "\n".join(itertools.islice(lines, 2, 2 + _DIFFERENCE))


def _loadable(envoy: Envoy, made: Made) -> dict[str, EnvoyConfig]:
    configs = {}
    for name, config in made.envoy_configs().items():
        lacking = envoy.lacking(config)
        configs[name] = envoy.without(config, lacking) if lacking else config
    return configs
