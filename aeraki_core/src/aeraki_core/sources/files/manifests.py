"""One document of a file as Kubernetes objects, and what is wrong with it.

The content of the objects is not kept: it can be read again from the document's text, which is
smaller. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aeraki_core.errors import UnreadableError
from aeraki_core.findings.codes import (
    BAD_NAME,
    NOT_AN_OBJECT,
    NOT_KUBERNETES,
    NOT_YAML,
    REJECTED,
    UNKNOWN_KIND,
    UPSTREAM_KIND,
)
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.manifests.locate import Document, FileOrigin
from aeraki_core.manifests.read import AliasBudget, Slice, load_all
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.meta import ObjectRef, group_of_plugin, is_dns_subdomain
from aeraki_core.sources.files.kinds import Reads, judge

__all__ = [
    "DEFAULT_NAMESPACE",
    "Declared",
    "Manifest",
    "ParsedManifest",
    "Rules",
    "Trouble",
    "load_object",
    "parse",
]

DEFAULT_NAMESPACE = "default"

_WORD = re.compile(r"[a-z0-9*][a-z0-9.*-]*")


@dataclass(frozen=True, slots=True)
class Rules:
    """How a document is read: which kinds count, where objects without a namespace live."""

    reads: Reads
    namespace: str = DEFAULT_NAMESPACE
    plugin_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with a document or a file."""

    code: Code
    message: str
    line: int | None = 0
    """Counts from 0 within the document or file; None: no line is to blame."""
    broken: bool = False
    """Whether it may hide an object that matters, so that nothing counts as gone because of it."""
    ref: ObjectRef | None = None
    field: str | None = None

    def finding(self, path: str, first_line: int) -> Finding:
        """Return the problem as a finding at a file's line."""
        line = None if self.line is None else first_line + self.line
        return Finding(self.code, self.message, self.ref, self.field, path, line)


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """An object that a document declares, the ``index``-th of it.

    Compared by identity: equal text may stand twice.
    """

    ref: ObjectRef
    api_version: str
    origin: FileOrigin
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """What one document holds."""

    document: Document
    objects: tuple[Declared, ...]
    troubles: tuple[Trouble, ...]
    words: frozenset[str] = frozenset()
    """Everything that a broken document mentions and that may name a host."""
    aliased: int = 0
    """How many values its aliases stand for."""


class ParsedManifest(NamedTuple):
    """A manifest with the content of its objects."""

    manifest: Manifest
    objects: tuple[SourceObject, ...] = ()


def parse(piece: Slice, path: str, rules: Rules, budget: AliasBudget) -> list[ParsedManifest]:
    """Parse the document; several manifests only where JSON objects follow each other."""
    before = budget.spent
    try:
        values = load_all(piece, budget)
    except UnreadableError as error:
        line = 0 if error.line is None else error.line - piece.line
        broken = Trouble(NOT_YAML, str(error), line, broken=True)
        document = Document(path, Slice(piece.line, ""))
        return [ParsedManifest(Manifest(document, (), (broken,), _words(piece.text)))]
    aliased = budget.spent - before
    return [_manifest(part, path, value, rules, aliased) for part, value in values]


def load_object(declared: Declared) -> SourceObject:
    """Load the object with its content, from its document again."""
    origin = declared.origin
    [(_, value)] = load_all(Slice(origin.document.line, origin.document.text))
    for index in origin.items:
        value = value["items"][index]
    return SourceObject(declared.ref, declared.api_version, value, origin)


def _manifest(piece: Slice, path: str, value: Any, rules: Rules, aliased: int) -> ParsedManifest:
    document = Document(path, piece)
    objects: list[SourceObject] = []
    declared: list[Declared] = []
    troubles: list[Trouble] = []
    for part in _parts(value, (), _NO_TYPE):
        identity = _identify(part, rules)
        if isinstance(identity, Trouble):
            line = document.locate(identity.field or "", part.items) - document.line
            troubles.append(
                Trouble(
                    identity.code,
                    identity.message,
                    line,
                    identity.broken,
                    identity.ref,
                    identity.field,
                )
            )
        elif identity is not None:
            origin = FileOrigin(document, part.items)
            objects.append(SourceObject(identity.ref, identity.api_version, part.content, origin))
            declared.append(Declared(identity.ref, identity.api_version, origin, len(declared)))
    if not declared:
        document = Document(path, Slice(piece.line, ""))  # nobody asks for its fields again
    words = _words(piece.text) if any(trouble.broken for trouble in troubles) else frozenset()
    manifest = Manifest(document, tuple(declared), tuple(troubles), words, aliased)
    return ParsedManifest(manifest, tuple(objects))


