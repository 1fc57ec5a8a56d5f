"""Clients that see the same mesh, and the sets of labels that tell workloads of a namespace apart.

An object with a workloadSelector counts for some workloads of its namespace. A filter can select
workloads by labels that they have, not by labels that they lack. So workloads that several
selectors match are clients of their own, whose filter comes after those of each selector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aeraki_core.model.meta import Label

__all__ = ["EVERYBODY_ELSE", "MAX_LABEL_SETS", "MeshClient", "label_sets", "union_of"]

MAX_LABEL_SETS = 16
"""Of one namespace, for one service port. Each may need a filter of its own."""


class MeshClient(NamedTuple):
    """The proxies of a namespace, or of its workloads with some labels.

    Namespace None: *everybody else*, the namespaces that no object mentions.
    """

    namespace: str | None = None
    labels: tuple[Label, ...] = ()

    def is_selected_by(self, selector: Iterable[Label]) -> bool:
        """Report whether all these proxies have the labels of a selector."""
        return set(selector) <= set(self.labels)

    def is_within(self, other: MeshClient) -> bool:
        """Report whether these are some proxies of other ones in one namespace."""
        return self.namespace == other.namespace and self.is_selected_by(other.labels)

    def __str__(self) -> str:
        labels = ",".join(f"{name}={value}" for name, value in self.labels)
        return f"{self.namespace} ({labels})" if labels else str(self.namespace)


EVERYBODY_ELSE = MeshClient()


def label_sets(selectors: Iterable[tuple[Label, ...]]) -> tuple[tuple[Label, ...], ...]:
    """Return the sets of labels that workloads may have by the selectors of a namespace.

    Of each selector, and of all that one workload may match; those with the fewest labels first.
    Selectors that would give more sets than the limit are left out; the first ones count.
    """
    sets: set[tuple[Label, ...]] = set()
    for selector in selectors:
        unions = (union_of(selector, each) for each in sets)
        more = {selector, *(each for each in unions if each is not None)}
        if len(sets | more) <= MAX_LABEL_SETS:
            sets |= more
    return tuple(sorted(sets, key=lambda each: (len(each), each)))


def union_of(one: tuple[Label, ...], other: tuple[Label, ...]) -> tuple[Label, ...] | None:
    """Return the labels of a workload that both selectors match; None if there is none."""
    both = {*one, *other}
    return tuple(sorted(both)) if len({name for name, _ in both}) == len(both) else None
