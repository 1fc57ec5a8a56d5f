"""Any object of a kind that is read is accepted or rejected with a reason, without a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aeraki_core.manifests.write import render_objects
from aeraki_core.sources.files.snapshot import read
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.controller.running import pipeline
from tests.unit.core.controller.test_files import service

KINDS = {
    "Service": "v1",
    "Secret": "v1",
    "EndpointSlice": "discovery.k8s.io/v1",
    "ServiceEntry": "networking.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
    "DestinationRule": "networking.istio.io/v1",
    "EchoPolicy": "echo.example.com/v1",
}
# The fields that are looked at, and what may stand where another thing belongs.
FIELDS = [
    *(
        "metadata",
        "spec",
        "status",
        "data",
        "stringData",
        "endpoints",
        "ports",
        "addressType",
        "hosts",
        "host",
        "http",
    ),
    *(
        "match",
        "route",
        "destination",
        "port",
        "number",
        "name",
        "subset",
        "subsets",
        "labels",
        "annotations",
        "selector",
    ),
    *(
        "clusterIP",
        "clusterIPs",
        "targetPort",
        "addresses",
        "exportTo",
        "resolution",
        "workloadSelector",
        "weight",
    ),
    *(
        "mirror",
        "retries",
        "trafficPolicy",
        "creationTimestamp",
        "type",
        "conditions",
        "targetRef",
        "volume",
        "secret",
    ),
    *(
        "kubernetes.io/service-name",
        "networking.istio.io/exportTo",
        "echo.aeraki.io/volume",
        "method",
        "exact",
    ),
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70000)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "a", "*", "1", "None"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("name", ["x" * 300, "Cart", "a/b", "../../etc/passwd", "-a", "a..b"])
def test_a_name_that_kubernetes_refuses_has_one_finding_at_its_line(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(service(f"'{name}'"))
    of = pipeline()
    [item] = read([path], of.store.reads).objects
    of.upsert(item)
    of.run()
    [finding] = of.findings()
    assert (finding.code.id, finding.source, finding.line) == ("AER0110", str(path), 4)
    assert of.filters == {}


@given(
    kind=st.sampled_from(sorted(KINDS)),
    metadata=st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
    rest=st.dictionaries(st.sampled_from(FIELDS[1:]), values, max_size=4),
)
def test_any_shape(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    metadata: dict[str, Any],
    rest: dict[str, Any],
) -> None:
    content = {
        **rest,
        "apiVersion": KINDS[kind],
        "kind": kind,
        "metadata": {**metadata, "name": "x", "namespace": "shop"},
    }
    path: Path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_text(f"{service('cart')}---\n{render_objects([content])}---\n{service('order', 2)}")
    of = pipeline()
    snapshot = read([path], of.store.reads)
    for item in snapshot.objects:
        of.upsert(item)
    of.run()
    assert {report.service.ref.name for report in of.reports()} >= {"cart", "order"}
    for finding in (*of.findings(), *snapshot.findings):
        assert finding.source == str(path)
        assert finding.line is not None
        assert finding.line >= 1
