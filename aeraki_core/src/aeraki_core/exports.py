"""Public names that are imported when they are first used.

A package lists its public names once, as imports in its stub file ``__init__.pyi``. Type checkers
and editors read the stub; at run time the same list says where each name lives. Importing all of
them at once would make every command pay for pydantic and protobuf.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["from_stub"]


def from_stub(
    package: str, file: str, names: dict[str, Any]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a package, from the stub beside its file.

    ``names`` are the package's globals: a name that was used once is kept there.
    """
    tree = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    homes = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def get(name: str) -> Any:
        if name not in homes:
            # pytest loads this module in every run, and hardly any needs the table.
            from aeraki_core.deprecations import Use, deprecation, warn_caller

            old = deprecation(Use.NAME, name)
            if old is None or old.instead not in homes:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            warn_caller(old, 1)
            return get(old.instead)
        module, attribute = homes[name]
        value = getattr(import_module(module), attribute)
        names[name] = value
        return value

    def list_names() -> list[str]:
        # Include unused names: help() and editors look for them here.
        return sorted({*names, *homes})

    return sorted(homes), get, list_names
