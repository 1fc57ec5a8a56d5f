"""With our filters no client of a random mesh is worse off than without them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from tests.istio.judge.checks import Violation
from tests.istio.judge.court import Court, Trial
from tests.istio.judge.gaps import gap_of
from tests.istio.judge.meshes import draw
from tests.istio.judge.shrink import shrink
from tests.rig.api import Object

MESHES = int(os.environ.get("AERAKI_JUDGE_MESHES", "100"))
FIRST = int(os.environ.get("AERAKI_JUDGE_SEED", "0"))

# As many meshes as are asked for, on a busy machine.
pytestmark = [pytest.mark.mesh, pytest.mark.slow, pytest.mark.timeout(0)]


def test_no_client_is_worse_off(court: Court) -> None:
    seeds = range(FIRST, FIRST + MESHES)
    trials = zip(seeds, court.hear(map(draw, seeds)), strict=True)
    failing = {seed: trial for seed, trial in trials if _new(trial)}
    if failing:
        pytest.fail(_story(court, failing), pytrace=False)


def _new(trial: Trial) -> list[Violation]:
    """The violations that are no known gap."""
    return [each for each in trial.violations if gap_of(each) is None]


def _story(court: Court, failing: dict[int, Trial]) -> str:
    """Every failing seed, and the least mesh that fails as the first one does."""
    seed, trial = next(iter(failing.items()))
    check = _new(trial)[0].check

    def fails(meshes: Sequence[list[Object]]) -> list[bool]:
        return [
            any(each.check == check for each in _new(smaller)) for smaller in court.hear(meshes)
        ]

    (least,) = court.hear([shrink(trial.drawn, fails)])
    lines = [
        f"seed {number}: {violation}"
        for number, each in failing.items()
        for violation in _new(each)[:3]
    ]
    found = [str(violation) for violation in _new(least)]
    return "\n".join([*lines, f"The least of seed {seed}:", *found, least.yaml])
