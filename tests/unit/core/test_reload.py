"""Another version of a plugin that is one file takes the place of the one before."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from aeraki_core.errors import PluginError
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.mesh import Mesh
from aeraki_core.model.meta import ObjectRef, group_of_plugin
from aeraki_core.pipeline.pipeline import Pipeline
from aeraki_core.plugins.discovery import load_file
from aeraki_core.plugins.dispatch import Dispatcher
from aeraki_core.plugins.registry import build_registry

PLUGIN = """\
from aeraki_core import Extension, Kind, Protocol, hookimpl
from envoy.extensions.filters.network.{filter}.v3.{filter}_pb2 import {message}
from pydantic import BaseModel

FILTER = "envoy.filters.network.{filter}"


class Spec(BaseModel):
    host: str
    {field}: int = 1


KIND = Kind(group="{name}.example.com", version="v1", kind="{kind}", plural="policies", spec=Spec,
            summary="A policy", hosts=lambda spec: [spec.host])


@hookimpl
def aeraki_protocols():
    return [Protocol(name="{name}", tokens=("{token}",), extension=Extension(FILTER, stock=True),
                     summary="For tests")]


@hookimpl
def aeraki_resources():
    return [KIND]


@hookimpl
def aeraki_generate(context):
    for policy in context.resources(KIND):
        policy.spec.{field}
    yield context.outbound.insert_before_tcp_proxy(FILTER, {message}())
"""
ECHO = {"filter": "echo", "message": "Echo"}
SNI = {"filter": "sni_cluster", "message": "SniCluster"}


class Versions:
    """A mesh with two plugins of one file each; ``one`` gets other versions."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "one.py"
        other = folder / "two.py"
        other.write_text(text("two", **ECHO))
        self.write(**ECHO)
        registry = build_registry((load_file(self.file), load_file(other)))
        assert [plugin.reason for plugin in registry.plugins] == ["", ""]
        self.pipeline = Pipeline(Mesh(), Dispatcher(registry), reloads=True)
        for number, token in enumerate(("one", "two", "uno")):
            spec = {"clusterIP": f"10.0.0.{number}", "ports": [{"name": f"tcp-{token}", "port": 7}]}
            self.put("v1", "Service", token, spec)
        for name in ("one", "two"):
            self.put(f"{name}.example.com/v1", "Policy", name, {"host": name, "volume": 2})
        self.pipeline.run()

    def put(self, api: str, kind: str, name: str, spec: Any) -> None:
        ref = ObjectRef(kind, "shop", name, group_of_plugin(api.partition("/")[0]))
        content = {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}
        self.pipeline.upsert(SourceObject(ref, api, content))

    def write(self, **values: str) -> None:
        self.file.write_text(text("one", **values))

    def reload(self, **values: str) -> list[str]:
        """The services whose generator runs with the new version."""
        self.write(**values)
        registry = self.pipeline.registry.reloaded(load_file(self.file))
        self.pipeline.replace_plugin(registry, "one")
        return [port.service.ref.name for port in self.pipeline.run().generated]

    def filters(self) -> dict[str, str]:
        """The name of the Envoy filter of each service."""
        return {
            filters.service_ports[0].host.partition(".")[0]: filters.patches[0].value.message().name  # type: ignore[union-attr]
            for filters in self.pipeline.filters.values()
        }


def text(
    name: str, *, token: str = "", field: str = "volume", kind: str = "Policy", **values: str
) -> str:
    return PLUGIN.format(name=name, token=token or name, field=field, kind=kind, **values)


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


def test_only_its_ports_are_generated_again(versions: Versions) -> None:
    assert versions.filters() == dict.fromkeys(("one", "two"), "envoy.filters.network.echo")
    assert versions.reload(**SNI) == ["one"]
    assert versions.filters() == {
        "one": "envoy.filters.network.sni_cluster",
        "two": "envoy.filters.network.echo",
    }
    assert [finding.code.id for finding in versions.pipeline.findings()] == ["AER0216"]


def test_its_words_may_change(versions: Versions) -> None:
    assert versions.reload(**ECHO, token="uno") == ["uno"]
    assert versions.filters().keys() == {"two", "uno"}


def test_its_objects_are_read_by_the_new_model(versions: Versions) -> None:
    assert versions.reload(**SNI, field="loudness") == ["one"]
    assert [finding.code.id for finding in versions.pipeline.findings()] == ["AER0216"]
    resource = versions.pipeline.store.resource(
        ObjectRef("Policy", "shop", "one", "one.example.com")
    )
    assert resource is not None
    assert resource.spec.loudness == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({**ECHO, "field": "no good"}, "import failed: SyntaxError"),
        ({**ECHO, "token": "No"}, "'No' is no token"),
        ({**ECHO, "token": "two"}, "token two is claimed by"),
        ({**ECHO, "kind": "Other"}, "it declares other kinds, which are read only after a restart"),
    ],
)
def test_a_version_that_cannot_be_used_is_refused(
    versions: Versions, values: dict[str, str], why: str
) -> None:
    before = versions.filters()
    with pytest.raises(PluginError, match=re.escape(why)):
        versions.reload(**values)
    versions.put(
        "v1",
        "Service",
        "later",
        {"clusterIP": "10.0.0.9", "ports": [{"name": "tcp-one", "port": 7}]},
    )
    versions.pipeline.run()
    assert versions.filters() == {**before, "later": "envoy.filters.network.echo"}
    assert versions.reload(**SNI) == ["later", "one"]
