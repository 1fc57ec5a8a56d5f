"""The events of one list of a cluster.

A feed converts the news of one informer to events. It has no thread and calls no other part: the
source's coordinator calls it.

An object is Removed when a watch reports it, or when a fresh full list lacks it. It is not Removed
when the definition of its kind (the CRD) was deleted, which deletes all its objects too: no user
deleted those one by one, so the last known ones stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from sys import intern
from typing import NamedTuple

from aeraki_core.findings.codes import KIND_NOT_SERVED, NOT_READ, UPSTREAM_KIND
from aeraki_core.findings.finding import Code, Finding
from aeraki_core.kube.decode import DecodedObject, Object
from aeraki_core.kube.informer import (
    Changed,
    Deleted,
    Failed,
    ListBegan,
    ListEnded,
    ListNews,
    NotServed,
    Page,
    Recovered,
)
from aeraki_core.kube.resources import ApiResource, GroupKind
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef, group_of_plugin
from aeraki_core.sources.events import Event, Incomplete, Problems, Removed, Upserted
from aeraki_core.sources.kubernetes.needed import Needed, digest_of, only
from aeraki_core.sources.upstream_kinds import UPSTREAM_KINDS

__all__ = ["NAME", "Feed", "SideFeed", "UpstreamFeed"]

NAME = "kubernetes"
"""The source's word on the command line."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class _Staged(NamedTuple):
    """A new or changed object before it is handed on."""

    form: str
    upserted: Upserted


class Feed:
    """One list of one kind.

    ``optional``: no object of the kind need exist, so the kind need not be served. ``name``: the
    only object of interest. ``reads``: whether objects of a namespace may be of use. ``needed``:
    the fields that anybody reads; a change of others is no event. None: the whole object.
    """

    def __init__(
        self,
        kind: GroupKind,
        namespace: str | None = None,
        *,
        name: str = "",
        optional: bool = False,
        reads: Callable[[str], bool] = lambda namespace: True,
        needed: Needed | None = None,
    ) -> None:
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self._optional = optional
        self._reads = reads
        self._needed = needed
        scope = "/".join(part for part in (namespace, name) if part)
        group = f".{kind[0]}" if kind[0] else ""
        self.place = f"{kind[1]}{group}{f' {scope}' if scope else ''}"
        self.reason: str | None = None
        """Why missing objects prove nothing; None when the list is current."""
        self.incomplete: Incomplete | None = None
        """What may exist although it is not known."""
        self.stale = True
        """Whether a fresh list is needed before what is missing counts as gone."""
        self._fresh = False
        self._complete = False
        # The version of each object that was handed on, or a digest of what is needed of it.
        self._forms: dict[ObjectRef, str] = {}
        # Of the list that is being read: all its objects, and those that are new or changed.
        self._present: set[ObjectRef] = set()
        self._staged: dict[ObjectRef, _Staged] = {}
        self._problem: str | None = None

    @property
    def params(self) -> Mapping[str, str]:
        """What the list asks the server for, beside its kind and namespace."""
        return {"fieldSelector": f"metadata.name={self.name}"} if self.name else {}

    def holds(self, ref: ObjectRef) -> bool:
        """Whether the list has the object."""
        return ref in self._forms

    def ask_again(self) -> None:
        """From now on only a list that begins later is fresh."""
        self.stale, self._fresh = True, False

    def handle(self, news: ListNews, *, definition_deleted: bool = False) -> list[Event]:
        """Take news in and return what follows from it, to be acted on together.

        ``definition_deleted``: the kind's definition is gone or going.
        """
        match news:
            case ListBegan():
                # What a list that broke off brought was handed on, or is forgotten.
                self._present, self._staged, self._fresh = set(), {}, True
                return []
            case Page(resource, objects):
                return self._page(resource, objects)
            case ListEnded():
                return self._list_ended(definition_deleted=definition_deleted)
            case Changed(resource, objects):
                self._stage(resource, objects)
                return self._hand_on(())
            case Deleted(resource, objects):
                return self._deleted(resource, objects, definition_deleted=definition_deleted)
            case NotServed():
                return self._not_served()
            case Failed(reason):
                return self._failed(reason)
            case Recovered():
                self.reason = None
                return self._problem_events(None, NOT_READ)

    def drop(self, namespaces: Collection[str]) -> list[Event]:
        """Forget the objects of namespaces that do not count any more."""
        gone = [ref for ref in self._forms if ref.namespace in namespaces]
        return self._remove(gone)

    def drop_all(self) -> list[Event]:
        """Forget everything: the list is not wanted any more."""
        return [*self._remove(list(self._forms)), *self._problem_events(None, NOT_READ)]

    # -- one sort of news each -------------------------------------------------------------------

    def _page(self, resource: ApiResource, objects: Iterable[DecodedObject]) -> list[Event]:
        self._present.update(self._stage(resource, objects))
        # The controller acts only on a complete first list, so its objects need not wait here.
        return [] if self._complete else self._hand_on(())

    def _list_ended(self, *, definition_deleted: bool) -> list[Event]:
        gone = [ref for ref in self._forms if ref not in self._present]
        self._present = set()
        if gone and definition_deleted:
            self._staged = {}
            return self._failed(
                f"the definition of {self.place} is being deleted; what was known of it stays"
            )
        self._settle()
        return [*self._hand_on(gone), *self._problem_events(None, NOT_READ)]

    def _deleted(
        self, resource: ApiResource, objects: Iterable[Object], *, definition_deleted: bool
    ) -> list[Event]:
        if definition_deleted:
            problem = f"the definition of {self.place} is being deleted"
            self.reason = f"{problem}; what was known of it stays"
            return self._problem_events(problem, KIND_NOT_SERVED)
        return self._hand_on([_ref(resource, content) for content in objects])

    def _not_served(self) -> list[Event]:
        reason = f"the cluster does not serve {self.place}"
        # The kind may come at any time, and its objects with it.
        self._fresh = True
        self._settle()
        if self._forms:
            self.incomplete = Incomplete(f"{reason} any more; what was known of it stays")
        elif not self._optional:
            self.incomplete = Incomplete(reason, words=None)
        return self._problem_events(reason, KIND_NOT_SERVED)

    def _failed(self, reason: str) -> list[Event]:
        self.reason = reason
        return self._problem_events(reason, NOT_READ)

    def _settle(self) -> None:
        """All that there is has been listed."""
        self.reason, self.incomplete, self._complete = None, None, True
        if self._fresh:
            self.stale = False

    # -- objects ---------------------------------------------------------------------------------

    def _stage(
        self, resource: ApiResource, objects: Iterable[DecodedObject]
    ) -> Iterable[ObjectRef]:
        """Keep new and changed objects until they are handed on; return all that are read."""
        refs: list[ObjectRef] = []
        for content, problem in objects:
            ref = _ref(resource, content)
            if not self._reads(ref.namespace):
                continue
            refs.append(ref)
            form = content["metadata"]["resourceVersion"]
            if self._needed is not None and problem is None:
                content = only(self._needed, content)
                form = digest_of(content)
            if self._forms.get(ref) != form:
                self._staged[ref] = _Staged(form, _upserted(resource, ref, content, problem))
            else:
                # It changed and changed back before it was handed on.
                self._staged.pop(ref, None)
        return refs

    def _hand_on(self, gone: Iterable[ObjectRef]) -> list[Event]:
        """Return deletions and changes as one batch."""
        events = self._remove(gone)
        staged, self._staged = self._staged, {}
        for ref, (form, upserted) in staged.items():
            if self._reads(ref.namespace):  # also now: namespaces come and go
                self._forms[ref] = form
                events.append(upserted)
        return events

    def _remove(self, refs: Iterable[ObjectRef]) -> list[Event]:
        return [Removed(NAME, ref) for ref in refs if self._forms.pop(ref, None) is not None]

    def _problem_events(self, message: str | None, code: Code) -> list[Event]:
        """Return the list's own problem, if it changed."""
        if message == self._problem:
            return []
        self._problem = message
        findings = () if message is None else (Finding(code, message),)
        return [Problems(NAME, self.place, findings)]


