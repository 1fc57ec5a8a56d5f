"""Who asked what when it last ran, so that a change finds those who must run again by look-up."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import chain
from typing import Generic, TypeVar

from aeraki_core.mesh.keys import Key, WildcardsKey
from aeraki_core.mesh.record import questions_of
from aeraki_core.model.memory import MultiMap

__all__ = ["Dependents"]

R = TypeVar("R", bound=Hashable)


class Dependents(Generic[R]):
    """The keys of each reader, and the readers of each key.

    The readers of a :class:`~aeraki_core.mesh.keys.WildcardsKey` are those of its questions.
    """

    def __init__(self) -> None:
        self._keys_of: dict[R, tuple[Key, ...]] = {}
        self._readers: MultiMap[Key, R] = MultiMap()
        # Few: a domain has one for each kind of object.
        self._known_wildcards: set[WildcardsKey] = set()
        self._wildcards: MultiMap[Key, WildcardsKey] = MultiMap()

    def record(self, reader: R, keys: Iterable[Key]) -> None:
        """The reader ran and read these keys, and no others. No keys at all: forget the reader."""
        after = set(keys)
        before = {*self._keys_of.pop(reader, ())}
        if after:
            # A tuple: sets of the keys would take 8 % more memory in all.
            self._keys_of[reader] = tuple(after)
        for key in before - after:
            self._readers.drop(key, reader)
        new = after - before
        self._readers.put_at_all(new, reader)
        for key in new:
            if isinstance(key, WildcardsKey) and key not in self._known_wildcards:
                self._known_wildcards.add(key)
                for question in questions_of(key):
                    self._wildcards.put(question, key)

    def extend(self, reader: R, keys: Iterable[Key]) -> None:
        """The reader read these keys, beside those that it read when it last ran."""
        self.record(reader, {*self._keys_of.get(reader, ()), *keys})

    def of(self, key: Key) -> Iterable[R]:
        """Return the readers of the key in their last run."""
        if not self._keys_of:
            return ()  # a load of the mesh: nobody has asked anything yet
        wildcards = self._wildcards.values(key)
        if not wildcards:
            return self._readers.values(key)
        return chain.from_iterable(map(self._readers.values, (key, *wildcards)))
