"""One document of a file to Kubernetes objects, and to a word about what is wrong with it.

In: a document's text. Out: a :class:`Manifest`, and the objects' contents, which nobody here keeps: they can be had again from
the text. Pure: no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aeraki_core.errors import UnreadableError
from aeraki_core.findings.codes import BAD_NAME, NOT_AN_OBJECT, NOT_YAML, REJECTED, UNKNOWN_KIND
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.manifests.locate import Document, FileOrigin
from aeraki_core.manifests.read import Slice, load_all
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef, is_dns_subdomain
from aeraki_core.sources.files.kinds import Reads, judge

__all__ = ["Declared", "Manifest", "Rules", "Trouble", "load_object", "parse"]

DEFAULT_NAMESPACE = "default"
_WORD = re.compile(r"[a-z0-9*][a-z0-9.*-]*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides how a document is taken: which kinds are read, where objects without a namespace live."""

    reads: Reads
    namespace: str = DEFAULT_NAMESPACE
    plugin_groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong with a document or a file. ``line`` counts from 0 within it; None: no line is to blame.

    ``broken``: the document may have been meant to be an object that matters, so nothing may be taken for gone because of it.
    """

    code: Code
    message: str
    line: int | None = 0
    broken: bool = False
    ref: ObjectRef | None = None
    field: str | None = None

    def finding(self, path: str, first_line: int) -> Finding:
        """The trouble as a finding at a file's line."""
        line = None if self.line is None else first_line + self.line
        return Finding(self.code, self.message, self.ref, self.field, path, line)


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """An object that a document declares, the ``index``-th of it; compared by identity, for equal text may stand twice."""

    ref: ObjectRef
    api_version: str
    origin: FileOrigin
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """What one document holds. ``words``: what it mentions, if it is broken."""

    document: Document
    objects: tuple[Declared, ...]
    troubles: tuple[Trouble, ...]
    words: frozenset[str] = frozenset()


def parse(piece: Slice, path: str, rules: Rules) -> list[tuple[Manifest, tuple[SourceObject, ...]]]:
    """The document's manifest and its objects; several only where JSON objects follow each other in one text."""
    try:
        values = load_all(piece)
    except UnreadableError as error:
        line = 0 if error.line is None else error.line - piece.line
        broken = Trouble(NOT_YAML, str(error), line, broken=True)
        return [
            (Manifest(Document(path, Slice(piece.line, "")), (), (broken,), _words(piece.text)), ())
        ]
    return [_manifest(part, path, value, rules) for part, value in values]


def load_object(declared: Declared) -> SourceObject:
    """The object's content, read from its document once more."""
    origin = declared.origin
    [(_, value)] = load_all(Slice(origin.document.line, origin.document.text))
    for part in origin.prefix.split(".") if origin.prefix else ():
        value = value["items"][int(part.removeprefix("items[").rstrip("]"))]
    return SourceObject(declared.ref, declared.api_version, value, origin)


def _manifest(
    piece: Slice, path: str, value: Any, rules: Rules
) -> tuple[Manifest, tuple[SourceObject, ...]]:
    document = Document(path, piece)
    objects: list[SourceObject] = []
    declared: list[Declared] = []
    troubles: list[Trouble] = []
    for prefix, content, given in _flatten(value, ""):
        found = _object(content, given, rules)
        if isinstance(found, tuple):
            ref, api_version = found
            origin = FileOrigin(document, prefix)
            objects.append(SourceObject(ref, api_version, content, origin))
            declared.append(Declared(ref, api_version, origin, len(declared)))
        elif found is not None:
            line = document.locate(prefix, found.field) - document.line
            troubles.append(
                Trouble(found.code, found.message, line, found.broken, found.ref, found.field)
            )
    if not declared:
        document = Document(path, Slice(piece.line, ""))  # nobody asks for its fields again
    words = _words(piece.text) if any(trouble.broken for trouble in troubles) else frozenset()
    return Manifest(document, tuple(declared), tuple(troubles), words), tuple(objects)


