"""The log of a write says which weights it shifts, whatever the protocol."""

from __future__ import annotations

from pathlib import Path

import pytest
from aeraki_core.filters.output import Output, to_dict
from aeraki_core.settings import resolve
from aeraki_core.wiring.session import open_session
from aeraki_core.wiring.weight_changes import weight_changes

from .conftest import ROOT

SAMPLES = ROOT / "deploy" / "samples"


@pytest.mark.parametrize(
    ("sample", "expected"),
    [("dubbo", "sayHello v1 80 -> 55, v2 20 -> 45"), ("thrift", "v1 20 -> 45, v2 80 -> 55")],
)
def test_each_weight_that_differs(tmp_path: Path, sample: str, expected: str) -> None:
    def outbound(routes: str) -> Output:
        file = tmp_path / "routes.yaml"
        file.write_text(routes)
        session = open_session(resolve(), (str(file),))
        return next(
            output
            for key, output in session.pipeline.filters.items()
            if key.namespace == "istio-system" and "|v1|" in str(to_dict(output))
        )

    text = "---\n".join(path.read_text() for path in sorted((SAMPLES / sample).glob("*.yaml")))
    assert "weight: 80" in text
    before = outbound(text)
    shifted = text.replace("weight: 80", "weight: 55").replace("weight: 20", "weight: 45")
    assert weight_changes(before, outbound(shifted)) == expected
    assert weight_changes(before, before) == ""
    assert weight_changes(before, outbound(text.replace("subset: v2", "subset: v1"))) == ""
