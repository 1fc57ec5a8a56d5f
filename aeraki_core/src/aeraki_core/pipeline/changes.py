"""The changed answers that a run has to do something for, and which of them wait for no burst.

Most changes belong to others: a user applies several objects at once, and a run follows the last.
The endpoints of a weight set belong to nothing else, and a pod that is gone gets calls until they
follow. So they are kept apart, and a run can be about them alone.
"""

from __future__ import annotations

from collections.abc import Callable

from aeraki_core.mesh.keys import EndpointsKey, Key, PodKey, ReadyEndpointsKey

__all__ = ["PendingChanges"]

_OF_WEIGHTS = (ReadyEndpointsKey, PodKey)


class PendingChanges:
    """``is_read``: whether a run does something for a key of endpoints."""

    def __init__(self, is_read: Callable[[Key], bool]) -> None:
        self._is_read = is_read
        self._others: set[Key] = set()
        self._of_weights: set[Key] = set()

    @property
    def moved_weights(self) -> bool:
        """Whether endpoints changed that carry weights."""
        return bool(self._of_weights)

    @property
    def pending(self) -> frozenset[Key]:
        """All changes that are kept."""
        return frozenset(self._others | self._of_weights)

    def add(self, changed: set[Key]) -> bool:
        """Keep changed answers. Returns whether some of them may wait for the end of a burst."""
        moved: set[Key] = {
            key for key in changed if isinstance(key, _OF_WEIGHTS) and self._is_read(key)
        }
        # The same endpoints decide which filters share a workload.
        moved |= changed & {
            EndpointsKey(key.namespace, key.name)
            for key in moved
            if isinstance(key, ReadyEndpointsKey)
        }
        self._of_weights |= moved
        others = {
            key
            for key in changed - moved
            if not isinstance(key, EndpointsKey | ReadyEndpointsKey | PodKey) or self._is_read(key)
        }
        self._others |= others
        return bool(others)

    def add_all(self, changed: set[Key]) -> None:
        """Keep changed answers, whoever reads them."""
        self._others |= changed

    def take(self) -> set[Key]:
        """All changes, which are no longer kept."""
        taken = self._others | self.take_weights()
        self._others = set()
        return taken

    def take_weights(self) -> set[Key]:
        """The changes of endpoints that carry weights, which are no longer kept."""
        taken, self._of_weights = self._of_weights, set()
        return taken
