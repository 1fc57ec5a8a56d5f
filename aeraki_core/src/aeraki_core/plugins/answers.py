"""What a hook answered, or what is wrong with it.

A plugin may give anything, and give it without an end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from aeraki_core.filters.patch import Patch
from aeraki_core.findings.codes import GENERATOR_GARBAGE
from aeraki_core.findings.finding import Code
from aeraki_core.plugins.patch_extensions import extensions_of, why_malformed
from aeraki_core.plugins.registry import PluginInfo
from aeraki_core.plugins.types import Protocol

__all__ = ["MAX_PATCHES", "judge_patches", "named_protocol", "values_of"]

MAX_PATCHES = 10_000
"""That one call may give: some hundred fit into one EnvoyFilter."""


def named_protocol(plugin: PluginInfo, answer: object) -> tuple[Protocol | None, str]:
    """The protocol that the answer of a detection names, or what is wrong with the answer."""
    if answer is None:
        return None, ""
    if type(answer) is not str:
        return None, f"gave a {type(answer).__name__} where a protocol's name or None belongs"
    protocol = next((each for each in plugin.protocols if each.name == answer), None)
    return protocol, "" if protocol else f"named {answer[:80]!r}, which the plugin does not bring"


def values_of(values: Any) -> tuple[Any, ...] | None:
    """What a hook yields, or the list that it returns; None where it is neither."""
    # A set has another order in the next process, and a mapping gives its keys.
    if not isinstance(values, Iterable) or isinstance(values, set | frozenset | Mapping):
        return None
    return tuple(islice(values, MAX_PATCHES + 1))


def judge_patches(
    values: tuple[Any, ...] | None, protocol: Protocol
) -> tuple[tuple[Patch, ...] | None, tuple[Code, str] | None]:
    """The patches that a generator gave, or what is wrong with them."""
    if values is None:
        # Not the same as no patch, which removes the filters: a yield may be missing.
        text = "aeraki_generate gave no Patch values: yield them, or return a list of them"
        return None, (GENERATOR_GARBAGE, text)
    if len(values) > MAX_PATCHES:
        text = f"aeraki_generate gave more than {MAX_PATCHES} patches"
        return None, (GENERATOR_GARBAGE, text)
    malformed = why_malformed(values)
    if malformed:
        return None, (GENERATOR_GARBAGE, f"aeraki_generate {malformed}")
    declared = {extension.name for extension in (protocol.extension, *protocol.more_extensions)}
    for patch in values:
        for name in extensions_of(patch):
            if name not in declared:
                text = (
                    f"aeraki_generate uses {name}, which {protocol.name} does not declare: "
                    "list it in more_extensions"
                )
                return None, (GENERATOR_GARBAGE, text)
    return values, None
