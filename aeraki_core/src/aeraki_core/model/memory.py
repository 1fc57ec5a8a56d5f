"""What exists only for speed or memory, in one place.

Plain dictionaries and sets could replace everything here. The figures say what that costs: peak
memory and CPU of the first pass over 10,000 services (benchmarks/mesh.py; 156 MB, 4.8 s on one
core, Python 3.11).
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

__all__ = ["Index", "MultiMap", "collector_paused", "forget_unset_fields"]

K = TypeVar("K", bound=Hashable)
I = TypeVar("I", bound=Hashable)  # noqa: E741
V = TypeVar("V")
H = TypeVar("H", bound=Hashable)

_UNKNOWN: set[str] = set()


class Index(Generic[K, I, V]):
    """Values by key, where most keys have one value and some have many.

    A key without values is forgotten.

    Each value of a key has an identity of its own. One value is kept without a dictionary around
    it, which saves 4 % of memory and several percent of CPU.
    """

    def __init__(self) -> None:
        self._at: dict[K, tuple[I, V] | dict[I, V]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def copy(self) -> Index[K, I, V]:
        """Return an index of its own with the same values."""
        copied: Index[K, I, V] = Index()
        copied._at = {
            key: dict(values) if isinstance(values, dict) else values
            for key, values in self._at.items()
        }
        return copied

    def put(self, key: K, identity: I, value: V) -> None:
        """Add a value, or replace the one of that identity."""
        values = self._at.get(key)
        if values is None:
            self._at[key] = (identity, value)
        elif isinstance(values, dict):
            values[identity] = value
        elif values[0] == identity:
            self._at[key] = (identity, value)
        else:
            self._at[key] = {values[0]: values[1], identity: value}

    def drop(self, key: K, identity: I) -> None:
        """Forget the value of that identity, if there is one."""
        values = self._at.get(key)
        if isinstance(values, dict):
            values.pop(identity, None)
            if len(values) == 1:
                (self._at[key],) = values.items()
        elif values is not None and values[0] == identity:
            del self._at[key]

    def get(self, key: K, identity: I) -> V | None:
        """Return the value of that identity."""
        values = self._at.get(key)
        if isinstance(values, dict):
            return values.get(identity)
        return values[1] if values is not None and values[0] == identity else None

    def values(self, key: K) -> tuple[V, ...]:
        """Return all values of a key, in the order in which they came."""
        values = self._at.get(key)
        if values is None:
            return ()
        return tuple(values.values()) if isinstance(values, dict) else (values[1],)

    def count(self, key: K) -> int:
        """Return how many values a key has."""
        values = self._at.get(key)
        if values is None:
            return 0
        return len(values) if isinstance(values, dict) else 1

    def identities(self, key: K) -> tuple[I, ...]:
        """Return the identities of all values of a key, in the same order."""
        values = self._at.get(key)
        if values is None:
            return ()
        return tuple(values) if isinstance(values, dict) else (values[0],)


class MultiMap(Generic[K, H]):
    """A set of values by key, where most keys have one value or two.

    A value is anything hashable but a list or a set. One value is kept as it is and a few in a
    list, because sets of them would take 13 % more memory in all.
    """

    _FEW = 8

    def __init__(self) -> None:
        self._at: dict[K, H | list[H] | set[H]] = {}

    def values(self, key: K) -> tuple[H, ...]:
        """Return all values of a key, in no order."""
        values = self._at.get(key)
        if values is None:
            return ()
        return tuple(values) if isinstance(values, list | set) else (values,)

    def put(self, key: K, value: H) -> None:
        """Add a value."""
        self.put_at_all((key,), value)

    def put_at_all(self, keys: Iterable[K], value: H) -> None:
        """Add one value at many keys."""
        for key in keys:
            values = self._at.setdefault(key, value)
            if values is value:
                continue
            if isinstance(values, set):
                values.add(value)
            elif not isinstance(values, list):
                if values != value:
                    self._at[key] = [values, value]
            elif value not in values:
                values.append(value)
                if len(values) > self._FEW:
                    self._at[key] = {*values}

    def drop(self, key: K, value: H) -> None:
        """Forget a value that was added."""
        values = self._at[key]
        if not isinstance(values, list | set):
            del self._at[key]
            return
        if value in values:
            values.remove(value)
        if len(values) == 1:
            self._at[key] = values.pop()


@contextmanager
def collector_paused() -> Iterator[None]:
    """No garbage collection inside, which saves 30 % of the CPU of the first pass.

    The pass makes values that stay, and the collector would look at each of them many times.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def forget_unset_fields(value: Any) -> None:
    """Let a pydantic model forget which of its fields were given: that saves 6 % of memory."""
    if isinstance(value, BaseModel):
        object.__setattr__(value, "__pydantic_fields_set__", _UNKNOWN)
        if not value.__pydantic_extra__:
            object.__setattr__(value, "__pydantic_extra__", None)
        for part in value.__dict__.values():
            forget_unset_fields(part)
    elif isinstance(value, tuple):
        for part in value:
            forget_unset_fields(part)
    elif isinstance(value, dict):
        for part in value.values():
            forget_unset_fields(part)
