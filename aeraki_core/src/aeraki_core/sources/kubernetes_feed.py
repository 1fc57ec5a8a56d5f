"""One list of one kind of a cluster, told as events.

In: what an informer hears of the list. Out: events, and how the list stands, to the source that it belongs to.

An object is Removed when a watch says so or a fresh full list no longer has it; not when the definition of its kind (the CRD)
was deleted, which takes all its objects along: then the last known ones stay in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from aeraki_core.diagnostics import KIND_NOT_SERVED, NOT_READ, Code, Finding
from aeraki_core.errors import RejectedError
from aeraki_core.kube.client import Object
from aeraki_core.kube.informer import Informer
from aeraki_core.kube.resources import GroupKind, Resource
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.wire import check
from aeraki_core.sources.base import Event, Incomplete, Problems, Removed, Upserted
from aeraki_core.store import SourceObject
from aeraki_core.types import Kind

__all__ = ["NAME", "SECRET", "Feed", "FeedSource"]

NAME = "kubernetes"
"""The source's word on the command line."""
SECRET: GroupKind = ("", "Secret")


class FeedSource(Protocol):
    """What a feed asks and tells the source that it belongs to."""

    def take(self, feed: Feed, events: Iterable[Event]) -> None:
        """Hand on what happened, all at one moment."""
        ...

    def settle(
        self, feed: Feed, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None
    ) -> None:
        """How the feed stands: why it cannot tell what is there, or None."""
        ...

    def want_secrets(self) -> None:
        """The objects refer to other Secrets than before."""
        ...

    def is_being_deleted(self, resource: Resource) -> bool:
        """Whether the definition of the kind is gone or going."""
        ...


class Feed:
    """One list of one kind, told as events. ``declared``: the plugin's kind. ``name``: the only object of interest (a Secret)."""

    informer: Informer

    def __init__(
        self,
        source: FeedSource,
        kind: GroupKind,
        namespace: str | None,
        *,
        declared: Kind[Any] | None = None,
        name: str = "",
    ) -> None:
        self._source = source
        self._declared = declared
        self._secrets: dict[ObjectRef, frozenset[tuple[str, str]]] = {}
        self._known: dict[ObjectRef, str] = {}
        self._problem: str | None = None
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.forgotten = False
        scope = "/".join(part for part in (namespace, name) if part)
        self.place = f"{kind[1]}{f'.{kind[0]}' if kind[0] else ''}{f' {scope}' if scope else ''}"

    def secrets(self) -> set[tuple[str, str]]:
        """Namespace and name of every Secret that its objects refer to."""
        return {key for keys in list(self._secrets.values()) for key in keys}

    def forget(self) -> None:
        """Nobody wants it any more: what it gave is Removed, and it says nothing from now on."""
        self._source.take(self, [Removed(NAME, ref) for ref in list(self._known)])
        self._problems(None, NOT_READ)
        self.forgotten = True

    def listed(self, resource: Resource, items: Sequence[Object]) -> None:
        """A fresh full list: the difference to what was known."""
        fresh = {_ref(resource, item): item for item in items}
        gone = [ref for ref in self._known if ref not in fresh]
        if gone and self._source.is_being_deleted(resource):
            self.failed(f"the definition of {self.place} is being deleted; what was known of it stays")
            return
        events: list[Event] = [Removed(NAME, ref) for ref in gone]
        events += [
            _upserted(resource, ref, item) for ref, item in fresh.items() if self._known.get(ref) != _version(item)
        ]
        self._known = {ref: _version(item) for ref, item in fresh.items()}
        self._source.take(self, events)
        self._refer(fresh, gone)
        self._problems(None, NOT_READ)
        self._settle(None, listed=True)

    def changed(self, resource: Resource, item: Object) -> None:
        """An object is new or changed."""
        ref = _ref(resource, item)
        if self._known.get(ref) != _version(item):
            self._known[ref] = _version(item)
            self._source.take(self, [_upserted(resource, ref, item)])
            self._refer({ref: item}, ())

    def deleted(self, resource: Resource, items: Sequence[Object]) -> None:
        """Objects were deleted; not by anybody's wish if their kind is."""
        if self._source.is_being_deleted(resource):
            self._problems(f"the definition of {self.place} is being deleted", KIND_NOT_SERVED)
            self._settle(f"the definition of {self.place} is being deleted; what was known of it stays")
            return
        gone = [ref for ref in (_ref(resource, item) for item in items) if self._known.pop(ref, None) is not None]
        self._source.take(self, [Removed(NAME, ref) for ref in gone])
        self._refer({}, gone)

    def absent(self) -> None:
        """The kind is not served. A plugin's kind that never was is only worth a word: there are no objects of it."""
        reason = f"the cluster does not serve {self.place}"
        self._problems(reason, KIND_NOT_SERVED)
        missing = None
        if self._known:
            missing = Incomplete(f"{reason} any more; what was known of it stays")
        elif self._declared is None:
            missing = Incomplete(reason, words=None)
        self._settle(None, listed=True, incomplete=missing)

    def failed(self, reason: str) -> None:
        """The server does not answer, or refuses."""
        self._problems(reason, NOT_READ)
        # A Secret that cannot be read holds nobody up: who needs it keeps its last good filter.
        self._settle(reason if self.kind != SECRET else None, listed=self.kind == SECRET)

    def current(self) -> None:
        """It answers again."""
        self._problems(None, NOT_READ)
        self._settle(None)

    def _settle(self, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None) -> None:
        self._source.settle(self, reason, listed=listed, incomplete=incomplete)

    def _refer(self, items: Mapping[ObjectRef, Object], gone: Iterable[ObjectRef]) -> None:
        """Remember which Secrets the objects refer to; an object that its model rejects refers to what it did before."""
        if self._declared is None:
            return
        before = self.secrets()
        for ref in gone:
            self._secrets.pop(ref, None)
        for ref, item in items.items():
            try:
                spec = check(self._declared.spec, item.get("spec"))
            except RejectedError:
                continue
            names = frozenset((ref.namespace, name) for name in self._declared.secrets(spec))
            if names:
                self._secrets[ref] = names
            else:
                self._secrets.pop(ref, None)
        if self.secrets() != before:
            self._source.want_secrets()

    def _problems(self, message: str | None, code: Code) -> None:
        if message == self._problem:
            return
        self._problem = message
        findings = () if message is None else (Finding(code, message),)
        self._source.take(self, [Problems(NAME, self.place, findings)])


def _ref(resource: Resource, item: Object) -> ObjectRef:
    metadata = item["metadata"]
    return ObjectRef(resource.kind, metadata.get("namespace") or "", metadata["name"])


def _version(item: Object) -> str:
    """Tells one state of an object from another, also of one that was deleted and made again."""
    metadata = item["metadata"]
    return f"{metadata.get('uid')}/{metadata['resourceVersion']}"


def _upserted(resource: Resource, ref: ObjectRef, item: Object) -> Upserted:
    item["metadata"].pop("managedFields", None)  # a third of an object's size, and nobody reads it
    return Upserted(NAME, SourceObject(ref, resource.api_version, item))
