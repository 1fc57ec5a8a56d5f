"""One pass over files: what is read, what is ignored, and one finding for each mistake.

A finding has the file and the line.
"""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aeraki_core.manifests.plain_file import read_stream

from tests.counting import calls
from tests.unit.core.sources.manifests import look, names, said, service

# -- what is read ----------------------------------------------------------------------------------


def test_folders_are_read_in_a_stable_order(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        "c.json",
        "sub/d.yaml",
        "sub/.hidden/e.yaml",
        ".git/f.yaml",
        "g.txt",
        ".h.yaml",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = service(path.stem.strip("."))
        path.write_text(
            text
            if not name.endswith("json")
            else '{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"}}'
        )
    found = look(tmp_path)
    assert names(found) == [
        "Service shop/a",
        "Service shop/b",
        "Service default/c",
        "Service shop/d",
    ]
    assert found.incomplete is None
    assert found.findings == ()
    assert names(look(tmp_path / "sub", tmp_path)) == [
        "Service shop/d",
        "Service shop/a",
        "Service shop/b",
        "Service default/c",
    ]


def test_a_file_named_twice_or_linked_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a"))
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "sub").mkdir()
    (tmp_path / "z").symlink_to(tmp_path / "sub")
    (tmp_path / "sub" / "c.yaml").write_text(service("c"))
    found = look(tmp_path, tmp_path / "a.yaml")
    assert names(found) == ["Service shop/a", "Service shop/c"]
    assert found.findings == ()


def test_lists_of_every_form_are_opened(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        """\
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a}
- apiVersion: v1
  kind: List
  items:
  - apiVersion: v1
    kind: Service
    metadata: {name: b}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: left-alone}
---
apiVersion: networking.istio.io/v1
kind: VirtualServiceList
items:
- metadata: {name: c}
---
apiVersion: v1
kind: ServiceList
items: null
"""
    )
    found = look(tmp_path)
    assert names(found) == ["Service default/a", "Service default/b", "VirtualService default/c"]
    assert found.objects[2].api_version == "networking.istio.io/v1"
    assert found.findings == ()
    origin = found.objects[1].origin
    assert origin is not None
    assert origin.locate("metadata.name") == (str(tmp_path / "a.yaml"), 12)


def test_the_default_namespace_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a", namespace=None))
    assert names(look(tmp_path, default_namespace="team")) == ["Service team/a"]
    assert names(look(tmp_path)) == ["Service default/a"]


