"""Run one service for each token of the installed plugins, and print the results as JSON.

These are each plugin's state and reason, the filters, and the findings.
"""

from __future__ import annotations

import json
import signal

from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry

TOKENS = (
    "works",
    "raises",
    "exits",
    "garbage",
    "not-iterable",
    "forgets-yield",
    "no-message",
    "clash",
    "too-new",
    "unknown-hook",
    "no-generator",
    "endless",
    "interrupts",
    "foreign-code",
    "undeclared-code",
    "other-message",
    "other-match",
    "other-secret",
    "silent-keep",
    "nested",
    "derived-patch",
    "odd-patch",
    "other-content",
    "huge",
    "huge-finding",
    "unprintable",
    "keeps-unprintable",
    "unordered",
    "no-name",
    "closes",
    "stops",
    "recurses",
)


def main() -> None:
    # As the commands do: else a KeyboardInterrupt may be the user's.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    registry = build_registry()
    pipeline = Pipeline(Mesh(), Dispatcher(registry))
    for number, token in enumerate(TOKENS):
        spec = {
            "clusterIP": f"10.0.0.{number + 1}",
            "ports": [{"name": f"tcp-{token}", "port": 7000}],
        }
        content = {"metadata": {"name": token, "namespace": "shop"}, "spec": spec}
        pipeline.upsert(SourceObject(ObjectRef("Service", "shop", token), "v1", content))
    pipeline.run()
    print(
        json.dumps(
            {
                "plugins": {
                    plugin.name: {
                        "state": plugin.state,
                        "reason": plugin.reason,
                        "title": plugin.title,
                        "detail": plugin.detail,
                    }
                    for plugin in registry.plugins
                },
                "filters": sorted(
                    item.service_ports[0].host.partition(".")[0]
                    for item in pipeline.filters.values()
                ),
                "findings": [
                    [item.code.id, str(item.ref), item.message] for item in pipeline.findings()
                ],
            }
        )
    )


if __name__ == "__main__":
    main()
