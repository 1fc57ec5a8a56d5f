"""What a plugin declares about a protocol: frozen values.

A plugin declares its protocols with these values: a :class:`Protocol` with its Envoy :class:`Extension` and its
:class:`Option` annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.findings.finding import Code

__all__ = ["Extension", "Option", "OptionType", "Protocol"]


class OptionType(StrEnum):
    """How an option's text is read.

    TEXT as it is; LIST comma-separated; BOOL ``true`` or ``false``; INT; DURATION ``1.5s``, ``200ms``, ``1m`` (seconds as
    float); MAP ``key: value`` pairs separated by commas.
    """

    TEXT = "text"
    LIST = "list"
    BOOL = "bool"
    INT = "int"
    DURATION = "duration"
    MAP = "map"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a service that no Istio resource can say: the annotation ``<protocol>.aeraki.io/<name>``.

    ``choices`` limits the values (TEXT and each item of LIST); ``minimum`` and ``maximum`` limit INT and DURATION (seconds).
    ``aliases`` are whole annotation names that mean the same.
    """

    name: str
    type: OptionType
    help: str
    default: Any = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """An Envoy extension by its name. ``stock``: the stock istio-proxy image has it (facts/istio.md)."""

    name: str
    stock: bool


@dataclass(frozen=True, slots=True)
class Protocol:
    """A layer-7 protocol that a plugin brings.

    ``tokens`` are what a port's name or appProtocol says (``tcp-<token>``), lower case. ``extension`` is the Envoy extension that
    every filter of it needs. ``codes`` are the findings that the plugin reports on its own.
    """

    name: str
    tokens: tuple[str, ...]
    extension: Extension
    summary: str
    options: tuple[Option, ...] = ()
    codes: tuple[Code, ...] = ()

    def option(self, name: str) -> Option:
        """The option of that name.

        Raises:
            KeyError: the protocol declares no such option.
        """
        for option in self.options:
            if option.name == name:
                return option
        raise KeyError(f"protocol {self.name} declares no option {name!r}")

    def annotation(self, option: Option) -> str:
        """The annotation's name of an option."""
        return f"{self.name}.aeraki.io/{option.name}"