def test_standard_input_and_pipes_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO((service("a") + "---\na: [\n").encode()))
    )
    found = look("-")
    assert names(found) == ["Service shop/a"]
    assert [(item.source, item.line) for item in found.findings] == [("<stdin>", 13)]
    (tmp_path / "b.yaml").write_text(service("b"))
    with subprocess.Popen(["cat", tmp_path / "b.yaml"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert names(look(f"/dev/fd/{process.stdout.fileno()}")) == ["Service shop/b"]
    assert names(look("/dev/null")) == []


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("v1", "ConfigMap"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("networking.istio.io/v1", "Gateway"),
        ("networking.istio.io/v1", "Sidecar"),
        ("networking.istio.io/v1alpha3", "EnvoyFilter"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("security.istio.io/v1", "AuthorizationPolicy"),
        ("argoproj.io/v1alpha1", "Application"),
        ("serving.knative.dev/v1", "Service"),
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"),
    ],
)
def test_other_kinds_are_left_alone_without_a_word(
    tmp_path: Path, api_version: str, kind: str
) -> None:
    (tmp_path / "a.yaml").write_text(f"apiVersion: {api_version}\nkind: {kind}\n")
    found = look(tmp_path)
    assert (found.objects, found.findings, found.incomplete) == ((), (), None)


# -- what is wrong ---------------------------------------------------------------------------------

HEAD = "apiVersion: v1\nkind: Service\n"
BAD = {
    # Text of a document, its code, the line within it, and whether the mistake may hide objects.
    "broken YAML": ("a:\n  - b\n c: d\n", "AER0101", 3, True),
    "tabs": ("apiVersion: v1\nkind: Service\nmetadata:\n\tname: x\n", "AER0101", 4, True),
    "duplicate key": (f"{HEAD}metadata: {{name: x}}\nkind: Service\n", "AER0101", 4, True),
    "unknown tag": (f"{HEAD}metadata: !!python/name:os.system {{name: x}}\n", "AER0101", 3, True),
    "template": (f"{HEAD}metadata:\n  name: {{{{ .Release.Name }}}}\n", "AER0101", 4, True),
    "no apiVersion": ("kind: Service\nmetadata: {name: x}\n", "AER0102", 1, True),
    "no kind": ("apiVersion: v1\nmetadata: {name: x}\n", "AER0102", 1, True),
    "kind is a number": ("apiVersion: v1\nkind: 7\nmetadata: {name: x}\n", "AER0102", 2, True),
    "values of a chart": ("image: x\nreplicas: 3\n", "AER0116", 1, False),
    "Chart.yaml": ("apiVersion: v2\nname: chart\nversion: 0.1.0\n", "AER0102", 1, False),
    "a list of things": ("- a\n- b\n", "AER0116", 1, False),
    "plain text": ("hello there\n", "AER0116", 1, False),
    "no metadata": (HEAD, "AER0102", 1, True),
    "no name": (f"{HEAD}metadata: {{generateName: x-}}\n", "AER0102", 3, True),
    "name is a number": (f"{HEAD}metadata:\n  name: 123\n", "AER0110", 4, True),
    "name is a boolean": (f"{HEAD}metadata:\n  name: on\n", "AER0110", 4, True),
    "name is a list": (f"{HEAD}metadata:\n  name: [x]\n", "AER0110", 4, True),
    "namespace is a number": (f"{HEAD}metadata:\n  name: x\n  namespace: 7\n", "AER0110", 5, True),
    "namespace is none": (f"{HEAD}metadata:\n  name: x\n  namespace: Team/A\n", "AER0110", 5, True),
    "annotations are a list": (
        f"{HEAD}metadata:\n  name: x\n  annotations: [a]\n",
        "AER0106",
        5,
        True,
    ),
    "labels are text": (f"{HEAD}metadata:\n  name: x\n  labels: a=b\n", "AER0106", 5, True),
    "metadata is text": (f"{HEAD}metadata: x\n", "AER0102", 3, True),
    "misspelt core kind": (
        "apiVersion: v1\nkind: Servcie\nmetadata: {name: x}\n",
        "AER0105",
        2,
        True,
    ),
    "misspelt istio kind": (
        "apiVersion: networking.istio.io/v1\nkind: VirtualServices\n",
        "AER0105",
        2,
        True,
    ),
    "misspelt group": (
        "apiVersion: networking.istoi.io/v1\nkind: VirtualService\n",
        "AER0105",
        2,
        True,
    ),
    "wrong group": (
        "apiVersion: v1\nkind: VirtualService\nmetadata: {name: x}\n",
        "AER0105",
        2,
        True,
    ),
    "unknown core kind": (
        "apiVersion: v1\nkind: Gizmo\nmetadata: {name: x}\n",
        "AER0105",
        2,
        False,
    ),
    "unknown istio kind": (
        "apiVersion: networking.istio.io/v1\nkind: Gizmo\n",
        "AER0105",
        2,
        False,
    ),
    "kind of MetaProtocol": (
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n",
        "AER0118",
        2,
        False,
    ),
    "policy of upstream": (
        "apiVersion: gizmo.aeraki.io/v1alpha1\nkind: GizmoAuthorizationPolicy\n",
        "AER0118",
        2,
        False,
    ),
    "unknown aeraki kind": ("apiVersion: gizmo.aeraki.io/v1\nkind: Gizmo\n", "AER0105", 2, False),
    "unknown kind of a plugin's group": (
        "apiVersion: echo.example.com/v1\nkind: EchoPolcy\n",
        "AER0105",
        2,
        False,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_document_gives_one_finding_and_stops_no_other(tmp_path: Path, case: str) -> None:
    text, code, line, missing = BAD[case]
    (tmp_path / "a.yaml").write_text(f"{service('before')}---\n{text}---\n{service('after')}")
    (tmp_path / "b.yaml").write_text(service("other"))
    found = look(tmp_path)
    assert names(found) == ["Service shop/before", "Service shop/after", "Service shop/other"]
    at = 12 + line
    assert said(found, tmp_path) == [(code, "a.yaml", at)]
    assert (found.incomplete is not None) is missing
    if missing:
        assert found.incomplete is not None
        assert found.incomplete.reason.startswith(f"{tmp_path / 'a.yaml'}:{at}: ")


def test_the_same_in_a_list_names_the_item(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: "
        "{name: 1}\n- 7\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n"
    )
    found = look(tmp_path)
    assert names(found) == ["Service default/a"]
    assert said(found, tmp_path) == [("AER0110", "a.yaml", 6), ("AER0102", "a.yaml", 7)]


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"", "AER0109", None),
        (b"\n# nothing\n---\n", "AER0109", None),
        (service("a").encode("utf-16"), "AER0101", 1),
        (b"a: 1\nb: \xff\n", "AER0101", 2),
        (b"\x00\x01\x02", "AER0101", 1),
    ],
)
def test_files_that_hold_nothing_or_no_text(
    tmp_path: Path, data: bytes, code: str, line: int | None
) -> None:
    (tmp_path / "a.yaml").write_bytes(data)
    assert said(look(tmp_path), tmp_path) == [(code, "a.yaml", line)]


def test_windows_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path) -> None:
    text = f"{service('a')}---\n{service('b')}".replace("\n", "\r\n")
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    found = look(tmp_path)
    assert names(found) == ["Service shop/a", "Service shop/b"]
    assert found.findings == ()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(50 << 20)
    (tmp_path / "small.yaml").write_text(service("a"))
    found = look(tmp_path)
    assert said(found, tmp_path) == [("AER0104", "big.yaml", None)]
    assert "32 MiB" in found.findings[0].message
    assert names(found) == ["Service shop/a"]
    assert found.incomplete is not None
    assert said(look(tmp_path, max_size=100), tmp_path)[1] == ("AER0104", "small.yaml", None)