def _words(text: str) -> frozenset[str]:
    """Everything in the text that may name a host."""
    return frozenset(word.strip(".-") for word in _WORD.findall(text.lower()))


def _flatten(
    value: Any, prefix: str, given: tuple[str, str] = ("", "")
) -> Iterator[tuple[str, Any, tuple[str, str]]]:
    """Every object of a document, out of its lists; ``given`` is what a typed list says of its items."""
    if isinstance(value, dict):
        api_version, kind, items = value.get("apiVersion"), value.get("kind"), value.get("items")
        if (
            isinstance(kind, str)
            and isinstance(api_version, str)
            and kind.endswith("List")
            and "items" in value
        ):
            inherited = ("", "") if kind == "List" else (api_version, kind.removesuffix("List"))
            if items is None or isinstance(items, list):
                for index, item in enumerate(items or ()):
                    yield from _flatten(item, f"{prefix}.items[{index}]".lstrip("."), inherited)
                return
    if value is not None:
        yield prefix, value, given


def _object(
    content: Any, given: tuple[str, str], rules: Rules
) -> tuple[ObjectRef, str] | Trouble | None:
    """The object's reference and apiVersion; what is wrong with it; or None when it is no matter of ours."""
    if not isinstance(content, dict):
        return Trouble(
            NOT_AN_OBJECT, f"a {_shape(content)} stands where a Kubernetes object belongs"
        )
    api_version, kind = content.get("apiVersion") or given[0], content.get("kind") or given[1]
    metadata = content.get("metadata")
    for name, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            # Helm's values, a kustomization: no manifests, so nothing is missing. With metadata it was meant to be one.
            return Trouble(
                NOT_AN_OBJECT, f"no {name}", broken=isinstance(metadata, dict), field=name
            )
    verdict = judge(api_version, kind, rules.reads, rules.plugin_groups)
    if verdict.unknown:
        return Trouble(UNKNOWN_KIND, verdict.unknown, broken=verdict.misspelt, field="kind")
    if not verdict.read:
        return None
    if not isinstance(metadata, dict):
        return Trouble(NOT_AN_OBJECT, f"{kind} without metadata", broken=True, field="metadata")
    return _named(api_version, kind, metadata, rules)


def _named(
    api_version: str, kind: str, metadata: Mapping[str, Any], rules: Rules
) -> tuple[ObjectRef, str] | Trouble | None:
    name, namespace = metadata.get("name"), metadata.get("namespace") or rules.namespace
    if name is None or name == "":
        return Trouble(
            NOT_AN_OBJECT, f"{kind} without metadata.name", broken=True, field="metadata.name"
        )
    if not isinstance(name, str):
        message = f"{kind}: metadata.name is a {_shape(name)}, not text; put it in quotes"
        return Trouble(BAD_NAME, message, broken=True, field="metadata.name")
    if not isinstance(namespace, str):
        message = f"{kind} {name[:80]}: metadata.namespace is a {_shape(namespace)}, not text; put it in quotes"
        return Trouble(BAD_NAME, message, broken=True, field="metadata.namespace")
    ref = ObjectRef(kind, namespace, name)
    if len(namespace) > 63 or "." in namespace or not is_dns_subdomain(namespace):
        return Trouble(
            BAD_NAME, "not a valid namespace", broken=True, ref=ref, field="metadata.namespace"
        )
    for part in ("labels", "annotations"):
        if not isinstance(metadata.get(part) or {}, dict):
            message = f"a {_shape(metadata[part])} stands where names with values belong"
            return Trouble(REJECTED, message, broken=True, ref=ref, field=f"metadata.{part}")
    return ref, api_version


def _shape(value: Any) -> str:
    """What a value is, in a user's words; never the value itself."""
    names = {
        list: "list",
        dict: "mapping",
        str: "text",
        bool: "true/false value",
        int: "number",
        float: "number",
    }
    return names.get(type(value), "value")
