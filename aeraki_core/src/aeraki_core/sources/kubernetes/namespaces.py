"""The namespaces of a cluster that a label selector chooses, and what of other namespaces is left out.

In: namespaces with their labels, as a watch brings them, and events about objects. Out: which events count, and what follows when a
namespace comes to match or ceases to. Meant as Istio's ``discoverySelectors``: each kind is read from the whole cluster.

The watches of namespaces and of objects are not in step. So what comes of a namespace that is not known yet waits; what comes of
one that is known not to match is dropped. When a namespace comes to match, everything is read anew, and what is in it goes on in
one piece: half of its routes would be wrong ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aeraki_core.kube.client import Object
from aeraki_core.kube.informer import Informer
from aeraki_core.kube.resources import ApiResource, GroupKind
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.scope import Scope
from aeraki_core.model.selector import LabelSelector
from aeraki_core.sources.events import Event, Removed, Upserted

__all__ = ["NAMESPACE", "Change", "NamespaceFeed", "Selection"]

NAMESPACE: GroupKind = ("", "Namespace")
Labels = Mapping[str, str]
_REMEMBERED = 100  # deleted namespaces


@dataclass(frozen=True, slots=True)
class Change:
    """What follows from news of namespaces.

    ``waited``: what was there of one that is new and matches; ``left``: namespaces of which something is known and nothing counts
    from now on; ``anew``: one came to match, so everything must be read anew before :meth:`Selection.enter`.
    """

    waited: tuple[Event, ...] = ()
    left: frozenset[str] = frozenset()
    anew: bool = False


class Selection:
    """Which namespaces match. Not for several threads at once. ``selectors``: one of them must match."""

    def __init__(self, selectors: Iterable[LabelSelector]) -> None:
        self._selectors = tuple(selectors)
        self._watched: set[str] = set()
        self._others: set[str] = set()
        self._entering: set[str] = set()
        # If one was made again before we heard that it was deleted, what is in it was judged by the labels of before. That it
        # was made again comes soon then, for the watch is in order: the last ones are enough.
        self._deleted: deque[str] = deque(maxlen=_REMEMBERED)
        self._waiting: dict[str, dict[ObjectRef, Upserted]] = {}

    @property
    def scope(self) -> Scope:
        """The namespaces that count."""
        return Scope(frozenset(self._watched), frozenset(self._others | self._entering))

    @property
    def entering(self) -> bool:
        """Whether a namespace came to match and waits for :meth:`enter`."""
        return bool(self._entering)

    def reads(self, namespace: str) -> bool:
        """Whether what comes of the namespace is, or may be, of use."""
        return namespace not in self._others

    def watches(self, namespace: str) -> bool:
        """Whether the namespace matches, and all of it is known."""
        return namespace in self._watched

    def counting(self, events: Iterable[Event]) -> list[Event]:
        """The events that count now; those of a namespace that is not known yet are kept for later."""
        return [event for event in events if self._counts(event)]

    def _counts(self, event: Event) -> bool:
        match event:
            case Upserted(_, item):
                namespace = item.ref.namespace
                if not namespace or namespace in self._watched:
                    return True
                if namespace not in self._others:
                    self._waiting.setdefault(namespace, {})[item.ref] = event
                return False
            case Removed(_, ref):
                waiting = self._waiting.get(ref.namespace, {})
                if waiting.pop(ref, None) is not None and not waiting:
                    del self._waiting[ref.namespace]
        return True  # also of what waited: an earlier form may have counted, before its namespace was deleted

    def enter(self) -> list[Event]:
        """Everything was read anew: what was there of the namespaces that came to match."""
        found: list[Event] = []
        for name in sorted(self._entering):
            found += self._waiting.pop(name, {}).values()
        self._watched |= self._entering
        self._entering.clear()
        return found

    def know_all(self, found: Mapping[str, Labels]) -> Change:
        """All namespaces that there are."""
        for name in [*self._watched, *self._others, *self._entering]:
            if name not in found:
                self.forget(name)
        return self.know(found)

    def know(self, found: Mapping[str, Labels]) -> Change:
        """Namespaces that are new, or whose labels may be others."""
        waited: list[Event] = []
        left: set[str] = set()
        anew = False
        for name, labels in found.items():
            matches = any(selector.matches(labels) for selector in self._selectors)
            again = name in self._deleted
            if again:
                self._deleted.remove(name)
            if matches and (again or name in self._others):
                self._others.discard(name)
                self._entering.add(name)
                anew = True
            elif matches and name not in self._entering:
                self._watched.add(name)
                waited += self._waiting.pop(name, {}).values()
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
        """The namespace is gone. What was in it goes by itself, each with a word of its own; what still changes waits for that."""
        self._deleted.append(name)
        for names in (self._watched, self._others, self._entering):
            names.discard(name)


class NamespaceSource(Protocol):
    """What the feed of namespaces tells the source that it belongs to."""

    def know(self, namespaces: Mapping[str, Labels], *, everything: bool) -> None:
        """These are there, with these labels; ``everything``: and no other."""
        ...

    def forget(self, namespaces: Sequence[str]) -> None:
        """These are gone."""
        ...

    def stand(self, feed: NamespaceFeed, reason: str | None, *, listed: bool = False) -> None:
        """How the feed stands: why it cannot tell what is there, or None."""
        ...


class NamespaceFeed:
    """The list of all namespaces, told to the source."""

    informer: Informer
    kind = NAMESPACE
    namespace = None
    name = ""
    place = "Namespace"

    def __init__(self, source: NamespaceSource) -> None:
        self._source = source
        self._present: dict[str, Labels] = {}

    def listing(self) -> None:
        """A fresh list begins."""
        self._present = {}

    def page(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Namespaces of a fresh list."""
        self._present |= {item["metadata"]["name"]: _labels(item) for item in items}

    def listed(self, resource: ApiResource) -> None:
        """The fresh list is complete."""
        present, self._present = self._present, {}
        self._source.know(present, everything=True)
        self._source.stand(self, None, listed=True)

    def changed(self, resource: ApiResource, item: Object) -> None:
        """A namespace is new or changed."""
        self._source.know({item["metadata"]["name"]: _labels(item)}, everything=False)

    def deleted(self, resource: ApiResource, items: Sequence[Object]) -> None:
        """Namespaces were deleted."""
        self._source.forget([item["metadata"]["name"] for item in items])

    def absent(self) -> None:
        """No API server is without namespaces."""
        self.failed("the cluster does not serve Namespace")

    def failed(self, reason: str) -> None:
        """The server does not answer, or refuses."""
        self._source.stand(self, reason)

    def current(self) -> None:
        """It answers again."""
        self._source.stand(self, None)


def _labels(item: Object) -> Labels:
    return dict(item["metadata"].get("labels") or {})
