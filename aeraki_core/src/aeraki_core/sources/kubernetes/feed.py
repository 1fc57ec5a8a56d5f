"""One list of one kind of a cluster, told as events.

In: what an informer hears of the list. Out: events, and how the list stands, to the source that it belongs to.

An object is Removed when a watch says so or a fresh full list no longer has it; not when the definition of its kind (the CRD)
was deleted, which takes all its objects along: then the last known ones stay in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from sys import intern
from threading import RLock
from typing import Any, Protocol

from aeraki_core.errors import RejectedError
from aeraki_core.findings.codes import KIND_NOT_SERVED, NOT_READ
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.kube.client import Object
from aeraki_core.kube.informer import Informer
from aeraki_core.kube.resources import ApiResource, GroupKind
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import LoadedKind
from aeraki_core.sources.events import Event, Incomplete, Problems, Removed, Upserted

__all__ = ["NAME", "SECRET", "Feed", "FeedSource"]

NAME = "kubernetes"
"""The source's word on the command line."""
SECRET: GroupKind = ("", "Secret")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class FeedSource(Protocol):
    """What a feed asks and tells the source that it belongs to. A list that began in an earlier ``round`` is not a fresh one."""

    lock: RLock
    round: int

    def reads(self, namespace: str) -> bool:
        """Whether objects of the namespace are, or may be, of use."""
        ...

    def take(self, feed: Feed, events: Iterable[Event]) -> None:
        """Hand on what happened, all at one moment."""
        ...

    def settle(
        self,
        feed: Feed,
        reason: str | None,
        *,
        listed: bool = False,
        incomplete: Incomplete | None = None,
    ) -> None:
        """How the feed stands: why it cannot tell what is there, or None."""
        ...

    def want_secrets(self) -> None:
        """The objects refer to other Secrets than before."""
        ...

    def is_being_deleted(self, resource: ApiResource) -> bool:
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
        declared: LoadedKind[Any] | None = None,
        name: str = "",
    ) -> None:
        self._source = source
        self._declared = declared
        self._secrets: dict[ObjectRef, frozenset[tuple[str, str]]] = {}
        self._wanted: Counter[tuple[str, str]] = Counter()
        self._known: dict[ObjectRef, int] = {}
        # Of the list that is being read: which objects it has, and which of them are news.
        self._present: set[ObjectRef] = set()
        self._changed: dict[ObjectRef, Object] = {}
        self._complete = False
        self._round = 0
        self._problem: str | None = None
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.forgotten = False
        scope = "/".join(part for part in (namespace, name) if part)
        self.place = f"{kind[1]}{f'.{kind[0]}' if kind[0] else ''}{f' {scope}' if scope else ''}"

    def secrets(self) -> set[tuple[str, str]]:
        """Namespace and name of every Secret that its objects refer to."""
        return set(self._wanted)

    def forget(self) -> None:
        """Nobody wants it any more: what it gave is Removed, and it says nothing from now on."""
        self._source.take(self, [Removed(NAME, ref) for ref in list(self._known)])
        self._problems(None, NOT_READ)
        self.forgotten = True

    def drop(self, namespaces: Collection[str]) -> list[ObjectRef]:
        """Forget the objects of namespaces of which nothing counts any more; returns them. For the source, under its lock."""
        dropped = [ref for ref in self._known if ref.namespace in namespaces]
        for ref in dropped:
            del self._known[ref]
        self._refer({}, dropped, tell=False)
        return dropped

    def listing(self) -> None:
        """A fresh list begins; what came of one that broke off is forgotten, or was true and stays."""
        self._present = set()
        self._changed = {}
        self._round = self._source.round

    def page(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Objects of a fresh list. Those of the first one go on at once, for nobody acts on them before it is complete."""
        for item in items:
            ref = _ref(resource, item)
            if not self._source.reads(ref.namespace):
                continue
            self._present.add(ref)
            if self._known.get(ref) != _version(item):
                self._changed[ref] = item
        if not self._complete:
            self._hand_on(resource, ())

    def listed(self, resource: ApiResource) -> None:
        """The fresh list is complete: its difference to what was known is told as one."""
        with self._source.lock:
            gone = [ref for ref in self._known if ref not in self._present]
        self._present = set()
        if gone and self._source.is_being_deleted(resource):
            self._changed = {}
            self.failed(
                f"the definition of {self.place} is being deleted; what was known of it stays"
            )
            return
        self._complete = True
        self._hand_on(resource, gone)
        self._problems(None, NOT_READ)
        self._settle(None, listed=self._round == self._source.round)

    def changed(self, resource: ApiResource, item: Object) -> None:
        """An object is new or changed."""
        ref = _ref(resource, item)
        if self._source.reads(ref.namespace) and self._known.get(ref) != _version(item):
            self._changed[ref] = item
            self._hand_on(resource, ())

    def deleted(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Objects were deleted; not by anybody's wish if their kind is."""
        if self._source.is_being_deleted(resource):
            self._problems(f"the definition of {self.place} is being deleted", KIND_NOT_SERVED)
            self._settle(
                f"the definition of {self.place} is being deleted; what was known of it stays"
            )
            return
        self._hand_on(
            resource,
            [ref for ref in (_ref(resource, item) for item in items) if ref in self._known],
        )

    def absent(self) -> None:
        """The kind is not served. A plugin's kind that never was is only worth a word: there are no objects of it."""
        reason = f"the cluster does not serve {self.place}"
        self._problems(reason, KIND_NOT_SERVED)
        missing = None
        self._complete = True  # it may come at any time, with everything at work
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

    def _settle(
        self, reason: str | None, *, listed: bool = False, incomplete: Incomplete | None = None
    ) -> None:
        self._source.settle(self, reason, listed=listed, incomplete=incomplete)

    def _hand_on(self, resource: ApiResource, gone: Sequence[ObjectRef]) -> None:
        """Tell what is gone and what changed, in one go."""
        with self._source.lock:
            staged, self._changed = self._changed, {}
            # It may have been dropped since.
            gone = [ref for ref in gone if self._known.pop(ref, None) is not None]
            changed = {
                ref: item for ref, item in staged.items() if self._source.reads(ref.namespace)
            }
            for ref, item in changed.items():
                self._known[ref] = _version(item)
            # Told before the Secrets that they refer to are asked for.
            events: list[Event] = [Removed(NAME, ref) for ref in gone]
            events += [_upserted(resource, ref, item) for ref, item in changed.items()]
            if events:
                self._source.take(self, events)
                self._refer(changed, gone)

    def _refer(
        self, items: Mapping[ObjectRef, Object], gone: Iterable[ObjectRef], *, tell: bool = True
    ) -> None:
        """Remember which Secrets the objects refer to; an object that its model rejects refers to what it did before."""
        if self._declared is None:
            return
        now: dict[ObjectRef, frozenset[tuple[str, str]]] = dict.fromkeys(gone, frozenset())
        for ref, item in items.items():
            with suppress(RejectedError):
                spec = self._declared.read(item.get("spec"))
                referred = self._declared.secrets_of(spec)
                now[ref] = frozenset((ref.namespace, name) for name in referred)
        differs = False
        for ref, names in now.items():
            before = self._secrets.pop(ref, frozenset())
            if names:
                self._secrets[ref] = names
            for key in names - before:
                self._wanted[key] += 1
                differs |= self._wanted[key] == 1
            for key in before - names:
                self._wanted[key] -= 1
                if not self._wanted[key]:
                    del self._wanted[key]
                    differs = True
        if differs and tell:
            self._source.want_secrets()

    def _problems(self, message: str | None, code: Code) -> None:
        if message == self._problem:
            return
        self._problem = message
        findings = () if message is None else (Finding(code, message),)
        self._source.take(self, [Problems(NAME, self.place, findings)])


def _ref(resource: ApiResource, item: Object) -> ObjectRef:
    metadata = item["metadata"]
    # One text for all objects of a namespace, and for those of one name.
    return ObjectRef(
        resource.kind, intern(metadata.get("namespace") or ""), intern(metadata["name"])
    )


def _version(item: Object) -> int:
    """Tells one state of an object from another, also of one that was deleted and made again; a third of the size of the text."""
    metadata = item["metadata"]
    return hash((metadata.get("uid"), metadata["resourceVersion"]))


def _upserted(resource: ApiResource, ref: ObjectRef, item: Object) -> Upserted:
    metadata = item["metadata"]
    # Half of an object's size, and nobody reads them.
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if annotations is not None:
        annotations.pop(_LAST_APPLIED, None)
    return Upserted(NAME, SourceObject(ref, resource.api_version, item))
