"""Objects of one kind: by reference, and by the hosts that they configure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from aeraki_core.mesh.keys import Key
from aeraki_core.mesh.source_object import SourceObject
from aeraki_core.model.memory import Index
from aeraki_core.model.meta import Age, ObjectRef

__all__ = ["Table", "oldest_first"]


class _Aged(Protocol):
    @property
    def age(self) -> Age: ...
    @property
    def ref(self) -> ObjectRef: ...


T = TypeVar("T")
A = TypeVar("A", bound=_Aged)


def _no_keys(_: Any) -> Iterable[Key]:
    return ()


class Table(Generic[T]):
    """The good forms of all objects of a kind.

    Args:
        parse: makes the value of an object, or raises ``InputError``.
        own_key: the question that asks for one object by its reference; None if it is never asked.
        keys: the questions that a value is an answer to. :meth:`at` finds it by them.
    """

    def __init__(
        self,
        parse: Callable[[SourceObject], T],
        *,
        own_key: Callable[[ObjectRef], Key] | None = None,
        keys: Callable[[T], Iterable[Key]] = _no_keys,
    ) -> None:
        self._parse = parse
        self._own_key = own_key
        self._keys = keys
        self._values: dict[ObjectRef, T] = {}
        self._index: Index[Key, ObjectRef, T] = Index()
        self._in_order: dict[Key, tuple[T, ...]] = {}

    def __contains__(self, ref: object) -> bool:
        return ref in self._values

    def __iter__(self) -> Iterator[T]:
        return iter(self._values.values())

    def copy_from(self, other: Table[T]) -> None:
        """Hold what another table of the kind holds now."""
        self._values = dict(other._values)
        self._index = other._index.copy()

    def get(self, ref: ObjectRef) -> T | None:
        """Return the value of one object."""
        return self._values.get(ref)

    def at(self, key: Key) -> tuple[T, ...]:
        """Return the values that answer a question, in no order."""
        return self._index.values(key)

    def count(self, key: Key) -> int:
        """Return how many values answer a question."""
        return self._index.count(key)

    def oldest_first(self: Table[A], key: Key) -> tuple[A, ...]:
        """Return the values that answer a question, in Istio's order of precedence."""
        values = self._in_order.get(key)
        if values is None:
            values = self._index.values(key)
            # One host may have thousands of objects, and each of its readers asks for them.
            if len(values) > 1:
                values = self._in_order[key] = oldest_first(values)
        return values

    def at_any(self: Table[A], keys: Iterable[Key]) -> Iterator[tuple[A, ...]]:
        """Yield the values that answer each question, in that order, where there are some."""
        return (self.oldest_first(key) for key in keys if key in self._index)

    def upsert(self, item: SourceObject) -> set[Key]:
        """Parse and keep an object.

        Returns the keys whose answer changed; none when its value is the same.

        Raises:
            InputError: the object does not fit its kind. The value that was kept before stays.
        """
        value = self._parse(item)
        if self._values.get(item.ref) == value:
            return set()
        changed = self.remove(item.ref)
        self._values[item.ref] = value
        for key in self._keys(value):
            self._index.put(key, item.ref, value)
            self._in_order.pop(key, None)
            changed.add(key)
        if self._own_key is not None:
            changed.add(self._own_key(item.ref))
        return changed

    def remove(self, ref: ObjectRef) -> set[Key]:
        """Forget an object. Returns the keys whose answer changed."""
        value = self._values.pop(ref, None)
        if value is None:
            return set()
        changed = {*self._keys(value)}
        for key in changed:
            self._index.drop(key, ref)
            self._in_order.pop(key, None)
        if self._own_key is not None:
            changed.add(self._own_key(ref))
        return changed


def oldest_first(values: tuple[A, ...]) -> tuple[A, ...]:
    """Return the values in Istio's order of precedence.

    Where Istio picks any, as of ServiceEntries of one host and second, the object's name decides.
    """
    return tuple(sorted(values, key=lambda value: (value.age, value.ref)))
