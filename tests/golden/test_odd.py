"""The golden cases with any one field wrong: nothing raises, and the filters load in Envoy."""

from __future__ import annotations

import pytest
from aeraki_core.findings.codes import GENERATOR_GARBAGE, GENERATOR_RAISED, HOOK_RAISED
from aeraki_core.testing import Envoy, EnvoyConfig
from aeraki_core.testing.odd import odd_variants

from tests.golden.conftest import Case
from tests.loading import WORK_IN_PROGRESS, refused

BROKEN = {GENERATOR_GARBAGE.id, GENERATOR_RAISED.id, HOOK_RAISED.id}
VARIANTS = 50  # of each case
LEFT_OUT = {"redis/one-host-two-resolutions"}
"""Cases that prove nothing here: without the odd entry, the other entry owns the host."""


@pytest.mark.envoy
def test_it_bears_odd_input(golden_case: Case, envoy: Envoy) -> None:
    configs: dict[str, EnvoyConfig] = {}
    for name, objects in odd_variants(golden_case.made.objects, VARIANTS):
        made = golden_case.make(objects)
        assert not BROKEN & set(made.codes), f"{name}:\n{made.findings_text}"
        for proxy, config in made.envoy_configs().items():
            configs[f"{name} ({proxy})"] = config
    bad = refused(envoy, configs, tolerate=[WORK_IN_PROGRESS])
    assert bad == {}, "\n".join(f"{name}: {verdict}" for name, verdict in bad.items())
