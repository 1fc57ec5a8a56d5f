"""The forms of a setting's value: text in a flag or a variable, and YAML in a file.

A :class:`Form` reads one kind of value from both and writes it back as text. Every reader raises
ValueError with a sentence about the mistake and the accepted values; the caller adds the flag, the
variable, or the file and line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aeraki_core.model.duration import parse_duration
from aeraki_core.model.mesh import ProxyRule, parse_proxy_rule
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.model.selector import LabelSelector, from_mapping, parse_selector

__all__ = [
    "ADDRESS",
    "CODES",
    "DURATION",
    "LOG_LEVELS",
    "LOG_LEVEL_NAMES",
    "NAME",
    "NAMESPACE",
    "NAMESPACES",
    "PATHS",
    "PROXY_RULES",
    "SELECTORS",
    "SIZE",
    "SWITCH",
    "TEXT",
    "WORDS",
    "Form",
    "ListForm",
    "LogLevels",
    "choice",
    "choices",
]

T_co = TypeVar("T_co", covariant=True)
W = TypeVar("W", bound=str)

LOG_LEVEL_NAMES = ("debug", "info", "warning", "error", "none")
_LEVEL_ALIASES = {"warn": "warning", "fatal": "error"}  # upstream's words
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_CODE = re.compile(r"[A-Z]{3}[0-9]{4}")
_SIZE = re.compile(r"(\d+)\s*(|k|K|Ki|M|Mi|G|Gi)B?")
_UNITS = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "Ki": 2**10,
    "M": 10**6,
    "Mi": 2**20,
    "G": 10**9,
    "Gi": 2**30,
}


class Form(Generic[T_co]):
    """A single value. Of a flag that is given several times the last one counts."""

    repeatable = False
    """Whether the values of a flag that is given several times add up."""

    def __init__(
        self,
        read: Callable[[str], T_co],
        show: Callable[[Any], str] = str,
        *,
        words: Sequence[str] = (),
    ) -> None:
        """``read`` and ``show`` convert one value.

        ``words`` are the only accepted texts, if there are few.
        """
        self._read = read
        self._show = show
        self.words = tuple(words)

    def parse(self, texts: Sequence[str]) -> T_co:
        """Parse the value of a flag, given once or several times."""
        return self._read(texts[-1].strip())

    def variable(self, text: str) -> T_co:
        """Parse the value of an environment variable."""
        return self.parse((text,))

    def load(self, value: Any) -> T_co:
        """Load the value of a settings file, as YAML."""
        if not isinstance(value, str):
            raise ValueError("write a text")
        return self.parse((value,))

    def show(self, value: Any) -> str:
        """Return the value as its flag takes it; empty for none."""
        return "" if value is None else self._show(value)


class _Switch(Form[bool]):
    """True or false; its flag has no value."""

    def load(self, value: Any) -> bool:
        """As :meth:`Form.load`."""
        if not isinstance(value, bool):
            raise ValueError("write true or false")
        return value


class _Size(Form[int]):
    """Bytes; a file may also hold the number."""

    def load(self, value: Any) -> int:
        """As :meth:`Form.load`."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return super().load(str(value) if is_number else value)


class ListForm(Form[tuple[T_co, ...]]):
    """Several values, parted by ``separator`` in a text and listed in YAML. Flags add up."""

    repeatable = True

    def __init__(
        self,
        item: Callable[[str], T_co],
        show: Callable[[Any], str] = str,
        *,
        separator: str = ",",
        from_yaml: Callable[[Any], Iterable[T_co]] | None = None,
        words: Sequence[str] = (),
    ) -> None:
        """``from_yaml`` reads one entry of a YAML list, where it may be more than a text."""
        super().__init__(self._split, self._join, words=words)
        self._item = item
        self._show_item = show
        self._separator = separator
        self._from_yaml = from_yaml

    def parse(self, texts: Sequence[str]) -> tuple[T_co, ...]:
        """As :meth:`Form.parse`."""
        return tuple(dict.fromkeys(value for text in texts for value in self._split(text)))

    def load(self, value: Any) -> tuple[T_co, ...]:
        """As :meth:`Form.load`."""
        if not isinstance(value, list):
            if not isinstance(value, str):
                raise ValueError("write a text or a list of texts")
            return self.variable(value)
        if self._from_yaml is not None:
            return tuple(item for entry in value for item in self._from_yaml(entry))
        if not all(isinstance(entry, str) for entry in value):
            raise ValueError("write a list of texts")
        return self.parse(value)

    def _split(self, text: str) -> tuple[T_co, ...]:
        # A blank separator stands for any white space.
        parts = text.split(None if self._separator == " " else self._separator)
        return tuple(self._item(part.strip()) for part in parts if part.strip())

    def _join(self, values: Iterable[Any]) -> str:
        return self._separator.join(self._show_item(value) for value in values)


