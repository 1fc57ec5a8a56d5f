"""What somebody who may write in one namespace can do to the filters of another, by counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from aeraki_core.kube.client import Client

from tests.rig.control_plane import ControlPlane

from .running import Running
from .test_faults import live, make
from .test_faults_more import ENTRY, names

pytestmark = pytest.mark.mesh

PORTS, NAMESPACES, WORKERS = 40, 8, 8


def test_an_entry_for_namespaces_that_do_not_exist_keeps_nobody_waiting(
    control_plane: ControlPlane, namespace: str, make_namespace: Callable[[], str]
) -> None:
    evil = make_namespace()
    make(control_plane, namespace, range(3))
    with Running(control_plane.kubeconfig, ["redis"]) as running:
        running.wait_written(3)
        before = Client.requests.counts().get(("PATCH", "404"), 0)
        control_plane.api.create(
            {
                "apiVersion": ENTRY[0],
                "kind": ENTRY[1],
                "metadata": {"name": "e", "namespace": evil},
                "spec": {
                    "hosts": ["h.evil.example.com"],
                    "addresses": ["240.0.0.66"],
                    "resolution": "STATIC",
                    "exportTo": [f"{evil}-{number}" for number in range(NAMESPACES)],
                    "ports": [
                        {"number": 1000 + number, "name": f"tcp-redis-{number}", "protocol": "TCP"}
                        for number in range(PORTS)
                    ],
                },
            }
        )

        def findings() -> list[str]:
            return [finding.message for finding in running.controller.findings]

        count = PORTS * NAMESPACES
        running.wait(
            lambda: any(f"filters that wait for it: {count}" in text for text in findings()),
            "all filters of the entry to wait for their namespaces",
        )
        make(control_plane, namespace, [7])
        running.wait(
            lambda: live(control_plane).keys() >= names(namespace, [0, 1, 2, 7]),
            "the filter of somebody else",
        )
        tries = Client.requests.counts().get(("PATCH", "404"), 0) - before
        # At first as many as are sent at once, and then one for each namespace in a pass. One more
        # pass may be under way.
        assert NAMESPACES <= tries <= NAMESPACES * (WORKERS + len(running.passes) + 1)
        codes = [finding.code.id for finding in running.controller.findings]
        assert codes.count("AER0513") == 1
        assert "AER0501" not in codes