def _words(text: str) -> frozenset[str]:
    """Return all words of the text that may name a host."""
    return frozenset(word.strip(".-") for word in _WORD.findall(text.lower()))


class _Type(NamedTuple):
    """apiVersion and kind."""

    api_version: str
    kind: str


_NO_TYPE = _Type("", "")


class _Part(NamedTuple):
    """A value where an object belongs, with its place in lists and the type that its list gives."""

    content: Any
    items: tuple[int, ...]
    type: _Type


class _Identity(NamedTuple):
    """What names an object."""

    ref: ObjectRef
    api_version: str


def _parts(value: Any, items: tuple[int, ...], inherited: _Type) -> Iterator[_Part]:
    """Yield every object of a document, also those in lists."""
    if isinstance(value, dict):
        api_version, kind, inner = value.get("apiVersion"), value.get("kind"), value.get("items")
        typed = isinstance(api_version, str) and isinstance(kind, str) and kind.endswith("List")
        if typed and "items" in value and (inner is None or isinstance(inner, list)):
            # The items of a typed list need not repeat its type.
            of_items = _NO_TYPE
            if kind != "List":
                of_items = _Type(str(api_version), str(kind).removesuffix("List"))
            for index, each in enumerate(inner or ()):
                yield from _parts(each, (*items, index), of_items)
            return
    if value is not None:
        yield _Part(value, items, inherited)


def _identify(part: _Part, rules: Rules) -> _Identity | Trouble | None:
    """Return the object's identity, or its problem; None if its kind is not read."""
    content = part.content
    if not isinstance(content, dict):
        code = NOT_AN_OBJECT if part.items else NOT_KUBERNETES
        return Trouble(code, f"{_shape(content)} stands where a Kubernetes object belongs")
    api_version = content.get("apiVersion") or part.type.api_version
    kind = content.get("kind") or part.type.kind
    metadata = content.get("metadata")
    if not api_version and not kind and not isinstance(metadata, dict):
        # Helm's values, a compose file: nothing is missing.
        return Trouble(NOT_KUBERNETES, "it has no apiVersion and no kind")
    for name, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            # With metadata it was meant to be a manifest.
            is_meant = isinstance(metadata, dict)
            return Trouble(NOT_AN_OBJECT, f"no {name}", broken=is_meant, field=name)
    verdict = judge(api_version, kind, rules.reads, rules.plugin_groups)
    if verdict.unsupported:
        return Trouble(UPSTREAM_KIND, verdict.unsupported, field="kind")
    if verdict.unknown:
        return Trouble(UNKNOWN_KIND, verdict.unknown, broken=verdict.misspelt, field="kind")
    if not verdict.read:
        return None
    if not isinstance(metadata, dict):
        return Trouble(NOT_AN_OBJECT, f"{kind} without metadata", broken=True, field="metadata")
    return _named(_Type(api_version, kind), metadata, rules)


def _named(type_: _Type, metadata: Mapping[str, Any], rules: Rules) -> _Identity | Trouble:
    kind = type_.kind
    name, namespace = metadata.get("name"), metadata.get("namespace") or rules.namespace
    is_namespace = type_ == _Type("v1", "Namespace")
    if name is None or name == "":
        message = f"{kind} without metadata.name"
        return Trouble(NOT_AN_OBJECT, message, broken=True, field="metadata.name")
    if not isinstance(name, str):
        message = f"{kind}: metadata.name is {_shape(name)}, not text; put it in quotes"
        return Trouble(BAD_NAME, message, broken=True, field="metadata.name")
    if not isinstance(namespace, str):
        message = f"{kind} {name[:80]}: metadata.namespace is {_shape(namespace)}, not text; "
        message += "put it in quotes"
        return Trouble(BAD_NAME, message, broken=True, field="metadata.namespace")
    group = group_of_plugin(type_.api_version.rpartition("/")[0])
    ref = ObjectRef(kind, "" if is_namespace else namespace, name, group)
    if len(namespace) > 63 or "." in namespace or not is_dns_subdomain(namespace):
        message = "not a valid namespace"
        return Trouble(BAD_NAME, message, broken=True, ref=ref, field="metadata.namespace")
    for part in ("labels", "annotations"):
        if not isinstance(metadata.get(part) or {}, dict):
            message = f"{_shape(metadata[part])} stands where names with values belong"
            return Trouble(REJECTED, message, broken=True, ref=ref, field=f"metadata.{part}")
    return _Identity(ref, type_.api_version)


_SHAPES = {
    list: "a list",
    dict: "a mapping",
    str: "a text",
    bool: "a true/false value",
    int: "a number",
    float: "a number",
}


def _shape(value: Any) -> str:
    """Return the type of a value in a user's words; never the value itself."""
    return _SHAPES.get(type(value), "a value")