class _Paths(ListForm[str]):
    """Paths: a flag holds one, whatever characters it has; a variable several, as ``PATH`` does."""

    def parse(self, texts: Sequence[str]) -> tuple[str, ...]:
        """As :meth:`Form.parse`."""
        return tuple(texts)

    def variable(self, text: str) -> tuple[str, ...]:
        """As :meth:`Form.variable`."""
        return tuple(text.split(os.pathsep))


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The level of everything, and of the components that have one of their own, in order.

    ``all`` is None where the command decides: info in ``aeraki run``, warning elsewhere.
    """

    all: str | None = None
    components: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        parts = [f"{name}:{level}" for name, level in self.components]
        return ",".join([self.all, *parts] if self.all else parts)


class _LogLevels(Form[LogLevels]):
    """``info``, ``COMPONENT:debug``, or several of them; a mapping in YAML."""

    repeatable = True

    def parse(self, texts: Sequence[str]) -> LogLevels:
        """As :meth:`Form.parse`."""
        everything, components = None, {}
        for part in (part.strip() for text in texts for part in text.split(",")):
            component, colon, word = part.rpartition(":")
            level = _LEVEL_ALIASES.get(word.lower(), word.lower())
            if level not in LOG_LEVEL_NAMES:
                raise ValueError(f"{word!r} is no level: {', '.join(LOG_LEVEL_NAMES)}")
            if not colon or component in ("all", "default"):  # both are upstream's words
                everything = level
            else:
                components[component] = level
        return LogLevels(everything, tuple(components.items()))

    def load(self, value: Any) -> LogLevels:
        """As :meth:`Form.load`."""
        if isinstance(value, Mapping):
            return self.parse([f"{component}:{level}" for component, level in value.items()])
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return self.parse(value)
        return super().load(value)


# -- readers of one value --------------------------------------------------------------------------


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text!r} is not true or false")
    return text.lower() == "true"


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not of at most 40 lower-case letters, digits and dashes")
    return text


def _namespace(text: str) -> str:
    if not is_dns_subdomain(text):
        raise ValueError(f"{text!r} is not a namespace's name")
    return text


def _address(text: str) -> str:
    port = text.rpartition(":")[2] if ":" in text else ""
    if not (port.isdecimal() and int(port) <= 65535):
        raise ValueError(f"{text!r} is not of the form HOST:PORT or :PORT")
    return text


def _code(text: str) -> str:
    if not _CODE.fullmatch(text.upper()):
        raise ValueError(f"{text!r} is not a code such as AER0205; `aeraki findings` lists them")
    return text.upper()


def _show_duration(value: float) -> str:
    return f"{value * 1000:g}ms" if value < 1 else f"{value:g}s"


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if not match or not int(match[1]):
        raise ValueError(f"{text!r} is not a size such as 500kB or 10MiB")
    return int(match[1]) * _UNITS[match[2]]


def _show_size(value: int) -> str:
    unit = next((unit for unit in ("Gi", "Mi", "Ki") if value % _UNITS[unit] == 0), "")
    return f"{value // _UNITS[unit]}{unit}B" if unit else str(value)


def _one_of(words: Sequence[W]) -> Callable[[str], W]:
    def read(text: str) -> W:
        for word in words:
            if word == text:
                return word
        raise ValueError(f"{text!r} is none of {', '.join(words)}")

    return read


def _proxy_rules(entry: Any) -> tuple[ProxyRule, ...]:
    """Return the rules of one entry of a YAML list.

    It is a text, or a mapping that may name several extensions.
    """
    if isinstance(entry, str):
        return (parse_proxy_rule(entry),)
    if not isinstance(entry, Mapping):
        raise ValueError("write each entry as a text or as {extension, namespace, labels}")
    unknown = sorted(set(entry) - {"extension", "extensions", "namespace", "labels"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of extension, extensions, namespace, labels")
    names = entry.get("extensions") or [entry.get("extension")]
    namespace, labels = entry.get("namespace"), entry.get("labels") or {}
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("`extension` names an Envoy extension, such as envoy.filters.network.NAME")
    if namespace is not None and not (isinstance(namespace, str) and is_dns_subdomain(namespace)):
        raise ValueError(f"{namespace!r} is not a namespace's name")
    if not isinstance(labels, Mapping) or not all(
        isinstance(text, str) for text in labels.values()
    ):
        raise ValueError("`labels` are texts by name")
    if labels and namespace is None:
        raise ValueError("`labels` need a `namespace` to look in")
    return tuple(ProxyRule(name, namespace, tuple(sorted(labels.items()))) for name in names)


def _show_proxy_rule(rule: ProxyRule) -> str:
    labels = ",".join(f"{key}={text}" for key, text in rule.labels)
    scope = f"{rule.namespace}{f'/{labels}' if labels else ''}:" if rule.namespace else ""
    return scope + rule.extension


def _selector(entry: Any) -> tuple[LabelSelector, ...]:
    if isinstance(entry, str):
        return (parse_selector(entry),)
    if not isinstance(entry, Mapping):
        raise ValueError("write each entry as a text or as {matchLabels, matchExpressions}")
    return (from_mapping(entry),)


# -- the forms -------------------------------------------------------------------------------------

TEXT = Form(str)
CODES = ListForm(_code)
"""Codes of findings."""
SWITCH = _Switch(_boolean, lambda value: "true" if value else "false")
ADDRESS = Form(_address)
"""``[HOST]:PORT``."""
DURATION = Form(parse_duration, _show_duration)
"""``500ms``, ``1m``; seconds."""
NAME = Form(_name)
NAMESPACE = Form(_namespace)
NAMESPACES = ListForm(lambda text: text if text == "." else _namespace(text))
"""Namespaces; ``.`` stands for the service's own."""
SIZE = _Size(_size, _show_size)
"""``10MiB``; bytes."""
WORDS = ListForm(str)
PATHS = _Paths(str)
LOG_LEVELS = _LogLevels(LogLevels)
# A comma parts the labels of one rule, and the conditions of one selector.
PROXY_RULES = ListForm(parse_proxy_rule, _show_proxy_rule, separator=" ", from_yaml=_proxy_rules)
SELECTORS = ListForm(parse_selector, separator=";", from_yaml=_selector)


def choice(*words: W) -> Form[W]:
    """Return the form of one of the words."""
    return Form(_one_of(words), words=words)


def choices(*words: W) -> ListForm[W]:
    """Return the form of a list of some of the words."""
    return ListForm(_one_of(words), words=words)
