"""What of the core a plugin has replaced.

A plugin that puts a function of its own into the core changes every other plugin, and breaks with
the next version of the core. Nothing in Python forbids it, so the kit looks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

from aeraki_core.plugins.registry import Registry

__all__ = ["replaced_in_core"]

_CORE = "aeraki_core"


def replaced_in_core(registry: Registry) -> list[str]:
    """Name the functions of the core that come from a file beside a plugin's hooks."""
    folders = {
        Path(implementation.function.__code__.co_filename).parent
        for hooks in registry.implementations.values()
        for implementation in hooks.values()
    }
    return sorted(
        name
        for module in list(sys.modules.values())
        if f"{module.__name__}.".startswith(f"{_CORE}.")
        for name, function in _functions(module)
        if Path(function.__code__.co_filename).parent in folders
    )


def _functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """The functions that stand in a module and in its classes, with their full names."""
    owners: list[tuple[str, object]] = [(module.__name__, module)]
    owners += [
        (f"{module.__name__}.{name}", value)
        for name, value in list(vars(module).items())
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    for owner, holder in owners:
        for name, value in list(vars(holder).items()):
            inner = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if isinstance(inner, FunctionType):
                yield f"{owner}.{name}", inner
