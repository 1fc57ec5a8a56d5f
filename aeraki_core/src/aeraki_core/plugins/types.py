"""A plugin's declarations about a protocol, as frozen values.

The core reads a plugin's :class:`Protocol` once, when it loads the plugin. Everything that a user
sees of it (annotations, ``aeraki plugins``, the pages) comes from these values, so each field
documents its meaning for a user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar, overload

from aeraki_core.findings.finding import Code

__all__ = ["OPTION_TYPES", "AddOn", "Extension", "Option", "OptionType", "Protocol"]

T_co = TypeVar("T_co", covariant=True)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class OptionType(Generic[V]):
    """How the text of an option is read, and so the Python type of its value.

    The types are the constants of this class; a plugin makes none of its own.
    """

    name: str
    """The constant's name, such as ``INT``."""
    accepts: Callable[[object], bool] = field(repr=False, compare=False)
    """Whether a value is of the type, for a check of declared defaults."""

    TEXT: ClassVar[OptionType[str]]
    LIST: ClassVar[OptionType[tuple[str, ...]]]
    BOOL: ClassVar[OptionType[bool]]
    INT: ClassVar[OptionType[int]]
    DURATION: ClassVar[OptionType[float]]
    MAP: ClassVar[OptionType[tuple[tuple[str, str], ...]]]

    def __str__(self) -> str:
        return self.name.lower()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, str) for part in value)


def _are_pairs(value: object) -> bool:
    return isinstance(value, tuple) and all(_are_texts(part) and len(part) == 2 for part in value)


OptionType.TEXT = OptionType("TEXT", lambda value: isinstance(value, str))
OptionType.LIST = OptionType("LIST", _are_texts)
OptionType.BOOL = OptionType("BOOL", lambda value: isinstance(value, bool))
OptionType.INT = OptionType("INT", lambda value: _is_number(value) and isinstance(value, int))
OptionType.DURATION = OptionType("DURATION", _is_number)
OptionType.MAP = OptionType("MAP", _are_pairs)

OPTION_TYPES: tuple[OptionType[Any], ...] = (
    OptionType.TEXT,
    OptionType.LIST,
    OptionType.BOOL,
    OptionType.INT,
    OptionType.DURATION,
    OptionType.MAP,
)


@dataclass(frozen=True, slots=True, init=False)
class Option(Generic[T_co]):
    """A setting of one service that no Istio resource can hold: ``<protocol>.aeraki.io/<name>``.

    The Service or ServiceEntry has the annotation. ``context.option(OPTION)`` returns its value of
    the type ``type``: ``Option[int]`` with a default, ``Option[int | None]`` without.
    """

    name: str
    """The annotation's last part: lower-case words joined by dashes."""
    type: OptionType[Any]
    """How the text is read."""
    help: str
    """What it does, in a sentence for users."""
    default: T_co
    """The value where no annotation is, or one that does not fit."""
    choices: tuple[str, ...]
    """The only values of TEXT, items of LIST, or keys of MAP. Empty: any."""
    minimum: float | None
    """The least INT, or DURATION in seconds."""
    maximum: float | None
    """The greatest INT, or DURATION in seconds."""
    aliases: tuple[str, ...]
    """Whole annotation names that mean the same, such as those of another tool."""
    limits_calls: bool
    """Whether the service takes only calls with the value, or one of the values, in that part.

    An empty value, and ``*``, is any; ``*`` at the start or the end of a value stands for the rest.
    ``aeraki route`` compares it. Of type TEXT or LIST.
    """

    @overload
    def __init__(
        self: Option[V],
        *,
        name: str,
        type: OptionType[V],
        help: str,
        default: V,
        choices: tuple[str, ...] = (),
        minimum: float | None = None,
        maximum: float | None = None,
        aliases: tuple[str, ...] = (),
        limits_calls: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self: Option[V | None],
        *,
        name: str,
        type: OptionType[V],
        help: str,
        default: None = None,
        choices: tuple[str, ...] = (),
        minimum: float | None = None,
        maximum: float | None = None,
        aliases: tuple[str, ...] = (),
        limits_calls: bool = False,
    ) -> None: ...

    def __init__(
        self,
        *,
        name: str,
        type: OptionType[Any],
        help: str,
        default: Any = None,
        choices: tuple[str, ...] = (),
        minimum: float | None = None,
        maximum: float | None = None,
        aliases: tuple[str, ...] = (),
        limits_calls: bool = False,
    ) -> None:
        # As dataclasses do for a frozen class; they know no overloads.
        for key, value in (
            ("name", name),
            ("type", type),
            ("help", help),
            ("default", default),
            ("choices", choices),
            ("minimum", minimum),
            ("maximum", maximum),
            ("aliases", aliases),
            ("limits_calls", limits_calls),
        ):
            object.__setattr__(self, key, value)

    def __hash__(self) -> int:
        """Return the name's: it tells the options of a protocol apart."""
        return hash(self.name)


@dataclass(frozen=True, slots=True)
class Extension:
    """An Envoy extension that a plugin's filters need."""

    name: str
    """Envoy's name of it, such as ``envoy.filters.network.echo``."""
    stock: bool
    """Whether every istio-proxy image that Aeraki supports has it. The core checks the claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """A layer-7 protocol that a plugin brings."""

    name: str
    """Its name: the prefix of its annotations, and a label of its metrics."""
    tokens: tuple[str, ...]
    """What ports are called, ``tcp-<token>`` or ``appProtocol: <token>``; lower case."""
    extension: Extension
    """The Envoy extension that every filter of the protocol needs."""
    summary: str
    """What it gives to a user, in a line."""
    more_extensions: tuple[Extension, ...] = ()
    """Further extensions that some of its filters use; see ``context.has_extension``."""
    options: tuple[Option[Any], ...] = ()
    """The annotations that it knows."""
    codes: tuple[Code, ...] = ()
    """The findings that the plugin reports on its own."""
    load_balancing_hash: bool = True
    """Whether its filters give load balancing a hash. False: the ``consistentHash`` of a
    DestinationRule has no effect, which the core reports."""

    def annotation(self, option: Option[Any]) -> str:
        """Return the whole name of an option's annotation."""
        return f"{self.name}.aeraki.io/{option.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOn:
    """Something that a plugin adds to ports of protocols, its own or those of others."""

    name: str
    """Its name: the prefix of its annotations."""
    summary: str
    """What it gives to a user, in a line."""
    extensions: tuple[Extension, ...] = ()
    """The Envoy extensions that its filters need."""
    protocols: tuple[str, ...] = ()
    """The names of the protocols whose ports it extends. Empty: all."""
    options: tuple[Option[Any], ...] = ()
    """The annotations that it knows."""
    codes: tuple[Code, ...] = ()
    """The findings that it reports on its own."""

    def annotation(self, option: Option[Any]) -> str:
        """Return the whole name of an option's annotation."""
        return f"{self.name}.aeraki.io/{option.name}"

    def extends(self, protocol: Protocol) -> bool:
        """Report whether it is asked for ports of that protocol."""
        return not self.protocols or protocol.name in self.protocols
