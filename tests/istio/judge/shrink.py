"""Reduce a failing mesh: drop objects, and entries of their lists, while it still fails.

Many smaller meshes are tried at the same time, because istiod takes as long for ten as for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from tests.rig.api import Object

__all__ = ["Fails", "shrink"]

Fails = Callable[[Sequence[list[Object]]], Sequence[bool]]
"""Whether each of several meshes still fails."""

_LISTS = ("ports", "http", "tcp", "subsets", "endpoints", "redis", "route", "addresses", "egress")
_ROUNDS = 12


def shrink(mesh: list[Object], fails: Fails) -> list[Object]:
    """The smallest mesh that is found to fail; the mesh itself where nothing smaller does."""
    for _ in range(_ROUNDS):
        smaller = list(_smaller(mesh))
        failing = [each for each, still in zip(smaller, fails(smaller), strict=True) if still]
        if not failing:
            break
        # What can go alone can often go together.
        together = [content for content in mesh if all(content in each for each in failing)]
        alone = min(failing, key=len)
        mesh = (
            together if together and len(together) < len(alone) and fails([together])[0] else alone
        )
    return mesh


def _smaller(mesh: list[Object]) -> Iterator[list[Object]]:
    for number in range(len(mesh)):
        yield mesh[:number] + mesh[number + 1 :]
    if len(mesh) > 6:
        return  # whole objects first
    for number, content in enumerate(mesh):
        for less in _with_less(content):
            yield [*mesh[:number], less, *mesh[number + 1 :]]


def _with_less(content: Object) -> Iterator[Object]:
    """The object without one entry of a list or one field of its spec."""
    for path in _places(content, ()):
        less = deepcopy(content)
        parent: Any = less
        for step in path[:-1]:
            parent = parent[step]
        del parent[path[-1]]
        yield less


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, list) and key in _LISTS and len(item) > 1:
                yield from ((*path, key, number) for number in range(len(item)))
            if key in ("match", "exportTo", "trafficPolicy", "subset", "annotations", "subsets"):
                yield (*path, key)
            yield from _places(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _places(item, (*path, number))
