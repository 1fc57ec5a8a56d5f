"""CRD manifests from the kinds that plugins declare.

The schema is structural: no ``$ref``, a type everywhere, nothing that the API server refuses
(Kubernetes documentation, "Specifying a structural schema"). What JSON Schema can say and such a
schema cannot is left to the model, which judges every object again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aeraki_core.model.resource import Kind

__all__ = ["crd", "structural"]

Schema = dict[str, Any]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
# Keys with the same meaning in both schemas are copied.
_SAME = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
_FORMATS = frozenset(
    {
        "int32",
        "int64",
        "float",
        "double",
        "byte",
        "date",
        "date-time",
        "ipv4",
        "ipv6",
        "uri",
        "uuid",
    }
)

_STATUS: Schema = {
    "type": "object",
    "description": "What the controller says of the object.",
    "properties": {
        "observedGeneration": {"type": "integer", "format": "int64"},
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status"],
                "properties": {
                    "type": {"type": "string"},
                    "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                    "reason": {"type": "string"},
                    "message": {"type": "string"},
                    "observedGeneration": {"type": "integer", "format": "int64"},
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                },
            },
        },
    },
}


def crd(kind: Kind[Any]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a kind."""
    spec = structural(kind.spec.model_json_schema(by_alias=True, mode="validation"))
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": _STATUS,
    }
    schema: Schema = {"type": "object", "description": kind.summary, "properties": properties}
    if spec.get("required"):
        schema["required"] = ["spec"]
    columns = [
        {"name": title, "type": "string", "jsonPath": path} for title, path in kind.printer_columns
    ]
    columns.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    names: dict[str, Any] = {
        "kind": kind.kind,
        "listKind": f"{kind.kind}List",
        "plural": kind.plural,
        "singular": kind.kind.lower(),
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced",
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def structural(schema: Mapping[str, Any]) -> Schema:
    """Return a JSON Schema of pydantic's as a structural schema."""
    return _convert(schema, schema.get("$defs", {}), ())


def _convert(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> Schema:
    """Return one part of the schema, made structural.

    ``inside`` are the definitions around it: one of them again is a recursion, which a structural
    schema cannot express.
    """
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name in inside:
            return {"type": "object", _PRESERVE: True}
        converted = _convert(definitions[name], definitions, (*inside, name))
        return _annotate(converted, schema)
    parts = schema.get("allOf", ())
    if len(parts) == 1 and "type" not in schema:  # how JSON Schema puts something beside a $ref
        return _annotate(_convert(schema["allOf"][0], definitions, inside), schema)
    if "const" in schema:
        schema = {"enum": [schema["const"]], "type": _type_of(schema["const"]), **schema}
    branches = [
        item
        for item in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        if item.get("type") != "null"
    ]
    if branches:
        # null itself needs no word: the API server prunes it before it fills in defaults.
        converted = _union([_convert(item, definitions, inside) for item in branches])
        return _annotate(converted, schema)
    converted = {key: schema[key] for key in _SAME if key in schema}
    # Example: a second pattern. Beside a type, only such keys may follow.
    narrower = [{key: part[key] for key in _SAME if key in part} for part in parts]
    if narrower := [part for part in narrower if part and "type" not in part]:
        converted["allOf"] = narrower
    if schema.get("format") in _FORMATS:
        converted["format"] = schema["format"]
    for bound in ("Minimum", "Maximum"):
        if f"exclusive{bound}" in schema:  # a number in JSON Schema, a flag beside the bound here
            converted[bound.lower()] = schema[f"exclusive{bound}"]
            converted[f"exclusive{bound}"] = True
    if schema.get("type") == "array":
        converted["items"] = _items(schema, definitions, inside)
    if schema.get("type") == "object":
        converted |= _object(schema, definitions, inside)
    if "type" not in converted:
        converted = {
            _PRESERVE: True,
            **({"enum": converted["enum"]} if "enum" in converted else {}),
        }
    return _annotate(converted, schema)


def _items(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> Schema:
    if isinstance(schema.get("items"), Mapping):
        return _convert(schema["items"], definitions, inside)
    parts = [_convert(item, definitions, inside) for item in schema.get("prefixItems", ())]
    return _union(parts) if parts else {_PRESERVE: True}


def _object(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> Schema:
    properties = schema.get("properties")
    if properties:
        converted: Schema = {
            "properties": {
                name: _convert(item, definitions, inside) for name, item in properties.items()
            }
        }
        if schema.get("required"):
            converted["required"] = list(schema["required"])
        return converted
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping) and values:
        return {"additionalProperties": _convert(values, definitions, inside)}
    return {} if values is False else {_PRESERVE: True}


def _union(branches: list[Schema]) -> Schema:
    """Return the common part of all branches; a structural schema gives each value one type."""
    if all(branch == branches[0] for branch in branches):
        return branches[0]
    kinds = {branch.get("type") for branch in branches}
    # A structural schema has no anyOf of types. Kubernetes knows this one pair by an extension of
    # its own.
    if kinds == {"integer", "string"}:
        return {_INT_OR_STRING: True}
    if kinds == {"object"} and all("properties" in branch for branch in branches):
        properties: Schema = {}
        for branch in branches:
            for name, item in branch["properties"].items():
                properties[name] = (
                    item if name not in properties else _union([properties[name], item])
                )
        # A field is required only if each branch requires it.
        required = [
            name
            for name in branches[0].get("required", ())
            if all(name in branch.get("required", ()) for branch in branches)
        ]
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
        }
    if kinds == {"string"}:
        if all("enum" in branch for branch in branches):
            return {
                "type": "string",
                "enum": list(dict.fromkeys(text for branch in branches for text in branch["enum"])),
            }
        return {"type": "string"}
    if kinds <= {"integer", "number"}:
        return {"type": "number"}
    return {_PRESERVE: True}


def _annotate(converted: Schema, schema: Mapping[str, Any]) -> Schema:
    """Add its description and default; those of the place go before those of the type."""
    annotated = dict(converted)
    if schema.get("description"):
        annotated["description"] = " ".join(str(schema["description"]).split())
    # An empty default would be stored in every object, and GitOps tools would show it as a
    # difference.
    if schema.get("default") not in (None, "", [], {}):
        annotated["default"] = schema["default"]
    return annotated


def _type_of(value: Any) -> str:
    return {bool: "boolean", int: "integer", float: "number"}.get(type(value), "string")
