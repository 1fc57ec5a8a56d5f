"""Which Secrets are wanted: those that an object names, and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from aeraki_core.errors import InputError
from aeraki_core.kube.resources import GroupKind
from aeraki_core.mesh.store import SourceObject
from aeraki_core.model.meta import ObjectRef
from aeraki_core.model.resource import LoadedKind
from aeraki_core.sources.events import Event, Removed, Upserted

__all__ = ["SECRET", "SecretName", "SecretReferences"]

SECRET: GroupKind = ("", "Secret")


class SecretName(NamedTuple):
    """One Secret."""

    namespace: str
    name: str


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
        """The Secrets of one object; None when it cannot be read: its last form still counts."""
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
