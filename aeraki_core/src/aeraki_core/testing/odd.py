"""Odd input: the objects of an example with one field removed or of a value that is seldom meant.

The same objects always give the same variants.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["odd_variants", "small_changes"]

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
Objects = Sequence[Mapping[str, Any]]
Variant = tuple[str, list[Mapping[str, Any]]]


def odd_variants(objects: Objects, limit: int) -> Iterator[Variant]:
    """At most ``limit`` variants, each with a text that says what is odd."""
    return _variants(objects, limit, lambda _: (_REMOVED, *_VALUES))


def small_changes(objects: Objects, limit: int) -> Iterator[Variant]:
    """At most ``limit`` variants as a user may make them: each field once removed, once another."""
    return _variants(objects, limit, lambda value: (_REMOVED, _another(value)))


def _variants(
    objects: Objects, limit: int, values: Callable[[Any], tuple[Any, ...]]
) -> Iterator[Variant]:
    changes = [
        (index, path, value)
        for index, item in enumerate(objects)
        for path in _paths(item)
        for value in values(_get(item, path))
    ]
    if len(changes) > limit:
        changes = random.Random(0).sample(changes, limit)  # noqa: S311 - a choice, no secret
    for index, path, value in changes:
        item = copy.deepcopy(dict(objects[index]))
        _set(item, path, value)
        what = "removed" if value is _REMOVED else f"= {value!r:.40}"
        name = f"{item.get('kind')} {'.'.join(map(str, path))} {what}"
        yield name, [*objects[:index], item, *objects[index + 1 :]]


def _another(value: Any) -> Any:
    """Return a value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value}x"
        case list():
            return value[1:]
    return {}


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


def _get(item: Any, path: Path) -> Any:
    for part in path:
        item = item[part]
    return item


def _set(item: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        item = item[part]
    if value is _REMOVED:
        del item[path[-1]]
    else:
        item[path[-1]] = value