def test_a_path_that_does_not_exist_is_said_and_leaves_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("a"))
    found = look(tmp_path / "nowhere", tmp_path)
    assert names(found) == ["Service shop/a"]
    assert said(found, tmp_path) == [("AER0103", "nowhere", None)]
    assert found.incomplete is not None


def test_what_is_no_file_is_said_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "a.yaml").write_text(service("a"))
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket.yaml"))
        found = look(tmp_path, "/dev/null")
        named = look(tmp_path / "socket.yaml", tmp_path / "pipe.yaml")
    assert names(found) == ["Service shop/a"]
    assert [(code, file) for code, file, _ in said(found, Path("/"))][-3:] == [
        ("AER0103", str(tmp_path / name).lstrip("/"))
        for name in ("dangling.yaml", "pipe.yaml", "socket.yaml")
    ]
    assert [code for code, _, _ in said(named, tmp_path)] == ["AER0109", "AER0103"]


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/random", "/dev/tty"])
def test_devices_are_never_opened(tmp_path: Path, path: str) -> None:
    (tmp_path / "link.yaml").symlink_to(path)
    for each in (path, tmp_path / "link.yaml", tmp_path):
        [finding] = look(each).findings
        assert finding.code.id == "AER0103"
        assert "it is a device" in finding.message


def test_a_file_of_the_kernel_that_makes_its_reader_wait_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "kmsg.yaml").symlink_to("/proc/kmsg")
    (tmp_path / "a.yaml").write_text(service("a"))
    found = look(tmp_path)
    assert names(found) == ["Service shop/a"]
    assert said(found, tmp_path) == [("AER0109", "kmsg.yaml", None)]


def test_a_pipe_that_brings_nothing_is_given_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        os.write(writer, b"kind: Service")
        with pytest.raises(TimeoutError, match=r"nothing came for 0\.05 seconds"):
            read_stream(str(tmp_path / "pipe"), 1000, patience=0.05)
    finally:
        os.close(writer)


def test_aliases_are_counted_for_the_whole_file(tmp_path: Path) -> None:
    bomb = f"a: &a [{', '.join(['x'] * 200)}]\nb: [{', '.join(['*a'] * 100)}]\n"
    text = service("first") + f"---\n{bomb}" * 100 + "---\n" + service("last")
    (tmp_path / "bombs.yaml").write_text(text)
    (tmp_path / "other.yaml").write_text(f"{service('other')}---\n{bomb}")
    found = look(tmp_path)
    assert names(found) == ["Service shop/first", "Service shop/last", "Service shop/other"]
    refused = [item for item in found.findings if item.code.id == "AER0101"]
    assert len(refused) == 96  # four documents of 20,100 values each are allowed
    assert all("aliases of the file" in item.message for item in refused)


