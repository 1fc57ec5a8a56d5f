"""Who read what: the reverse of what each reader asked, so that a change finds those who must run again by look-up.

In: a reader and its keys, each time it ran. Out: the readers of a key. Most keys have one reader, so one is kept bare: a
set for each
would cost more than all else that is remembered of a service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from aeraki_core.mesh.store import Key

__all__ = ["Dependents"]

R = TypeVar("R")


class Dependents(Generic[R]):
    """The keys of each reader, and the readers of each key. A reader is any hashable value but a set."""

    def __init__(self) -> None:
        self._keys_of: dict[R, tuple[Key, ...]] = {}
        self._readers_of: dict[Key, R | set[R]] = {}

    def record(self, reader: R, keys: Iterable[Key]) -> None:
        """The reader ran and read these keys, and no others; none at all forgets it."""
        now = tuple(keys)
        before = self._keys_of.pop(reader, ())
        if now:
            self._keys_of[reader] = now
        old, new = set(before), set(now)
        for key in old - new:
            self._drop(key, reader)
        for key in new - old:
            self._put(key, reader)

    def of(self, key: Key) -> Iterator[R]:
        """Those who read the key when they last ran."""
        found = self._readers_of.get(key)
        if isinstance(found, set):
            yield from found
        elif found is not None:
            yield found

    def _put(self, key: Key, reader: R) -> None:
        found = self._readers_of.get(key)
        if found is None:
            self._readers_of[key] = reader
        elif isinstance(found, set):
            found.add(reader)
        else:
            self._readers_of[key] = {found, reader}

    def _drop(self, key: Key, reader: R) -> None:
        found = self._readers_of[key]
        if not isinstance(found, set):
            del self._readers_of[key]
            return
        found.discard(reader)
        if len(found) == 1:
            self._readers_of[key] = found.pop()
