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
    """Violations of one check whose message matches a regular expression."""

    check: Callable[..., object]
    message: str
    reason: str

    def covers(self, violation: Violation) -> bool:
        """Whether the gap is the reason for this violation."""
        same = violation.check == self.check.__name__
        return same and re.search(self.message, violation.message) is not None


GAPS: tuple[Gap, ...] = (
    Gap(
        check=checks.nothing_disappears,
        message=r"^the cluster is gone$|^there is a new cluster",
        reason="a Redis cluster takes the place of Istio's cluster (issue 11, Redis)",
    ),
    Gap(
        check=checks.clusters_keep_what_protects_them,
        message=r"cluster_type",
        reason="a Redis cluster takes the place of Istio's cluster (issue 11, Redis)",
    ),
    Gap(
        check=checks.routes_name_clusters_of_the_client,
        message=r"which the client lacks$",
        reason="filters are generated in one view of the mesh (issue 11, Views)",
    ),
    Gap(
        check=checks.other_calls_go_where_istio_sends_them,
        message=r"^calls go to ",
        reason="filters are generated in one view of the mesh (issue 11, Views)",
    ),
    Gap(
        check=checks.a_chain_is_changed_for_its_own_service,
        message=r"^istiod made it for ",
        reason="a listener's owner is decided in one view of the mesh (issue 10, Authority)",
    ),
)


def gap_of(violation: Violation) -> Gap | None:
    """The gap that a violation belongs to."""
    return next((gap for gap in GAPS if gap.covers(violation)), None)
