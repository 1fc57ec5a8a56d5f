"""Envoy's message types by name, imported on first use.

An ``Any`` names its type, and protobuf can read it only after the import of the module that defines
the type. Generators import what they build; readers of existing filters import the rest here. Any
user may have written the names, so only packages of xds-protos are searched, and an unknown name is
an answer, never an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import Any

from google.protobuf import descriptor_pool

__all__ = ["import_type", "type_names"]

_PACKAGE = re.compile(
    r"(?:envoy|udpa|xds|google|opencensus|opentelemetry|cel)(?:\.[a-z][a-z0-9_]*)*"
)
# xds-protos keeps Envoy's contrib extensions in a package of their own.
_HOMES = ("", "contrib.")
_LONGEST = 200


@lru_cache(maxsize=4096)
def import_type(full_name: str) -> bool:
    """Make a message type known to protobuf; False when no package of xds-protos defines it."""
    package = full_name.rpartition(".")[0]
    if _is_known(full_name):
        return True
    if len(full_name) > _LONGEST or not _PACKAGE.fullmatch(package):
        return False
    for home in _HOMES:
        _import_package(home + package)
        if _is_known(full_name):
            return True
    return False


def type_names(value: Any) -> Iterator[str]:
    """Yield the full names of message types in ``@type`` of a tree of dictionaries and lists."""
    # Not by recursion: the tree may be nested deeper than Python's stack.
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            url = node.get("@type")
            if isinstance(url, str):
                yield url.rpartition("/")[2]
            waiting.extend(node.values())
        elif isinstance(node, list | tuple):
            waiting.extend(node)


def _is_known(full_name: str) -> bool:
    try:
        descriptor_pool.Default().FindMessageTypeByName(full_name)
    except (KeyError, UnicodeError):
        return False
    return True


def _import_package(name: str) -> None:
    """Import every generated module of a package.

    A name that is none, such as a module's, imports nothing.
    """
    try:
        spec = find_spec(name)
    except ImportError:
        return
    if spec is None or spec.submodule_search_locations is None:
        return
    for module in iter_modules(list(spec.submodule_search_locations)):
        if module.name.endswith("_pb2"):
            import_module(f"{name}.{module.name}")
