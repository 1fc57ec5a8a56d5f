"""Odd input: the objects of an example with one thing wrong, for a plugin to bear.

In: objects. Out: variants, each with one field removed or replaced by a value that is seldom meant. The same objects
always give the same variants.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["odd_variants"]

_VALUES: tuple[Any, ...] = (
    None,
    "",
    "x" * 300,
    " é\n\u2028",
    "(",
    ".*",
    0,
    -1,
    70_000,
    2**63,
    1.5,
    True,
    [],
    {},
    [{}],
)
_REMOVED = object()
_SKIPPED = frozenset({"apiVersion", "kind"})  # another kind is another object

Path = tuple[str | int, ...]


def odd_variants(
    objects: Sequence[Mapping[str, Any]], limit: int
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """At most ``limit`` variants, each with a text that says what is odd."""
    changes = [
        (index, path, value)
        for index, item in enumerate(objects)
        for path in _paths(item)
        for value in (_REMOVED, *_VALUES)
    ]
    if len(changes) > limit:
        changes = random.Random(0).sample(changes, limit)  # noqa: S311 - a choice, no secret
    for index, path, value in changes:
        item = copy.deepcopy(dict(objects[index]))
        _set(item, path, value)
        what = "removed" if value is _REMOVED else f"= {value!r:.40}"
        name = f"{item.get('kind')} {'.'.join(map(str, path))} {what}"
        yield name, [*objects[:index], item, *objects[index + 1 :]]


def _paths(value: Any, before: Path = ()) -> Iterator[Path]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if before or key not in _SKIPPED:
                yield (*before, key)
                yield from _paths(item, (*before, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*before, index)
            yield from _paths(item, (*before, index))


def _set(item: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        item = item[part]
    if value is _REMOVED:
        del item[path[-1]]
    else:
        item[path[-1]] = value
