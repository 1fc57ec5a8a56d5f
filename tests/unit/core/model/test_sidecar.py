"""What a Sidecar resource imports."""

from __future__ import annotations

from typing import Any

import pytest
from aeraki_core.errors import RejectedError
from aeraki_core.mesh.keys import SidecarsKey
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.mesh.store import Store
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.sidecar import CaptureMode, EgressImports, parse_sidecar

REF = ObjectRef("Sidecar", "shop", "default")


def egress(*hosts: str, **fields: Any) -> EgressImports:
    content = {"metadata": {}, "spec": {"egress": [{"hosts": list(hosts), **fields}]}}
    [imports] = parse_sidecar(REF, content).egress
    return imports


@pytest.mark.parametrize(
    ("hosts", "imported", "hidden"),
    [
        (["*/*"], [("bank", "a.b"), ("shop", "*.c")], []),
        (["./*"], [("shop", "a.b")], [("bank", "a.b")]),
        (["bank/*.b"], [("bank", "a.b"), ("bank", "*.a.b")], [("bank", "a.c"), ("shop", "a.b")]),
        (["bank/A.b"], [("bank", "A.b")], [("bank", "a.b")]),
        (["~/*"], [], [("shop", "a.b")]),
        (["*/*", "~bank/*.b"], [("bank", "a.c"), ("shop", "a.b")], [("bank", "a.b")]),
        (["a.b"], [], [("shop", "a.b")]),
    ],
)
def test_which_services_are_imported(
    hosts: list[str], imported: list[tuple[str, str]], hidden: list[tuple[str, str]]
) -> None:
    imports = egress(*hosts)
    assert all(imports.imports(*service, "shop") for service in imported)
    assert not any(imports.imports(*service, "shop") for service in hidden)


def test_routes_for_a_part_of_what_is_imported_are_imported_too() -> None:
    imports = egress("./a.example.org")
    assert imports.imports_routes("shop", "*.example.org", "shop")
    assert not imports.imports("shop", "*.example.org", "shop")
    assert not egress("*/*", "~bank/*").imports_routes("bank", "a.b", "shop")


def test_a_dot_is_the_clients_namespace_whoever_writes_it() -> None:
    imports = egress("./*")
    assert imports.imports("web", "a.b", "web")
    assert not imports.imports("shop", "a.b", "web")
    assert not imports.imports("shop", "a.b", None)


def test_a_listener_of_its_own() -> None:
    port = {"number": 6379, "protocol": "TCP", "name": "cache"}
    imports = egress("./*", port=port, bind="127.0.0.1", captureMode="NONE")
    assert (imports.port, imports.protocol, imports.bind) == (6379, "TCP", "127.0.0.1")
    assert imports.capture_mode is CaptureMode.NONE


def test_its_workloads() -> None:
    selector = {"labels": {"b": "2", "a": "1"}}
    assert parse_sidecar(REF, {"spec": {"workloadSelector": selector}}).labels == (
        ("a", "1"),
        ("b", "2"),
    )
    assert parse_sidecar(REF, {"spec": {}}).labels == ()


def test_what_is_no_sidecar_is_rejected() -> None:
    with pytest.raises(RejectedError, match=r"spec\.egress\[0\]\.captureMode"):
        egress("*/*", captureMode="SOME")


def test_the_store_answers_for_a_namespace() -> None:
    def sidecar(name: str, created: str) -> SourceObject:
        metadata = {"name": name, "namespace": "shop", "creationTimestamp": created}
        content = {"metadata": metadata, "spec": {"egress": [{"hosts": ["./*"]}]}}
        ref = ObjectRef("Sidecar", "shop", name)
        return SourceObject(ref, "networking.istio.io/v1", content)

    store = Store(Mesh())
    assert SidecarsKey("shop") in store.upsert(sidecar("b", "2026-01-02T00:00:00Z"))
    store.upsert(sidecar("a", "2026-01-03T00:00:00Z"))
    assert [found.ref.name for found in store.sidecars.of("shop")] == ["b", "a"]
    assert store.upsert(sidecar("a", "2026-01-03T00:00:00Z")) == set()
    assert SidecarsKey("shop") in store.remove(ObjectRef("Sidecar", "shop", "b"))
    assert store.sidecars.of("bank") == ()
