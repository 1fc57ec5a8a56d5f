"""Options of a service: annotations, read as the type that the plugin declares.

A value that does not fit never reaches the plugin: it is reported at its annotation and the default
counts, so that one typing mistake of a user is no error of the plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from aeraki_core.errors import PluginError
from aeraki_core.findings.codes import BAD_OPTION, UNKNOWN_OPTION
from aeraki_core.findings.text import did_you_mean
from aeraki_core.mesh.reads import Reads
from aeraki_core.model.duration import parse_duration
from aeraki_core.model.namespace import ANNOTATION_PREFIX
from aeraki_core.model.service import Service
from aeraki_core.plugins.recorder import Recorder
from aeraki_core.plugins.types import Option, OptionType

__all__ = ["OptionOwner", "OptionReader", "parse_option"]

V = TypeVar("V")


class OptionOwner(Protocol):
    """What declares options: a protocol or an add-on."""

    @property
    def name(self) -> str:
        """Its name, the prefix of the annotations."""
        ...

    def annotation(self, option: Option[Any]) -> str:
        """Return the whole name of an option's annotation."""
        ...


class _Reading(NamedTuple):
    """The value of an option, and the annotation that gives it; empty for the default."""

    value: Any
    annotation: str = ""


class OptionReader:
    """Reads the options of one service that a protocol or an add-on declares, each once.

    ``declared`` are the options of the owner, by name.
    """

    def __init__(
        self,
        owner: OptionOwner,
        service: Service,
        *,
        declared: Mapping[str, Option[Any]],
        reads: Reads,
        recorder: Recorder,
    ) -> None:
        self._owner = owner
        self._declared = declared
        self._service = service
        self._reads = reads
        self._recorder = recorder
        self._readings: dict[str, _Reading] = {}
        self._own = reads.annotations(service, f"{owner.name}.{ANNOTATION_PREFIX}")
        """The annotations with the owner's prefix, by name."""

    def value(self, option: Option[V]) -> V:
        """Return the option's value, or its default; an invalid text is reported.

        Raises:
            PluginError: the owner does not declare the option.
        """
        self._require_declared(option)
        # Most services have no annotation for us.
        if not self._own and not option.aliases:
            return option.default
        value: V = self._read(option).value
        return value

    def field(self, option: Option[Any]) -> str:
        """Return the annotation of the option's value; if there is none, its main one.

        Raises:
            PluginError: the owner does not declare the option.
        """
        self._require_declared(option)
        annotation = self._read(option).annotation or self._owner.annotation(option)
        return f"metadata.annotations.{annotation}"

    def report_unknown(self) -> None:
        """Report annotations with the owner's prefix that are none of its options."""
        if not self._own:
            return
        known = {self._owner.annotation(option) for option in self._declared.values()}
        for name in self._own:
            if name not in known:
                field = f"metadata.annotations.{name}"
                message = f"{self._owner.name} has no option {name}"
                self._recorder.add(UNKNOWN_OPTION, message, self._service.ref, field)

    def _require_declared(self, option: Option[Any]) -> None:
        if not isinstance(option, Option):
            raise PluginError(
                f"an option is asked for by its Option value, not by a {type(option).__name__}"
            )
        declared = self._declared.get(option.name)
        if declared is not option and declared != option:
            raise PluginError(
                f"{self._owner.name} does not declare the "
                f"option {option.name!r}: list it in options"
            )

    def _read(self, option: Option[Any]) -> _Reading:
        reading = self._readings.get(option.name)
        if reading is None:
            reading = self._readings[option.name] = self._parse(option)
        return reading

    def _parse(self, option: Option[Any]) -> _Reading:
        for annotation, text in self._texts(option):
            try:
                return _Reading(parse_option(option, text), annotation)
            except ValueError as error:
                field = f"metadata.annotations.{annotation}"
                message = f"{annotation}: {error}"
                self._recorder.add(BAD_OPTION, message, self._service.ref, field)
        return _Reading(option.default)

    def _texts(self, option: Option[Any]) -> Iterator[tuple[str, str]]:
        """Yield the existing annotations for an option and their texts, its own name first."""
        main = self._owner.annotation(option)
        if main in self._own:
            yield main, self._own[main]
        for alias in option.aliases:
            text = self._reads.annotation(self._service, alias)
            if text is not None:
                yield alias, text


def parse_option(option: Option[Any], text: str) -> Any:
    """Parse the value of the text.

    Raises:
        ValueError: it does not fit the option; the message says what would.
    """
    return _PARSERS[option.type](option, text.strip())


def _parse_text(option: Option[Any], text: str) -> str:
    return _choice(option, text)


def _parse_list(option: Option[Any], text: str) -> tuple[str, ...]:
    items = (_choice(option, item.strip()) for item in text.split(",") if item.strip())
    return tuple(dict.fromkeys(items))


def _parse_bool(_: Option[Any], text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


_LONGEST = 40  # digits; the text of a larger number says nothing


def _parse_int(option: Option[Any], text: str) -> int:
    try:
        number = int(text[: _LONGEST + 1])
    except ValueError:
        raise ValueError(f"{text[:_LONGEST]!r} is not a whole number") from None
    if len(text) > _LONGEST or not -(2**63) <= number < 2**63:
        raise ValueError(f"{text[:_LONGEST]!r} is not a number of at most 64 bits")
    _require_range(option, number)
    return number


def _parse_duration(option: Option[Any], text: str) -> float:
    seconds = parse_duration(text)
    _require_range(option, seconds)
    return seconds


def _parse_map(option: Option[Any], text: str) -> tuple[tuple[str, str], ...]:
    pairs: dict[str, str] = {}
    for item in (part.strip() for part in text.split(",") if part.strip()):
        key, colon, value = (piece.strip() for piece in item.partition(":"))
        if not (key and colon and value):
            raise ValueError(f"{item!r} is not of the form KEY: VALUE")
        key = _choice(option, key)
        if key in pairs:
            raise ValueError(f"{key!r} is given twice")
        pairs[key] = value
    return tuple(pairs.items())


_PARSERS: Mapping[OptionType[Any], Callable[[Option[Any], str], Any]] = {
    OptionType.TEXT: _parse_text,
    OptionType.LIST: _parse_list,
    OptionType.BOOL: _parse_bool,
    OptionType.INT: _parse_int,
    OptionType.DURATION: _parse_duration,
    OptionType.MAP: _parse_map,
}


def _choice(option: Option[Any], item: str) -> str:
    """Return the choice that a text names, in any case; any text where there are no choices."""
    if not option.choices or item in option.choices:
        return item
    for choice in option.choices:
        if choice.lower() == item.lower():
            return choice
    hint = did_you_mean(item.lower(), option.choices)
    raise ValueError(f"{item!r} is none of {', '.join(option.choices)}{hint}")


def _require_range(option: Option[Any], value: float) -> None:
    if option.minimum is not None and value < option.minimum:
        raise ValueError(f"{value:g} is below the least value {option.minimum:g}")
    if option.maximum is not None and value > option.maximum:
        raise ValueError(f"{value:g} is above the greatest value {option.maximum:g}")
