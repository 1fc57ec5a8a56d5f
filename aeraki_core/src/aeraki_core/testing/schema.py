"""Whether a CRD is one that an API server takes: the rules of structural schemas.

Kubernetes: "Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural
schema".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["crd_problems"]

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")
_RESERVED = (".k8s.io", ".kubernetes.io", ".istio.io")
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean"})
_FORBIDDEN = (
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "writeOnly",
    "xml",
)
_LOGICAL = ("allOf", "anyOf", "oneOf")
_NOT_IN_LOGICAL = ("type", "description", "default", "additionalProperties", "nullable")
_INT_OR_STRING = "x-kubernetes-int-or-string"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def crd_problems(crd: Mapping[str, Any]) -> list[str]:
    """Return what an API server would reject; one line for each problem, with its place."""
    spec = crd["spec"]
    names, group = spec["names"], spec["group"]
    problems = []
    for name, pattern, value in (
        ("spec.group", _GROUP, group),
        ("spec.names.plural", _LABEL, names["plural"]),
        ("spec.names.singular", _LABEL, names["singular"]),
        ("spec.names.kind", _KIND, names["kind"]),
        *(
            (f"spec.names.shortNames[{at}]", _LABEL, text)
            for at, text in enumerate(names.get("shortNames", ()))
        ),
        *(
            (f"spec.versions[{at}].name", _VERSION, item["name"])
            for at, item in enumerate(spec["versions"])
        ),
    ):
        if not pattern.fullmatch(value):
            problems.append(f"{name}: {value!r} is not of the form {pattern.pattern}")
    if f".{group}".endswith(_RESERVED):
        problems.append(f"spec.group: {group} belongs to Kubernetes or Istio")
    for at, version in enumerate(spec["versions"]):
        schema = version["schema"]["openAPIV3Schema"]
        problems += _problems(schema, f"spec.versions[{at}].schema")
    return problems


def _problems(schema: Any, place: str) -> Iterator[str]:
    if not isinstance(schema, Mapping):
        yield f"{place}: must be a schema"
        return
    kind = schema.get("type")
    if kind is None and not (schema.get(_INT_OR_STRING) or schema.get(_PRESERVE)):
        yield f"{place}: has no type"
    if kind is not None and kind not in _TYPES:
        yield f"{place}: {kind!r} is no type"
    if schema.get(_INT_OR_STRING) and kind is not None:
        yield f"{place}: {_INT_OR_STRING} excludes type"
    for word in _FORBIDDEN:
        if word in schema:
            yield f"{place}: {word} is not allowed"
    if schema.get("uniqueItems"):
        yield f"{place}: uniqueItems must not be true"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{place}: properties and additionalProperties exclude each other"
    if schema.get("additionalProperties") is False:
        yield f"{place}: additionalProperties must not be false"
    for missing in set(schema.get("required", ())) - set(schema.get("properties", ())):
        yield f"{place}: required {missing} is no property"
    for name, inner in schema.get("properties", {}).items():
        yield from _problems(inner, f"{place}.{name}")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _problems(schema["additionalProperties"], f"{place}[key]")
    if kind == "array":
        yield from _problems(schema.get("items"), f"{place}[]")
    yield from _logical_problems(schema, place)


def _logical_problems(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    branches = [branch for word in _LOGICAL for branch in schema.get(word, ())]
    branches += [schema["not"]] if "not" in schema else []
    for branch in branches:
        for word in _NOT_IN_LOGICAL:
            # The one exception: both forms of a number that may be text.
            if word in branch and not (word == "type" and schema.get(_INT_OR_STRING)):
                yield f"{place}: {word} is not allowed inside anyOf, allOf, oneOf and not"
        yield from _logical_problems(branch, place)
