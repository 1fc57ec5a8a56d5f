"""The filters of whole inputs: exactly the golden files, and accepted by Envoy and istiod.

Every output and every sample is applied to modelled sidecars (clients in each namespace, and each
workload that a selector matches) as istiod would apply it. A real Envoy loads the result without a
warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aeraki_core.testing import (
    Envoy,
    EnvoyConfig,
    Golden,
    Verdict,
    stray_changes,
    unmatched,
    validate_many,
)

from aeraki_core import Severity
from tests.golden.conftest import Case, golden_cases, sample_cases

# A contrib extension: the Envoy of these tests lacks it, as stock proxies do
# (docs/internals/envoy.md, "Kafka").
NOT_IN_THIS_ENVOY = frozenset({"envoy.filters.network.kafka_broker"})

# Only where the mesh's settings ask for that engine; nothing avoids Envoy's warning about it.
WORK_IN_PROGRESS = "envoy.filters.network.generic_proxy"
WORK_IN_PROGRESS_WARNING = "marked as work-in-progress"


@dataclass(frozen=True)
class Loaded:
    """Envoy's verdicts that are not clean.

    One set is for configurations without the filters that Envoy lacks, one for those with them.
    """

    lacking: Mapping[str, frozenset[str]]
    stripped: Mapping[str, Verdict]
    whole: Mapping[str, Verdict]


@pytest.fixture(scope="module")
def loaded(envoy: Envoy) -> Loaded:
    """All cases in a few starts of Envoy; the keys begin with the case's name."""
    stripped: dict[str, EnvoyConfig] = {}
    in_progress: dict[str, EnvoyConfig] = {}
    whole: dict[str, EnvoyConfig] = {}
    lacking: dict[str, frozenset[str]] = {}
    for case in golden_cases() + sample_cases():
        for proxy, config in case.made.envoy_configs().items():
            name = f"{case.name}: {proxy}"
            lacking[name] = envoy.lacking(config)
            if lacking[name]:
                whole[name] = config
                config = envoy.without(config, lacking[name])
            chosen = in_progress if WORK_IN_PROGRESS in filter_names(config.listeners) else stripped
            chosen[name] = config
    return Loaded(
        lacking,
        {
            **validate_many(envoy, stripped),
            **validate_many(envoy, in_progress, tolerate=[WORK_IN_PROGRESS_WARNING]),
        },
        {name: envoy.validate(config) for name, config in whole.items()},
    )


def filter_names(listeners: Iterable[Any]) -> set[str]:
    return {
        item.name
        for listener in listeners
        for chain in (*listener.filter_chains, listener.default_filter_chain)
        for item in chain.filters
    }


def of_case(found: Mapping[str, Any], case: Case) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in found.items() if name.startswith(f"{case.name}: "))


def test_every_protocol_has_cases_and_a_sample() -> None:
    """Without this, a moved folder would make every other test here pass."""
    protocols = {"dubbo", "kafka", "redis", "thrift", "zookeeper"}
    assert {case.name.partition("/")[0] for case in golden_cases()} == protocols
    assert {case.name.partition("/")[2] for case in sample_cases()} == protocols


def test_the_filters_are_the_golden_ones(golden_case: Case, golden: Golden) -> None:
    golden.check(golden_case.beside(".out.yaml"), golden_case.made.yaml)


def test_the_findings_are_the_golden_ones(golden_case: Case, golden: Golden) -> None:
    golden.check(golden_case.beside(".findings.txt"), golden_case.made.findings_text)


def test_the_order_of_objects_makes_no_difference(golden_case: Case) -> None:
    objects = golden_case.made.objects
    again = golden_case.make(list(reversed(objects)))
    assert again.yaml == golden_case.made.yaml
    assert again.findings_text == golden_case.made.findings_text


def test_a_sample_gives_filters_and_no_error(sample: Case) -> None:
    # Stock proxies lack Kafka's extension. Without the setting that its page describes, its sample
    # has no filters.
    assert bool(sample.made.filters) is (sample.name != "samples/kafka")
    assert [item for item in sample.made.findings if item.severity is Severity.ERROR] == []


@pytest.mark.envoy
def test_every_patch_takes_effect(any_case: Case) -> None:
    assert unmatched(any_case.made.sidecars) == {}


def test_only_its_own_ports_change(any_case: Case) -> None:
    assert stray_changes(any_case.made) == []


@pytest.mark.envoy
def test_envoy_loads_it_without_a_warning(any_case: Case, loaded: Loaded) -> None:
    bad = [f"{name}: {verdict}" for name, verdict in of_case(loaded.stripped, any_case)]
    assert bad == [], "\n".join(bad)


@pytest.mark.envoy
def test_only_a_contrib_filter_keeps_envoy_from_loading_it(any_case: Case, loaded: Loaded) -> None:
    for name, lacking in of_case(loaded.lacking, any_case):
        assert lacking <= NOT_IN_THIS_ENVOY, name
        if lacking:
            (error,) = loaded.whole[name].errors
            assert "kafka_broker" in error, name
