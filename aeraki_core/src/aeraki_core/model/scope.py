"""Which namespaces are watched, if not all are.

Pure: a name of a namespace in, and out whether objects of it count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["EVERYWHERE", "Scope", "named"]


@dataclass(frozen=True, slots=True)
class Scope:
    """``watched``: these namespaces; None for all.

    ``others``: those that exist and are not watched; None for every other one.

    With ``others``, a namespace that is in neither does not exist: its objects are gone, no matter
    which controller watched it.
    """

    watched: frozenset[str] | None = None
    others: frozenset[str] | None = None

    def watches(self, namespace: str) -> bool:
        """Report whether objects of the namespace are read.

        Those without one (cluster-scoped) always are.
        """
        return self.watched is None or not namespace or namespace in self.watched

    def covers(self, namespace: str) -> bool:
        """Report whether the namespace is watched, or known not to exist."""
        if self.watched is None or namespace in self.watched:
            return True
        return self.others is not None and namespace not in self.others

    def why_outside(self, namespaces: Collection[str]) -> str | None:
        """Return why these namespaces' filters are not ours to judge; None if they are.

        A filter that does not tell (no namespace) is ours only where all namespaces are.
        """
        if self.watched is None:
            return None
        if not namespaces:
            return "it does not say of which namespace its service is, and not all are watched here"
        outside = sorted(name for name in namespaces if not self.covers(name))
        return f"namespace {outside[0]} is not watched here" if outside else None


EVERYWHERE = Scope()
"""All namespaces."""


def named(namespaces: Iterable[str]) -> Scope:
    """Return a scope of these namespaces, whether they exist or not; all if none is named."""
    names = frozenset(namespaces)
    return Scope(names) if names else EVERYWHERE
