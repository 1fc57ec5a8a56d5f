"""The final check of generated filters: a real Envoy loads every kind of sidecar that they make.

The result is what Envoy rejects or warns about. The sidecars are modelled as istiod would make them
(aeraki_core.testing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aeraki_core.errors import AerakiError

if TYPE_CHECKING:
    from aeraki_core.wiring.session import Session

__all__ = ["EnvoyVerdict", "check"]


@dataclass(frozen=True, slots=True)
class EnvoyVerdict:
    """Envoy's messages by sidecar.

    ``lacking``: network filters that this Envoy does not have, so that they were not loaded.
    """

    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    lacking: tuple[str, ...]


def check(session: Session) -> EnvoyVerdict:
    """Load every sidecar that the filters change.

    Raises:
        AerakiError: there is no Envoy, or the filters cannot be applied to a sidecar at all.
    """
    try:
        from aeraki_core.testing.envoy.batch import validate_many
        from aeraki_core.testing.envoy.process import Envoy
        from aeraki_core.testing.generating import Made
    except ImportError as error:
        raise AerakiError(
            f"--envoy needs the extra `testing` ({error.name} is missing): "
            "pip install 'aeraki-core[testing]'"
        ) from None

    pipeline = session.pipeline
    made = Made.of(
        pipeline.filters.values(),
        objects=(item.content for item in session.objects),
        mesh=pipeline.mesh,
        findings=session.findings,
        reports=pipeline.reports(),
    )
    envoy = Envoy.find()
    lacking: set[str] = set()
    configs = {}
    for name, config in made.envoy_configs().items():
        absent = envoy.lacking(config)
        lacking |= absent
        configs[name] = envoy.without(config, absent) if absent else config
    verdicts = validate_many(envoy, configs)
    return EnvoyVerdict(
        tuple(
            f"Envoy, {name}: {text}"
            for name, verdict in verdicts.items()
            for text in verdict.errors
        ),
        tuple(
            f"Envoy, {name}: {text}"
            for name, verdict in verdicts.items()
            for text in verdict.warnings
        ),
        tuple(sorted(lacking)),
    )