class SideFeed(Feed):
    """A list that nothing waits for when it cannot be read.

    ``about``: what is read of the objects, for messages. ``labels``: a selector of labels.
    """

    def __init__(
        self,
        kind: GroupKind,
        namespace: str | None = None,
        *,
        about: str,
        labels: str = "",
        reads: Callable[[str], bool] = lambda namespace: True,
        needed: Needed | None = None,
    ) -> None:
        super().__init__(kind, namespace, optional=True, reads=reads, needed=needed)
        self.place = f"{self.place} ({about})"
        self._labels = labels

    @property
    def params(self) -> Mapping[str, str]:
        """The selector, so that the server leaves out what is of no use."""
        return {"labelSelector": self._labels} if self._labels else {}

    def _failed(self, reason: str) -> list[Event]:
        self.stale = False
        return self._problem_events(reason, NOT_READ)

    def _not_served(self) -> list[Event]:
        before = self._problem
        events = super()._not_served()
        self.incomplete = None
        if self._forms:
            return events
        # A cluster need not have such objects, nor serve their kind.
        self._problem = before
        return self._problem_events(None, KIND_NOT_SERVED)


class UpstreamFeed(SideFeed):
    """A list of a kind of upstream Aeraki, whose objects do nothing: each has a finding."""

    def handle(self, news: ListNews, *, definition_deleted: bool = False) -> list[Event]:
        """Take news in, as any feed. Objects become findings."""
        events = super().handle(news, definition_deleted=definition_deleted)
        return [self._reported(event) for event in events]

    def drop(self, namespaces: Collection[str]) -> list[Event]:
        """Forget the objects of namespaces that do not count any more, and their findings."""
        return [self._reported(event) for event in super().drop(namespaces)]

    def _reported(self, event: Event) -> Event:
        match event:
            case Upserted(object=item):
                finding = Finding(UPSTREAM_KIND, UPSTREAM_KINDS[self.kind], item.ref, "kind")
                return Problems(NAME, str(item.ref), (finding,))
            case Removed(ref=ref):
                return Problems(NAME, str(ref), ())
        return event


def _ref(resource: ApiResource, content: Object) -> ObjectRef:
    metadata = content["metadata"]
    return ObjectRef(
        # One text for all objects of a namespace, and for those of one name.
        resource.kind,
        intern(metadata.get("namespace") or ""),
        intern(metadata["name"]),
        group_of_plugin(resource.group),
    )


def _upserted(
    resource: ApiResource, ref: ObjectRef, content: Object, problem: str | None
) -> Upserted:
    metadata = content["metadata"]
    # Half of an object's size, and unused.
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if annotations is not None:
        annotations.pop(_LAST_APPLIED, None)
    return Upserted(NAME, SourceObject(ref, resource.api_version, content, problem=problem))
