"""What the judge finds and what is not solved yet, each with its reason.

A gap is as narrow as it can be: whatever it does not cover fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.istio.judge import checks
from tests.istio.judge.checks import Violation

__all__ = ["GAPS", "Gap", "gap_of"]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Violations of one check whose place and message match regular expressions."""

    check: Callable[..., object]
    message: str
    reason: str
    place: str = ""

    def covers(self, violation: Violation) -> bool:
        """Whether the gap is the reason for this violation."""
        return (
            violation.check == self.check.__name__
            and re.search(self.place, violation.place) is not None
            and re.search(self.message, violation.message) is not None
        )


_RANGE = r"^0\.0\.0\.0_\d+ chain (b'[^']|'default')"
"""The chain of an address range, or the one beside it for an entry without an address."""

GAPS: tuple[Gap, ...] = (
    Gap(
        check=checks.routes_name_clusters_of_the_client,
        message=r"^envoy\.filters\.network\.redis_proxy names .*, which the client lacks$",
        reason="the keys of a RedisService's route to nowhere must not get into another Redis",
    ),
    Gap(
        check=checks.other_calls_go_where_istio_sends_them,
        place=_RANGE,
        message=r"^calls go to \{'PassthroughCluster': 1\.0\}, ",
        reason=(
            "a private entry with a range shares a listener with a public one, and no patch tells "
            "their chains apart; to turn off the filter of the public one for everybody is worse"
        ),
    ),
)


def gap_of(violation: Violation) -> Gap | None:
    """The gap that a violation belongs to."""
    return next((gap for gap in GAPS if gap.covers(violation)), None)
