"""CRD manifests that an API server accepts: structural schemas with the content of a model."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from aeraki_core.manifests.crds import crd, structural
from aeraki_core.model.resource import Kind
from pydantic import BaseModel, ConfigDict, Field


class Mode(StrEnum):
    FAST = "FAST"
    SLOW = "SLOW"


class Inner(BaseModel):
    """Something inside."""

    model_config = ConfigDict(extra="forbid")
    a_name: str = Field(alias="aName", min_length=1, max_length=5, pattern="^a")
    count: int | None = None


class One(BaseModel):
    kind: Literal["one"]
    size: int


class Two(BaseModel):
    kind: Literal["two"]
    label: str


class Tree(BaseModel):
    name: str
    children: tuple[Tree, ...] = ()


class Everything(BaseModel):
    text: str = Field(description="What\n  it says.")
    mode: Mode = Mode.FAST
    maybe_mode: Mode | None = None
    literal: Literal["a", "b"] = "a"
    constant: Literal["only"] = "only"
    number: Annotated[int, Field(ge=1, lt=10)] = 5
    above: float = Field(default=1.5, gt=0)
    flag: bool = False
    inner: Inner | None = Field(default=None, description="The one inside.")
    inners: tuple[Inner, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    free: dict[str, Any] = Field(default_factory=dict)
    anything: Any = None
    port: int | str = 1
    union: One | Two | None = None
    odd: int | list[str] | None = None
    tree: Tree | None = None
    pair: tuple[str, int] = ("a", 1)
    words: list[Literal["x", "y"]] = Field(default_factory=list, max_length=3)


KIND: Kind[Everything] = Kind(
    group="test.example.com",
    version="v1beta1",
    kind="Everything",
    plural="everythings",
    spec=Everything,
    summary="All there is",
    short_names=("ev",),
    printer_columns=(("Mode", ".spec.mode"),),
)
SCHEMA = structural(Everything.model_json_schema(by_alias=True))
KEYS = frozenset(
    [
        "type",
        "description",
        "default",
        "enum",
        "format",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ]
)


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, item in schema.get("properties", {}).items():
        yield from walk(item, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from walk(schema[name], f"{path}.{name}")


def check_structural(schema: dict[str, Any]) -> None:
    """Check rules 1 to 4 of Kubernetes' "Specifying a structural schema", and JSONSchemaProps."""
    for path, item in walk(schema):
        assert set(item) <= KEYS, path
        typed = "type" in item
        free = item.get("x-kubernetes-preserve-unknown-fields") or item.get(
            "x-kubernetes-int-or-string"
        )
        assert typed or free, f"{path} has no type"
        if typed:
            assert item["type"] in ("object", "array", "string", "integer", "number", "boolean"), (
                path
            )
        assert not ("properties" in item and "additionalProperties" in item), path
        if item.get("type") == "array":
            assert isinstance(item["items"], dict), path
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert isinstance(item.get(bound, True), bool), path
        assert set(item.get("required", ())) <= set(item.get("properties", {})), path
        assert item.get("default", "") is not None, path


def test_the_whole_manifest_is_structural() -> None:
    (version,) = crd(KIND)["spec"]["versions"]
    check_structural(version["schema"]["openAPIV3Schema"])


def test_names_columns_and_status() -> None:
    manifest = crd(KIND)
    assert manifest["apiVersion"] == "apiextensions.k8s.io/v1"
    assert manifest["metadata"]["name"] == "everythings.test.example.com"
    assert manifest["spec"]["scope"] == "Namespaced"
    assert manifest["spec"]["names"] == {
        "kind": "Everything",
        "listKind": "EverythingList",
        "plural": "everythings",
        "singular": "everything",
        "shortNames": ["ev"],
    }
    (version,) = manifest["spec"]["versions"]
    assert (version["name"], version["served"], version["storage"]) == ("v1beta1", True, True)
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"] == [
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    schema = version["schema"]["openAPIV3Schema"]
    assert schema["description"] == "All there is"
    assert schema["required"] == ["spec"]
    assert set(schema["properties"]["status"]["properties"]) == {"observedGeneration", "conditions"}


INNER = {
    "type": "object",
    "required": ["aName"],
    "properties": {
        "aName": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^a"},
        "count": {"type": "integer"},
    },
}


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("text", {"type": "string", "description": "What it says."}),
        ("mode", {"type": "string", "enum": ["FAST", "SLOW"], "default": "FAST"}),
        ("maybe_mode", {"type": "string", "enum": ["FAST", "SLOW"]}),
        ("literal", {"type": "string", "enum": ["a", "b"], "default": "a"}),
        ("constant", {"type": "string", "enum": ["only"], "default": "only"}),
        (
            "number",
            {
                "type": "integer",
                "minimum": 1,
                "maximum": 10,
                "exclusiveMaximum": True,
                "default": 5,
            },
        ),
        ("above", {"type": "number", "minimum": 0, "exclusiveMinimum": True, "default": 1.5}),
        ("flag", {"type": "boolean", "default": False}),
        ("inner", {**INNER, "description": "The one inside."}),
        ("inners", {"type": "array", "items": {**INNER, "description": "Something inside."}}),
        ("labels", {"type": "object", "additionalProperties": {"type": "string"}}),
        ("free", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("anything", {"x-kubernetes-preserve-unknown-fields": True}),
        ("port", {"x-kubernetes-int-or-string": True, "default": 1}),
        ("odd", {"x-kubernetes-preserve-unknown-fields": True}),
        (
            "union",
            {
                "type": "object",
                "required": ["kind"],
                "properties": {
                    "kind": {"type": "string", "enum": ["one", "two"]},
                    "size": {"type": "integer"},
                    "label": {"type": "string"},
                },
            },
        ),
        (
            "words",
            {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}, "maxItems": 3},
        ),
    ],
)
def test_what_the_model_says_of_a_field(field: str, wanted: dict[str, Any]) -> None:
    assert SCHEMA["properties"][field] == wanted


def test_a_model_that_holds_itself_ends() -> None:
    children = SCHEMA["properties"]["tree"]["properties"]["children"]
    assert children["items"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_required_fields() -> None:
    assert SCHEMA["required"] == ["text"]
