"""Which Secrets are read: those that an object names and that their owner released.

The author of an object of ours can name any Secret of its namespace, and its content ends in a
filter that others can read. So a Secret opts in: by its type, which Kubernetes itself gives no
power, or by a label. The token of a ServiceAccount never does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aeraki_core.errors import InputError
from aeraki_core.findings.codes import SECRET_NOT_RELEASED
from aeraki_core.findings.finding import Finding
from aeraki_core.kube.decode import Object
from aeraki_core.kube.informer import Changed, Deleted, Failed, ListNews, Page
from aeraki_core.kube.resources import GroupKind
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import LoadedKind
from aeraki_core.sources.events import Event, Problems, Removed, Upserted
from aeraki_core.sources.kubernetes import needed
from aeraki_core.sources.kubernetes.feed import NAME, Feed

__all__ = ["RELEASE_LABEL", "SECRET", "SecretFeed", "SecretName", "SecretReferences"]

SECRET: GroupKind = ("", "Secret")
RELEASE_LABEL = "aeraki.io/secret"
"""With the value ``true`` it releases a Secret of any type but a ServiceAccount's token."""

_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 -- a type
_RELEASED = ("", "Opaque", "kubernetes.io/basic-auth")


class SecretName(NamedTuple):
    """One Secret."""

    namespace: str
    name: str


def refusal_of(secret: Object) -> str | None:
    """Return why a Secret is not read; None if it is."""
    secret_type, metadata = secret.get("type") or "", secret["metadata"]
    released = (metadata.get("labels") or {}).get(RELEASE_LABEL) == "true"
    if secret_type in _RELEASED or (released and secret_type != _TOKEN):
        return None
    name = f"{metadata.get('namespace')}/{metadata['name']}"
    if secret_type == _TOKEN:
        return f"Secret {name} holds the token of a ServiceAccount and is never read"
    return f"Secret {name} of type {secret_type} has no label {RELEASE_LABEL}: true"


class SecretFeed(Feed):
    """The list of one Secret, which is empty unless the Secret is released."""

    def __init__(self, secret: SecretName) -> None:
        super().__init__(SECRET, secret.namespace, name=secret.name, needed=needed.SECRET)
        self._refusal: str | None = None

    def handle(self, news: ListNews, *, definition_deleted: bool = False) -> list[Event]:
        """As for any list; a Secret that is not released counts as one that is not there."""
        refusal = self._refusal
        match news:
            case Page(resource, objects):
                refusal = next(filter(None, (refusal_of(each.content) for each in objects)), None)
                released = (each for each in objects if refusal_of(each.content) is None)
                news = Page(resource, tuple(released))
            case Changed(resource, (*_, last)):
                refusal = refusal_of(last.content)
                news = Changed(resource, (last,))
                if refusal is not None:
                    news = Deleted(resource, (last.content,))
            case Deleted():
                refusal = None
            case Failed():
                self.stale = False  # who needs the Secret keeps the last good filter
        return [
            *super().handle(news, definition_deleted=definition_deleted),
            *self._refuse(refusal),
        ]

    def drop_all(self) -> list[Event]:
        """Forget everything: the list is not wanted any more."""
        return [*super().drop_all(), *self._refuse(None)]

    def _refuse(self, refusal: str | None) -> list[Event]:
        """Report that the Secret is not read, if that is news."""
        if refusal == self._refusal:
            return []
        self._refusal = refusal
        ref = ObjectRef("Secret", self.namespace or "", self.name)
        findings = () if refusal is None else (Finding(SECRET_NOT_RELEASED, refusal, ref),)
        return [Problems(NAME, f"{self.place}: release", findings)]


class SecretReferences:
    """The Secrets that the objects handed on so far refer to."""

    def __init__(self, kinds: Mapping[GroupKind, LoadedKind[Any]]) -> None:
        self._kinds = kinds
        self._names_of: dict[ObjectRef, frozenset[SecretName]] = {}
        self._counts: Counter[SecretName] = Counter()

    @property
    def wanted(self) -> set[SecretName]:
        """Every Secret that some object refers to."""
        return set(self._counts)

    def follow(self, events: Iterable[Event]) -> bool:
        """Take changes in; whether other Secrets are wanted than before."""
        differs = False
        for event in events:
            match event:
                case Upserted(_, source_object):
                    names = self._names(source_object)
                    if names is not None:
                        differs |= self._put(source_object.ref, names)
                case Removed(_, ref):
                    differs |= self._put(ref, frozenset())
        return differs

    def _names(self, source_object: SourceObject) -> frozenset[SecretName] | None:
        """Return an object's Secrets; None if it is unreadable: its last form still counts."""
        ref = source_object.ref
        kind = self._kinds.get((source_object.api_group, ref.kind))
        if kind is None or source_object.problem is not None:
            return None
        try:
            spec = kind.read(source_object.content.get("spec"))
            return frozenset(SecretName(ref.namespace, name) for name in kind.secrets_of(spec))
        except InputError:  # the store reports what is wrong with the object
            return None

    def _put(self, ref: ObjectRef, names: frozenset[SecretName]) -> bool:
        before = self._names_of.pop(ref, frozenset())
        if names:
            self._names_of[ref] = names
        wanted = len(self._counts)
        self._counts.update(names - before)
        new = len(self._counts) > wanted
        self._counts.subtract(before - names)
        dropped = [name for name in before - names if not self._counts[name]]
        for name in dropped:
            del self._counts[name]
        return new or bool(dropped)
