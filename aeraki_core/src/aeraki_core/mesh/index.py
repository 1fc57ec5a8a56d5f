"""Values by a key, where most keys have one value and some have many.

One value is kept bare: a dictionary for each key would take four times as much, and there are several keys for each service.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Index"]

K = TypeVar("K", bound=Hashable)
I = TypeVar("I", bound=Hashable)  # noqa: E741
V = TypeVar("V")


class Index(Generic[K, I, V]):
    """Each value of a key has an identity of its own. A key without values is forgotten."""

    def __init__(self) -> None:
        self._at: dict[K, tuple[I, V] | dict[I, V]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def put(self, key: K, identity: I, value: V) -> None:
        """Add a value, or take the place of the one of that identity."""
        found = self._at.get(key)
        if found is None:
            self._at[key] = (identity, value)
        elif isinstance(found, dict):
            found[identity] = value
        elif found[0] == identity:
            self._at[key] = (identity, value)
        else:
            self._at[key] = {found[0]: found[1], identity: value}

    def drop(self, key: K, identity: I) -> None:
        """Forget the value of that identity, if there is one."""
        found = self._at.get(key)
        if isinstance(found, dict):
            found.pop(identity, None)
            if len(found) == 1:
                (self._at[key],) = found.items()
        elif found is not None and found[0] == identity:
            del self._at[key]

    def get(self, key: K, identity: I) -> V | None:
        """The value of that identity."""
        found = self._at.get(key)
        if isinstance(found, dict):
            return found.get(identity)
        return found[1] if found is not None and found[0] == identity else None

    def values(self, key: K) -> tuple[V, ...]:
        """All values of a key, in the order in which they came."""
        found = self._at.get(key)
        if found is None:
            return ()
        return tuple(found.values()) if isinstance(found, dict) else (found[1],)
