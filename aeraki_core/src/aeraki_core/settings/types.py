"""The forms that a setting's value can have, and how each is read from text and from YAML.

In: the text of a flag or an environment variable, or a value of the settings file. Out: the value, or ValueError that says what is
wrong and what would fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aeraki_core.model.mesh import ProxyRule, parse_proxy_rule
from aeraki_core.model.meta import is_dns_subdomain
from aeraki_core.model.selector import LabelSelector, from_mapping, parse_selector

__all__ = ["LEVELS", "Form", "LogLevels", "parse_text", "parse_yaml", "show"]


class Form(StrEnum):
    """What a value is.

    TEXT; NAME, lower-case letters, digits and dashes;
    ADDRESS, ``[HOST]:PORT``; WORD, one of the setting's choices; WORDS, a list of them or of names; NAMESPACE and
    NAMESPACES (a list may hold ``.``); BOOL; DURATION, ``500ms`` or ``1m`` (seconds as float); SIZE, ``10MiB`` (bytes); PATHS;
    LOG_LEVELS, ``info`` or ``component:debug``; PROXY_RULES, which proxies have which extension; SELECTORS, label selectors of
    which one must match.
    """

    TEXT = "text"
    NAME = "name"
    ADDRESS = "address"
    WORD = "word"
    WORDS = "words"
    NAMESPACE = "namespace"
    NAMESPACES = "namespaces"
    BOOL = "bool"
    DURATION = "duration"
    SIZE = "size"
    PATHS = "paths"
    LOG_LEVELS = "log levels"
    PROXY_RULES = "proxy rules"
    SELECTORS = "selectors"

    @property
    def is_list(self) -> bool:
        """Whether its flag can be given several times."""
        return self in (
            Form.WORDS,
            Form.NAMESPACES,
            Form.PATHS,
            Form.LOG_LEVELS,
            Form.PROXY_RULES,
            Form.SELECTORS,
        )


LEVELS = ("debug", "info", "warning", "error", "none")
_LEVEL_ALIASES = {"warn": "warning", "fatal": "error"}  # upstream's words


@dataclass(frozen=True, slots=True)
class LogLevels:
    """The level of everything, and of the components that have one of their own, in order."""

    all: str = "info"
    components: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return ",".join((self.all, *(f"{name}:{level}" for name, level in self.components)))


_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_SIZE = re.compile(r"(\d+)\s*(|k|K|Ki|M|Mi|G|Gi)B?")
_FACTORS = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "Ki": 2**10,
    "M": 10**6,
    "Mi": 2**20,
    "G": 10**9,
    "Gi": 2**30,
}


def parse_text(form: Form, texts: tuple[str, ...], choices: tuple[str, ...] = ()) -> Any:
    """The value of a flag or a variable; ``texts`` has one entry, or several for a flag that was given several times.

    Raises:
        ValueError: a text does not fit.
    """
    text = texts[-1].strip()
    match form:
        case Form.BOOL:
            if text.lower() not in ("true", "false"):
                raise ValueError(f"{text!r} is not true or false")
            return text.lower() == "true"
        case Form.WORDS | Form.NAMESPACES:
            items = tuple(
                part.strip() for item in texts for part in item.split(",") if part.strip()
            )
            return _list(form, items, choices)
        case Form.PATHS:
            return tuple(texts)
        case Form.LOG_LEVELS:
            return _levels(part for item in texts for part in item.split(",") if part.strip())
        case Form.PROXY_RULES:
            # A comma parts the labels of one rule; several rules in one variable are parted by white space.
            return tuple(parse_proxy_rule(part) for item in texts for part in item.split())
        case Form.SELECTORS:
            # A comma parts the conditions of one selector; several selectors in one variable are parted by semicolons.
            return tuple(
                parse_selector(part) for item in texts for part in item.split(";") if part.strip()
            )
    return _single(form, text, choices)


def parse_yaml(form: Form, value: Any, choices: tuple[str, ...] = ()) -> Any:
    """The value of a settings file, as YAML gives it. A list may also be written as the text that its flag takes.

    Raises:
        ValueError: it does not fit.
    """
    match form:
        case Form.BOOL:
            if not isinstance(value, bool):
                raise ValueError("write true or false")
            return value
        case Form.LOG_LEVELS if isinstance(value, Mapping):
            return _levels(f"{component}:{level}" for component, level in value.items())
        case Form.PROXY_RULES if isinstance(value, list):
            return tuple(rule for item in value for rule in _rules(item))
        case Form.SELECTORS if isinstance(value, list):
            return tuple(_selector(item) for item in value)
        case Form.SIZE if isinstance(value, int) and not isinstance(value, bool):
            return _single(form, str(value), choices)
        case _ if form.is_list and isinstance(value, list):
            if not all(isinstance(item, str) for item in value):
                raise ValueError("write a list of texts")
            return parse_text(form, tuple(value), choices) if value else _empty(form)
    if not isinstance(value, str):
        raise ValueError("write a text" + (" or a list of texts" if form.is_list else ""))
    return parse_text(form, (value,), choices)


def _empty(form: Form) -> Any:
    return LogLevels() if form is Form.LOG_LEVELS else ()


def _single(form: Form, text: str, choices: tuple[str, ...]) -> Any:
    if form is Form.WORD and text not in choices:
        raise ValueError(f"{text!r} is none of {', '.join(choices)}")
    if form is Form.NAME and not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not of at most 40 lower-case letters, digits and dashes")
    if form is Form.NAMESPACE and not is_dns_subdomain(text):
        raise ValueError(f"{text!r} is not a namespace's name")
    if form is Form.ADDRESS:
        port = text.rpartition(":")[2] if ":" in text else ""
        if not (port.isdecimal() and int(port) <= 65535):
            raise ValueError(f"{text!r} is not of the form HOST:PORT or :PORT")
    if form is Form.DURATION:
        from aeraki_core.model.duration import parse_duration

        return parse_duration(text)
    if form is Form.SIZE:
        found = _SIZE.fullmatch(text)
        if not found or not int(found[1]):
            raise ValueError(f"{text!r} is not a size such as 500kB or 10MiB")
        return int(found[1]) * _FACTORS[found[2]]
    return text


def _list(form: Form, items: tuple[str, ...], choices: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if choices and item not in choices:
            raise ValueError(f"{item!r} is none of {', '.join(choices)}")
        if form is Form.NAMESPACES and item != "." and not is_dns_subdomain(item):
            raise ValueError(f"{item!r} is not a namespace's name")
    return tuple(dict.fromkeys(items))


def _levels(parts: Any) -> LogLevels:
    everything, components = "info", {}
    for part in parts:
        component, colon, word = part.strip().rpartition(":")
        level = _LEVEL_ALIASES.get(word.lower(), word.lower())
        if level not in LEVELS:
            raise ValueError(f"{word!r} is no level: {', '.join(LEVELS)}")
        if not colon or component in ("all", "default"):  # both are upstream's words
            everything = level
        else:
            components[component] = level
    return LogLevels(everything, tuple(components.items()))


def _rules(item: Any) -> tuple[ProxyRule, ...]:
    if isinstance(item, str):
        return (parse_proxy_rule(item),)
    if not isinstance(item, Mapping):
        raise ValueError("write each entry as a text or as {extension, namespace, labels}")
    unknown = sorted(set(item) - {"extension", "extensions", "namespace", "labels"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is none of extension, extensions, namespace, labels")
    names = item.get("extensions") or [item.get("extension")]
    namespace, labels = item.get("namespace"), item.get("labels") or {}
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("`extension` names an Envoy extension, such as envoy.filters.network.NAME")
    if namespace is not None and not (isinstance(namespace, str) and is_dns_subdomain(namespace)):
        raise ValueError(f"{namespace!r} is not a namespace's name")
    if not isinstance(labels, Mapping) or not all(
        isinstance(value, str) for value in labels.values()
    ):
        raise ValueError("`labels` are texts by name")
    if labels and namespace is None:
        raise ValueError("`labels` need a `namespace` to look in")
    return tuple(ProxyRule(name, namespace, tuple(sorted(labels.items()))) for name in names)


def _selector(item: Any) -> LabelSelector:
    if isinstance(item, str):
        return parse_selector(item)
    if not isinstance(item, Mapping):
        raise ValueError("write each entry as a text or as {matchLabels, matchExpressions}")
    return from_mapping(item)


def show(value: Any) -> str:
    """The value as its flag would take it."""
    match value:
        case None | ():
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value * 1000:g}ms" if value < 1 else f"{value:g}s"
        case int():
            unit = next((unit for unit in ("Gi", "Mi", "Ki") if value % _FACTORS[unit] == 0), "")
            return f"{value // _FACTORS[unit]}{unit}B" if unit else str(value)
        case ProxyRule():
            labels = ",".join(f"{key}={text}" for key, text in value.labels)
            scope = f"{value.namespace}{f'/{labels}' if labels else ''}:" if value.namespace else ""
            return scope + value.extension
        case tuple():
            return _separator(value).join(show(item) for item in value)
    return str(value)


def _separator(items: tuple[Any, ...]) -> str:
    """What parts several items in one variable."""
    if any(isinstance(item, LabelSelector) for item in items):
        return ";"
    return " " if any(isinstance(item, ProxyRule) for item in items) else ","
