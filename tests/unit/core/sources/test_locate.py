"""A finding names the line of its field, or of the nearest parent that is there."""

from __future__ import annotations

import pytest
from aeraki_core.manifests.locate import Document, line_of
from aeraki_core.manifests.read import Slice

from tests.counting import calls

TEXT = """\
# a comment
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: cart
  annotations:
    echo.aeraki.io/volume: "99"
    a.b: {c: 1}
spec:
  hosts:
  - cart
  http:
  - match:
    - method: {exact: a}
    - method:
        exact: b
    route:
    - destination:
        host: cart
  - route: [{destination: {host: other}}]
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("", 2),
        ("kind", 3),
        ("metadata.name", 5),
        ("metadata.annotations.echo.aeraki.io/volume", 7),
        ("metadata.annotations.a.b.c", 8),
        ("spec.hosts[0]", 11),
        ("spec.http[0].match[1].method.exact", 16),
        ("spec.http[0].route[0].destination.host", 19),
        ("spec.http[1].route[0].destination.port", 20),
        ("spec.http[7]", 12),
        ("spec.http[0].match[1].headers", 15),
        ("spec.nothing.here", 9),
        ("status", 2),
        ("spec.hosts[x]", 10),
        ("spec.hosts.x", 10),
    ],
)
def test_fields_of_yaml(field: str, line: int) -> None:
    assert line_of(TEXT, field) + 1 == line


def test_fields_of_json() -> None:
    text = '{\n\t"kind": "Service",\n\t"metadata": {\n\t\t"name": "\\ud83d\\ude00"\n\t}\n}'
    assert line_of(text, "kind") + 1 == 2
    assert (
        line_of('{\n\t"kind": "Service",\n\t"metadata": {\n\t\t"name": "x"}}', "metadata.name") + 1
        == 4
    )


def test_items_of_a_list_know_their_own_lines() -> None:
    items = "".join(f"- kind: Service\n  metadata:\n    name: é{number}\n" for number in range(3))
    document = Document("a.yaml", Slice(11, f"kind: List\nitems:\n{items}other: 1\n"))
    lines = [document.locate("metadata.name", (number,)) for number in range(3)]
    assert lines == [15, 18, 21]
    assert document.locate("", (1,)) == 16
    document.line = 1
    assert document.locate("", (1,)) == 6


def test_a_list_within_a_list() -> None:
    text = "kind: List\nitems:\n- kind: List\n  items:\n  - kind: Service\n  - kind: Secret\n"
    assert Document("a.yaml", Slice(1, text)).locate("kind", (0, 1)) == 6


def test_many_questions_about_a_long_document_read_it_once() -> None:
    items = "".join(
        f"- kind: Service\n  metadata:\n    name: a{number}\n" for number in range(5000)
    )
    document = Document("a.yaml", Slice(1, f"kind: List\nitems:\n{items}"))
    first, line = calls(lambda: document.locate("metadata.name", (4999,)))
    assert line == 2 + 3 * 5000
    then, lines = calls(lambda: [document.locate("kind", (number,)) for number in range(100)])
    assert lines == [3 * number + 3 for number in range(100)]
    assert then < first / 10


@pytest.mark.parametrize(
    "text", ["? [a, b]\n: 1\nkind: x\n", "a: *nowhere\nkind: x\n", "a: [\n", ""]
)
def test_an_odd_document_has_a_line(text: str) -> None:
    assert 0 <= line_of(text, "kind") <= 2
