"""The table of what plugins should not use any more; warnings name the plugin's line.

RELEASE.md promises that something public works for one more minor version and warns. This is the
one table of it; every place that offers something old asks the table, so a promise that is over is
kept by deleting a line.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from types import CodeType
from typing import Any, TypeVar

__all__ = [
    "DEPRECATIONS",
    "AerakiDeprecationWarning",
    "Deprecation",
    "Use",
    "collected",
    "deprecation",
    "keywords_only_later",
    "parameters_of",
    "warn_caller",
    "warn_function",
]

T = TypeVar("T")


class AerakiDeprecationWarning(DeprecationWarning):
    """A plugin uses something that a later version of aeraki-core does not have."""


class Use(StrEnum):
    """How a plugin uses something.

    NAME: it imports ``aeraki_core.<name>``. PARAMETER: its hook takes ``<hook>.<parameter>``.
    POSITION: it calls ``<name>`` with arguments by position.
    """

    NAME = "name"
    PARAMETER = "parameter"
    POSITION = "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """One thing that goes.

    ``since``: the first version that warns. ``gone``: the first version without it. ``instead``:
    the new name or parameter, or for POSITION what to write.
    """

    use: Use
    name: str
    since: str
    gone: str
    instead: str

    def __str__(self) -> str:
        hook, _, parameter = self.name.partition(".")
        what, remedy = {
            Use.NAME: (self.name, "import"),
            Use.PARAMETER: (f"the parameter {parameter} of {hook}", "take"),
            Use.POSITION: (f"{self.name}(...) with arguments by position", "write"),
        }[self.use]
        return (
            f"{what} is deprecated since {self.since} and goes in {self.gone}: "
            f"{remedy} {self.instead}"
        )


DEPRECATIONS: tuple[Deprecation, ...] = (
    Deprecation(
        use=Use.POSITION,
        name="Code",
        since="0.1",
        gone="0.2",
        instead="Code(id=..., severity=..., title=..., action=...)",
    ),
)

_collecting: ContextVar[list[str] | None] = ContextVar("_collecting", default=None)


def deprecation(use: Use, name: str) -> Deprecation | None:
    """The entry of the table; None where nothing is deprecated."""
    return next((each for each in DEPRECATIONS if (each.use, each.name) == (use, name)), None)


def parameters_of(hook: str) -> dict[str, str]:
    """The deprecated parameters of a hook, each with the one that takes its place."""
    return {
        each.name.partition(".")[2]: each.instead
        for each in DEPRECATIONS
        if each.use is Use.PARAMETER and each.name.partition(".")[0] == hook
    }


@contextmanager
def collected() -> Iterator[list[str]]:
    """The deprecated uses of the code that runs in the block, each with its line."""
    uses: list[str] = []
    token = _collecting.set(uses)
    try:
        yield uses
    finally:
        _collecting.reset(token)


def _warn_at(entry: Deprecation, module: str, file: str, line: int) -> None:
    uses = _collecting.get()
    use = f"{file}:{line}: {entry}"
    if uses is not None and use not in uses:
        uses.append(use)
    warnings.warn_explicit(str(entry), AerakiDeprecationWarning, file, line, module)


def warn_caller(entry: Deprecation, depth: int) -> None:
    """Warn about a use at the line of a caller, ``depth`` frames up; Python's import is none."""
    frame = inspect.currentframe()
    while frame is not None and (depth >= 0 or "importlib" in frame.f_code.co_filename):
        frame = frame.f_back
        depth -= 1
    if frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("aeraki_core."):
            return  # no plugin's use
        _warn_at(entry, module, frame.f_code.co_filename, frame.f_lineno)


def warn_function(entry: Deprecation, function: Callable[..., object]) -> None:
    """Warn about a use in the declaration of a function."""
    code: CodeType | None = getattr(function, "__code__", None)
    if code is not None:
        _warn_at(entry, function.__module__, code.co_filename, code.co_firstlineno)


def keywords_only_later(kind: type[T]) -> type[T]:
    """A class decorator: arguments by position still work, and warn while the table says so."""
    create: Callable[..., None] = kind.__init__

    @functools.wraps(create)
    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        entry = deprecation(Use.POSITION, kind.__name__) if args else None
        if entry is not None:
            warn_caller(entry, 1)
        create(self, *args, **kwargs)

    kind.__init__ = initialise  # type: ignore[method-assign]
    return kind