def test_many_findings_in_one_document_cost_no_more_than_reading_it(tmp_path: Path) -> None:
    def cost(count: int) -> int:
        bad = "- {apiVersion: v1, kind: Service, metadata: {name: 1}}\n" * count
        (tmp_path / "a.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{bad}")
        made, found = calls(lambda: look(tmp_path))
        lines = [item.line for item in found.findings]
        assert sorted(line for line in lines if line) == list(range(4, 4 + count))
        return made

    assert cost(2000) < 12 * cost(200)


def test_links_that_lead_in_circles_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    (tmp_path / "sub" / "a.yaml").write_text(service("a"))
    found = look(tmp_path)
    assert names(found) == ["Service shop/a"]
    assert said(found, tmp_path) == [("AER0108", "self.yaml", None), ("AER0108", "sub/up", None)]
    assert found.incomplete is None


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder, and this process without the right to read everything, if it has it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        was = os.geteuid()
        if was == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(was)


def test_files_and_folders_without_permission_are_said(unprivileged: Path) -> None:
    owner = os.getuid()
    folder = unprivileged
    was = os.geteuid()
    os.seteuid(owner)
    (folder / "a.yaml").write_text(service("a"))
    (folder / "b.yaml").write_text(service("b"))
    (folder / "sub").mkdir()
    (folder / "sub" / "c.yaml").write_text(service("c"))
    (folder / "a.yaml").chmod(0)
    (folder / "sub").chmod(0)
    os.seteuid(was)
    try:
        found = look(folder)
    finally:
        os.seteuid(owner)
        (folder / "sub").chmod(0o755)
        os.seteuid(was)
    assert names(found) == ["Service shop/b"]
    assert said(found, folder) == [("AER0103", "a.yaml", None), ("AER0103", "sub", None)]
    assert "permission denied" in found.findings[0].message
    assert found.incomplete is not None


def test_a_file_that_vanishes_while_it_is_read_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(service("a"))
    real = os.open

    def gone(path: str, *args: int) -> int:
        if str(path).endswith("a.yaml"):
            Path(path).unlink(missing_ok=True)
        return real(path, *args)

    monkeypatch.setattr(os, "open", gone)
    found = look(tmp_path)
    assert said(found, tmp_path) == [("AER0103", "a.yaml", None)]
    assert found.incomplete is not None


def test_names_of_any_bytes_can_be_told(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml"))).write_text("a: [\n")
    [finding] = look(tmp_path).findings
    assert finding.source is not None
    assert finding.source.encode().endswith("\ufffd.yaml".encode())


def test_an_object_given_twice_is_taken_from_the_first_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(service("x", port=1) + "---\n" + service("x", port=2))
    (tmp_path / "b.yaml").write_text(service("x", port=3))
    found = look(tmp_path)
    assert [item.content["spec"]["ports"][0]["port"] for item in found.objects] == [1]
    assert said(found, tmp_path) == [("AER0107", "a.yaml", 13), ("AER0107", "b.yaml", 1)]
    assert [str(item.ref) for item in found.findings] == ["Service shop/x"] * 2
    backwards = look(tmp_path / "b.yaml", tmp_path)
    assert [item.content["spec"]["ports"][0]["port"] for item in backwards.objects] == [3]


def test_what_a_broken_file_mentions_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "kind: VirtualService\nspec:\n  hosts: [cart, '*.example.com'\n"
    )
    missing = look(tmp_path).incomplete
    assert missing is not None
    assert missing.concerns("cart.shop.svc.cluster.local")
    assert missing.concerns("a.example.com")
    assert not missing.concerns("other.shop.svc.cluster.local")
    (tmp_path / "b.yaml").write_bytes(b"\xff")
    missing = look(tmp_path).incomplete
    assert missing is not None
    assert missing.concerns("other.shop.svc.cluster.local")


def test_big_lists_as_kubectl_writes_them(tmp_path: Path) -> None:
    items = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": f"s{number}", "namespace": "n"},
            "spec": {},
        }
        for number in range(1000)
    ]
    items[500]["metadata"] = {"name": 500}
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=4)
    (tmp_path / "a.json").write_text(text)
    found = look(tmp_path)
    assert len(found.objects) == 999
    [finding] = found.findings
    assert finding.line is not None
    assert '"name": 500' in text.splitlines()[finding.line - 1]
