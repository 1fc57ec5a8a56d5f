"""A service's options: annotations, read as their declared type.

In: the annotation's text and the :class:`~aeraki_core.plugins.types.Option`. Out: a value, or ValueError with what is wrong.
"""

from __future__ import annotations

from typing import Any

from aeraki_core.model.duration import parse_duration
from aeraki_core.plugins.types import Option, OptionType

__all__ = ["parse_option"]


def parse_option(option: Option, text: str) -> Any:
    """The value that the text stands for.

    Raises:
        ValueError: it does not fit the option; the message says what would.
    """
    text = text.strip()
    match option.type:
        case OptionType.TEXT:
            _check_choice(option, text)
            return text
        case OptionType.LIST:
            items = tuple(dict.fromkeys(item.strip() for item in text.split(",") if item.strip()))
            for item in items:
                _check_choice(option, item)
            return items
        case OptionType.BOOL:
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{text!r} is not true or false")
            return text.lower() == "true"
        case OptionType.INT:
            try:
                number = int(text)
            except ValueError:
                raise ValueError(f"{text!r} is not a whole number") from None
            _check_range(option, number)
            return number
        case OptionType.DURATION:
            seconds = parse_duration(text)
            _check_range(option, seconds)
            return seconds
        case OptionType.MAP:
            return _parse_map(option, text)


def _parse_map(option: Option, text: str) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for item in (part.strip() for part in text.split(",") if part.strip()):
        key, colon, value = (piece.strip() for piece in item.partition(":"))
        if not (key and colon and value):
            raise ValueError(f"{item!r} is not of the form KEY: VALUE")
        _check_choice(option, key)
        if key in found:
            raise ValueError(f"{key!r} is given twice")
        found[key] = value
    return tuple(found.items())


def _check_choice(option: Option, item: str) -> None:
    if option.choices and item not in option.choices:
        raise ValueError(f"{item!r} is none of {', '.join(option.choices)}")


def _check_range(option: Option, value: float) -> None:
    if option.minimum is not None and value < option.minimum:
        raise ValueError(f"{value:g} is below the least value {option.minimum:g}")
    if option.maximum is not None and value > option.maximum:
        raise ValueError(f"{value:g} is above the greatest value {option.maximum:g}")
