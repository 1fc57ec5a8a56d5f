"""The namespaces of a cluster that a label selector chooses, and the events that they leave.

This is meant as Istio's ``discoverySelectors``: each kind is read from the whole cluster, and what
is in other namespaces is left out.

The watches of namespaces and of objects are not in step. So what comes of an unknown namespace
waits, and what comes of one that does not match is dropped. When a namespace comes to match,
everything is read again, and all that is in it goes on in one piece: half of its routes would be
wrong ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aeraki_core.findings.codes import NOT_READ
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.decode import DecodedObject
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
from aeraki_core.kube.resources import GroupKind
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import Scope
from aeraki_core.model.selector import LabelSelector
from aeraki_core.sources.chain import namespace_of
from aeraki_core.sources.events import Event, Problems, Removed, Upserted
from aeraki_core.sources.kubernetes.feed import NAME

__all__ = ["NAMESPACE", "Change", "NamespaceFeed", "Selection"]

NAMESPACE: GroupKind = ("", "Namespace")
Labels = Mapping[str, str]
_REMEMBERED = 100  # deleted namespaces


@dataclass(frozen=True, slots=True)
class Change:
    """What follows from news of namespaces."""

    waited: tuple[Event, ...] = ()
    """Objects of namespaces that are new and match."""
    left: frozenset[str] = frozenset()
    """Namespaces with known objects that do not count from here on."""
    anew: bool = False
    """Whether one came to match: everything must be read again before :meth:`Selection.enter`."""


class Selection:
    """Which namespaces match: those that one of the ``selectors`` matches. For one thread."""

    def __init__(self, selectors: Iterable[LabelSelector]) -> None:
        self._selectors = tuple(selectors)
        self._watched: set[str] = set()
        self._others: set[str] = set()
        self._entering: set[str] = set()
        # What is in a namespace that was deleted and made again may have been judged by its old
        # labels. The news that it was made again comes soon after, so the last ones are enough.
        self._deleted: deque[str] = deque(maxlen=_REMEMBERED)
        self._waiting: dict[str, dict[ObjectRef, Upserted]] = {}

    @property
    def scope(self) -> Scope:
        """The namespaces that count."""
        return Scope(frozenset(self._watched), frozenset(self._others | self._entering))

    @property
    def entering(self) -> bool:
        """Whether namespaces came to match and wait for :meth:`enter`."""
        return bool(self._entering)

    def reads(self, namespace: str) -> bool:
        """Report whether objects of the namespace may be of use."""
        return namespace not in self._others

    def counting(self, events: Iterable[Event]) -> list[Event]:
        """Return the events that count; those of an unknown namespace are kept."""
        return [event for event in events if self._counts(event)]

    def _counts(self, event: Event) -> bool:
        namespace = namespace_of(event)
        if not namespace:
            return True
        match event:
            case Upserted(_, source_object):
                if namespace in self._watched:
                    return True
                if namespace not in self._others:
                    self._waiting.setdefault(namespace, {})[source_object.ref] = event
                return False
            case Removed(_, ref):
                waiting = self._waiting.get(namespace, {})
                if waiting.pop(ref, None) is not None and not waiting:
                    del self._waiting[namespace]
        # Also of an object that waited: before its namespace was deleted, an earlier form counted.
        return True

    def enter(self) -> list[Event]:
        """Return the objects of the namespaces that came to match, after a full read."""
        events: list[Event] = []
        for name in sorted(self._entering):
            events += self._waiting.pop(name, {}).values()
        self._watched |= self._entering
        self._entering.clear()
        return events

    def replace_all(self, namespaces: Mapping[str, Labels]) -> Change:
        """Accept the list of all existing namespaces."""
        for name in [*self._watched, *self._others, *self._entering]:
            if name not in namespaces:
                self.forget(name)
        return self.update(namespaces)

    def update(self, namespaces: Mapping[str, Labels]) -> Change:
        """Namespaces that are new, or whose labels may be others."""
        waited: list[Event] = []
        left: set[str] = set()
        anew = False
        for name, labels in namespaces.items():
            matches = any(selector.matches(labels) for selector in self._selectors)
            again = name in self._deleted
            if again:
                self._deleted.remove(name)
            # It came to match, or was created anew: read everything in it before anything counts.
            if matches and (again or name in self._others):
                self._others.discard(name)
                self._entering.add(name)
                anew = True
            # New and matching from the start: its objects come by the watches that exist.
            elif matches and name not in self._entering:
                self._watched.add(name)
                waited += self._waiting.pop(name, {}).values()
            # It does not match any more. What was read of it is removed.
            elif not matches and name not in self._others:
                if again or any(
                    name in names for names in (self._watched, self._entering, self._waiting)
                ):
                    left.add(name)
                self._watched.discard(name)
                self._entering.discard(name)
                self._waiting.pop(name, None)
                self._others.add(name)
        return Change(tuple(waited), frozenset(left), anew)

    def forget(self, name: str) -> None:
        """The namespace is gone. Its objects go one by one; what still changes in it waits."""
        self._deleted.append(name)
        for names in (self._watched, self._others, self._entering):
            names.discard(name)


class NamespaceFeed:
    """The list of all namespaces; what it brings goes into a Selection."""

    kind = NAMESPACE
    namespace = None
    name = ""
    place = "Namespace"
    params: Mapping[str, str] = {}

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._present: dict[str, Labels] = {}
        self._fresh = False
        self._problem: str | None = None
        self.reason: str | None = None
        """Why missing objects prove nothing; None when the list is current."""
        self.stale = True
        """Whether a fresh list is needed before what is missing counts as gone."""

    def ask_again(self) -> None:
        """From now on only a list that begins later is fresh."""
        self.stale, self._fresh = True, False

    def handle(self, news: ListNews) -> Change:
        """Take news in; what follows from it."""
        match news:
            case ListBegan():
                self._present, self._fresh = {}, True
            case Page(_, objects):
                self._present |= _labels(objects)
            case ListEnded():
                self.reason, self.stale = None, self.stale and not self._fresh
                present, self._present = self._present, {}
                return self._selection.replace_all(present)
            case Changed(_, objects):
                return self._selection.update(_labels(objects))
            case Deleted(_, objects):
                for content in objects:
                    self._selection.forget(content["metadata"]["name"])
            case NotServed():
                self.reason = "the cluster does not serve Namespace"
            case Failed(reason):
                self.reason = reason
            case Recovered():
                self.reason = None
        return Change()

    def problems(self) -> list[Event]:
        """Return the list's problem, if it changed."""
        if self.reason == self._problem:
            return []
        self._problem = self.reason
        findings = () if self.reason is None else (Finding(NOT_READ, self.reason),)
        return [Problems(NAME, self.place, findings)]


def _labels(objects: Iterable[DecodedObject]) -> dict[str, Labels]:
    """Return the labels of each namespace; an unreadable one matches no label."""
    return {
        content["metadata"]["name"]: dict(content["metadata"].get("labels") or {})
        for content, _ in objects
    }
