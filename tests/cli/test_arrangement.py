"""Commands over PATHs say where a controller of the mesh arranges filters in another way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Run

MESH = """
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: tcp-thrift, port: 9090}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: istio-system}
spec: {egress: [{hosts: ["./*", "istio-system/*"]}]}
"""


@pytest.mark.parametrize(
    ("options", "namespace", "is_otherwise"),
    [
        ((), "istio-system", True),
        (("--arrangement", "service"), "istio-system", False),
        (("--arrangement", "imports"), "shop", False),
        (("--filter-namespaces", "."), "shop", False),
    ],
)
def test_only_auto_may_differ(
    aeraki: Run, tmp_path: Path, options: tuple[str, ...], namespace: str, is_otherwise: bool
) -> None:
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH, encoding="utf-8")
    done = aeraki("generate", "-o", "json", *options, str(path))
    assert {item["metadata"]["namespace"] for item in json.loads(done.out)["items"]} == {namespace}
    assert ("AER0231" in done.err) is is_otherwise
    if is_otherwise:
        assert (
            "leaves out 1 service with filters, such as orders.shop.svc.cluster.local" in done.err
        )
